"""What can be asked of Modbus units; how the bytes get there is left to a subclass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, Protocol

from ...sim.clock import US_PER_S, Clock, to_us
from ..wire import Direction, Tap
from . import requests
from .errors import ModbusError, ModbusLostError, ModbusRefusedError, ModbusSilentError
from .line import LineSettings
from .quiet import Quiet
from .requests import Request
from .unit import BitTable, RegisterTable

RTU_AROUND: Final = 3
"""Bytes of unit and checksum around function and data."""
_RTU_FRAME: Final = 256
_CACHED: Final = 256
_GIVE_UP: Final = 2
"""Time-outs in a row after which a TCP connection is given up: the other end may be long gone."""


@dataclass(slots=True)
class ClientCounters:
    """What a client has seen since it was made."""

    requests: int = 0
    answers: int = 0
    refused: int = 0
    timed_out: int = 0
    unusable: int = 0
    """Answers to something else, of a wrong length, with a wrong checksum."""
    connections: int = 0
    lost: int = 0
    """Requests for which there was no connection, or that it broke under."""


class Link(Protocol):
    """One connection, on which one request at a time is under way."""

    why: str
    """Why it could not be opened."""
    extra: bool
    """Whether more came with or after the last answer than belongs to it (serial lines)."""
    on_frame: Callable[[Direction, bytes], None] | None
    on_noise: Callable[[], None] | None
    """Is called when bytes come that nobody waits for (serial lines)."""

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as this end knows."""

    @property
    def another(self) -> bool:
        """Whether an answer came after the last one that says something else (serial lines)."""

    async def open(self) -> bool:
        """Connect; False: `why` says why not."""

    def close(self) -> None:
        """Give the connection up; what is waited for fails."""

    def send(self, unit: int, pdu: bytes) -> int:
        """Write a request; return how many bytes it is. Raises `ModbusLostError`."""

    async def exchange(
        self,
        unit: int,
        pdu: bytes,
        timeout_s: float,
        fits: Callable[[bytes], bool] | None = None,
    ) -> bytes:
        """Send a request; return function and data of the answer to it.

        On a serial line answers that do not fit are passed over; the last of them is returned
        where none that fits comes in time.

        Raises `ModbusLostError`, or `TimeoutError`.
        """


class Master:
    """Reads and writes registers and bits of units, one request at a time.

    `timeout_s` is how long an answer is waited for, in simulated time, besides what bytes take on
    a serial line.

    Every request raises `ModbusSilentError` (`ModbusLostError` without a connection),
    `ModbusRefusedError`, or `ModbusError` for an answer that cannot be used. `timeout_s` of a
    request takes its place.
    """

    def __init__(
        self,
        clock: Clock,
        make: Callable[[], Link],
        *,
        name: str,
        timeout_s: float,
        line: LineSettings | None = None,
        tap: Tap | None = None,
    ) -> None:
        self.name = name
        self.counters = ClientCounters()
        self._clock = clock
        self._make = make
        self._timeout_s = timeout_s
        self.line = line
        """Settings of the serial line, None where frames are those of TCP."""
        self._quiet = None if line is None else Quiet(clock, line)
        self._tap = tap
        self._link: Link | None = None
        self._silent = 0
        self._reads: dict[tuple[str, int, int], Request] = {}

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as this end knows."""
        return self._link is not None and self._link.alive

    async def connect(self) -> None:
        """Open a connection, in place of any that stands; raises `ModbusLostError`."""
        self.close()
        link = self._make()
        if self._tap is not None:
            link.on_frame = self._tapped
        if self._quiet is not None:
            link.on_noise = self._quiet.heard
        if not await link.open():
            link.close()
            raise ModbusLostError(f"{self.name}: no connection: {link.why}")
        self._link = link
        self._silent = 0
        self.counters.connections += 1

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def ask(self, unit: int, request: Request, timeout_s: float | None = None) -> bytes:
        """Send a request; return function and data of its answer, checked.

        Empty for a broadcast (unit 0 on a serial line), which nobody answers.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        self.counters.requests += 1
        try:
            if self._link is None:
                raise ModbusLostError("no connection")
            if self._quiet is None:
                answer = await self._link.exchange(unit, request.pdu, timeout_s)
                requests.check(request, answer)
            else:
                answer = await self._on_line(self._link, self._quiet, unit, request, timeout_s)
        except (ModbusError, TimeoutError) as error:
            raise self._failure(unit, request, error) from None
        self._silent = 0
        self.counters.answers += 1
        return answer

    async def read_registers(
        self,
        unit: int,
        table: RegisterTable,
        address: int,
        count: int,
        timeout_s: float | None = None,
    ) -> bytes:
        """Return `count` registers as bytes, high byte first (functions 3 and 4)."""
        key = table, address, count
        request = self._reads.get(key)
        if request is None:
            if len(self._reads) >= _CACHED:
                self._reads.clear()
            request = self._reads[key] = requests.read(table, address, count)
        return (await self.ask(unit, request, timeout_s))[2:]

    async def read_input(self, unit: int, address: int, count: int) -> bytes:
        """Return `count` input registers (function 4) as bytes, high byte first."""
        return await self.read_registers(unit, "input", address, count)

    async def read_holding(self, unit: int, address: int, count: int) -> bytes:
        """Return `count` holding registers (function 3) as bytes, high byte first."""
        return await self.read_registers(unit, "holding", address, count)

    async def read_bits(
        self, unit: int, table: BitTable, address: int, count: int, timeout_s: float | None = None
    ) -> list[bool]:
        """Return `count` bits (functions 1 and 2)."""
        request = requests.read(table, address, count)
        return requests.bits(await self.ask(unit, request, timeout_s), count)

    async def write_register(
        self, unit: int, address: int, data: bytes, timeout_s: float | None = None
    ) -> None:
        """Write one register, two bytes, high byte first (function 6)."""
        await self.ask(unit, requests.write_register(address, data), timeout_s)

    async def write_registers(
        self, unit: int, address: int, data: bytes, timeout_s: float | None = None
    ) -> None:
        """Write registers, two bytes each, high byte first (function 16)."""
        await self.ask(unit, requests.write_registers(address, data), timeout_s)

    async def write_coil(
        self, unit: int, address: int, value: bool, timeout_s: float | None = None
    ) -> None:
        """Write one coil (function 5)."""
        await self.ask(unit, requests.write_coil(address, value), timeout_s)

    async def write_coils(
        self, unit: int, address: int, values: Sequence[bool], timeout_s: float | None = None
    ) -> None:
        """Write coils (function 15)."""
        await self.ask(unit, requests.write_coils(address, values), timeout_s)

    async def identification(
        self, unit: int, level: Literal[1, 2, 3] = 1, timeout_s: float | None = None
    ) -> dict[int, bytes]:
        """Return the objects of function 43/14 up to a level (basic, regular, extended)."""
        found: dict[int, bytes] = {}
        more, first = True, 0
        while more:
            request = requests.read_identification(level, first)
            answer = await self.ask(unit, request, timeout_s)
            more, first, objects = requests.objects(answer)
            # A device that repeats itself would keep on for ever.
            more = more and not objects.keys() <= found.keys()
            found |= objects
        return found

    async def _on_line(
        self, link: Link, quiet: Quiet, unit: int, request: Request, timeout_s: float
    ) -> bytes:
        await quiet.wait(unit, request, to_us(timeout_s))
        if unit == 0:
            quiet.broadcast(link.send(unit, request.pdu))
            return b""
        size = request.size + RTU_AROUND if request.size else _RTU_FRAME
        wire_s = quiet.wire_us(len(request.pdu) + RTU_AROUND, size) / US_PER_S
        fits = False
        sent_us = self._clock.now_us
        try:
            answer = await link.exchange(
                unit, request.pdu, timeout_s + wire_s, partial(requests.fits, request)
            )
            requests.check(request, answer)
            until_us = quiet.doubt_us(
                sent_us, len(request.pdu) + RTU_AROUND, len(answer) + RTU_AROUND
            )
            if until_us is not None:
                await self._clock.sleep_until(until_us)
            if link.extra and link.another:
                raise ModbusError(f"{request.what}: two answers came that differ")
            fits = True
        except ModbusRefusedError:
            fits = True
            raise
        finally:
            if fits:
                quiet.answered(unit, clean=not link.extra)
            else:
                # Cancelled in between, too: the answer may be on its way.
                quiet.lost(unit, request, to_us(timeout_s))
        return answer

    def _failure(self, unit: int, request: Request, error: Exception) -> ModbusError:
        """Count what went wrong and say where it did."""
        where = f"{self.name}, unit {unit}"
        if isinstance(error, TimeoutError):
            self.counters.timed_out += 1
            self._silent += 1
            if self._quiet is None and self._silent >= _GIVE_UP:
                self.close()
            return ModbusSilentError(f"{where}: {request.what}: no answer in time")
        if isinstance(error, ModbusLostError):
            self.counters.lost += 1
            return ModbusLostError(f"{where}: {error}")
        self._silent = 0
        if isinstance(error, ModbusRefusedError):
            self.counters.refused += 1
            return ModbusRefusedError(f"{where}: {error}", error.code)
        self.counters.unusable += 1
        return ModbusError(f"{where}: {error}")

    def _tapped(self, direction: Direction, data: bytes) -> None:
        assert self._tap is not None
        self._tap.frame(self.name, direction, self._clock.now_us, data)
