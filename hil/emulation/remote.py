"""A plant that is simulated in the process of the emulated devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...sim.clock import Clock
from ...sim.edge.meter import MeterReading
from ...sim.plant import Plant
from ..errors import RigError
from ..real_site import ConnectionLog
from .effects import Effects
from .process import EmulatorProcess


class RemotePlant:
    """What the bench asks of a plant, answered by the process that owns it.

    It follows the clock by itself, and set-points reach it through its devices only.
    """

    def __init__(self, process: EmulatorProcess, clock: Clock, twin: Plant, end_us: int) -> None:
        """Ask `process`; what never changes is read off a `twin` that is not simulated.

        `end_us` is when the run ends: what is asked for then is all that there will be.
        """
        self._process, self._clock, self._twin = process, clock, twin
        self._end_us = end_us
        self._results: _Results | None = None
        self.actuators = twin.actuators
        self.log: ConnectionLog | None = None
        """What a real meter shows of the connection, in place of what is simulated there."""

    @property
    def now_us(self) -> int:
        """Time of the clock: the plant follows it."""
        return self._clock.now_us

    def advance(self, to_us: int) -> None:
        """Make sure that the plant is there, which advances by itself; at the end, ask for all.

        Raises:
            RigError: its process has ended, or does not answer.
        """
        self._process.check()
        if to_us >= self._end_us and self._results is None:
            self._results = self._collected()

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
        """Return what set-points have effected; nothing, if there is nobody left to ask."""
        if self._results is not None:
            return self._results.effects
        try:
            return Effects.from_plain(self._process.ask("effects"))
        except RigError:
            return Effects(len(self.actuators))

    def truth(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return the truth stream up to now: columns and their units.

        Of a process that has gone nothing is known: the stream is empty. What is returned here, and
        the effects up to now, are final.
        """
        if self._results is None:
            try:
                self._results = self._collected()
            except RigError:
                self._results = _Results(*self._twin.truth(), Effects(len(self.actuators)))
        columns = dict(self._results.columns)
        if self.log is not None:
            self.log.overlay(columns)
        return columns, self._results.units

    def _collected(self) -> _Results:
        columns = self._process.arrays("truth")
        units = cast(dict[str, str], self._process.ask("units")["units"])
        return _Results(columns, units, Effects.from_plain(self._process.ask("effects")))

    def meta(self) -> dict[str, Any]:
        """Return what judging needs to know of the plant."""
        return self._twin.meta()

    def within_safe_band(self) -> bool:
        """Return whether the truth shows every actuator at its safe value."""
        return bool(self._process.ask("safe")["safe"])


@dataclass(frozen=True, slots=True)
class _Results:
    """What a run leaves in the process of its plant."""

    columns: dict[str, NDArray[Any]]
    units: dict[str, str]
    effects: Effects
