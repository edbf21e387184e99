"""The Modbus client: the only module that knows pymodbus.

pymodbus changes its interface between minor versions; whatever it needs to be told stays here.

Its client opens the connection, and its framers make frames and find those of RTU in what comes.
Ours is what is accepted as an answer, and waiting for it: pymodbus (3.16) takes an
answer with transaction number 0 or of another function for the right one, passes over an odd
length, waits on after the connection is gone, and lets what it cannot decode raise into the event
loop. Here an answer has the unit, number and function of its request and exactly the length that
was asked for; anything else is an error, never a value.

Each connection is a new client of pymodbus: it would hand its protocol object from one connection
to the next, and take what the old one still says for the new one's.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import struct
from collections.abc import Callable
from typing import Any, Final, cast

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerType

from ...sim.clock import Clock
from .. import memory
from ..serialport import SerialTransport
from ..wire import Direction, Tap
from .errors import ModbusError, ModbusLostError, ModbusRefusedError, ModbusSilentError
from .framing import crc
from .line import LineSettings, open_serial
from .master import ClientCounters, Link, Master

__all__ = [
    "ClientCounters",
    "LineSettings",
    "ModbusClient",
    "ModbusError",
    "ModbusLostError",
    "ModbusRefusedError",
    "ModbusSilentError",
]

# Its errors come back as exceptions of ours; without a handler Python would print them as well.
logging.getLogger("pymodbus").addHandler(logging.NullHandler())

_HEAD: Final = struct.Struct(">HHH")
_MBAP: Final = _HEAD.size
"""Bytes of a TCP frame before those that its length counts."""
_MAX_LENGTH: Final = 254
_RTU_BUFFER: Final = 512
"""Bytes without a frame in them that are kept: two of the longest."""
_BEHIND: Final = 2048
"""Bytes behind an answer that are looked through for another one."""
_REFUSAL: Final = 5
"""Bytes of an exception on a serial line."""
_TICK_S: Final = 1e-6
"""The clocks' resolution."""


class _Session(Link):
    """One connection: a client of pymodbus, and one request at a time on it."""

    def __init__(
        self, client: AsyncModbusTcpClient, counters: ClientCounters, serial: bool
    ) -> None:
        self.why = ""
        self.extra = False
        """Whether more came with or after the last answer than belongs to it."""
        self.on_frame: Callable[[Direction, bytes], None] | None = None
        self.on_noise: Callable[[], None] | None = None
        self._client = client
        self._context = context = client.ctx
        self._framer = context.framer
        self._counters = counters
        self._serial = serial
        self._loop = asyncio.get_running_loop()
        self._pending: asyncio.Future[bytes] | None = None
        self._unit = self._number = 0
        self._deadline_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._create = context.call_create
        context.call_create = self._call_create
        context.trace_connect = self._connection
        self._buffer = b""
        self._fits: Callable[[bytes], bool] | None = None
        self._unfit: list[bytes] = []
        """Answers to the request under way that were passed over."""
        self._answer = b""
        """The last answer on a serial line, a whole frame."""
        self._behind = b""
        """What came after it."""
        received = self._received_serial if serial else self._received_tcp
        # Past pymodbus's buffer, which is emptied with every request.
        context.data_received = received  # type: ignore[method-assign]

    async def open(self) -> bool:
        """Connect; False: `why` says why not."""
        self.why = "no answer in time"
        return bool(await self._client.connect()) and self.alive

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as this end knows."""
        transport = self._context.transport
        return transport is not None and not transport.is_closing()

    def close(self, why: str = "closed") -> None:
        """Give the connection up; what is waited for fails."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        transport = self._context.transport
        self._client.close()
        if isinstance(transport, asyncio.Transport) and not self._serial:
            # At once: a peer that is gone would hold up a polite good-bye.
            transport.abort()
        self._fail(ModbusLostError(why))

    def send(self, unit: int, pdu: bytes) -> int:
        """Write a request; return how many bytes it is."""
        if not self.alive:
            raise ModbusLostError("no connection")
        self._unit = unit
        # Over TCP 0 is never sent: it is what devices answer with that do not keep the number.
        self._number = 0 if self._serial else self._number % 0xFFFF + 1
        frame = self._framer.encode(pdu, unit, self._number)
        if self._serial:
            if self._buffer and self.on_frame is not None:
                # What never became a frame.
                self.on_frame("answer", self._buffer)
            self._buffer = self._behind = self._answer = b""
            self._unfit.clear()
            self.extra = False
        if self.on_frame is not None:
            self.on_frame("request", frame)
        self._context.transport.write(frame)  # type: ignore[attr-defined]
        return len(frame)

    async def exchange(
        self,
        unit: int,
        pdu: bytes,
        timeout_s: float,
        fits: Callable[[bytes], bool] | None = None,
    ) -> bytes:
        """Send a request; return function and data of the first answer to it that fits.

        Where none fits in time, the last one that does not is returned.

        Raises `ModbusLostError`, or `TimeoutError`.
        """
        if self._pending is not None:
            raise ModbusError("another request is under way")
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._pending = future
        self._fits = fits
        self._deadline_s = self._loop.time() + timeout_s
        if self._timer is None or self._timer.when() > self._deadline_s:
            self._arm()
        try:
            self.send(unit, pdu)
            return await future
        finally:
            self._pending = None

    def _arm(self) -> None:
        """Be woken at the deadline. Requests that are answered in time leave the timer as it is."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline_s, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._pending is None:
            return
        if self._loop.time() < self._deadline_s - _TICK_S:
            self._arm()
        elif self._unfit and not self._pending.done():
            self._pending.set_result(self._unfit.pop())
        else:
            self._fail(TimeoutError())

    async def _call_create(self) -> Any:
        try:
            return await self._create()
        except Exception as error:
            # pymodbus logs the reason and forgets it, and a wrong setting is not an OSError.
            self.why = str(error) or type(error).__name__
            raise OSError(self.why) from error

    def _connection(self, stands: bool) -> None:
        if not stands:
            self._fail(ModbusLostError("the connection broke"))

    def _fail(self, error: Exception) -> None:
        if self._pending is not None and not self._pending.done():
            self._pending.set_exception(error)

    def _received_tcp(self, data: bytes) -> None:
        """Take the whole frames of what has come so far; keep the rest."""
        if self._buffer:
            data = self._buffer + data
        begin = 0
        while len(data) - begin >= _MBAP:
            number, protocol, length = _HEAD.unpack_from(data, begin)
            if protocol != 0 or not 2 <= length <= _MAX_LENGTH:
                self._counters.unusable += 1
                self.close("what came is not Modbus TCP: its frames cannot be told apart")
                return
            end = begin + _MBAP + length
            if end > len(data):
                break
            if self.on_frame is not None:
                self.on_frame("answer", data[begin:end])
            self._take(data[begin + _MBAP], number, data[begin + _MBAP + 1 : end])
            begin = end
        self._buffer = data[begin:]

    def _received_serial(self, data: bytes) -> None:
        """Take the frames of what has come, with whatever is around them; keep the rest."""
        pending = self._pending
        if pending is None or pending.done():
            # After an answer, or for nobody.
            self.extra = True
            self._behind = (self._behind + data)[:_BEHIND]
            if self.on_frame is not None:
                self.on_frame("answer", data)
            if self.on_noise is not None:
                self.on_noise()
            return
        data = (self._buffer + data)[-_RTU_BUFFER:]
        while data and not pending.done():
            try:
                used, unit, _, pdu = self._framer.decode(data)
            except Exception:
                # What it cannot decode may raise anything; it must not reach the event loop.
                used, unit, pdu = len(data), -1, b""
            if used == 0:
                break
            # It takes whatever is behind a frame along with it.
            frame = self._framer.encode(pdu, unit, 0) if pdu else data
            end = data.find(frame) + len(frame)
            self._answer, self._behind = frame, data[end:]
            self._take(unit, 0, pdu)
            if pending.done():
                self.extra = len(data) != len(frame)
                end = len(data)
            if self.on_frame is not None:
                self.on_frame("answer", data[:end])
            data = data[end:]
        self._buffer = data

    @property
    def another(self) -> bool:
        """Whether an answer came after the last one that says something else (serial lines)."""
        behind, answer, fits = self._behind, self._answer, self._fits
        return any(
            frame[:1] == answer[:1]
            and frame != answer
            and crc(frame) == 0
            and (fits is None or fits(frame[1:-2]))
            for size in (len(answer), _REFUSAL)
            for frame in (behind[at : at + size] for at in range(len(behind) - size + 1))
        )

    def _take(self, unit: int, number: int, pdu: bytes) -> None:
        """Take function and data of a frame if they answer the request that is under way."""
        pending = self._pending
        if not pdu or unit != self._unit or number != self._number:
            self._counters.unusable += 1
        elif pending is not None and not pending.done():
            if self._fits is not None and not self._fits(pdu):
                self._unfit.append(pdu)
                return
            self._counters.unusable += len(self._unfit)
            pending.set_result(pdu)


class ModbusClient(Master):
    """Asks the units behind one address, one request at a time.

    `timeout_s` is how long an answer is waited for, in simulated time, besides what bytes take on
    a serial line.
    """

    def __init__(
        self,
        clock: Clock,
        create: Callable[[asyncio.Protocol], Any] | None,
        *,
        name: str,
        timeout_s: float,
        address: tuple[str, int, ssl.SSLContext | None] | None = None,
        line: LineSettings | None = None,
        tap: Tap | None = None,
    ) -> None:
        """Take the parts of a client; `in_memory`, `tcp` and `serial` put them together.

        `create(protocol)` is a coroutine that joins pymodbus's protocol to the other end and
        returns the transport; None: pymodbus connects to `address` itself.
        """
        super().__init__(clock, self._new_link, name=name, timeout_s=timeout_s, line=line, tap=tap)
        self._create = create
        self._address = address or (name, 0, None)
        self._framer = FramerType.SOCKET if line is None else FramerType.RTU

    @classmethod
    def in_memory(
        cls,
        clock: Clock,
        server: Callable[[], asyncio.Protocol],
        *,
        name: str,
        one_way_us: int,
        timeout_s: float,
        line: LineSettings | None = None,
        tap: Tap | None = None,
    ) -> ModbusClient:
        """Return a client of a server in memory; `server()` makes its end of each connection.

        Must be used in coroutines that the clock runs. `one_way_us` is the delay of a message in
        each direction; with a `line` the frames are those of RTU.
        """

        async def create(protocol: asyncio.Protocol) -> asyncio.Transport:
            return memory.connect(clock, protocol, server(), one_way_us)

        return cls(clock, create, name=name, timeout_s=timeout_s, line=line, tap=tap)

    @classmethod
    def tcp(
        cls,
        clock: Clock,
        host: str,
        port: int,
        *,
        name: str,
        timeout_s: float,
        tls: ssl.SSLContext | None = None,
        tap: Tap | None = None,
    ) -> ModbusClient:
        """Return a client of a server at an address; with `tls` each shows the other who it is."""
        address = host, port, tls
        return cls(clock, None, address=address, name=name, timeout_s=timeout_s, tap=tap)

    @classmethod
    def serial(
        cls,
        clock: Clock,
        path: str,
        line: LineSettings,
        *,
        name: str,
        timeout_s: float,
        tap: Tap | None = None,
    ) -> ModbusClient:
        """Return a client of the units on a serial port, a real or a pseudo one.

        The port is opened here and not by pymodbus, which needs pyserial for it and cannot set a
        parity on a pseudo terminal.
        """

        async def create(protocol: asyncio.Protocol) -> asyncio.Transport:
            fd = open_serial(path, line)
            return SerialTransport(asyncio.get_running_loop(), fd, protocol, path)

        return cls(clock, create, name=name, timeout_s=timeout_s, line=line, tap=tap)

    def _new_link(self) -> Link:
        """Return a client of pymodbus's that is not connected yet."""
        host, port, tls = self._address
        client = AsyncModbusTcpClient(
            host,
            port=port,
            framer=self._framer,
            name=self.name,
            timeout=self._timeout_s,
            retries=0,
            reconnect_delay=0,
        )
        context, create = client.ctx, self._create
        if create is not None:

            async def joined() -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
                return await create(cast(asyncio.Protocol, context)), context

            # Instead of the loop's `create_connection`.
            context.call_create = joined
        elif tls is not None:
            # Not pymodbus's TLS client: its framer takes every piece for a whole frame.
            context.comm_params.sslctx = tls
            context.init_setup_connect_listen(host, port)
        return _Session(client, self.counters, self._framer is FramerType.RTU)
