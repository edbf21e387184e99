"""The clairvoyant bound of a scenario and seed, and its plan replayed through the real kernel."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..agents.baselines.schedule import ScheduleConfig, plan_of
from ..agents.policy import PolicyConfig
from ..evaluation.metrics import measure
from ..hil.bench import Bench, RunResult
from ..scenarios.files import files_of
from ..sim.export.bound.model import Bound, Timing, Weights
from ..sim.export.bound.store import stored

if TYPE_CHECKING:
    from ..hil.progress import Progress
    from ..scenarios.model import Scenario

REPLAY: Final = "replayed_optimum"
"""Name of the policy that plays the bound's plan."""
DEFAULT_CHANGES: Final = 10
"""Budget where a scenario has no limit on the changes of command in the worst sliding minute."""

_CHANGES: Final = "command_changes_per_min_worst@1"
_PARTS: Final = ("plant", "edge", "profiles", "clock", "faults", "objective")
_PACKAGES: Final = ("numpy", "pvlib", "scipy", "tzdata")


def changes_allowed(scenario: Scenario) -> int:
    """Return how many changes of command in any minute the scenario's limits allow."""
    limits = [
        limit.max for limit in scenario.limits if limit.metric == _CHANGES and limit.max is not None
    ]
    return max(int(min(limits)), 1) if limits else DEFAULT_CHANGES


def timing_of(scenario: Scenario) -> Timing:
    """Return the scenario's times as the bound takes them: whole seconds, as records count."""
    clock = scenario.clock
    delay_s = clock.decision_delay_s if clock.mode == "virtual" else 0.0
    return Timing(int(clock.duration_s), clock.control_period_s, delay_s, clock.refresh_s)


def bound_of(scenario: Scenario, seed: int) -> Bound:
    """Return the bound of one seed, from disk if it was computed before.

    Raises:
        BoundError: it cannot be had.
        ProfileError: a log of the user cannot be used.
    """

    def compute() -> Bound:
        from ..sim.export.bound.clairvoyant import clairvoyant_bound
        from ..sim.profiles.build import build

        timing = timing_of(scenario)
        plant, seconds = scenario.plant, -(-round(scenario.clock.duration_s * 1e6) // 1_000_000)
        profiles = build(scenario.profiles, plant, scenario.start_utc(), seconds, seed)
        weights = Weights(scenario.objective.import_weight, scenario.objective.unserved_weight)
        return clairvoyant_bound(
            plant,
            scenario.edge,
            profiles.values,
            tuple(scenario.faults),
            seed,
            timing,
            weights,
            changes_allowed(scenario),
        )

    return stored(_depends_on(scenario, seed), compute)


def _depends_on(scenario: Scenario, seed: int) -> dict[str, Any]:
    """Return all that a bound depends on but for the code of the simulation."""
    content = scenario.model_dump(mode="json", include=set(_PARTS))
    logs = [
        hashlib.sha256(file.read_bytes()).hexdigest() for _, file in files_of(scenario.profiles)
    ]
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        **content,
        "start_utc": scenario.start_utc().isoformat(),
        "seed": seed,
        "changes": changes_allowed(scenario),
        "logs": logs,
        "packages": packages,
    }


def replay_of(
    scenario: Scenario, seed: int, bound: Bound, folder: Path, progress: Progress | None = None
) -> RunResult:
    """Play the bound's plan through the kernel; the record goes to ``<folder>/<scenario>/``.

    Function calls and virtual time, whatever the scenario's rig: the bound is the plant's.

    Raises:
        RecordError: the disk refuses.
        ProfileError: a log of the user cannot be used.
    """
    from ..sim.export.compilation import actuators

    ids = [unit.id for unit in actuators(scenario.plant, scenario.edge)]
    plan = plan_of(ids, bound.schedule.times_us, bound.schedule.setpoint_w)
    return run_alone(scenario, seed, ScheduleConfig(name=REPLAY, plan=plan), folder, progress)


def run_alone(
    scenario: Scenario,
    seed: int,
    policy: PolicyConfig,
    folder: Path,
    progress: Progress | None = None,
) -> RunResult:
    """Run one policy on one seed, directly and in virtual time, with nobody beside it."""
    clock = scenario.clock.model_copy(update={"mode": "virtual", "factor": 1.0})
    alone = scenario.model_copy(
        update={
            "policies": (policy,),
            "baselines": (),
            "seeds": (seed,),
            "audit": None,
            "rig": "direct",
            "clock": clock,
        }
    )
    (result,) = Bench(alone, folder, measure=measure, progress=progress).run()
    return result
