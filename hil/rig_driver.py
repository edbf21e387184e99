"""The driver of a rig with devices: meters read, set-points spread over buses, replies collected.

A sample of the grid meter is told from a repeated one by its values: a real meter has no time
stamp, so a meter whose every value stands still cannot be told from a frozen one, and its reading
ages. `sampled_us` and `published_us` of a reading are when the values were first seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..sim.clock import Clock
from ..sim.edge import meter
from ..sim.edge.channel import STATUS_SENT
from ..sim.edge.meter import METER_FIELDS, MeterReading
from ..sim.points import Actuator
from .emulation.effects import NEVER, Effects
from .emulation.sources import METER_FIELDS as FIELD_OF
from .modbus.driver import ModbusDevice
from .modbus.errors import ModbusError, ModbusRefusedError
from .modbus.identity import IdentityError
from .modbus.readings import PointReading
from .modbus.unit import DEVICE_BUSY
from .real_rig import RealRig
from .rig import Events, ReadingError, RigError
from .rigs.safety import Calibration
from .wired_actuator import WiredActuator
from .zigbee.slots import Report

NO_ANSWER: Final = 3
"""Status of a command that a device on a wire did not confirm."""
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 0.3


class PowerLink(Protocol):
    """Set-points of several loads at once, through a coordinator."""

    async def set_power(self, powers_w: Mapping[int, float]) -> tuple[int, int]:
        """Send set-points in W by slot; return (sequence number, status)."""

    def acked_us(self, seq: int) -> Mapping[int, int]:
        """Return by slot when the reply to a command came."""

    @property
    def power_reports(self) -> Mapping[int, Report]:
        """Return by slot the newest power that a load measured."""


class RigDriver:
    """The client side of a rig: the loop's `Driver`."""

    def __init__(
        self,
        clock: Clock,
        actuators: Sequence[Actuator],
        *,
        grid: ModbusDevice,
        pv: ModbusDevice | None,
        wired: Sequence[WiredActuator],
        power: PowerLink | None,
        refresh_us: int,
        effects: Callable[[], Effects] | None,
        opening: Sequence[Callable[[], Any]],
        closing: Sequence[Callable[[], Any]],
        reports: bool,
        identity: Callable[[], dict[str, Any]],
        devices: Mapping[str, ModbusDevice],
        real: RealRig | None = None,
    ) -> None:
        """Join devices.

        Args:
            clock: of the run.
            actuators: of the plant; slots of `power` are their places.
            grid: the meter at the connection.
            pv: what measures the PV power; None: it reads as 0.
            wired: actuators on Modbus.
            power: loads behind a coordinator.
            refresh_us: age at which an unchanged set-point on a wire is written again.
            effects: what the emulated site knows of effects; None: nobody does.
            opening: coroutines that connect buses, in order.
            closing: what disconnects them, in order; may be coroutines.
            reports: whether loads report their power.
            identity: what the record says about the rig.
            devices: every Modbus device by its id.
            real: what a real rig has besides; None: nothing in it is real.
        """
        self._devices, self._real = dict(devices), real
        self.alive: Callable[[], None] | None = None
        """Raises `RigError` when whoever plays the devices has gone; None: it is this process.

        Addresses of the gone are taken by others at once, whose devices may well answer."""
        self._events: Events | None = None
        self._clock = clock
        self._grid, self._pv = grid, pv
        self._wired, self._power = tuple(wired), power
        self._refresh_us = refresh_us
        self._effects = effects
        self._opening, self._closing = tuple(opening), tuple(closing)
        self._identity = identity
        self._width = len(actuators)
        wired_places = {port.place for port in self._wired}
        self._slots = [
            k for k in range(self._width) if k not in wired_places and actuators[k].kind == "load"
        ]
        self._loads = [k for k, actuator in enumerate(actuators) if actuator.kind == "load"]
        self._reports = reports
        self._fields = self._known_fields()
        self._newest: MeterReading | None = None
        self._sent: list[tuple[int, int, tuple[int, ...]]] = []
        self._wired_acked: list[dict[int, int]] = []

    async def open(self) -> None:
        """Connect every bus; raises `RigError` when one is not available."""
        for opener in self._opening:
            await self._opened(opener)
        self._introduce()
        self._fields = self._known_fields()

    def _known_fields(self) -> list[tuple[int, PointReading, Calibration | None]]:
        """Return which readings of the grid meter fill which fields of a sample, and how bent."""
        known = self._grid.readings
        corrections = {} if self._real is None else self._real.calibrations
        return [
            (field, known[name], corrections.get((self._grid.name, name)))
            for name, field in FIELD_OF.items()
            if name in known
        ]

    def _introduce(self) -> None:
        """Have the record keep who each device says it is."""
        for name, device in self._devices.items():
            if device.identity is not None and self._events is not None:
                said = {k: v for k, v in asdict(device.identity).items() if v}
                self._events.event(0, "device_identity", device=name, **said)

    async def _opened(self, opener: Callable[[], Any]) -> None:
        """Connect; once is no proof that nobody is there: a device may be slow after a pause."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_S)
            try:
                await opener()
            except IdentityError:
                raise
            except (RigError, ReadingError):
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    async def close(self) -> None:
        """Disconnect."""
        for closer in self._closing:
            result = closer()
            if asyncio.iscoroutine(result):
                await result

    async def read(self, t_us: int) -> MeterReading | None:
        """Read the meter, and the PV power; None before the first sample.

        Raises:
            ReadingError: the meter did not answer, or not with a value.
            RigError: it is given up.
        """
        if self.alive is not None:
            self.alive()
        real, failure = self._real, None
        if real is not None:
            real.alive()
        try:
            await self._poll(t_us)
        except ReadingError as error:
            failure = error
        if real is not None:
            await real.tick(t_us, {} if self._power is None else self._power.power_reports)
        if failure is not None:
            refusal = failure.__cause__
            starting = isinstance(refusal, ModbusRefusedError) and refusal.code == DEVICE_BUSY
            if self._newest is None and starting:
                return None
            raise failure
        if self._grid.readings["power_w"].value is None:
            if self._newest is None:
                return None
            raise ReadingError("the grid meter has no value")
        return self._sampled()

    async def _poll(self, t_us: int) -> None:
        """Read the meter and the inverter."""
        if self._pv is None:
            await self._grid.poll(t_us)
        elif self._clock.mode == "virtual":
            await self._grid.poll(t_us)
            await self._read_pv(t_us)
        else:
            await asyncio.gather(self._grid.poll(t_us), self._read_pv(t_us))

    async def write(self, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Send set-points [actuator]; return (sequence number, status).

        The broadcast comes first; refused, nothing goes out by wire either.

        Raises:
            RigError: an actuator has confirmed nothing for half a minute.
        """
        if self.alive is not None:
            self.alive()
        if self._real is not None:
            self._real.may_write()
        now_us = self._clock.now_us
        number, status = -1, STATUS_SENT
        lost: RigError | None = None
        if self._power is not None and self._slots:
            number, status = await self._power.set_power(
                {slot: float(power_w[slot]) for slot in self._slots}
            )
            if status != STATUS_SENT:
                return -1, status
        acked: dict[int, int] = {}
        written: list[int] = []
        for port in self._wired:
            wanted_w = float(power_w[port.place])
            try:
                set_point = port.set_point(wanted_w, now_us, self._refresh_us)
                if self._real is not None and set_point is not None:
                    self._real.wrote(port.place, set_point)
                if await port.write(wanted_w, now_us, self._refresh_us):
                    written.append(port.place)
                # Also where the device had confirmed this very set-point before.
                acked[port.place] = self._clock.now_us
            except (ModbusError, ReadingError):
                status = NO_ANSWER
                lost = port.failed(self._clock.now_us) or lost
            else:
                port.failing_us = None
        if lost is not None:  # only now: the others have their set-points all the same
            raise lost
        if self._real is not None:
            self._real.commanded(power_w)
        self._sent.append((now_us, number, tuple(written)))
        self._wired_acked.append(acked)
        return len(self._sent) - 1, status

    def reports_w(self, t_us: int) -> NDArray[np.float64] | None:
        """Return the loads' own power reports that have arrived; None if they send none."""
        if not self._reports or self._power is None:
            return None
        reports = self._power.power_reports
        values = np.full(len(self._loads), np.nan)
        for row, place in enumerate(self._loads):
            report = reports.get(place)
            if report is not None:
                values[row] = report.value
        return values

    def acked_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator's reply to a command came; −1: it has not."""
        result = np.full(self._width, NEVER, np.int64)
        _, number, _ = self._sent[seq]
        if number >= 0 and self._power is not None:
            for slot, t_us in self._power.acked_us(number).items():
                result[slot] = t_us
        for place, t_us in self._wired_acked[seq].items():
            result[place] = t_us
        return result

    def effective_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator acted on a command, −1: never, or nobody can tell."""
        if self._effects is None:
            return np.full(self._width, NEVER, np.int64)
        effects = self._effects()
        sent_us, number, written = self._sent[seq]
        if number >= 0:
            result = effects.of_broadcast(sent_us, number & 0xFF)
        else:
            result = np.full(self._width, NEVER, np.int64)
        for place in written:
            result[place] = effects.of_wire(sent_us, place)
        return result

    def unseen_s(self) -> Mapping[str, float]:
        """Return for how long each device that the truth comes from showed nothing."""
        return {} if self._real is None else self._real.unseen_s

    def listen(self, events: Events) -> None:
        """Tell from now on what happens to devices."""
        self._events = events

    def tell(self, t_us: int, kind: str, **data: Any) -> None:
        """Write an event."""
        if self._events is not None:
            self._events.event(t_us, kind, **data)

    def device_event(self, device: str, kind: str, data: Mapping[str, Any]) -> None:
        """Pass on what happened to a device."""
        if self._real is not None:
            self._real.device_event(device, kind, data)
        if self._events is not None:
            t_us = max(self._clock.now_us, 0)
            self._events.event(t_us, f"device_{kind}", device=device, **data)

    def identity(self) -> dict[str, Any]:
        """Return what the record says about the rig."""
        return self._identity()

    def _sampled(self) -> MeterReading:
        values = np.zeros(METER_FIELDS)
        for field, reading, calibration in self._fields:
            value = reading.value
            if isinstance(value, float):
                values[field] = value if calibration is None else calibration.corrected(value)
        changed_us = self._grid.changed_us
        if self._pv is not None:
            real = self._real
            shown_w = self._pv.number("power_w")
            pv_w = shown_w if real is None else real.value(self._pv, "power_w")
            values[meter.PV_POWER] = pv_w if pv_w == pv_w else 0.0  # noqa: PLR0124 - NaN
        last = self._newest
        if last is None or last.sampled_us != changed_us:
            self._newest = last = MeterReading(values, changed_us, changed_us)
        last.values = values
        return last

    async def _read_pv(self, t_us: int) -> None:
        """Read the PV power; an inverter that is silent at night does not stop the loop."""
        assert self._pv is not None
        try:
            await self._pv.poll(t_us)
        except (ReadingError, RigError):
            return
