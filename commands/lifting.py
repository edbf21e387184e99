"""The same experiment with one restriction lifted: what the restriction costs a policy.

Only a policy can show it. A clairvoyant sends early enough for any dead time and knows which
changes are worth it, so lifting a restriction from him shows nothing.

*Dead time* is what passes between a change at the connection and the first effect of the answer:
the meter's window and delay, the time declared for a decision, the way through the mesh (route
repair and the fault `extra_delay` included) and the devices' dead time. Not among it, and left as
they are: the control period, the ramps of the loads, minimum times, and messages that are lost.

The *command-rate limit* is the policy's own budget of changes, its least time between two of them,
and the coordinator's table of broadcasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..agents.policy import PolicyConfig
    from ..scenarios.model import Scenario

_SHORTEST_WINDOW_S: Final = 0.2
_NO_LATENCY_S: Final = 1e-9
"""The model wants more than zero; the kernel rounds it to none."""
_MOST_ENTRIES: Final = 8
_SHORTEST_LIFE_S: Final = 1.0
_BUDGET, _INTERVAL = "max_changes_per_min", "min_interval_s"


class CannotLiftError(Exception):
    """A restriction cannot be lifted from this policy; the message says why."""


def without_dead_time(scenario: Scenario) -> tuple[Scenario, str]:
    """Return the experiment without dead time, and what was lifted in words."""
    edge, clock = scenario.edge, scenario.clock
    period_s = min(edge.meter.period_s, clock.control_period_s)
    meter = {"period_s": period_s, "window_s": _SHORTEST_WINDOW_S, "delay_s": 0.0}
    mesh = {
        "hops": 1,
        "hop_latency_s": _NO_LATENCY_S,
        "hop_latency_sigma": 0.0,
        "route_repair_probability": 0.0,
    }
    lifted = {
        "edge": edge.model_copy(
            update={
                "meter": edge.meter.model_copy(update=meter),
                "mesh": edge.mesh.model_copy(update=mesh),
                "device": edge.device.model_copy(update={"dead_time_s": 0.0}),
            }
        ),
        "clock": clock.model_copy(update={"decision_delay_s": 0.0}),
        "faults": tuple(fault for fault in scenario.faults if fault.kind != "extra_delay"),
    }
    how = (
        f"a meter that averages over {_SHORTEST_WINDOW_S:g} s and publishes at once, no time for "
        "deciding, a mesh and devices that act at once; control period, ramps and lost messages "
        "stay"
    )
    return scenario.model_copy(update=lifted), how


def without_rate_limit(
    scenario: Scenario, policy: PolicyConfig
) -> tuple[Scenario, PolicyConfig, str]:
    """Return the experiment and the policy without a limit on commands, and what was lifted.

    Raises:
        CannotLiftError: the policy has no such limit of its own.

    """
    fields = type(policy).model_fields
    if _BUDGET not in fields:
        raise CannotLiftError(
            f"policy '{policy.label}' has no key {_BUDGET}: it has no limit that could be lifted, "
            "or has learned to live with one"
        )
    most = next(part.le for part in fields[_BUDGET].metadata if hasattr(part, "le"))
    period_s = scenario.clock.control_period_s
    changes: dict[str, Any] = {_BUDGET: most}
    if _INTERVAL in fields:
        changes[_INTERVAL] = min(period_s, getattr(policy, _INTERVAL))
    table = {"broadcast_table_entries": _MOST_ENTRIES, "broadcast_table_s": _SHORTEST_LIFE_S}
    edge = scenario.edge.model_copy(
        update={"mesh": scenario.edge.mesh.model_copy(update=table)},
    )
    how = (
        f"up to {most:g} changes a minute, {period_s:g} s apart, and a coordinator that takes "
        f"{_MOST_ENTRIES} broadcasts a second"
    )
    return scenario.model_copy(update={"edge": edge}), policy.model_copy(update=changes), how
