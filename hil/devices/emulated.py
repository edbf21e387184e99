"""A Modbus device emulated from its profile: what a server asks of a unit.

Measured values are latched at the device's own refresh, all of one latch at one time, so that no
read sees half of a new value. What is written passes the profile's limits, goes to the source as a
command, and comes back by itself where a watchdog or a reversion time says so.
"""

from __future__ import annotations

import contextlib
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from ...sim.clock import Clock
from ..modbus.unit import (
    DEVICE_BUSY,
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    BitTable,
    ModbusRefusal,
    RegisterTable,
)
from . import codec, fields
from .derived import derive
from .fields import Field, FieldMap
from .image import RegisterImage
from .latch import Latch
from .model import DeviceProfile, ModbusMap
from .pace import Pace
from .source import DeviceSource, Value
from .sunspec_controls import controls_of
from .watchdogs import Behaviour, QuantityWatchdog

_IDENTITY: Final = ("manufacturer", "model", "serial", "firmware")


class EmulatedDevice:
    """A device on a Modbus bus; implements `hil.modbus.unit.Unit`."""

    def __init__(
        self,
        profile: DeviceProfile,
        source: DeviceSource,
        clock: Clock | None = None,
        *,
        serial: str | None = None,
        firmware: str | None = None,
        phase_us: int = 0,
    ) -> None:
        """Build a device as it is after power comes on.

        Args:
            profile: What it is; needs a Modbus map.
            source: What it measures and drives.
            clock: Wakes it for what it does by itself; without one it catches up whenever it is
                asked something.
            serial: Its serial number, by default the profile's.
            firmware: Its firmware, by default the profile's.
            phase_us: Offset of its refresh against the full seconds.

        """
        if profile.modbus is None:
            raise ValueError(f"'{profile.name}' is no Modbus device")
        self.profile = profile
        self.map: FieldMap = fields.resolve(profile)
        self.functions: frozenset[int] = frozenset(profile.modbus.functions)
        self.wear: Counter[str] = Counter()
        """Writes of each register that is kept in flash."""
        self._modbus: ModbusMap = profile.modbus
        self._source = source
        self._clock = clock
        self.identity: dict[str, str] = {n: getattr(profile.identity, n) for n in _IDENTITY}
        self.identity |= {"serial": serial} if serial is not None else {}
        self.identity |= {"firmware": firmware} if firmware is not None else {}
        seed = zlib.crc32(f"{profile.name}/{self.identity['serial']}".encode())
        self._pace = Pace(profile.timing, seed)
        self._refresh_us = round(profile.timing.refresh_s * 1e6)
        self._phase_us = phase_us
        self._latched_us: int | None = None
        self._stuck: dict[str, Value | None] = {}
        self._latest: dict[str, Value | None] = {}
        self._settings: dict[str, Value | None] = {}
        self._bits: dict[tuple[str, int], bool] = {}
        self._image = RegisterImage(self.map.fields, self._modbus)
        self._exponents = self._scale_factors()
        measured = [
            item
            for item in self.map.fields
            if item.quantity is not None
            and not item.writable
            and item.shows is None
            and item.quantity not in _IDENTITY
        ]
        self._registers = Latch(measured, self._exponents, self._image)
        self._measured_bits = tuple(item for item in measured if item.is_bit)
        self._quantities = tuple(dict.fromkeys(str(item.quantity) for item in measured))
        self._mirrors: dict[str, list[Field]] = {}
        for item in self.map.fields:
            if item.shows is not None:
                self._mirrors.setdefault(item.shows, []).append(item)
        self._writable = {(i.table, i.address): i for i in self.map.fields if i.writable}
        self._due_us: int | None = None
        self._wake_us: int | None = None
        self._start()
        self._behaviours: tuple[Behaviour, ...] = self._build_behaviours(seed)
        self._claimed = frozenset().union(*(each.claims for each in self._behaviours))

    # What a server asks.

    def hold_us(self, t_us: int, function: int) -> int | None:
        """Return how long a request that came at ``t_us`` is worked on; None: no answer."""
        hold_us = self._pace.hold_us(t_us, function)
        if hold_us is not None:
            for behaviour in self._behaviours:
                behaviour.requested(t_us)
            self._arm()
        return hold_us

    def read_registers(self, table: RegisterTable, address: int, count: int, t_us: int) -> bytes:
        """Return registers of the newest latch. Raises `ModbusRefusal`."""
        self._begin(t_us)
        if count > self._modbus.max_read_registers:
            raise ModbusRefusal(ILLEGAL_VALUE)
        self._latch(t_us)
        return self._image.read(table, address, count)

    def read_bits(self, table: BitTable, address: int, count: int, t_us: int) -> Sequence[bool]:
        """Return bits of the newest latch. Raises `ModbusRefusal`."""
        self._begin(t_us)
        self._latch(t_us)
        spans = [span for span in self._modbus.spans if span.table == table]
        bits = []
        for place in range(address, address + count):
            bit = self._bits.get((table, place))
            if bit is None and not any(span.first <= place <= span.last for span in spans):
                raise ModbusRefusal(ILLEGAL_ADDRESS)
            bits.append(bool(bit))
        return bits

    def write_registers(self, address: int, data: bytes, t_us: int, function: int) -> None:
        """Write settings and commands; all or nothing. Raises `ModbusRefusal`."""
        self._begin(t_us)
        if len(data) // 2 > self._modbus.max_write_registers:
            raise ModbusRefusal(ILLEGAL_VALUE)
        accepted = []
        place, end = address, address + len(data) // 2
        while place < end:
            item = self._writable.get(("holding", place))
            if item is None or item.end > end:
                raise ModbusRefusal(ILLEGAL_ADDRESS)
            start = 2 * (place - address)
            accepted.append((item, *self._accept(item, data[start : start + 2 * item.width])))
            place = item.end
        self._apply(accepted, t_us)

    def write_bits(self, address: int, values: Sequence[bool], t_us: int, function: int) -> None:
        """Write coils; all or nothing. Raises `ModbusRefusal`."""
        self._begin(t_us)
        accepted: list[tuple[Field, Value, float]] = []
        for place, value in enumerate(values, address):
            item = self._writable.get(("coil", place))
            if item is None:
                raise ModbusRefusal(ILLEGAL_ADDRESS)
            accepted.append((item, float(value), float(value)))
        self._apply(accepted, t_us)

    def identification(self) -> Mapping[int, bytes]:
        """Return vendor, product and revision for function 43/14."""
        names = ("manufacturer", "model", "firmware")
        return {number: self.identity[name].encode() for number, name in enumerate(names)}

    # What faults and tests do to it.

    def reset(self, t_us: int | None = None) -> None:
        """Reboot: what was commanded and set is lost, except for what is kept in flash."""
        t_us = self._now(t_us)
        kept = {
            item.name: self._settings[item.name]
            for item in self.map.fields
            if item.nonvolatile and item.name in self._settings
        }
        self._start()
        for name, value in kept.items():
            if value is not None:
                self.set(name, value)
        for behaviour in self._behaviours:
            behaviour.reset(t_us)
        for actuator in self.profile.actuators:
            if self.map.writing(actuator.quantity) is not None:
                self._source.command(actuator.quantity, actuator.default, t_us)
        self._pace.rebooted(t_us)
        self._arm()

    def stuck(self, quantity: str, stuck: bool = True) -> None:
        """Let a quantity stay at the value that it has shown last, or move again."""
        if stuck:
            self._stuck[quantity] = self._latest.get(quantity)
        else:
            self._stuck.pop(quantity, None)

    def value(self, quantity: str, t_us: int | None = None) -> Value | None:
        """Return what the device shows of a quantity; a command: what was accepted last."""
        self._begin(self._now(t_us), busy=False)
        with contextlib.suppress(ModbusRefusal):
            self._latch(self._now(t_us))
        item = self.map.writing(quantity)
        if quantity not in self._latest and item is not None:
            return self._settings.get(item.name)
        return self.identity.get(quantity, self._latest.get(quantity))

    # What behaviours see (`watchdogs.Panel`).

    def setting(self, name: str) -> Value | None:
        """Return what a register holds, as a client sees it; None: nothing."""
        return self._settings.get(name)

    def set(self, name: str, value: Value) -> None:
        """Change what a register holds."""
        item = self.map.named[name]
        self._settings[name] = value
        if item.is_bit:
            self._bits[(item.table, item.address)] = bool(value)
            return
        exponent = self._exponents.get(item.scale_name or "", 0) or 0
        self._image.store(item, fields.encode(item, value, exponent, saturate=True))
        for mirror in self._mirrors.get(name, ()):
            assert mirror.quantity is not None
            raw = codec.encode_raw(mirror.type, value, mirror.width, mirror.word_order)
            self._image.store(mirror, raw)
            self._latest[mirror.quantity] = fields.decode(mirror, raw)

    def drive(self, quantity: str, value: float, t_us: int) -> None:
        """Command the source, within the actuator's limits."""
        actuator = self.profile.actuator(quantity)
        if actuator is not None:
            value = min(max(value, actuator.low), actuator.high)
        self._source.command(quantity, value, t_us)

    # Inside.

    def _now(self, t_us: int | None) -> int:
        if t_us is not None:
            return t_us
        return self._clock.now_us if self._clock is not None else (self._latched_us or 0)

    def _build_behaviours(self, seed: int) -> tuple[Behaviour, ...]:
        dogs = [a for a in self.profile.actuators if a.watchdog and not a.watchdog.reversion]
        found: list[Behaviour] = [QuantityWatchdog(self, actuator, seed) for actuator in dogs]
        return (*found, *controls_of(self, self.profile))

    def _scale_factors(self) -> dict[str, int | None]:
        factors: dict[str, int | None] = {"": 0}
        for item in self.map.fields:
            if item.type == "sunssf":
                known = isinstance(item.default, int | float)
                factors[item.name] = int(float(item.default or 0)) if known else None
        return factors

    def _start(self) -> None:
        """Set everything to what it is after power comes on."""
        self._latched_us = None
        self._settings.clear()
        own = {"1.SN": self.identity["serial"], "1.Vr": self.identity["firmware"]}
        for item in self.map.fields:
            if item.quantity is not None and not item.writable and item.quantity not in _IDENTITY:
                continue
            value = own.get(item.name, self.identity.get(item.quantity or "", item.default))
            if value is None and item.quantity is not None:
                actuator = self.profile.actuator(item.quantity)
                value = actuator.default if actuator is not None else 0.0
            if value is None:
                self._settings[item.name] = None
                self._image.store(item, fields.missing_bytes(item))
            else:
                self.set(item.name, value)

    def _begin(self, t_us: int, *, busy: bool = True) -> None:
        if busy and self._pace.busy(t_us):
            raise ModbusRefusal(DEVICE_BUSY)
        if self._due_us is not None and t_us >= self._due_us:
            self._catch_up(t_us)

    def _catch_up(self, t_us: int) -> None:
        for behaviour in self._behaviours:
            behaviour.advance(t_us)
        self._arm()

    def _arm(self) -> None:
        """Find out when something becomes due next, and have the clock wake the device then."""
        due = [at for each in self._behaviours if (at := each.due_us()) is not None]
        self._due_us = min(due, default=None)
        if self._clock is None or self._due_us is None:
            return
        # A call of the clock cannot be taken back: one that comes too early arms anew.
        if self._wake_us is None or self._due_us < self._wake_us:
            self._wake_us = self._due_us
            self._clock.schedule(self._due_us, self._woken)

    def _woken(self) -> None:
        assert self._clock is not None
        self._wake_us = None
        now_us = self._clock.now_us
        if self._due_us is not None and now_us >= self._due_us:
            self._catch_up(now_us)
        else:
            self._arm()

    def _latch(self, t_us: int) -> None:
        """Take new values if the device has refreshed since the last latch."""
        if self._refresh_us > 0:
            t_us -= (t_us - self._phase_us) % self._refresh_us
        if self._latched_us is not None and t_us <= self._latched_us:
            return
        for behaviour in self._behaviours:
            behaviour.latch(t_us)
        values = self._sample(t_us)
        if values and all(value is None for value in values.values()):
            # The source has nothing yet; zeros would pass for values.
            raise ModbusRefusal(DEVICE_BUSY)
        self._latest.update(values)
        self._registers.take(self._latest)
        for item in self._measured_bits:
            self._bits[(item.table, item.address)] = bool(values[item.quantity or ""])
        self._latched_us = t_us

    def _sample(self, t_us: int) -> dict[str, Value | None]:
        """Return all that is measured, at one time; what the source lacks follows from the rest."""
        source = self._source.measure
        values: dict[str, Value | None] = {q: source(q, t_us) for q in self._quantities}

        def known(quantity: str) -> Value | None:
            if quantity in values:
                return values[quantity]
            value = values[quantity] = self._source.measure(quantity, t_us)
            return value

        lacking = [quantity for quantity, value in values.items() if value is None]
        if len(lacking) < len(values):
            for quantity in lacking:
                values[quantity] = derive(quantity, known)
        for quantity in self._stuck.keys() & values.keys():
            values[quantity] = self._stuck[quantity]
        return values

    def _accept(self, item: Field, data: bytes) -> tuple[Value, float]:
        """Return what a client writes, as it sees it and as a number; refuse what is not valid."""
        raw = codec.decode_raw(item.type, data, item.word_order)
        if item.type == "string":
            return str(raw), 0.0
        if item.labels:
            if int(float(raw)) not in item.labels:
                raise ModbusRefusal(ILLEGAL_VALUE)
            return item.labels[int(float(raw))], float(raw)
        value = fields.decode(item, data, self._exponents.get(item.scale_name or "", 0))
        if value is None or isinstance(value, str):
            raise ModbusRefusal(ILLEGAL_VALUE)
        if item.allowed and int(float(raw)) not in item.allowed:
            raise ModbusRefusal(ILLEGAL_VALUE)
        low, high = self._range(item)
        if not low <= value <= high:
            if self._modbus.out_of_range == "refuse":
                raise ModbusRefusal(ILLEGAL_VALUE)
            value = min(max(value, low), high)
        if item.resolution is not None:
            value = round(value / item.resolution) * item.resolution
        return value, value

    def _range(self, item: Field) -> tuple[float, float]:
        low, high = item.low, item.high
        actuator = self.profile.actuator(item.quantity) if item.quantity is not None else None
        if actuator is not None:
            low = actuator.low if low is None else low
            high = actuator.high if high is None else high
        return (-float("inf") if low is None else low, float("inf") if high is None else high)

    def _apply(self, accepted: list[tuple[Field, Value, float]], t_us: int) -> None:
        for item, value, _ in accepted:
            self.set(item.name, value)
            if item.nonvolatile:
                self.wear[item.name] += 1
        names = frozenset(item.name for item, _, _ in accepted)
        for item, _, number in accepted:
            if item.quantity is not None and item.name not in self._claimed:
                self.drive(item.quantity, number, t_us)
        for behaviour in self._behaviours:
            behaviour.written(names, t_us)
        self._arm()
