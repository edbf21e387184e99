"""What became of set-points behind emulated devices: when each actuator acted on which."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NEVER: Final = -1
_REACH_US: Final = 5_000_000
"""A set-point reaches its device within this, or not at all."""


@dataclass(slots=True)
class Effects:
    """Set-points in the order in which they reached the coordinator or a device.

    The plant knows when an actuator acted; the host knows which command it had sent. They meet by
    the sequence byte of a broadcast, or by the actuator and the time of a write.
    """

    actuators: int
    broadcasts: list[tuple[int, int, NDArray[np.int64]]] = field(default_factory=list)
    """(time, sequence byte, [A] time of the effect)."""
    wired: list[tuple[int, int, int]] = field(default_factory=list)
    """(time, actuator, time of the effect)."""

    def broadcast(self, t_us: int, byte: int, effective_us: NDArray[np.int64]) -> None:
        """Note a broadcast that the coordinator took."""
        self.broadcasts.append((t_us, byte, effective_us))

    def wire(self, t_us: int, actuator: int, effective_us: int) -> None:
        """Note a set-point that reached a device by wire."""
        self.wired.append((t_us, actuator, effective_us))

    def of_broadcast(self, sent_us: int, byte: int) -> NDArray[np.int64]:
        """Return [A] when actuators acted on the broadcast that was sent at a time, −1: never.

        What a later one overtook counts as never.
        """
        result = np.full(self.actuators, NEVER, np.int64)
        place = bisect.bisect_left(self.broadcasts, sent_us, key=itemgetter(0))
        for t_us, its_byte, effective_us in self.broadcasts[place:]:
            place += 1
            if t_us - sent_us > _REACH_US:
                break
            if its_byte == byte:
                result[:] = effective_us
                for _, _, later in self.broadcasts[place : place + 8]:
                    result[(later >= 0) & (later <= result)] = NEVER
                break
        return result

    def of_wire(self, sent_us: int, actuator: int) -> int:
        """Return when an actuator acted on the set-point written to it at a time, −1: never."""
        place = bisect.bisect_left(self.wired, sent_us, key=itemgetter(0))
        for t_us, its_actuator, effective_us in self.wired[place:]:
            if t_us - sent_us > _REACH_US:
                break
            if its_actuator == actuator:
                return effective_us
        return NEVER

    def as_plain(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "actuators": self.actuators,
            "broadcasts": [[t, byte, times.tolist()] for t, byte, times in self.broadcasts],
            "wired": [list(row) for row in self.wired],
        }

    @classmethod
    def from_plain(cls, content: dict[str, Any]) -> Effects:
        """Return the effects of plain values."""
        effects = cls(int(content["actuators"]))
        for t_us, byte, times in content["broadcasts"]:
            effects.broadcast(int(t_us), int(byte), np.array(times, np.int64))
        for t_us, actuator, effective_us in content["wired"]:
            effects.wire(int(t_us), int(actuator), int(effective_us))
        return effects
