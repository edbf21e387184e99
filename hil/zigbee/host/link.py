"""The serial conversation with a coordinator: one request at a time, indications as they come.

MT knows no transaction numbers, so which answer belongs to which request follows from the order
alone. After a time-out, or an answer that nobody waited for, the order is in doubt. Then a ping
goes first, and whatever comes before its answer is thrown away; a late answer can so never be
taken for that of a later request. A second copy of an answer would be taken for that of the next
request of the same kind, so that one waits a moment for copies to show. A coordinator that answers
no ping either is given up: the connection is closed, and the owner connects again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from ....sim.clock import Clock
from ...errors import ReadingError
from ...wire import Tap
from .. import mt

Connect = Callable[[asyncio.Protocol], Awaitable[asyncio.Transport]]
"""Opens a transport for a protocol: a serial port, TCP, or memory."""

TIMEOUT_S: Final = 2.0
"""For an answer; the longest that firmware takes (writing flash) is well below a second."""
_GUARD_S: Final = 0.005
"""Between an answer and the next request of the same kind."""
_BARRIERS: Final = 3
"""So many pings without an answer end the connection."""
_QUEUE: Final = 64
_PING = mt.MtFrame(mt.SYS_PING).encode()
_VERSION = mt.MtFrame(mt.SYS_VERSION).encode()


class LinkError(ReadingError):
    """The coordinator did not do as asked, this time."""


class LinkDownError(LinkError):
    """There is no connection to the coordinator now."""


class LinkTimeoutError(LinkError):
    """The coordinator gave no answer in time."""


class CommandError(LinkError):
    """The coordinator does not know, or refuses, a command."""


class _Request:
    """One SREQ: the bytes, and who waits for the answer (nobody: `future` is None)."""

    __slots__ = ("command", "frame", "future", "shown", "timeout_s")

    def __init__(
        self,
        command: int,
        frame: bytes,
        future: asyncio.Future[bytes] | None,
        timeout_s: float,
        shown: bytes | None = None,
    ) -> None:
        self.command, self.frame, self.future, self.timeout_s = command, frame, future, timeout_s
        self.shown = frame if shown is None else shown


class MtLink(asyncio.Protocol):
    """One connection to a coordinator."""

    def __init__(
        self,
        clock: Clock,
        name: str,
        on_indication: Callable[[int, bytes, int], None],
        on_lost: Callable[[MtLink, str], None],
        tap: Tap | None = None,
    ) -> None:
        """`on_indication(command, data, t_us)` is told of each AREQ, `on_lost` of the end."""
        self._clock, self._name, self._tap = clock, name, tap
        self._on_indication, self._on_lost = on_indication, on_lost
        self._parser = mt.MtParser()
        self._transport: asyncio.Transport | None = None
        self._queue: deque[_Request] = deque()
        self._current: _Request | None = None
        self._deadline_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._unsettled = False
        self._barriers = 0
        self._answered = (0, 0.0)
        """Command that was answered last, and when in the loop's time."""
        self._last = (0, b"")
        self._guard: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.heard_us = clock.now_us
        """When the last whole frame came."""
        self.stray_answers = 0
        self.timeouts = 0
        self.dropped = 0
        """Requests without a listener that were dropped because too many were queued."""

    @property
    def bad_frames(self) -> int:
        """Frames with a wrong length or check byte."""
        return self._parser.bad_frames

    @property
    def open(self) -> bool:
        """Whether frames can be sent."""
        return self._transport is not None

    async def request(
        self,
        command: int,
        data: bytes = b"",
        timeout_s: float = TIMEOUT_S,
        shown: bytes | None = None,
    ) -> bytes:
        """Send an SREQ and return the data of its SRSP.

        `shown` goes on the tape in place of secret data. Raises `LinkTimeoutError`, `CommandError`
        or `LinkDownError`. The time-out counts from when the request goes out, behind those before
        it.
        """
        if self._transport is None:
            raise LinkDownError(f"{self._name}: not connected to the coordinator")
        frame = mt.MtFrame(command, data).encode()
        future: asyncio.Future[bytes] = self._loop.create_future()
        masked = None if shown is None else mt.MtFrame(command, shown).encode()
        self._queue.append(_Request(command, frame, future, timeout_s, masked))
        if self._current is None:
            self._next()
        return await future

    def post(self, command: int, data: bytes = b"") -> None:
        """Send an SREQ whose answer nobody waits for; dropped when too many stand in the queue."""
        if self._transport is None or len(self._queue) >= _QUEUE:
            self.dropped += 1
            return
        frame = mt.MtFrame(command, data).encode()
        self._queue.append(_Request(command, frame, None, TIMEOUT_S))
        if self._current is None:
            self._next()

    def send(self, command: int, data: bytes = b"") -> None:
        """Send an AREQ, which has no answer."""
        frame = mt.MtFrame(command, data).encode()
        self._write(frame, frame)

    def write_raw(self, data: bytes) -> None:
        """Send bytes that are no frame: what wakes a boot loader."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection; `on_lost` is not told."""
        self._on_lost = _nobody
        self._end("closed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail whatever waits and tell the owner."""
        self._end(f"the port is gone: {exc}" if exc else "the port is gone")

    def data_received(self, data: bytes) -> None:
        """Take bytes as they come."""
        now_us = self._clock.now_us
        for frame in self._parser.feed(data):
            self.heard_us = now_us
            command = frame.command
            if self._tap is not None:
                self._tap.frame(self._name, "answer", now_us, frame.encode())
            if command & mt.TYPE_MASK == mt.AREQ:
                self._on_indication(command, frame.data, now_us)
            elif command & mt.TYPE_MASK == mt.SRSP:
                self._answer(command, frame.data)

    def _answer(self, command: int, data: bytes) -> None:
        current = self._current
        if current is None or not _answers(command, data, current.command):
            # Nobody waits for it. A copy of the last one is harmless; else the order is in doubt.
            self.stray_answers += 1
            if current is None and not self._is_copy(command, data):
                self._unsettled = True
            return
        self._current = None
        self._answered = (current.command, self._loop.time())
        self._last = (command, data)
        if current.future is None:
            if self._barriers:
                self._barriers, self._unsettled = 0, False
        elif not current.future.done():
            if command == mt.RPC_ERROR:
                code = data[0]
                current.future.set_exception(
                    CommandError(
                        f"{self._name}: the coordinator refuses command {current.command:04x} "
                        f"(code {code})"
                    )
                )
            else:
                current.future.set_result(data)
        if self._queue:
            # Later, so that a second copy of this answer meets nobody.
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """Send the next request, or the ping that settles the order."""
        if self._current is not None or self._transport is None:
            return
        if self._unsettled:
            self._barrier()
            return
        while self._queue:
            request = self._queue[0]
            if request.future is not None and request.future.done():
                self._queue.popleft()
            elif request.command == self._answered[0] and self._guarded():
                return
            else:
                self._go(self._queue.popleft())
                return

    def _is_copy(self, command: int, data: bytes) -> bool:
        recent = self._loop.time() <= self._answered[1] + _GUARD_S
        return recent and self._last == (command, data)

    def _guarded(self) -> bool:
        """Return whether it is too early for a request of the same kind; it goes out later."""
        due_s = self._answered[1] + _GUARD_S
        if self._loop.time() >= due_s - 1e-6:
            return False
        if self._guard is None:
            self._guard = self._loop.call_at(due_s, self._guard_over)
        return True

    def _guard_over(self) -> None:
        self._guard = None
        self._next()

    def _barrier(self) -> None:
        if self._barriers >= _BARRIERS:
            self._transport_close("it answers no more")
            return
        self._barriers += 1
        self._parser.reset()
        # A ping that follows a ping could be answered by the answer to the other one.
        if self._barriers % 2:
            self._go(_Request(mt.SYS_VERSION, _VERSION, None, TIMEOUT_S))
        else:
            self._go(_Request(mt.SYS_PING, _PING, None, TIMEOUT_S))

    def _go(self, request: _Request) -> None:
        self._current = request
        self._deadline_s = self._loop.time() + request.timeout_s
        if self._timer is None or self._timer.when() > self._deadline_s:
            self._arm()
        self._write(request.frame, request.shown)

    def _arm(self) -> None:
        # One timer serves many requests: most are answered long before it is due.
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline_s, self._due)

    def _due(self) -> None:
        self._timer = None
        current = self._current
        if current is None:
            return
        if self._loop.time() < self._deadline_s - 1e-6:
            self._arm()
            return
        self.timeouts += 1
        self._current = None
        self._unsettled = True
        if current.future is not None and not current.future.done():
            current.future.set_exception(
                LinkTimeoutError(
                    f"{self._name}: the coordinator gave no answer to command "
                    f"{current.command:04x} within {current.timeout_s:g} s"
                )
            )
        self._next()

    def _write(self, frame: bytes, shown: bytes) -> None:
        if self._transport is None:
            return
        if self._tap is not None:
            self._tap.frame(self._name, "request", self._clock.now_us, shown)
        self._transport.write(frame)

    def _transport_close(self, why: str) -> None:
        transport = self._transport
        self._end(why)
        if transport is not None:
            transport.abort()

    def _end(self, why: str) -> None:
        transport, self._transport = self._transport, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None
        waiting = [*([self._current] if self._current else []), *self._queue]
        self._current = None
        self._queue.clear()
        for request in waiting:
            if request.future is not None and not request.future.done():
                request.future.set_exception(LinkDownError(f"{self._name}: {why}"))
        if transport is not None:
            transport.close()
            on_lost, self._on_lost = self._on_lost, _nobody
            on_lost(self, why)


def _answers(command: int, data: bytes, asked: int) -> bool:
    """Return whether an SRSP answers a request: by its code, or as an error that names it."""
    if command == mt.RPC_ERROR:
        return len(data) >= 3 and data[1] << 8 | data[2] == asked
    return command == mt.response_to(asked)


def _nobody(_link: MtLink, _why: str) -> None:
    """Take no note."""
