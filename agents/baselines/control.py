"""What the controllers share: configuration, the budget of changes, the spread over phases."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...sim.config import DurationS, PowerW
from ..policy import ActionKind, Policy, PolicyConfig, SiteInfo
from ..tuning import Tunable

_MINUTE_US = 60_000_000


class ControllerConfig(PolicyConfig):
    """Keys that every controller has."""

    tunables: ClassVar[Mapping[str, Tunable]] = {
        "setpoint_w": Tunable(-100.0, 400.0),
        "max_changes_per_min": Tunable(5, 9, integer=True),
    }

    phases: Literal["total", "each"] = "total"
    """total: net power over the phases counts, and the answer is spread so that what remains is
    balanced; each: every phase for itself, as a tariff that meters phases apart asks for."""
    setpoint_w: PowerW | None = Field(50.0, ge=-100_000, le=100_000)
    """Grid power to aim at (+ import), on each phase a third of it; null: the site's."""
    max_changes_per_min: int = Field(9, ge=1, le=600)
    """Changes of command in any 60 s."""
    min_interval_s: DurationS = Field(1.0, ge=0, le=600)
    """Least time between two changes of command."""


class ChangeBudget:
    """Counts changes: at most ``limit`` in any minute, none sooner than ``min_interval_s``."""

    def __init__(self, limit: int, min_interval_s: float) -> None:
        """Start with nothing spent."""
        self._times_us: deque[int] = deque(maxlen=limit)
        self._limit = limit
        # a step may come a little early
        self._interval_us = round(min_interval_s * 1e6) - 1000

    def reset(self) -> None:
        """Forget all changes."""
        self._times_us.clear()

    def used(self, now_us: int) -> int:
        """Return the number of changes in the last minute, its first instant included."""
        times = self._times_us
        while times and now_us - times[0] > _MINUTE_US:
            times.popleft()
        return len(times)

    def allows(self, now_us: int) -> bool:
        """Return whether a change may go out now."""
        if self.used(now_us) >= self._limit:
            return False
        return not self._times_us or now_us - self._times_us[-1] >= self._interval_us

    def spend(self, now_us: int) -> None:
        """Count a change."""
        self._times_us.append(now_us)


class Controller(Policy):
    """Base of the controllers: holds its phase targets until a change is due and allowed."""

    action: ActionKind = "phase_targets"

    def __init__(self, config: ControllerConfig, site: SiteInfo) -> None:
        """Take limits and set-point from the site."""
        self._low_w, self._high_w = site.phase_range_w()
        self._total_low_w, self._total_high_w = sum(self._low_w), sum(self._high_w)
        self._setpoint_w = site.setpoint_w if config.setpoint_w is None else config.setpoint_w
        self._each = config.phases == "each"
        self._budget = ChangeBudget(config.max_changes_per_min, config.min_interval_s)
        self._targets_w: NDArray[np.float64] = np.zeros(3)
        self._asked_w = [0.0, 0.0, 0.0]

    def reset(self, seed: int) -> None:
        """Ask for nothing, with the whole budget left; nothing is drawn."""
        self._budget.reset()
        self._targets_w = np.zeros(3)
        self._asked_w = [0.0, 0.0, 0.0]

    def _ask(self, now_us: int, targets_w: Sequence[float]) -> None:
        """Change the targets to ``targets_w`` [3] within what the phases can do, at a price."""
        low, high = self._low_w, self._high_w
        new = [min(max(targets_w[phase], low[phase]), high[phase]) for phase in range(3)]
        if new != self._asked_w:
            self._asked_w = new
            self._targets_w = np.array(new)
            self._budget.spend(now_us)

    def _ask_total(self, now_us: int, total_w: float, surplus_w: Sequence[float]) -> None:
        """Change the targets so that they add up to ``total_w`` and leave the phases balanced."""
        self._ask(now_us, spread(total_w, surplus_w, self._low_w, self._high_w))


def spread(
    total_w: float, surplus_w: Sequence[float], low_w: Sequence[float], high_w: Sequence[float]
) -> list[float]:
    """Spread a total consumption over three phases so that what they exchange is most equal.

    Every phase consumes its ``surplus_w`` plus the same shift, within its limits (water filling:
    minimises the sum of squares of what is left). A total outside the limits gives the limits.
    """
    # Most of the time nothing has to be balanced: at night, or while no phase is at a limit.
    if total_w <= low_w[0] + low_w[1] + low_w[2]:
        return list(low_w)
    shift = (total_w - (surplus_w[0] + surplus_w[1] + surplus_w[2])) / 3.0
    result = [surplus_w[0] + shift, surplus_w[1] + shift, surplus_w[2] + shift]
    if all(low_w[phase] <= result[phase] <= high_w[phase] for phase in range(3)):
        return result
    free = [0, 1, 2]
    rest = total_w
    while free:
        shift = (rest - sum(surplus_w[phase] for phase in free)) / len(free)
        above = [phase for phase in free if surplus_w[phase] + shift > high_w[phase]]
        below = [phase for phase in free if surplus_w[phase] + shift < low_w[phase]]
        excess = sum(surplus_w[phase] + shift - high_w[phase] for phase in above)
        excess -= sum(low_w[phase] - surplus_w[phase] - shift for phase in below)
        bound = above if excess > 0.0 or not below else below
        for phase in bound or free:
            limits = high_w if bound is above else low_w
            result[phase] = limits[phase] if bound else surplus_w[phase] + shift
        if not bound:
            break
        rest -= sum(result[phase] for phase in bound)
        free = [phase for phase in free if phase not in bound]
    return result
