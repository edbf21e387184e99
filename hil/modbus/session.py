"""What every connection to a Modbus server shares: its life, the tape, faults, time-outs.

A session belongs to one connection or one line. Whole requests go through `_received`, answers
through `_answer`; between the two a session only knows its framing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final, cast

from .pdu import exception, respond
from .serving import Serving
from .unit import DEVICE_FAILURE, ModbusRefusal, Unit

_LOG: Final = logging.getLogger(__name__)
_MAX_WAITING: Final = 64
"""Requests, or pieces that a fault delays, which a session keeps; what comes beyond is dropped."""
_REQUESTS, _ANSWERS = 0, 1


class Session(asyncio.Protocol):
    """The server's end of one connection."""

    lasting = False

    def __init__(self, server: Serving) -> None:
        self.last_us = self.born_us = 0
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._detach: Callable[[], None] | None = None
        # Clocks may begin before zero.
        self._due_us = [-(1 << 62)] * 2
        self._delayed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take part in the server, unless the bus is switched off."""
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self.last_us = self.born_us = self._server.clock.now_us
        if not self._server.opened(self):
            self._transport.abort()
            return
        _keep_alive(transport)
        self.attach()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the server; what is still worked on has nobody to go to."""
        self._transport = None
        self._server.lost(self)
        self.detach()

    def attach(self) -> None:
        """Let the faults know of this connection."""
        self.detach()
        if self._server.faults is not None and self._transport is not None:
            self._detach = self._server.faults.attach(self._server.bus, self.send, self.drop)

    def detach(self) -> None:
        """Let the faults forget this connection."""
        if self._detach is not None:
            self._detach()
            self._detach = None

    def drop(self) -> None:
        """Close the connection at once, as a pulled cable does."""
        if self._transport is not None:
            self._transport.abort()

    def send(self, data: bytes) -> None:
        """Put bytes on the wire that no request asked for."""
        if self._transport is not None:
            self._put(data)

    def _received(self, frame: bytes) -> None:
        """Let a whole request pass the tape and the faults."""
        server = self._server
        faults = server.faults
        t_us = self.last_us = server.clock.now_us
        server.statistics.requests += 1
        if server.tap is not None:
            server.tap.frame(server.bus, "request", t_us, frame)
        if faults is None:
            self._arrive(frame)
            return
        deliveries = faults.requests(server.bus, t_us, frame)
        server.statistics.dropped += not deliveries
        for delivery in deliveries:
            if delivery.back:
                self._later(_ANSWERS, delivery.delay_us, self._put, delivery.data)
            else:
                self._later(_REQUESTS, delivery.delay_us, self._arrive, delivery.data)

    def _answer(self, frame: bytes) -> None:
        """Let an answer pass the faults."""
        server = self._server
        server.statistics.answers += 1
        faults = server.faults
        if faults is None:
            self._put(frame)
            return
        deliveries = faults.answers(server.bus, server.clock.now_us, frame)
        server.statistics.dropped += not deliveries
        for delivery in deliveries:
            self._later(_ANSWERS, delivery.delay_us, self._put, delivery.data)

    def _later(
        self, way: int, delay_us: int, deliver: Callable[[bytes], object], data: bytes
    ) -> None:
        """Deliver after a delay, but never before what was sent earlier the same way."""
        now_us = self._server.clock.now_us
        due_us = max(now_us + delay_us, self._due_us[way])
        if due_us <= now_us:
            deliver(data)
        elif self._delayed < _MAX_WAITING:
            self._delayed += 1
            self._due_us[way] = due_us + 1
            self._loop.call_later((due_us - now_us) * 1e-6, self._deliver, deliver, data)
        else:
            self._server.statistics.dropped += 1

    def _deliver(self, deliver: Callable[[bytes], object], data: bytes) -> None:
        self._delayed -= 1
        if self._transport is not None:
            deliver(data)

    def _ask(self, unit: Unit, request: bytes, t_us: int) -> bytes:
        """Return a unit's answer; a unit that fails answers so, whatever it raises."""
        try:
            answer = respond(unit, request, t_us)
        except Exception as error:
            return self._refusal(request[0], error)
        if answer[0] & 0x80:
            self._server.statistics.exceptions += 1
        return answer

    def _refusal(self, function: int, error: Exception) -> bytes:
        """Return the answer that what a unit raised leads to."""
        if isinstance(error, ModbusRefusal):
            return self._refuse(function, error.code)
        statistics = self._server.statistics
        # A fuzzer would fill a disk with traces; the first one tells.
        if not statistics.failures:
            _LOG.error("bus %s: a unit failed", self._server.bus, exc_info=error)
        statistics.failures += 1
        return self._refuse(function, DEVICE_FAILURE)

    def _refuse(self, function: int, code: int) -> bytes:
        self._server.statistics.exceptions += 1
        return exception(function, code)

    def _arrive(self, frame: bytes) -> None:
        """Take a request that reached the device."""
        raise NotImplementedError

    def _put(self, data: bytes) -> None:
        """Put bytes on the wire and on the tape."""
        raise NotImplementedError


class Queue:
    """Requests that wait while the device works on one; bounded."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: list[bytes] = []

    def __len__(self) -> int:
        return len(self._frames)

    def push(self, frame: bytes) -> bool:
        """Keep a frame; returns False when there are too many."""
        if len(self._frames) >= _MAX_WAITING:
            return False
        self._frames.append(frame)
        return True

    def pop(self) -> bytes:
        """Return the oldest frame."""
        return self._frames.pop(0)


def _keep_alive(transport: asyncio.BaseTransport) -> None:
    """Have the system look for hosts that went away without saying so."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
