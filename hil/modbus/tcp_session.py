"""One Modbus TCP or TLS connection.

What a frame that cannot be served leads to:

- other protocol id: it is dropped, the next one counts;
- length outside 2 … 254: where it ends cannot be known, so what came before is answered and the
  connection is closed;
- a frame in part, of another protocol or of a length that its function contradicts, that is not
  whole within half a second, or any that stops coming for five seconds or takes more than thirty:
  the connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Mapping
from typing import Final

from .framing import MAX_LENGTH, MBAP, MIN_LENGTH, pdu_length, tcp_frame
from .pdu import MAX_READ_REGISTERS, READ_HOLDING, READ_INPUT
from .serving import Serving
from .session import Queue, Session
from .tls import role_of
from .unit import DEVICE_FAILURE, GATEWAY_NO_ANSWER, ILLEGAL_FUNCTION, ModbusRefusal, Unit

_HEAD: Final = struct.Struct(">HHH")
_READ: Final = struct.Struct(">HHHBBHH")
_ANSWER: Final = struct.Struct(">HHHBBB")
_HIGH_WATER: Final = 65536
_BATCH: Final = 16384
_PENDING: Final = 8192
"""Bytes of requests that may wait before reading stops."""
_HARD_LIMIT: Final = 1 << 20
"""The same for transports that cannot stop reading; beyond it the connection is closed."""
_IMPLAUSIBLE_US: Final = 500_000
_STALL_US: Final = 5_000_000
_FRAME_US: Final = 30_000_000


class TcpSession(Session, asyncio.BufferedProtocol):
    """Reads into the server's buffer from a socket; takes bytes from a connection in memory."""

    def __init__(
        self,
        server: Serving,
        roles: Mapping[str, frozenset[int]] | None = None,
    ) -> None:
        super().__init__(server)
        self._roles = roles
        self._allowed: frozenset[int] | None = None
        self._fast = True
        """Whether a read request that came in one piece may be answered on the spot."""
        self._rest = b""
        self._begun_us: int | None = None
        """Since when the frame that is there in part is coming; None: there is none."""
        self._deadline_us: int | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._stall_us = 0
        self._busy = False
        self._paused = False
        self._reading = True
        self._ended = False
        self._queue = Queue()
        self._batch: list[bytes] | None = None
        """Answers to requests that came together, which leave together."""
        self._batched = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the limit of unsent bytes; find out what a TLS client may do."""
        with contextlib.suppress(NotImplementedError):
            transport.set_write_buffer_limits(high=_HIGH_WATER)  # type: ignore[attr-defined]
        tls = transport.get_extra_info("ssl_object")
        if self._roles is not None:
            role = role_of(tls.getpeercert(binary_form=True)) if tls is not None else None
            self._allowed = self._roles.get(role or "", frozenset())
        super().connection_made(transport)
        self._fast = self._allowed is None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what came in halves."""
        super().connection_lost(exc)
        self._fast = False
        self._rest = b""
        if self._stall is not None:
            self._stall.cancel()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return where the loop reads into; it is used up before the loop reads again."""
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Answer a lone request to read registers at once; everything else goes the long way."""
        server = self._server
        if (
            nbytes == _READ.size
            and self._fast
            and (server.plain or (not self._delayed and server.quiet()))
            and self._read(server.buffer)
        ):
            return
        self.data_received(bytes(server.buffer[:nbytes]))

    def _read(self, data: bytes | memoryview) -> bool:
        """Answer a request that came alone, if it reads registers of a unit that is there."""
        server = self._server
        number, protocol, length, unit_id, function, address, count = _READ.unpack_from(data)
        unit = server.units.get(unit_id)
        if (
            (function != READ_INPUT and function != READ_HOLDING)  # noqa: PLR1714 - faster so
            or length != _READ.size - _HEAD.size
            or protocol != 0
            or unit is None
            or function not in unit.functions
            or not 1 <= count <= MAX_READ_REGISTERS
            or address + count > 0x10000
        ):
            return False
        statistics = server.statistics
        t_us = self.last_us = server.clock.now_us
        statistics.requests += 1
        hold_us = unit.hold_us(t_us, function)
        if hold_us != 0:
            self._hold(number, unit_id, unit, bytes(data[MBAP.size : _READ.size]), hold_us)
            return True
        try:
            registers = unit.read_registers(
                "holding" if function == READ_HOLDING else "input", address, count, t_us
            )
            size = len(registers)
            if size != 2 * count:
                raise ModbusRefusal(DEVICE_FAILURE)
        except Exception as error:
            answer = tcp_frame(number, unit_id, self._refusal(function, error))
        else:
            answer = _ANSWER.pack(number, 0, size + 3, unit_id, function, size) + registers
        statistics.answers += 1
        self._transport.write(answer)  # type: ignore[union-attr]
        return True

    def data_received(self, data: bytes) -> None:
        """Take bytes; answer the requests that are whole, in order."""
        if (
            len(data) == _READ.size
            and self._fast
            and (self._server.plain or (not self._delayed and self._server.quiet()))
            and self._read(data)
        ):
            return
        self._cut(self._rest + data if self._rest else data)

    def eof_received(self) -> bool:
        """Stay until the request that is worked on is answered, if the transport can."""
        self._ended = True
        secure = self._transport is None or self._transport.get_extra_info("sslcontext") is not None
        return self._waiting() and not secure

    def pause_writing(self) -> None:
        """Take no more requests: the client does not read."""
        self._paused = True
        self._fast = False

    def resume_writing(self) -> None:
        """Go on with what waits."""
        self._paused = False
        self._go_on()

    def _cut(self, data: bytes) -> None:
        """Serve whole requests until one is worked on or the client does not read."""
        self._batch, self._batched = [], 0
        position, size = 0, len(data)
        while size - position >= _HEAD.size and not (self._busy or self._paused):
            _, protocol, length = _HEAD.unpack_from(data, position)
            if not MIN_LENGTH <= length <= MAX_LENGTH:
                self._lose_frame(close=True)
                position = size
                break
            end = position + _HEAD.size + length
            if end > size:
                break
            if protocol == 0:
                self._received(data[position:end])
            else:
                self._lose_frame(close=False)
            position = end
            if self._transport is None or self._transport.is_closing():
                break  # a fault pulled the cable
        self._rest = data[position:]
        self._flush()
        self._batch = None
        self._settle()

    def _lose_frame(self, *, close: bool) -> None:
        self._server.statistics.bad_frames += 1
        if close:
            self._flush()
            self._ended = True
            if self._transport is not None:
                self._transport.close()

    def _flush(self) -> None:
        if self._batch and self._transport is not None:
            batch, self._batch, self._batched = b"".join(self._batch), [], 0
            self._transport.write(batch)

    def _settle(self) -> None:
        """Arrange for requests that wait or came in part, and for the next one."""
        transport = self._transport
        if transport is None or transport.is_closing():
            self._rest = b""
            return
        waits = self._busy or self._paused
        self._fast = not (self._rest or waits or self._allowed is not None)
        if self._reading and waits and len(self._rest) > _PENDING:
            self._stop_reading(transport)
        elif not self._reading and not waits:
            self._reading = True
            transport.resume_reading()
        self._watch(bool(self._rest) and not waits)

    def _stop_reading(self, transport: asyncio.Transport) -> None:
        try:
            transport.pause_reading()
            self._reading = False
        except NotImplementedError:
            if len(self._rest) > _HARD_LIMIT:
                self.drop()

    def _watch(self, partial: bool) -> None:
        """See to it that a frame that came in part is completed some time.

        A timer that is set stays, and looks for itself whether it is still due: in the clock's
        queue cancelled ones would pile up when every byte of a flood sets one anew.
        """
        if not partial:
            self._begun_us = self._deadline_us = None
            return
        now_us = self._server.clock.now_us
        if self._begun_us is None:
            self._begun_us = now_us
        due_us = self._begun_us + _IMPLAUSIBLE_US
        if self._plausible():
            due_us = min(now_us + _STALL_US, self._begun_us + _FRAME_US)
        self._deadline_us = due_us
        if self._stall is None or due_us < self._stall_us:
            self._look_at(due_us)

    def _look_at(self, due_us: int) -> None:
        if self._stall is not None:
            self._stall.cancel()
        self._stall_us = due_us
        wait_us = max(0, due_us - self._server.clock.now_us)
        self._stall = self._loop.call_later(wait_us * 1e-6, self._look)

    def _look(self) -> None:
        self._stall = None
        if self._deadline_us is None or self._transport is None:
            return
        if self._server.clock.now_us < self._deadline_us:
            self._look_at(self._deadline_us)
        else:
            self._server.statistics.timed_out += 1
            self.drop()

    def _plausible(self) -> bool:
        """Return whether the frame's length is what its function needs, as far as is known."""
        rest = self._rest
        if rest[2:4] not in (b"", b"\0", b"\0\0"):
            return False
        if len(rest) <= MBAP.size:
            return True
        length = pdu_length(rest, MBAP.size)
        return length <= 0 or length + 1 == int.from_bytes(rest[4:6], "big")

    def _arrive(self, frame: bytes) -> None:
        """Begin with a request, or keep it until the one before is done."""
        if not self._busy:
            self._begin(frame)
        elif not self._queue.push(frame):
            self._server.statistics.dropped += 1

    def _begin(self, frame: bytes) -> None:
        server = self._server
        if len(frame) <= MBAP.size or frame[2:6] != _whole(len(frame)):
            server.statistics.bad_frames += 1  # a fault bent its header
            return
        number, _, _, unit_id = MBAP.unpack_from(frame)
        pdu = frame[MBAP.size :]
        unit = server.units.get(unit_id)
        if unit is None:
            server.statistics.unknown += 1
            if server.unknown_unit == "gateway":
                self._answer(tcp_frame(number, unit_id, self._refuse(pdu[0], GATEWAY_NO_ANSWER)))
        elif self._allowed is not None and pdu[0] not in self._allowed:
            self._answer(tcp_frame(number, unit_id, self._refuse(pdu[0], ILLEGAL_FUNCTION)))
        else:
            hold_us = unit.hold_us(server.clock.now_us, pdu[0])
            self._hold(number, unit_id, unit, pdu, hold_us)

    def _hold(self, number: int, unit_id: int, unit: Unit, pdu: bytes, hold_us: int | None) -> None:
        """Carry a request out when the unit is through with it."""
        if hold_us is None:
            self._server.statistics.dropped += 1
        elif hold_us <= 0:
            self._act(number, unit_id, unit, pdu)
        else:
            self._busy = True
            self._fast = False
            self._loop.call_later(hold_us * 1e-6, self._done, number, unit_id, unit, pdu)

    def _act(self, number: int, unit_id: int, unit: Unit, pdu: bytes) -> None:
        answer = self._ask(unit, pdu, self._server.clock.now_us)
        self._answer(tcp_frame(number, unit_id, answer))

    def _done(self, number: int, unit_id: int, unit: Unit, pdu: bytes) -> None:
        self._busy = False
        if self._transport is None:
            return
        self._act(number, unit_id, unit, pdu)
        self._go_on()

    def _go_on(self) -> None:
        if self._idle():
            self._fast = self._allowed is None
            return
        while self._queue and not self._busy:
            self._begin(self._queue.pop())
        self._cut(self._rest)
        if self._ended and not self._waiting() and self._transport is not None:
            self._transport.close()

    def _idle(self) -> bool:
        """Return whether nothing has come that is not served yet, and all of it may be."""
        waits = self._rest or self._queue or self._busy or self._paused or self._ended
        transport = self._transport
        return not waits and self._reading and transport is not None and not transport.is_closing()

    def _waiting(self) -> bool:
        """Return whether there is an answer to come."""
        return self._busy or self._delayed > 0 or (self._paused and len(self._rest) > 0)

    def _deliver(self, deliver: Callable[[bytes], object], data: bytes) -> None:
        super()._deliver(deliver, data)
        if self._ended and not self._waiting() and self._transport is not None:
            self._transport.close()

    def _put(self, data: bytes) -> None:
        server = self._server
        if server.tap is not None:
            server.tap.frame(server.bus, "answer", server.clock.now_us, data)
        if self._batch is not None:
            self._batch.append(data)
            self._batched += len(data)
            if self._batched >= _BATCH:
                self._flush()
        elif self._transport is not None:
            self._transport.write(data)


def _whole(size: int) -> bytes:
    """Return protocol id and length of a frame of `size` bytes."""
    return (size - _HEAD.size).to_bytes(4, "big")
