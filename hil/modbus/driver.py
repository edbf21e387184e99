"""The Modbus driver: a device's quantities over a bus, as its profile says.

Readings carry when they came, when they last changed, and their quality. A value outside of the
range that the profile gives is not accepted; the one before stays, and is called so. A device that
repeats itself cannot be told from a frozen one: `changed_us` says since when it does.

Before the first write, and again after every loss of the connection or the device, the device is
asked who it is. What is written is rounded towards zero, never clamped: a value outside of the
range is refused here, before it is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from ...sim.clock import US_PER_S, to_us
from ..devices.fields import Field, FieldMap, Value, resolve
from ..devices.model import DeviceProfile
from ..devices.sunspec import SunspecError, discover
from ..errors import ReadingError, RigError
from . import requests
from .bus import ModbusBus, SeatCounters
from .commands import CommandError, command, write_request
from .errors import ModbusError, ModbusLostError, ModbusRefusedError, ModbusSilentError
from .identity import DeviceIdentity, IdentityError, read_identity
from .polling import ONCE_S, Block, gap_worth_reading, plan
from .readings import DUE, BlockReader, PointReading
from .requests import Request

__all__ = ["CommandError", "IdentityError", "ModbusDevice", "PointReading"]

OnEvent = Callable[[str, Mapping[str, Any]], None]

_WAIT_US: Final = 2 * US_PER_S
_BUSY_US: Final = 10 * US_PER_S
"""How long a device may say that it is busy before it is not available."""
_AGAIN_US: Final = 250_000


class ModbusDevice:
    """One device on a bus."""

    def __init__(
        self,
        profile: DeviceProfile,
        bus: ModbusBus,
        unit: int | None = None,
        *,
        name: str | None = None,
        serial: str | None = None,
        quantities: Iterable[str] | None = None,
        stale_s: float = 5.0,
        lost_after_s: float = 30.0,
        timeout_s: float = 0.5,
        on_event: OnEvent | None = None,
    ) -> None:
        """Take a profile of a device and the bus that it is on.

        Args:
            profile: What it serves, where, and how fast.
            bus: May be shared with other devices.
            unit: Unit id; None: that of the profile.
            name: For messages; None: the profile's.
            serial: Expected serial number; None: whatever it says first.
            quantities: What is polled; None: everything that can be read.
            stale_s: Age at which a reading is stale; at least three periods of its point.
            lost_after_s: Time without an answer after which the device is given up.
            timeout_s: How long an answer is waited for, longer if the profile says so.
            on_event: Is told `out_of_range`, `lost`, `back` and `identity`, with data.
        """
        if profile.modbus is None:
            raise RigError(f"'{profile.name}' is not a Modbus device")
        self.profile = profile
        self.name = name or profile.name
        self.readings: dict[str, PointReading] = {}
        self.identity: DeviceIdentity | None = None
        """Who it says it is; None: not asked yet."""
        self.polls = 0
        self.changed_us = -1
        """When anything that is read most often was last another value than before.

        What is read seldom does not count: it may have changed long ago."""
        timing = profile.timing
        self._modbus = profile.modbus
        self._bus = bus
        self._clock = bus.clock
        self._seat = bus.join(profile.modbus.unit if unit is None else unit, timing.min_gap_s)
        self._serial = serial
        self._quantities = None if quantities is None else tuple(quantities)
        self._stale_us, self._lost_us = to_us(stale_s), to_us(lost_after_s)
        self._timeout_s = max(timeout_s, 2.0 * (timing.answer_s + timing.answer_spread_s))
        self._first_timeout_s = max(self._timeout_s, 1.5 * timing.first_answer_s)
        self._idle_us = to_us(0.9 * timing.idle_s) if timing.first_answer_s > 0 else None
        self._command_gap_us = to_us(timing.min_command_gap_s)
        self._command_us = DUE
        self._on_event = on_event
        self._fields: FieldMap | None = None
        self._readers: tuple[BlockReader, ...] = ()
        self._exponents: dict[str, int | None] = {}
        self._begun = self._verified = -1
        self._heard_us = -1
        self._failed_us: int | None = None
        self._lost = False

    @property
    def counters(self) -> SeatCounters:
        """What its requests have come to."""
        return self._seat.counters

    @property
    def lost(self) -> bool:
        """Whether it has not answered for so long that it is given up."""
        return self._lost

    def number(self, quantity: str) -> float:
        """Return a quantity's value if it is good, else NaN."""
        reading = self.readings.get(quantity)
        if reading is None or reading.quality != "good" or not isinstance(reading.value, float):
            return math.nan
        return reading.value

    async def open(self) -> None:
        """Connect, find the device's registers, read what is read once, and who it is.

        Raises `RigError` when it does not answer, `IdentityError` when it is another device.
        """
        self._bus.reopen()
        give_up_us = self._clock.now_us + _BUSY_US
        while True:
            try:
                await self._begin()
                await self.verify_identity()
                return
            except ModbusRefusedError as error:
                # Just switched on, say.
                if not error.passing or self._clock.now_us >= give_up_us:
                    raise RigError(f"{self.name} is not available: {error}") from error
            except ModbusError as error:
                raise RigError(f"{self.name} is not available: {error}") from error
            await self._clock.sleep_until(self._clock.now_us + _AGAIN_US)

    def close(self) -> None:
        """Disconnect the bus, and with it every device on it."""
        self._bus.close()

    async def poll(self, t_us: int) -> Mapping[str, PointReading]:
        """Read what is due at a time; return all readings, which the next poll changes.

        Raises `ReadingError` when nothing came that was asked for, `RigError` once that has been
        so for as long as a device may be silent.
        """
        self.polls += 1
        brought, failure = False, None
        try:
            if self._begun != self._bus.generation:
                brought = await self._begin()
            for reader in self._readers:
                if t_us >= reader.due_us:
                    try:
                        await self._read(reader, t_us)
                        brought = True
                    except ModbusSilentError:
                        raise
                    except ModbusError as error:
                        failure = error
        except ModbusError as error:
            # Whoever is silent is not asked for the rest.
            failure = error
        now_us = self._clock.now_us
        for reader in self._readers:
            reader.age(now_us, self._heard_us)
        if failure is not None and not brought:
            self._nothing(failure, t_us)
        if brought:
            self._heard()
        return self.readings

    async def write(self, quantity: str, value: Value, *, read_back: bool = False) -> Value:
        """Command a quantity; return the value that was sent, rounded towards zero.

        With `read_back` the register is read again and must hold what was written.

        Raises:
            CommandError: The device has no such command, or does not take that value or another
                one so soon. Nothing was sent.
            IdentityError: Another device answers. Nothing was sent.
            ModbusError: The device refused it, or did not confirm it: it may have it or not.
            RigError: The device does not answer at all.
        """
        if self._fields is None:
            await self.open()
        try:
            sent, steps = command(self._known(), self._exponents, quantity, value)
        except CommandError as error:
            raise CommandError(f"{self.name}: {error}") from None
        for item, data in steps:
            if item.nonvolatile and await self._holds(item, data):
                # Every write wears the memory.
                continue
            await self._write(item, data)
            if read_back and item.readable and not await self._holds(item, data):
                raise ModbusError(f"{self.name}: {item.name} does not hold what was written")
        return sent

    async def verify_identity(self) -> DeviceIdentity:
        """Ask the device who it is; raises `IdentityError` unless it is who it should be.

        That is the serial number it was given, and whoever it said it was before.
        """
        fields = self._known()
        await self._bus.connect(self._seat)
        # All of it over one connection, which is then the one that is verified.
        generation = self._bus.generation
        found = await read_identity(
            self.profile, fields, lambda request: self._ask(request, generation)
        )
        expected = self.identity or DeviceIdentity()
        if self._serial is not None:
            if not found.serial:
                raise IdentityError(
                    f"{self.name}: serial number '{self._serial}' is expected, the device does "
                    "not say one through this profile; leave `serial` out to do without"
                )
            expected = DeviceIdentity(self._serial, expected.model, expected.manufacturer)
        difference = expected.differs(found)
        if difference is not None:
            self._event("identity", difference=difference)
            raise IdentityError(f"{self.name}: another device answers: {difference}")
        self.identity = found
        self._verified = generation
        return found

    def _known(self) -> FieldMap:
        if self._fields is None:
            raise RigError(f"{self.name} is not open")
        return self._fields

    async def _begin(self) -> bool:
        """Find out where things are, and read what is read once for a connection.

        Returns whether the device said anything: a gateway takes connections for a dead one too.
        """
        await self._bus.connect(self._seat)
        generation, heard_us = self._bus.generation, self._heard_us
        if self._fields is None:
            self._fields = await self._resolve()
            self._plan(self._fields)
        for reader in self._readers:
            reader.due_us = DUE
            if reader.block.poll_s == ONCE_S:
                try:
                    await self._read(reader, self._clock.now_us)
                except ModbusRefusedError as refusal:
                    if refusal.passing:
                        raise
                    # It lacks what the profile promises; its points stay missing.
                    reader.due_us += reader.period_us
        self._begun = generation
        return self._heard_us != heard_us

    def _plan(self, fields: FieldMap) -> None:
        gap = gap_worth_reading(self._bus.client.line, self.profile.timing.answer_s)
        blocks = plan(fields, self._modbus, quantities=self._quantities, max_gap=gap)
        for block in blocks:
            for item in block.fields:
                if item.quantity is not None:
                    self.readings.setdefault(item.quantity, PointReading())
        stale_us = self._stale_us
        self._readers = tuple(
            BlockReader(block, self.readings, stale_us, self._out_of_range) for block in blocks
        )
        self._seat.probe = _probe(blocks)

    async def _resolve(self) -> FieldMap:
        """Return the fields, of SunSpec models where the device has them."""
        chain = self._modbus.sunspec
        if chain is None:
            return resolve(self.profile)
        walk = discover((chain.base, *(base for base in (0, 40000, 50000) if base != chain.base)))
        try:
            address, count = next(walk)
            while True:
                try:
                    data = await self._ask(requests.read("holding", address, count))
                    address, count = walk.send(data[2:])
                except ModbusRefusedError as refusal:
                    if refusal.passing:
                        raise
                    address, count = walk.send(None)
        except StopIteration as end:
            models: dict[int, int] = {}
            for model in end.value:
                models.setdefault(model.id, model.address)
        except SunspecError as error:
            raise ModbusError(f"{self.name}: {error}") from error
        return resolve(self.profile, models)

    async def _read(self, reader: BlockReader, t_us: int) -> None:
        answer = await self._ask(reader.request)
        now_us = self._heard_us = self._clock.now_us
        new = reader.take(answer, now_us, self._exponents)
        if new and reader.period_us <= self._readers[0].period_us:
            self.changed_us = now_us
        reader.due_us = t_us + reader.period_us

    async def _ask(self, request: Request, generation: int | None = None) -> bytes:
        seat = self._seat
        timeout_s = self._timeout_s
        if self._idle_us is not None:
            asked_us = seat.asked_us
            if asked_us is None or self._clock.now_us - asked_us >= self._idle_us:
                timeout_s = self._first_timeout_s
        try:
            return await self._bus.ask(seat, request, timeout_s, generation)
        except ModbusSilentError:
            # Whoever answers next may be another one, or the same one after a reset.
            self._verified = -1
            if seat.failures != 1:
                self._begun = -1
            raise

    async def _write(self, item: Field, data: bytes) -> None:
        request = write_request(item, data, self._modbus.functions)
        await self._command_gap(item)
        for attempt in (1, 2):
            try:
                if self._verified != self._bus.generation or not self._bus.client.connected:
                    await self.verify_identity()
                await self._ask(request, self._verified)
                break
            except ModbusLostError:
                # What is written is a state, so the same again does no harm.
                if attempt == 2:
                    raise
        self._command_us = self._clock.now_us + self._command_gap_us

    async def _command_gap(self, item: Field) -> None:
        """Wait until the device takes another command, if that is soon."""
        left_us = self._command_us - self._clock.now_us
        if left_us > _WAIT_US:
            raise CommandError(
                f"{self.name}: {item.name}: too soon after the last command, the next one can "
                f"follow in {left_us / US_PER_S:.1f} s"
            )
        if left_us > 0:
            await self._clock.sleep_until(self._command_us)

    async def _holds(self, item: Field, data: bytes) -> bool:
        """Return whether the device has something in its registers."""
        answer = await self._ask(requests.read(item.table, item.address, item.width))
        if item.is_bit:
            return bool(answer[2] & 1) == any(data)
        return answer[2:] == data

    def _heard(self) -> None:
        self._failed_us = None
        if self._lost:
            self._lost = False
            self._event("back")

    def _nothing(self, failure: ModbusError, t_us: int) -> None:
        """Raise what a poll that brought nothing raises."""
        if self._failed_us is None:
            self._failed_us = min(t_us, self._clock.now_us)
        silent_us = self._clock.now_us - self._failed_us
        if silent_us < self._lost_us:
            raise ReadingError(f"{self.name}: {failure}") from failure
        if not self._lost:
            self._lost = True
            self._event("lost", silent_s=silent_us / US_PER_S)
        raise RigError(f"lost {self.name}: no answer for {silent_us // US_PER_S} s") from failure

    def _out_of_range(self, quantity: str, value: float) -> None:
        self._event("out_of_range", quantity=quantity, value=value)

    def _event(self, kind: str, **data: Any) -> None:
        if self._on_event is not None:
            self._on_event(kind, {"device": self.name, **data})


def _probe(blocks: Sequence[Block]) -> Request | None:
    """Return a short read that says that a device is there.

    Its answer is of another length than those of other reads, where one can be found, so that on
    a serial line a late one of them is not taken for it.
    """
    lengths = {block.count for block in blocks}
    items = sorted(
        (i for b in blocks for i in b.fields), key=lambda i: (i.width in lengths, i.width)
    )
    for item in items:
        return requests.read(item.table, item.address, item.width)
    return None
