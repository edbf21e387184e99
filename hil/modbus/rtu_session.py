"""One RTU line: a serial port, a pseudo terminal, or RTU frames over a connection.

The line is half duplex: one request is on it, then its answer, and requests that come meanwhile
wait. With `LineSettings` both take their time on the wire; without, the bytes of a real port do.
Unit 0 addresses all units: what writes is carried out by each, nobody answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from .framing import MAX_RTU, MIN_RTU, RtuDecoder, crc, rtu_frame
from .line import LineSettings
from .pdu import BROADCAST_FUNCTIONS
from .serving import Serving
from .session import Queue, Session
from .unit import Unit

_BROADCAST: Final = 0
_GARBAGE_SILENCE_US: Final = 20_000
_MAX_SENDING: Final = 64
_GIVEN_UP_US: Final = 2_000_000
"""A request that has waited for so long is dropped: whoever sent it waits no more, and would take
its answer for that of a later one."""


class RtuSession(Session):
    """The devices' end of a line."""

    def __init__(
        self,
        server: Serving,
        line: LineSettings | None,
        *,
        paced: bool = True,
        in_pieces: bool = True,
        lasting: bool = False,
        pulled: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(server)
        self._pulled = pulled
        self.lasting = lasting
        self._byte_us = line.byte_us if line is not None and paced else 0.0
        self._silence_us = round(line.silence_us) if line is not None else 0
        self._burst = MAX_RTU
        if line is not None and in_pieces:
            self._burst = max(1, int(line.burst_s * 1e6 / line.byte_us))
        self._decoder = RtuDecoder(self._known)
        self._settling: asyncio.TimerHandle | None = None
        self._came = 0
        self._quiet_us = -(1 << 62)
        """From when on what has come counts as followed by silence."""
        self._first_us = -(1 << 62)
        """When the first byte of the request that is coming came."""
        self._line_us = -(1 << 62)
        """Until when what was on the line last is on it."""
        self._busy = False
        self._paused = False
        self._queue = Queue()
        self._queued_us: deque[int] = deque()
        """When the requests in the queue came."""
        self._sending: list[bytes] = []

    def _known(self, unit_id: int) -> bool:
        return unit_id == _BROADCAST or unit_id in self._server.units

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the line."""
        super().connection_lost(exc)
        self._decoder.clear()
        self._sending.clear()
        if self._settling is not None:
            self._settling.cancel()

    def drop(self) -> None:
        """Pull the port out, or close the connection."""
        if self._pulled is not None and self._transport is not None:
            self._pulled()
        else:
            super().drop()

    def pause_writing(self) -> None:
        """Lose answers from now on: a line does not wait for who reads it."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send again."""
        self._paused = False

    def data_received(self, data: bytes) -> None:
        """Take bytes; serve the requests that are whole; wait for silence to settle the rest."""
        decoder = self._decoder
        if not decoder.pending:
            self._first_us = self._server.clock.now_us
        self._came += 1
        self._take(decoder.feed(data))
        if decoder.pending and self._transport is not None:
            self._quiet_us = self._server.clock.now_us + max(_GARBAGE_SILENCE_US, self._silence_us)
            if self._settling is None:
                self._listen()

    def _listen(self) -> None:
        wait_us = max(0, self._quiet_us - self._server.clock.now_us)
        self._settling = self._loop.call_later(wait_us * 1e-6, self._silent)

    def _silent(self) -> None:
        """Look whether it was silent; a timer for each piece would fill the clock's queue."""
        self._settling = None
        if self._transport is None or not self._decoder.pending:
            return
        if self._server.clock.now_us < self._quiet_us:
            self._listen()
        else:
            # In a loop that is late, bytes may be there already that nobody has read yet: they
            # are before this turn is over.
            self._loop.call_soon(self._settle, self._came)

    def _settle(self, came: int) -> None:
        if came != self._came or self._transport is None:
            if self._settling is None and self._transport is not None:
                self._listen()
        else:
            self._take(self._decoder.flush())

    def _take(self, frames: list[bytes]) -> None:
        decoder, statistics = self._decoder, self._server.statistics
        for frame in frames:
            self._received(frame)
        if decoder.bad_frames:
            statistics.bad_frames += decoder.bad_frames
            statistics.garbage_bytes += decoder.garbage_bytes
            decoder.bad_frames = decoder.garbage_bytes = 0

    def _arrive(self, frame: bytes) -> None:
        if not (self._busy or self._sending):
            self._begin(frame)
        elif self._queue.push(frame):
            self._queued_us.append(self._server.clock.now_us)
        else:
            self._server.statistics.dropped += 1

    def _begin(self, frame: bytes) -> None:
        """Wait until the request is through the wire and worked on."""
        server = self._server
        if len(frame) < MIN_RTU or crc(frame) != 0:
            server.statistics.bad_frames += 1  # a fault bent it
            return
        now_us = server.clock.now_us
        begin_us = max(self._line_us, min(self._first_us, now_us))
        self._first_us = now_us
        end_us = self._line_us = max(now_us, begin_us + round(len(frame) * self._byte_us))
        unit_id, pdu = frame[0], frame[1:-2]
        if unit_id == _BROADCAST:
            if pdu[0] in BROADCAST_FUNCTIONS:
                self._at(end_us, self._broadcast, pdu, None, 0)
            return
        unit = server.units.get(unit_id)
        if unit is None:
            server.statistics.unknown += 1
            return
        hold_us = unit.hold_us(end_us, pdu[0])
        if hold_us is None:
            server.statistics.dropped += 1
            return
        self._at(end_us + max(hold_us, self._silence_us), self._act, pdu, unit, unit_id)

    def _at(
        self,
        due_us: int,
        act: Callable[[bytes, Unit | None, int], None],
        pdu: bytes,
        unit: Unit | None,
        unit_id: int,
    ) -> None:
        wait_us = due_us - self._server.clock.now_us
        if wait_us <= 0:
            act(pdu, unit, unit_id)
        else:
            self._busy = True
            self._loop.call_later(wait_us * 1e-6, self._done, act, pdu, unit, unit_id)

    def _done(
        self,
        act: Callable[[bytes, Unit | None, int], None],
        pdu: bytes,
        unit: Unit | None,
        unit_id: int,
    ) -> None:
        self._busy = False
        if self._transport is not None:
            act(pdu, unit, unit_id)
            self._go_on()

    def _act(self, pdu: bytes, unit: Unit | None, unit_id: int) -> None:
        assert unit is not None
        self._answer(rtu_frame(unit_id, self._ask(unit, pdu, self._server.clock.now_us)))

    def _broadcast(self, pdu: bytes, _unit: Unit | None, _unit_id: int) -> None:
        server = self._server
        t_us = server.clock.now_us
        server.statistics.broadcasts += 1
        for unit in list(server.units.values()):
            if unit.hold_us(t_us, pdu[0]) is not None:
                self._ask(unit, pdu, t_us)

    def _go_on(self) -> None:
        while self._queue and not (self._busy or self._sending):
            frame, came_us = self._queue.pop(), self._queued_us.popleft()
            if self._server.clock.now_us - came_us > _GIVEN_UP_US:
                self._server.statistics.dropped += 1
            else:
                self._begin(frame)

    def _put(self, data: bytes) -> None:
        """Send bytes at the pace of the line."""
        if not data or self._transport is None:
            return
        if not self._byte_us:
            self._write(data)
            self._note(data)
        elif len(self._sending) < _MAX_SENDING:
            self._sending.append(data)
            if len(self._sending) == 1:
                self._send(data, 0, self._server.clock.now_us)
        else:
            self._server.statistics.dropped += 1

    def _send(self, data: bytes, sent: int, begin_us: int) -> None:
        """Wait until the next piece is through, reckoned from the beginning so as not to drift."""
        end = min(len(data), sent + self._burst)
        wait_us = begin_us + end * self._byte_us - self._server.clock.now_us
        self._loop.call_later(max(wait_us, 0.0) * 1e-6, self._piece, data, sent, end, begin_us)

    def _piece(self, data: bytes, sent: int, end: int, begin_us: int) -> None:
        if self._transport is None:
            return
        self._write(data[sent:end])
        if end < len(data):
            self._send(data, end, begin_us)
            return
        self._note(data)
        self._line_us = self._server.clock.now_us
        self._sending.pop(0)
        if self._sending:
            self._send(self._sending[0], 0, self._line_us)
        else:
            self._go_on()

    def _write(self, data: bytes) -> None:
        if not self._paused and self._transport is not None:
            self._transport.write(data)

    def _note(self, data: bytes) -> None:
        server = self._server
        if server.tap is not None:
            server.tap.frame(server.bus, "answer", server.clock.now_us, data)
