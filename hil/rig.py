"""What the loop asks of a rig, and the rig without bytes.

`direct`
    Function calls on the plant (`DirectDriver`).
`emulated`, or a rig file
    Devices that speak Modbus and Zigbee, played or real (`rig_driver.RigDriver`). The same scenario
    runs on any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..sim.clock import Clock
from ..sim.edge.meter import MeterReading
from ..sim.plant import Plant
from .errors import ReadingError, RigError

__all__ = ["SENT", "DirectDriver", "Driver", "Events", "ReadingError", "RigError"]

SENT: Final = 0
"""Status of a command that the coordinator took."""


class Events(Protocol):
    """Where events go."""

    def event(self, t_sim_us: int, kind: str, **data: Any) -> None:
        """Append one event."""


class Driver(Protocol):
    """The client side of a rig."""

    async def open(self) -> None:
        """Connect; raises `RigError` when the rig is not available."""

    async def read(self, t_us: int) -> MeterReading | None:
        """Return the meter's newest sample, None before the first.

        Raises `ReadingError` when no answer came, `RigError` when the device is given up.
        """

    async def write(self, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Send a set-point for each actuator now; return (sequence number, status)."""

    async def close(self) -> None:
        """Disconnect."""

    def reports_w(self, t_us: int) -> NDArray[np.float64] | None:
        """Return the loads' own power reports that had arrived by `t_us`; None if they send none.

        One value a load, NaN where none has come yet.
        """

    def acked_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator's reply to a command arrived; −1: it has not."""

    def effective_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator acted on a command; −1: it has not, or nobody can tell."""

    def unseen_s(self) -> Mapping[str, float]:
        """Return for how long each device that the truth comes from showed nothing."""

    def listen(self, events: Events) -> None:
        """Tell from now on what happens to devices."""

    def identity(self) -> dict[str, Any]:
        """Return what the record says about the rig."""


class DirectDriver:
    """Function calls on the plant."""

    def __init__(self, clock: Clock, plant: Plant) -> None:
        self._clock = clock
        self._plant = plant

    async def open(self) -> None:
        """Nothing to connect."""

    async def read(self, t_us: int) -> MeterReading | None:
        """Return the newest sample published at `t_us`."""
        self._plant.advance(t_us)
        return self._plant.reading(t_us)

    async def write(self, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Broadcast set-points now."""
        t_us = self._clock.now_us
        self._plant.advance(t_us)
        return self._plant.send(t_us, power_w)

    async def close(self) -> None:
        """Nothing to disconnect."""

    def reports_w(self, t_us: int) -> NDArray[np.float64] | None:
        """Return the loads' own power reports that had arrived by `t_us`."""
        return self._plant.reports_w(t_us)

    def acked_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator's reply to a broadcast arrives; −1: never."""
        return self._plant.acked_us(seq)

    def effective_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator acts on a broadcast; −1: never."""
        return self._plant.effective_us(seq)

    def unseen_s(self) -> Mapping[str, float]:
        """Return nothing: the truth is the plant's own."""
        return {}

    def listen(self, events: Events) -> None:
        """Nothing happens to what is not there."""

    def identity(self) -> dict[str, Any]:
        """Return the rig's name."""
        return {"name": "direct"}
