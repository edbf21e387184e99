"""A probe over Modbus: the client as it is, without a driver's pacing and repetitions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from ...sim.clock import US_PER_S, Clock, to_us
from ..devices import fields as fieldmaps
from ..devices.codec import CodecError, is_integer
from ..devices.fields import Field
from ..devices.model import DeviceProfile
from ..devices.sunspec import SunspecError, discover
from ..modbus.client import (
    ModbusClient,
    ModbusError,
    ModbusLostError,
    ModbusRefusedError,
)
from ..modbus.unit import DEVICE_BUSY, BitTable, RegisterTable
from .probe import Exchange, NoAnswerError, ProbeError

T = TypeVar("T")

_IDENTITY: Final = ("manufacturer", "model", "serial", "firmware")
_PATIENCE_S: Final = 10.0
_TRIES: Final = 4


class RefusedError(ProbeError):
    """The device answers, but not this."""


class ModbusProbe:
    """One Modbus unit."""

    def __init__(
        self,
        clock: Clock,
        client: ModbusClient,
        profile: DeviceProfile,
        unit: int,
        may_write: Callable[[], None] = lambda: None,
    ) -> None:
        """Join client and register map.

        Args:
            clock: that the coroutines run on.
            client: of the device's endpoint.
            profile: only its register map is looked at.
            unit: Modbus unit id.
            may_write: raises before a write if somebody else has the rig now.
        """
        self.clock = clock
        self.pause_s = 0.0
        self._may_write = may_write
        self._client = client
        self._unit = unit
        modbus = profile.modbus
        assert modbus is not None, "the profile is not one of Modbus"
        self._profile, self._chain = profile, modbus.sunspec
        self._map = fieldmaps.resolve(profile)
        self._functions = frozenset(modbus.functions)
        self._exponents: dict[str, int] = {}
        self._small: Field | None = None

    async def open(self) -> None:
        """Connect; find SunSpec models, and read the scale factors that the map names."""
        await self.reconnect()
        if self._chain is not None:
            self._map = fieldmaps.resolve(self._profile, await self._models(self._chain.base))
        for name in sorted({item.scale_name for item in self._map.fields if item.scale_name}):
            item = self._map.named[name]
            number = fieldmaps.decode(item, await self._patiently(self._asking(item)))
            self._exponents[name] = int(number) if isinstance(number, float | int) else 0
        readable = [f for f in self._map.fields if f.readable and f.quantity and not f.is_bit]
        if not readable:
            raise ProbeError(f"{self._client.name}: the register map has nothing to read")
        self._small = min(readable, key=lambda item: (item.width, item.address))

    async def _models(self, base: int) -> dict[int, int]:
        """Return the addresses of the device's SunSpec models."""
        walk = discover((base, *(other for other in (0, 40000, 50000) if other != base)))
        found: dict[int, int] = {}
        try:
            address, count = next(walk)
            while True:
                data: bytes | None
                try:
                    data = await self._patiently(self._holding(address, count))
                except RefusedError:
                    data = None
                address, count = walk.send(data)
        except StopIteration as end:
            for model in end.value:
                found.setdefault(model.id, model.address)
        except SunspecError as error:
            raise ProbeError(f"{self._client.name}: {error}") from None
        return found

    async def close(self) -> None:
        """Disconnect."""
        self._client.close()

    async def reconnect(self) -> None:
        """Connect anew."""
        self._client.close()
        await self._connect()

    async def ask(self, timeout_s: float) -> Exchange:
        """Read the narrowest register of the map."""
        assert self._small is not None, "not open"
        small = self._small
        sent_us, _, received_us = await self._timed(lambda: self._raw(small, timeout_s))
        return Exchange(sent_us, received_us)

    async def read(self, quantity: str, timeout_s: float) -> Exchange:
        """Read one quantity."""
        item = self._map.reading(quantity)
        if item is None:
            raise ProbeError(f"{self._client.name}: '{quantity}' cannot be read from this device")
        sent_us, data, received_us = await self._timed(lambda: self._raw(item, timeout_s))
        exponent = self._exponents.get(item.scale_name, 0) if item.scale_name else 0
        value = fieldmaps.decode(item, data, exponent)
        if not isinstance(value, float | int):
            raise NoAnswerError(f"{self._client.name}: {quantity}: no number came back")
        return Exchange(sent_us, received_us, float(value))

    async def write(self, quantity: str, value: float, timeout_s: float) -> Exchange:
        """Command a value."""
        try:
            steps = fieldmaps.writes(self._map, quantity, value, self._exponents)
        except CodecError as error:
            raise ProbeError(f"{self._client.name}: {error}") from None
        first: Exchange | None = None
        self._may_write()
        for item, data in steps:
            if first is not None and self.pause_s:
                await self.clock.sleep_until(self.clock.now_us + to_us(self.pause_s))
            sent_us, _, received_us = await self._timed(partial(self._put, item, data, timeout_s))
            first = first or Exchange(sent_us, received_us, value)
        assert first is not None
        return first

    def readable(self) -> tuple[str, ...]:
        """Return the quantities with a number that can be read."""
        return tuple(
            item.quantity
            for item in self._map.fields
            if item.readable and item.quantity and item.type != "string" and not item.labels
        )

    def rounding(self, quantity: str) -> float:
        """Return half a count of the register that a quantity is read from."""
        return self._rounding(self._map.reading(quantity))

    def writing_rounding(self, quantity: str) -> float:
        """Return half a count of the register that a quantity is written to."""
        return self._rounding(self._map.writing(quantity))

    async def identity(self) -> dict[str, str]:
        """Return what the registers say of the device."""
        found: dict[str, str] = {}
        for name in _IDENTITY:
            item = self._map.reading(name)
            if item is None:
                continue
            value = fieldmaps.decode(item, await self._patiently(self._asking(item)))
            if value is not None:
                found[name] = value if isinstance(value, str) else f"{value:g}"
        return found

    def _rounding(self, item: Field | None) -> float:
        if item is None:
            return 0.0
        exponent = self._exponents.get(item.scale_name, 0) if item.scale_name else 0
        count = abs(item.factor) * 10.0**exponent if is_integer(item.type) else 0.0
        return max(count, item.resolution or 0.0) / 2

    def _asking(self, item: Field) -> Callable[[], Awaitable[bytes]]:
        return partial(self._raw, item, _PATIENCE_S)

    def _holding(self, address: int, count: int) -> Callable[[], Awaitable[bytes]]:
        read = self._client.read_registers
        return partial(read, self._unit, "holding", address, count, _PATIENCE_S)

    async def _raw(self, item: Field, timeout_s: float) -> bytes:
        client, unit = self._client, self._unit
        if item.is_bit:
            bit_table: BitTable = "coil" if item.table == "coil" else "discrete"
            bits = await client.read_bits(unit, bit_table, item.address, 1, timeout_s)
            return int(bits[0]).to_bytes(2, "big")
        table: RegisterTable = "holding" if item.table == "holding" else "input"
        return await client.read_registers(unit, table, item.address, item.width, timeout_s)

    async def _put(self, item: Field, data: bytes, timeout_s: float) -> bytes:
        client, unit = self._client, self._unit
        if item.is_bit:
            await client.write_coil(unit, item.address, any(data), timeout_s)
        elif item.width == 1 and 6 in self._functions:
            await client.write_register(unit, item.address, data, timeout_s)
        else:
            await client.write_registers(unit, item.address, data, timeout_s)
        return data

    async def _timed(self, request: Callable[[], Awaitable[bytes]]) -> tuple[int, bytes, int]:
        """Send one request; return when it left, its answer, and when that was there."""
        if not self._client.connected:
            await self._connect()
        sent_us = self.clock.now_us
        try:
            data = await request()
        except ModbusRefusedError as error:
            if error.code == DEVICE_BUSY:
                now_us = self.clock.now_us
                raise NoAnswerError(str(error), busy=True, received_us=now_us) from None
            raise RefusedError(str(error)) from None
        except ModbusError as error:
            raise NoAnswerError(str(error)) from None
        return sent_us, data, self.clock.now_us

    async def _patiently(self, request: Callable[[], Awaitable[bytes]]) -> bytes:
        """Ask up to four times with growing pauses: nothing is known yet of the device's pace."""
        pause_us = US_PER_S // 4
        for left in range(_TRIES - 1, -1, -1):
            try:
                _, data, _ = await self._timed(request)
            except NoAnswerError as error:
                if not left:
                    raise ProbeError(str(error)) from None
                await self.clock.sleep_until(self.clock.now_us + pause_us)
                pause_us *= 4
            else:
                # The next request of the set-up must not come too early either.
                await self.clock.sleep_until(self.clock.now_us + to_us(0.05))
                return data
        raise AssertionError("unreachable")

    async def _connect(self) -> None:
        try:
            await self._client.connect()
        except ModbusLostError as error:
            raise ProbeError(str(error)) from None
