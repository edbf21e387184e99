"""What a run does on a rig with real devices besides controlling it.

Each tick the run says that it is alive; what real loads draw goes to the twin, what the witness
shows to the log of the connection; what is to be played goes to whoever plays it; and set-points
are read back, since another master's writes put the rig out of use.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..sim.clock import Clock
from .errors import ReadingError, RigError
from .modbus.driver import ModbusDevice
from .modbus.errors import ModbusError
from .real_site import ConnectionLog
from .rigs.masters import SetpointWatch
from .rigs.safety import Calibration
from .zigbee.slots import Report

_PLAY_STEP_W: Final = 1.0
"""A player is told a new power when it differs by this much."""
_PHASES: Final = "abc"


class Guard(Protocol):
    """What a run on a real rig has to ask and to tell: a `RigSession`."""

    def expect(self, within_s: float) -> None:
        """Say that the run is alive and will be heard of again within a time."""

    def may_write(self) -> None:
        """Raise `RigError` when nothing may be written any more."""

    def broken(self, reason: str) -> RigError:
        """Put the rig out of use; return the error to raise."""


@dataclass(slots=True)
class Player:
    """A device that plays a quantity of the plant: a PV simulator, a load bank."""

    device: ModbusDevice
    quantity: str
    power_w: Callable[[int], float]
    """What it is to play at a time."""
    told_w: float = math.nan
    told_us: int = 0


@dataclass(slots=True)
class Watched:
    """An actuator whose set-point is read back."""

    device: ModbusDevice
    quantity: str
    watch: SetpointWatch


@dataclass(slots=True)
class RealRig:
    """The real part of a rig during a run."""

    clock: Clock
    session: Guard
    tick_s: float
    refresh_us: int
    measured: Callable[[int, float], None]
    """Told what a real load draws (place, W)."""
    loads: Mapping[int, ModbusDevice] = field(default_factory=dict)
    """Real loads on Modbus by their place."""
    reporting: frozenset[int] = frozenset()
    """Places of real loads that report their power through a coordinator."""
    obeying: frozenset[int] = frozenset()
    """Places of loads that nobody measures: they are taken to do what they are told."""
    witness: ModbusDevice | None = None
    """The meter that the truth comes from: a witness, or the grid meter itself."""
    witness_is_polled: bool = False
    """Whether it is the grid meter, which the loop has read already."""
    pv: ModbusDevice | None = None
    log: ConnectionLog | None = None
    players: Sequence[Player] = ()
    watched: Mapping[int, Watched] = field(default_factory=dict)
    """Actuators on Modbus by their place."""
    calibrations: Mapping[tuple[str, str], Calibration] = field(default_factory=dict)
    """By device and quantity."""
    unseen_s: dict[str, float] = field(default_factory=dict)
    """For how long each device that the truth comes from showed nothing."""

    def alive(self) -> None:
        """Say that the run is alive; if it hangs after this, its lease expires."""
        self.session.expect(3.0 * self.tick_s + 2.0)

    def may_write(self) -> None:
        """Ask before each command; raises `RigError` when nothing may be written any more."""
        self.session.may_write()

    def wrote(self, place: int, value: float) -> None:
        """Take note of a set-point that is about to be written."""
        watched = self.watched.get(place)
        if watched is not None:
            watched.watch.written(value, self.clock.now_us)

    def commanded(self, power_w: NDArray[np.float64]) -> None:
        """Take note of set-points [actuator] that were sent."""
        for place in self.obeying:
            self.measured(place, max(float(power_w[place]), 0.0))

    def value(self, device: ModbusDevice, quantity: str) -> float:
        """Return what a device shows, corrected by its calibration; NaN for none."""
        shown = device.number(quantity)
        calibration = self.calibrations.get((device.name, quantity))
        return shown if calibration is None else calibration.corrected(shown)

    def device_event(self, device: str, kind: str, data: Mapping[str, Any]) -> None:
        """Put the rig out of use when another device answers than the expected one."""
        if kind == "identity":
            self.session.broken(f"device '{device}': {data.get('difference', 'another device')}")

    async def tick(self, t_us: int, reports: Mapping[int, Report]) -> None:
        """Measure, play, look for other masters; who is silent keeps what was measured last.

        Raises:
            RigError: a load or the witness has been silent for so long that it is given up, another
                master writes to an actuator, or the rig may not be used any more.
        """
        for place, device in self.loads.items():
            with contextlib.suppress(ReadingError):
                await device.poll(t_us)
                power_w = self.value(device, "power_w")
                if math.isfinite(power_w):
                    self.measured(place, max(power_w, 0.0))
            # Not at once: what came last is good for some seconds.
            if not math.isfinite(device.number("power_w")):
                self._unseen(device.name)
        for place in self.reporting:
            report = reports.get(place)
            if report is not None:
                self.measured(place, max(report.value, 0.0))
        for player in self.players:
            await self._play(player, t_us)
        for watched in self.watched.values():
            await self._look_back(watched, t_us)
        await self._witness(t_us)

    async def _witness(self, t_us: int) -> None:
        witness = self.witness
        if witness is None or self.log is None:
            return
        if not self.witness_is_polled:
            with contextlib.suppress(ReadingError):
                await witness.poll(t_us)
        powers = [self.value(witness, f"power_{phase}_w") for phase in _PHASES]
        if math.isfinite(sum(powers)):
            volts = [self.value(witness, f"voltage_{phase}_v") for phase in _PHASES]
            pv_w = math.nan if self.pv is None else self.value(self.pv, "power_w")
            self.log.sample(self.clock.now_us, powers, volts, pv_w)
        else:
            self._unseen(witness.name)

    def _unseen(self, device: str) -> None:
        self.unseen_s[device] = self.unseen_s.get(device, 0.0) + self.tick_s

    async def _play(self, player: Player, t_us: int) -> None:
        power_w = player.power_w(max(t_us, 0))
        if abs(power_w - player.told_w) < _PLAY_STEP_W and t_us - player.told_us < self.refresh_us:
            return
        self.may_write()
        try:
            await player.device.write(player.quantity, power_w)
        except (ModbusError, ReadingError):
            player.told_w = math.nan  # again at the next tick
            return
        player.told_w, player.told_us = power_w, t_us

    async def _look_back(self, watched: Watched, t_us: int) -> None:
        with contextlib.suppress(ReadingError, RigError):
            await watched.device.poll(t_us)
        shown = watched.device.number(watched.quantity)
        if not math.isfinite(shown):
            return
        problem = watched.watch.check(shown, self.clock.now_us)
        if problem is not None:
            raise self.session.broken(problem)
