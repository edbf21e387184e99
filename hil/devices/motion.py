"""How a commanded quantity moves: dead time, ramp, steps; exact at every instant."""

from __future__ import annotations

from .model import Actuator

_KEEP_US = 2_000_000


class Motion:
    """A quantity on its way to its target, as corners of a line over time.

    Times must not go back by more than two seconds.
    """

    def __init__(self, actuator: Actuator, value: float | None = None) -> None:
        """Start at a value, by default the actuator's own."""
        self._dead_us = round(actuator.dead_time_s * 1e6)
        self._per_us = 0.0
        if actuator.ramp_s > 0:
            self._per_us = (actuator.high - actuator.low) / (actuator.ramp_s * 1e6)
        self._step = actuator.resolution
        start = actuator.default if value is None else value
        self._corners: list[tuple[int, float]] = [(-(1 << 62), start)]

    def command(self, target: float, t_us: int) -> None:
        """Go to a target, after the dead time."""
        if self._step > 0:
            target = round(target / self._step) * self._step
        begins_us = t_us + self._dead_us
        start = self.at(begins_us)
        kept = [c for c in self._corners if c[0] < begins_us]
        old = next((i for i in range(len(kept) - 1, 0, -1) if kept[i][0] < t_us - _KEEP_US), 0)
        self._corners = kept[old:]
        self._corners.append((begins_us, start))
        takes_us = round(abs(target - start) / self._per_us) if self._per_us > 0 else 0
        self._corners.append((begins_us + takes_us, target))

    def at(self, t_us: int) -> float:
        """Return the quantity at a time, between steps if it has any."""
        corners = self._corners
        index = len(corners) - 1
        while corners[index][0] > t_us:
            index -= 1
            if index < 0:
                return corners[0][1]
        if index == len(corners) - 1:
            return corners[index][1]
        (t0, v0), (t1, v1) = corners[index], corners[index + 1]
        if t1 == t0 or v1 == v0:
            return v0
        value = v0 + (v1 - v0) * (t_us - t0) / (t1 - t0)
        return round(value / self._step) * self._step if self._step > 0 else value

    def resting(self, t_us: int) -> bool:
        """Return whether it has arrived."""
        return self._corners[-1][0] <= t_us
