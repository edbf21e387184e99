"""What a policy is: its observation, its action, its configuration, and the registry of kinds.

A policy is asked once a control step. It meets the world only through an :class:`Observation` and
answers with one of three actions, in watts, consumption positive:

- ``phase_targets`` [3]: what the actuators of each phase shall consume in all; negative only to
  discharge a commanded battery,
- ``phase_deltas`` [3]: changes to the previous phase targets,
- ``actuator_power`` [A]: a set-point for each actuator, in the sign of that actuator.

The agent turns the first two into set-points (:mod:`.allocator`), and everything passes the guard.
"""

from __future__ import annotations

import datetime as dt
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from ..sim.config import DurationS, Model, PowerW
from ..sim.edge.config import EdgeConfig
from ..sim.points import Actuator
from .tuning import Tunable

ActionKind = Literal["phase_targets", "phase_deltas", "actuator_power"]


class PolicyError(Exception):
    """A policy failed: it raised, or answered with what cannot be a command.

    The message names the policy and, once it runs, the step; the loop then brings the loads to
    their safe values and ends the run with the verdict ERROR for this policy.
    """

    def __init__(self, policy: str, reason: str, step: int | None = None) -> None:
        """Tell which policy failed, why, and at which control step (None: while being built)."""
        self.policy = policy
        self.reason = reason
        self.step = step
        where = "" if step is None else f", step {step}"
        super().__init__(f"policy '{policy}'{where}: {reason}")


_SOME_START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """What policies know of a site beforehand: its actuators and how commands take effect."""

    actuators: tuple[Actuator, ...]
    """In the order of commands."""
    control_period_s: float = 1.0
    setpoint_w: float = 0.0
    """Grid power that controllers aim at; positive: a little import."""
    command_delay_s: float = 1.07
    """From the control step that decides to the first change at the connection."""
    ramp_s: float = 1.5
    """From the first change to the full one, if a load goes from zero to its rating."""
    meter_window_s: float = 1.0
    """A reading is the mean over this long."""
    meter_delay_s: float = 1.0
    """From the end of that window to the control step that sees the reading first."""
    start: dt.datetime = _SOME_START
    """Instant of `t_us` = 0, in the site's time zone (the features know hour and weekday)."""

    @classmethod
    def of(
        cls,
        actuators: tuple[Actuator, ...],
        edge: EdgeConfig,
        *,
        ramp_s: float = 1.5,
        control_period_s: float = 1.0,
        decision_delay_s: float = 0.02,
        setpoint_w: float = 0.0,
        start: dt.datetime = _SOME_START,
    ) -> Self:
        """Return the site as its edge's configuration describes it.

        ``ramp_s`` is the typical ramp of its loads, ``decision_delay_s`` the time declared for a
        decision. The mesh counts with its median latency; meter and control steps are taken to
        begin together. ``start`` should be in the site's time zone.
        """
        # forgiving rounding errors: 0.6 s is three steps of 0.2 s
        steps = math.ceil(edge.meter.delay_s / control_period_s - 1e-9)
        latency_s = edge.mesh.hops * edge.mesh.hop_latency_s
        return cls(
            actuators,
            control_period_s=control_period_s,
            setpoint_w=setpoint_w,
            command_delay_s=decision_delay_s + latency_s + edge.device.dead_time_s,
            ramp_s=ramp_s,
            meter_window_s=edge.meter.window_s,
            meter_delay_s=steps * control_period_s,
            start=start,
        )

    def consumption(self) -> NDArray[np.float64]:
        """Return [3, A]: phase consumption per watt of each actuator's set-point.

        A discharging battery consumes negatively; a PV limit consumes nothing.
        """
        signs = {"load": 1.0, "charger": 1.0, "battery": -1.0, "pv_limit": 0.0}
        columns = [np.multiply(a.phase_shares, signs[a.kind]) for a in self.actuators]
        return np.array(columns, dtype=np.float64).reshape(-1, 3).T.copy()

    def load_rating_w(self) -> list[float]:
        """Return [3] the mean rating of each phase's loads and chargers, on that phase in W."""
        ratings = []
        for phase in range(3):
            powers = [
                actuator.phase_shares[phase] * actuator.high_w
                for actuator in self.actuators
                if actuator.kind in {"load", "charger"} and actuator.phase_shares[phase] > 0.0
            ]
            ratings.append(max(sum(powers) / len(powers), 1.0) if powers else 1.0)
        return ratings

    def phase_range_w(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the least and the greatest consumption that can be commanded on each phase."""
        low, high = [0.0] * 3, [0.0] * 3
        for actuator in self.actuators:
            for phase, share in enumerate(actuator.phase_shares):
                if actuator.kind in {"load", "charger"}:
                    high[phase] += share * actuator.high_w
                elif actuator.kind == "battery":
                    low[phase] -= share * actuator.high_w
                    high[phase] -= share * actuator.low_w
        return tuple(low), tuple(high)


@dataclass(slots=True)
class Observation:
    """What a policy sees at a control step.

    The arrays are the agent's own and are overwritten at the next step: copy what must last.
    """

    t_us: int
    """Now, in µs since the start of the run."""
    step: int
    """Control steps since the start of the run, from 0."""
    age_s: float
    """How long ago the loop first saw the newest reading; infinite before the first."""
    values: NDArray[np.float64]
    """[F] the features, in the order of `feature_names.FEATURE_NAMES`."""
    command_w: NDArray[np.float64]
    """[A] the set-points sent last."""


class PolicyConfig(Model):
    """Keys that every kind of policy has."""

    tunables: ClassVar[Mapping[str, Tunable]] = {}
    """Keys that a search may change; a kind with none has nothing to tune."""

    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """What the record calls this policy; null: its kind."""
    max_age_s: DurationS | None = Field(5.0, gt=0, le=3600)
    """With a reading older than this, safe values are commanded; null: readings never age."""
    setpoint_w: PowerW | None = Field(None, ge=-100_000, le=100_000)
    """Grid power to aim at (+ import), as the policy is told; null: the site's."""
    command_deadband_w: PowerW = Field(10.0, ge=0, le=10_000)
    """A command in which no set-point differs by more than this from the last is not sent."""

    @field_validator("name")
    @classmethod
    def _not_a_baselines(cls, name: str | None) -> str | None:
        # Folders of baselines begin like this, and whoever looks for judged runs passes them over.
        if name is not None and name.startswith("baseline-"):
            raise PydanticCustomError("name", "a name must not begin with 'baseline-'", {})
        return name

    @property
    def label(self) -> str:
        """The name, or the kind if none is given."""
        return self.name if self.name is not None else str(type(self).model_fields["kind"].default)


class Policy(ABC):
    """Base of all policies; ``reset`` comes before the first ``decide`` and starts a run anew."""

    action: ActionKind
    """What ``decide`` returns."""

    @abstractmethod
    def reset(self, seed: int) -> None:
        """Forget everything; draw whatever is random from ``seed``."""

    @abstractmethod
    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Return the action [3] or [A] in watts, float64; see ``action``."""


ConfigT = TypeVar("ConfigT", bound=PolicyConfig)


@dataclass(frozen=True, slots=True)
class PolicyKind:
    """A kind of policy: the model of its configuration, and what builds it."""

    config: type[PolicyConfig]
    factory: Callable[[Any, SiteInfo], Policy]
    start: Callable[[SiteInfo], Mapping[str, float]] | None = None
    """Values of tunable keys by a published rule, from what is known of a site; None: no rule."""


#: Every kind of policy by the name that files use. Importing any part of ``agents`` fills it.
POLICIES: dict[str, PolicyKind] = {}


def register(
    config: type[ConfigT],
    factory: Callable[[ConfigT, SiteInfo], Policy],
    start: Callable[[SiteInfo], Mapping[str, float]] | None = None,
) -> None:
    """Add a kind of policy; ``config`` has a field ``kind`` whose default names it.

    ``start`` gives values to start a search from, by a rule.
    """
    kind = str(config.model_fields["kind"].default)
    if kind in POLICIES:
        raise ValueError(f"policy kind '{kind}' is registered twice")
    POLICIES[kind] = PolicyKind(config, factory, start)


def build(config: PolicyConfig, site: SiteInfo) -> Policy:
    """Build the policy that a configuration describes; :class:`PolicyError` if it cannot be."""
    kind = POLICIES[str(type(config).model_fields["kind"].default)]
    return kind.factory(config, site)
