"""A plant that is simulated in the process of the emulated devices."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...sim.clock import Clock
from ...sim.edge.meter import MeterReading
from ...sim.plant import Plant
from ..real_site import ConnectionLog
from .effects import Effects
from .process import EmulatorProcess


class RemotePlant:
    """What the bench asks of a plant, answered by the process that owns it.

    It follows the clock by itself, and set-points reach it through its devices only.
    """

    def __init__(self, process: EmulatorProcess, clock: Clock, twin: Plant) -> None:
        """Ask `process`; what never changes is read off a `twin` that is not simulated."""
        self._process, self._clock, self._twin = process, clock, twin
        self.actuators = twin.actuators
        self.log: ConnectionLog | None = None
        """What a real meter shows of the connection, in place of what is simulated there."""

    @property
    def now_us(self) -> int:
        """Time of the clock: the plant follows it."""
        return self._clock.now_us

    def advance(self, to_us: int) -> None:
        """Nothing to do here; `truth` advances the plant to where the clock is."""

    def send(self, t_us: int, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Refuse: set-points go through devices."""
        raise NotImplementedError("set-points reach this plant through its devices")

    def reading(self, t_us: int) -> MeterReading | None:
        """Refuse: readings come from devices."""
        raise NotImplementedError("readings of this plant come from its devices")

    def reports_w(self, t_us: int) -> NDArray[np.float64] | None:
        """Refuse: reports come from devices."""
        raise NotImplementedError("reports from this plant come through its devices")

    def acked_us(self, seq: int) -> NDArray[np.int64]:
        """Refuse: replies come to whoever sent."""
        raise NotImplementedError("replies come to the driver")

    def effective_us(self, seq: int) -> NDArray[np.int64]:
        """Refuse: see `effects`."""
        raise NotImplementedError("effects are asked for all at once")

    def measured(self, load: int, power_w: float) -> None:
        """Tell what a real load draws, in place of the simulated one."""
        self._process.tell("measured", load=load, power_w=power_w)

    def effects(self) -> Effects:
        """Return what set-points have effected."""
        return Effects.from_plain(self._process.ask("effects"))

    def truth(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return the truth stream up to now: columns and their units."""
        columns = self._process.arrays("truth")
        if self.log is not None:
            self.log.overlay(columns)
        return columns, cast(dict[str, str], self._process.ask("units")["units"])

    def meta(self) -> dict[str, Any]:
        """Return what judging needs to know of the plant."""
        return self._twin.meta()

    def within_safe_band(self) -> bool:
        """Return whether the truth shows every actuator at its safe value."""
        return bool(self._process.ask("safe")["safe"])
