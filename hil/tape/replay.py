"""A tape as the devices: each request is answered as it was when the tape was recorded.

Requests are matched by their content without running numbers (the transaction id of Modbus TCP,
the transaction and sequence numbers of Zigbee), each time with the next answer that the tape has
for it, after the time that it took then. A request that was not answered then stays unanswered; so
does one that the tape does not have (any more), and `missed` says which. What devices sent without
being asked comes as long after the request before it as it did then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, cast

from ...sim.clock import Clock
from ..zigbee import mt
from .cutting import TCP_KINDS, cutter
from .decode import Decoder
from .link import whole
from .model import TapeFrame, TapeHeader
from .reader import TapeReader
from .shapes import shape, with_values
from .znp_numbers import Numbers, without

_PENDING: Final = 256
_SILENCE_S: Final = 0.5
"""After which the beginning of a request is taken for garbage."""


@dataclass(slots=True)
class _Answer:
    """What came after a request: when, and its bytes; of Modbus TCP the offset of its id."""

    delay_us: int
    data: bytes
    offset: int | None = None


@dataclass(slots=True)
class _Exchange:
    t_us: int
    frame: bytes
    key: bytes
    transaction: int
    answers: list[_Answer] = field(default_factory=list)
    used: bool = False


class BusReplay:
    """One bus of a tape, played as its devices.

    Args:
        frames: of the bus, in order.
        kind: of the bus.
        clock: of the run.
        name: of the bus.
        immediate: answer at once instead of after the recorded time.
        hold: go on with the last answer to a request when the tape has no more.
        loose: let a command with other values than then be answered as it was; see `altered`.
        decoder: says what a request that was missed is about.
    """

    def __init__(
        self,
        frames: Iterable[TapeFrame],
        kind: str,
        clock: Clock,
        *,
        name: str = "bus",
        immediate: bool = False,
        hold: bool = False,
        loose: bool = False,
        decoder: Decoder | None = None,
    ) -> None:
        self.name, self.kind = name, kind
        self.on_missed: Callable[[str], object] | None = None
        self.on_held: Callable[[str], object] | None = None
        self.missed: dict[str, int] = {}
        """What was asked for but is not on the tape (any more), and how often."""
        self.held: dict[str, int] = {}
        """What was answered with the last answer once more, and how often."""
        self.on_altered: Callable[[str], object] | None = None
        self.altered: dict[str, int] = {}
        """Commands with other values than on the tape, and how often."""
        self.end_us: int | None = None
        """Time of the last frame."""
        self.answered = 0
        """Requests that the tape has."""
        self.recorded = 0
        self._clock = clock
        self._immediate = immediate
        self._hold = hold
        self._last: dict[bytes, _Exchange] = {}
        self._loose = loose
        self._shapes: dict[bytes, deque[_Exchange]] = {}
        self._numbers = Numbers() if kind == "znp" else None
        self._decoder = decoder
        self._waiting: dict[bytes, deque[_Exchange]] = {}
        self._times: dict[bytes, int] = {}
        self._opening: list[_Answer] = []
        self._opened = False
        for exchange in self._exchanges(frames):
            self.recorded += 1
            self._waiting.setdefault(exchange.key, deque()).append(exchange)
            self._times[exchange.key] = self._times.get(exchange.key, 0) + 1
            like = shape(kind, exchange.frame) if loose else None
            if like is not None:
                self._shapes.setdefault(like, deque()).append(exchange)

    @property
    def left(self) -> int:
        """Requests on the tape that were not made yet."""
        return self.recorded - self.answered

    def protocol(self) -> asyncio.Protocol:
        """Return the devices' end of one new connection."""
        return _Connection(self)

    def opening(self) -> list[_Answer]:
        """Return what came before the first request; on the first connection only."""
        if self._opened:
            return []
        self._opened = True
        return self._opening

    def request(self, frame: bytes) -> list[tuple[int, bytes]]:
        """Return the answers to a request: delay in µs and bytes."""
        key, transaction = self._key(frame)
        waiting = self._waiting.get(key)
        while waiting and waiting[0].used:
            waiting.popleft()
        answers: list[_Answer] | None = None
        if waiting:
            self.answered += 1
            found = waiting.popleft()
            found.used = True
            if found.answers or key not in self._last:
                # What is held is what was answered last: tapes may end between the two.
                self._last[key] = found
        elif (like := self._alike(frame)) is not None:
            found = like
            self._count(self.altered, self.on_altered, frame, key)
            answers = [
                replace(one, data=with_values(self.kind, found.frame, frame, one.data))
                for one in found.answers
            ]
        elif self._hold and key in self._last:
            found = self._last[key]
            self._count(self.held, self.on_held, frame, key)
        else:
            self._count(self.missed, self.on_missed, frame, key)
            return []
        if self._numbers is not None:
            self._numbers.asked(found.frame, frame)
        return [
            (0 if self._immediate else one.delay_us, _renumbered(one, transaction))
            for one in (found.answers if answers is None else answers)
        ]

    def on_wire(self, data: bytes) -> bytes:
        """Return an answer with the running numbers of now; asked when it leaves."""
        return data if self._numbers is None else self._numbers.renumbered(data)

    def _alike(self, frame: bytes) -> _Exchange | None:
        """Return the next command on the tape that is this one but for its values.

        The last one stays, so that it can stand for all that follow.
        """
        like = shape(self.kind, frame) if self._loose else None
        known = self._shapes.get(like) if like is not None else None
        if not known:
            return None
        while len(known) > 1 and known[0].used:
            known.popleft()
        found = known[0]
        if not found.used:
            found.used = True
            self.answered += 1
        return found

    def _exchanges(self, frames: Iterable[TapeFrame]) -> Iterator[_Exchange]:
        """Yield the requests in order, each with all that was answered to it by then or later."""
        last: _Exchange | None = None
        pending: dict[int, _Exchange] = {}
        first_us: int | None = None
        for frame in frames:
            first_us = frame.t_us if first_us is None else first_us
            self.end_us = frame.t_us
            if frame.direction == "request":
                key, transaction = self._key(frame.data)
                last = _Exchange(frame.t_us, frame.data, key, transaction)
                pending[transaction] = last
                if len(pending) > _PENDING:
                    del pending[next(iter(pending))]
                yield last
            elif last is None:
                self._opening.append(_Answer(frame.t_us - first_us, frame.data))
            else:
                owner = self._owner(frame.data, pending) or last
                offset = None
                if self.kind in TCP_KINDS and len(frame.data) >= 2:
                    number = int.from_bytes(frame.data[:2], "big")
                    offset = (number - owner.transaction) % 65536
                owner.answers.append(_Answer(frame.t_us - owner.t_us, frame.data, offset))

    def _key(self, frame: bytes) -> tuple[bytes, int]:
        """Return what a request is matched by, and what its answer refers to it by."""
        if self.kind in TCP_KINDS:
            number = int.from_bytes(frame[:2], "big")
            return (frame[6:] if whole(frame) else frame[2:]), number
        if self.kind == "znp" and len(frame) >= 4:
            return without(frame), _command(frame)
        return frame, 0

    def _owner(self, answer: bytes, pending: dict[int, _Exchange]) -> _Exchange | None:
        if self.kind in TCP_KINDS:
            return pending.pop(int.from_bytes(answer[:2], "big"), None)
        if self.kind == "znp" and len(answer) >= 4 and answer[2] << 8 & mt.TYPE_MASK == mt.SRSP:
            return pending.pop(_command(answer) & ~mt.TYPE_MASK | mt.SREQ, None)
        return None

    def _count(
        self,
        counts: dict[str, int],
        told: Callable[[str], object] | None,
        frame: bytes,
        key: bytes,
    ) -> None:
        """Count a request that the tape does not have (any more), and tell the first of a kind."""
        what = frame.hex(" ")
        if self._decoder is not None:
            shown = TapeFrame(0, self._clock.now_us, self.name, self.kind, "request", frame)
            what = self._decoder.meaning(shown).line()
        times = self._times.get(key, 0)
        again = f"asked for more than the {times} times that are on the tape"
        text = f"{self.name}: {what}: {again if times else 'not on the tape'}"
        counts[text] = counts.get(text, 0) + 1
        if counts[text] == 1 and told is not None:
            told(text)


class Replay:
    """All buses of a tape.

    Args:
        reader: the tape.
        clock: of the run.
        immediate: answer at once instead of after the recorded time.
        hold: go on with the last answer to a request when the tape has no more.
        loose: let a command with other values than then be answered as it was.
    """

    def __init__(
        self,
        reader: TapeReader,
        clock: Clock,
        *,
        immediate: bool = False,
        hold: bool = False,
        loose: bool = False,
    ) -> None:
        self.header: TapeHeader = reader.header
        by_bus: dict[str, list[TapeFrame]] = {bus.name: [] for bus in reader.header.buses}
        for frame in reader:
            by_bus.setdefault(frame.bus, []).append(frame)
        decoder = Decoder(reader.header)
        self.buses: dict[str, BusReplay] = {}
        for name, frames in by_bus.items():
            bus = reader.buses.get(name)
            kind = bus.kind if bus else "unknown"
            self.buses[name] = BusReplay(
                frames,
                kind,
                clock,
                name=name,
                immediate=immediate,
                hold=hold,
                loose=loose,
                decoder=decoder,
            )

    @property
    def end_us(self) -> int:
        """Time of the last frame, 0 where there is none."""
        return max((bus.end_us for bus in self.buses.values() if bus.end_us is not None), default=0)

    def protocol(self, bus: str) -> asyncio.Protocol:
        """Return the devices' end of a new connection to a bus. Raises KeyError for a wrong one."""
        return self.buses[bus].protocol()


class _Connection(asyncio.Protocol):
    """Cuts what comes into requests and sends the recorded answers."""

    def __init__(self, bus: BusReplay) -> None:
        self._bus = bus
        self._transport: asyncio.Transport | None = None
        self._cut = cutter(bus.kind)
        self._silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; what devices sent before they were asked is sent again."""
        self._transport = cast(asyncio.Transport, transport)
        for one in self._bus.opening():
            self._send_later(one.delay_us, one.data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Answers still due have nobody to go to."""
        self._transport = None
        if self._silence is not None:
            self._silence.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer the requests that are whole now."""
        self._answer(self._cut.feed(data))
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self._cut.pending:
            self._silence = asyncio.get_running_loop().call_later(_SILENCE_S, self._settle)

    def _settle(self) -> None:
        self._answer(self._cut.flush())

    def _answer(self, requests: Iterable[bytes]) -> None:
        for request in requests:
            for delay_us, data in self._bus.request(request):
                self._send_later(delay_us, data)

    def _send_later(self, delay_us: int, data: bytes) -> None:
        if delay_us <= 0:
            self._send(data)
        else:
            asyncio.get_running_loop().call_later(delay_us * 1e-6, self._send, data)

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(self._bus.on_wire(data))


def _renumbered(answer: _Answer, transaction: int) -> bytes:
    if answer.offset is None:
        return answer.data
    number = (transaction + answer.offset) % 65536
    return number.to_bytes(2, "big") + answer.data[2:]


def _command(frame: bytes) -> int:
    return frame[2] << 8 | frame[3]
