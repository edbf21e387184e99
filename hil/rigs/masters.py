"""Another master: somebody else writes to an actuator that is ours.

A set-point that we wrote must still be there when its register is read back, as long as the device
itself has no reason to change it: its watchdog has not expired, and it rounds and clamps as its
profile says. A value that was never ours, seen twice, is somebody else's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from ...sim.clock import US_PER_S, to_us
from ..devices.model import Actuator

_TIMES: Final = 2
"""A single odd value may be a torn read."""


@dataclass(frozen=True, slots=True)
class _Written:
    value: float
    t_us: int


class SetpointWatch:
    """Holds what is read back from one actuator against what was written to it."""

    def __init__(self, device: str, actuator: Actuator, refresh_s: float) -> None:
        """Watch an actuator.

        Args:
            device: for messages.
            actuator: as the device's profile has it.
            refresh_s: how old what the device shows may be.
        """
        self._device, self._actuator = device, actuator
        self._lag_us = to_us(actuator.dead_time_s + actuator.ramp_s + 2 * refresh_s)
        dog = actuator.watchdog
        self._dog_us = None if dog is None or dog.timeout_s <= 0 else to_us(dog.timeout_s)
        self._written: deque[_Written] = deque()
        self._first_us = 0
        self._odd = 0
        self._odd_value: float | None = None

    def written(self, value: float, t_us: int) -> None:
        """Take note of a write, before it is sent."""
        written = self._written
        if not written:
            self._first_us = t_us
        written.append(_Written(value, t_us))
        # Whatever was followed by another one so long ago is shown no more.
        while len(written) > 1 and t_us - written[1].t_us > self._lag_us:
            written.popleft()

    def check(self, shown: float, t_us: int) -> str | None:
        """Return what is wrong with a value that was read back; None: nothing, or not yet."""
        if not self._written or self._ours(shown, t_us):
            self._odd, self._odd_value = 0, None
            return None
        if self._odd_value is not None and abs(shown - self._odd_value) <= self._slack(shown):
            self._odd += 1
        else:
            self._odd, self._odd_value = 1, shown
        if self._odd < _TIMES:
            return None
        last = self._written[-1]
        ago_s = (t_us - last.t_us) / US_PER_S
        return (
            f"device '{self._device}' shows {self._actuator.quantity} = {shown:g}, and "
            f"{last.value:g} was written {ago_s:.1f} s ago: another master writes to it"
        )

    def _ours(self, shown: float, t_us: int) -> bool:
        """Return whether a value is one that the device may show after what was written."""
        actuator = self._actuator
        last = self._written[-1]
        if self._dog_us is not None and actuator.watchdog is not None:
            reverted = abs(shown - actuator.watchdog.value) <= self._slack(shown)
            # Devices fire early, too; from half the time on it may have been the watchdog.
            if reverted and t_us - last.t_us >= self._dog_us // 2:
                return True
        if t_us - self._first_us <= self._lag_us:
            return True  # what it held before, or on the way from there
        values = []
        for index, one in enumerate(self._written):
            later = self._written[index + 1] if index + 1 < len(self._written) else None
            # An older value may still be shown until the newer one has had its effect.
            if later is None or t_us - later.t_us <= self._lag_us:
                values.append(min(max(one.value, actuator.low), actuator.high))
        if any(abs(shown - value) <= self._slack(value) for value in values):
            return True
        if t_us - last.t_us > self._lag_us:
            return False
        # On the way between two of ours.
        return min(values) <= shown <= max(values)

    def _slack(self, value: float) -> float:
        return max(self._actuator.resolution, 1e-3 * abs(value), 1e-6)
