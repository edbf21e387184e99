"""What a bound is: plain data, without solver or plant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


class BoundError(Exception):
    """A bound cannot be had: the solver failed, or the site is one that no proof covers."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the objective J."""

    import_weight: float
    """λ₁, of imported energy and of what stores lack at the end."""
    unserved_weight: float
    """λ₂, of energy that was wanted and missing."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a run is and how often somebody decides."""

    duration_s: int
    """Whole seconds: a record counts no more."""
    control_period_s: float
    decision_delay_s: float
    """Declared, from sampling to sending; 0 under the wall clock, where it is not declared."""
    refresh_s: float
    """An unchanged command is sent again after this."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Commands: when each is decided, and what each actuator is told."""

    times_us: NDArray[np.int64]
    """[K] rising, since the start of the run."""
    setpoint_w: NDArray[np.float64]
    """[K, A] in the order of the plant's actuators."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What no policy can beat on one scenario and seed, and a plan that comes near."""

    objective_wh: float
    """No policy whatever can have a lower J."""
    with_budget_wh: float | None
    """No policy that keeps the budget of changes in any sliding minute can have a lower J; None
    where that could not be shown."""
    no_budget_reason: str
    """Why there is none; empty where there is one."""
    max_changes_per_min: int
    """The budget: counted changes of command in any 60 s."""
    schedule: Schedule
    """A plan near the optimum that keeps budget, resolution, minimum times and dead time."""
    notes: tuple[str, ...] = ()
    """What was relaxed, in words."""
    solver: Mapping[str, str | float | int] = field(default_factory=dict)
    """Solver, its version, status, gap, sizes and times."""
