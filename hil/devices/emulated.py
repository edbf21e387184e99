"""A Modbus device emulated from its profile: what a server asks of a unit.

Measured values are latched at the device's own refresh, all of one latch at one time, so that no
read sees half of a new value. What is written passes the profile's limits, goes to the source as a
command, and comes back by itself where a watchdog or a reversion time says so.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from ...sim.clock import Clock
from ..modbus.unit import (
    DEVICE_BUSY,
    ILLEGAL_VALUE,
    BitTable,
    ModbusRefusal,
    RegisterTable,
)
from .derived import Snapshot, derive
from .fields import FieldMap
from .model import DeviceProfile, ModbusMap
from .pace import Pace
from .registers import IDENTITY, Accepted, Registers
from .source import DeviceSource, Value
from .sunspec_controls import controls_of
from .watchdogs import Behaviour, OverrideSwitch, QuantityWatchdog


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
        self.functions: frozenset[int] = frozenset(profile.modbus.functions)
        self.identity: dict[str, str] = {n: getattr(profile.identity, n) for n in IDENTITY}
        self.identity |= {"serial": serial} if serial is not None else {}
        self.identity |= {"firmware": firmware} if firmware is not None else {}
        self._modbus: ModbusMap = profile.modbus
        self._source = source
        self._snapshot = getattr(source, "snapshot", None)
        self._clock = clock
        seed = zlib.crc32(f"{profile.name}/{self.identity['serial']}".encode())
        self._pace = Pace(profile.timing, seed)
        self._refresh_us = round(profile.timing.refresh_s * 1e6)
        self._phase_us = phase_us
        self._latched_us: int | None = None
        self._ready = True
        self._stuck: dict[str, Value | None] = {}
        self._registers = Registers(profile, profile.modbus, self.identity)
        self._registers.start()
        self._due_us: int | None = None
        self._wake_us: int | None = None
        self._behaviours: tuple[Behaviour, ...] = self._build_behaviours(seed)
        self._told = tuple(each for each in self._behaviours if each.counts_requests)
        self._claimed = frozenset().union(*(each.claims for each in self._behaviours))

    @property
    def map(self) -> FieldMap:
        """Where everything is."""
        return self._registers.map

    @property
    def wear(self) -> Mapping[str, int]:
        """Writes of each register that is kept in flash, by name."""
        return self._registers.wear

    # What a server asks.

    def hold_us(self, t_us: int, function: int) -> int | None:
        """Return how long a request that came at ``t_us`` is worked on; None: no answer."""
        # What has become due first: a request that comes too late rearms nothing.
        self._begin(t_us, busy=False)
        hold_us = self._pace.hold_us(t_us, function)
        if hold_us is not None and self._told:
            for behaviour in self._told:
                behaviour.requested(t_us)
            self._arm()
        return hold_us

    def read_registers(self, table: RegisterTable, address: int, count: int, t_us: int) -> bytes:
        """Return registers of the newest latch. Raises `ModbusRefusal`."""
        self._begin(t_us)
        if count > self._modbus.max_read_registers:
            raise ModbusRefusal(ILLEGAL_VALUE)
        self._latch(t_us)
        if not self._ready and self._registers.lacks_values(table, address, count):
            # The source has nothing yet; zeros would pass for values.
            raise ModbusRefusal(DEVICE_BUSY)
        return self._registers.read(table, address, count)

    def read_bits(self, table: BitTable, address: int, count: int, t_us: int) -> Sequence[bool]:
        """Return bits of the newest latch. Raises `ModbusRefusal`."""
        self._begin(t_us)
        self._latch(t_us)
        return self._registers.read_bits(table, address, count)

    def write_registers(self, address: int, data: bytes, t_us: int, function: int) -> None:
        """Write settings and commands; all or nothing. Raises `ModbusRefusal`."""
        self._begin(t_us)
        if len(data) // 2 > self._modbus.max_write_registers:
            raise ModbusRefusal(ILLEGAL_VALUE)
        self._apply(self._registers.accept(address, data), t_us)

    def write_bits(self, address: int, values: Sequence[bool], t_us: int, function: int) -> None:
        """Write coils; all or nothing. Raises `ModbusRefusal`."""
        self._begin(t_us)
        self._apply(self._registers.accept_bits(address, values), t_us)

    def identification(self) -> Mapping[int, bytes]:
        """Return vendor, product and revision for function 43/14."""
        names = ("manufacturer", "model", "firmware")
        return {number: self.identity[name].encode() for number, name in enumerate(names)}

    # What faults and tests do to it.

    def reset(self, t_us: int | None = None, *, factory: bool = False) -> None:
        """Reboot: what was commanded and set is lost, except for what is kept in flash.

        With ``factory`` that is lost, too.
        """
        t_us = self._now(t_us)
        self._latched_us = None
        self._registers.start(factory=factory)
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
            self._stuck[quantity] = self._registers.latest(quantity)
        else:
            self._stuck.pop(quantity, None)

    def value(self, quantity: str, t_us: int | None = None) -> Value | None:
        """Return what the device shows of a quantity; a command: what was accepted last."""
        if quantity in self.identity:
            return self.identity[quantity]
        now_us = self._now(t_us)
        self._begin(now_us, busy=False)
        self._latch(now_us)
        item = self.map.writing(quantity)
        if self._registers.latest(quantity) is None and item is not None:
            return self._registers.setting(item.name)
        return self._registers.latest(quantity)

    # What behaviours see (`watchdogs.Panel`).

    def setting(self, name: str) -> Value | None:
        """Return what a register holds, as a client sees it; None: nothing."""
        return self._registers.setting(name)

    def set(self, name: str, value: Value) -> None:
        """Change what a register holds."""
        self._registers.set(name, value)

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
        found += [
            OverrideSwitch(self, register.name, register.overrides)
            for register in self._modbus.registers
            if register.overrides is not None
        ]
        return (*found, *controls_of(self, self.profile, seed))

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
        self._registers.show(values)
        self._latched_us = t_us if self._ready else None

    def _sample(self, t_us: int) -> Snapshot:
        """Return all that is measured, at one time; what the source lacks follows from the rest."""
        quantities = self._registers.quantities
        if self._snapshot is not None:
            values = Snapshot(self._snapshot(t_us))
        else:
            source = self._source.measure
            found = ((quantity, source(quantity, t_us)) for quantity in quantities)
            values = Snapshot((q, value) for q, value in found if value is not None)
            if values:
                values = self._complete(values, t_us)
        self._ready = not quantities or bool(values)
        if not values:
            values.update(dict.fromkeys(quantities))
        for quantity, value in self._stuck.items():
            if quantity in quantities:
                values[quantity] = value
        return values

    def _complete(self, values: Snapshot, t_us: int) -> Snapshot:
        """Work out now what the source lacks: it does not remember this time."""

        def known(quantity: str) -> Value | None:
            if quantity in values:
                return values[quantity]
            value = self._source.measure(quantity, t_us)
            if value is not None:
                values[quantity] = value
            return value

        for quantity in self._registers.quantities:
            if quantity not in values:
                values[quantity] = derive(quantity, known)
        return values

    def _apply(self, accepted: Sequence[Accepted], t_us: int) -> None:
        self._registers.apply(accepted)
        names = frozenset(one.item.name for one in accepted)
        for one in accepted:
            if one.item.quantity is not None and one.item.name not in self._claimed:
                self.drive(one.item.quantity, one.number, t_us)
        for behaviour in self._behaviours:
            behaviour.written(names, t_us)
        self._arm()
