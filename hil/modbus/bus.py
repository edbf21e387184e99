"""A Modbus connection or line that several devices share.

One request at a time is under way. Who waits is served in turn, device by device, so that one with
many requests cannot keep the others waiting; a device that wants a pause between requests is passed
over until it has had it. A device that does not answer is left alone for longer and longer, and
asked something short first when it gets another chance; so is an address that takes no connection.
None of this uses tasks or polling: the next in turn is woken when there is something to be sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ...sim.clock import US_PER_S, Clock, to_us
from .errors import ModbusError, ModbusLostError, ModbusRefusedError, ModbusSilentError
from .master import Master
from .requests import Request


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to leave something alone that does not answer."""

    allowed: int = 1
    """Failures in a row that have no consequence: a single lost frame happens."""
    first_s: float = 1.0
    factor: float = 2.0
    most_s: float = 30.0

    def pause_us(self, failures: int) -> int:
        """Return the pause after so many failures in a row."""
        beyond = failures - self.allowed
        if beyond <= 0:
            return 0
        # Beyond 60 doublings every pause is the longest one.
        return to_us(min(self.first_s * self.factor ** min(beyond - 1, 60), self.most_s))


_ALWAYS: Final = -(1 << 61)
"""Before any time: clocks may begin before zero."""
DEVICE_BACK_OFF: Final = BackOff()
CONNECT_BACK_OFF: Final = BackOff(allowed=1, first_s=0.25, most_s=5.0)
_ALONE_US: Final = 2 * US_PER_S
"""Longest pause for a device that has the bus to itself: there is nobody whom it could starve."""


class ModbusPausedError(ModbusSilentError):
    """A device or address that did not answer is left alone; nothing was sent."""


@dataclass(slots=True)
class SeatCounters:
    """What a device's requests have come to."""

    requests: int = 0
    answers: int = 0
    timed_out: int = 0
    refused: int = 0
    unusable: int = 0
    lost: int = 0
    """For want of a connection."""
    paused: int = 0
    """Not sent, because the device is left alone."""
    latency_us: int = 0
    """Of the last answer, from sending on."""
    latency_sum_us: int = 0
    latency_max_us: int = 0


@dataclass(slots=True)
class Seat:
    """A device's place on a bus."""

    index: int
    """Among the seats of its bus."""
    unit: int
    min_gap_us: int = 0
    """Between an answer and the next request."""
    probe: Request | None = None
    """A short request that the device is asked first after it did not answer."""
    counters: SeatCounters = field(default_factory=SeatCounters)
    failures: int = 0
    """Requests without answer in a row."""
    retry_us: int = _ALWAYS
    """Until when it is left alone."""
    free_us: int = _ALWAYS
    """From when on it takes the next request."""
    asked_us: int | None = None
    """When it was last asked; None: never."""
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class ModbusBus:
    """One client, shared by devices; raises what the client raises, and `ModbusPausedError`."""

    def __init__(
        self,
        clock: Clock,
        client: Master,
        *,
        back_off: BackOff = DEVICE_BACK_OFF,
        reconnect: BackOff = CONNECT_BACK_OFF,
    ) -> None:
        self.client = client
        self.generation = 0
        """Counts connections: who was verified on an older one must be verified again."""
        self.seats: list[Seat] = []
        self._clock = clock
        self._back_off = back_off
        self._reconnect = reconnect
        self._busy = False
        self._waiting = 0
        """Requests that wait for a turn, cancelled ones included."""
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us = 0
        self._connect_failures = 0
        self._connect_us = _ALWAYS
        self._closed = False

    @property
    def clock(self) -> Clock:
        """The clock that times are of."""
        return self._clock

    def join(self, unit: int, min_gap_s: float = 0.0, probe: Request | None = None) -> Seat:
        """Return a seat for a device."""
        seat = Seat(len(self.seats), unit, to_us(min_gap_s), probe)
        self.seats.append(seat)
        return seat

    async def connect(self, seat: Seat) -> None:
        """Connect, if it is not connected, when it is a device's turn.

        Raises `ModbusLostError`, `ModbusPausedError`.
        """
        if self.client.connected:
            return
        self._check(seat)
        if self._busy:
            await self._wait(seat)
        self._busy = True
        try:
            if not self.client.connected:
                await self._connect()
        finally:
            self._busy = False
            self._grant()

    def reopen(self) -> None:
        """Let a bus that was closed be used again."""
        self._closed = False

    def close(self) -> None:
        """Disconnect; whoever waits for a turn gets a `ModbusLostError`."""
        self._closed = True
        self.client.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for seat in self.seats:
            while seat.waiting:
                self._waiting -= 1
                future = seat.waiting.popleft()
                if not future.done():
                    future.set_exception(ModbusLostError(f"{self.client.name}: closed"))

    async def ask(
        self,
        seat: Seat,
        request: Request,
        timeout_s: float | None = None,
        generation: int | None = None,
    ) -> bytes:
        """Send a device's request when it is its turn; return function and data of the answer.

        With a `generation` it is only sent on that connection, and on no later one: who was
        verified there need not be who answers now.
        """
        if self._troubled(seat):
            self._check(seat)
        if self._busy or (seat.min_gap_us and seat.free_us > self._clock.now_us):
            await self._wait(seat)
        self._busy = True
        self._turn = seat.index
        try:
            if self._troubled(seat):
                # What happened to others meanwhile may concern this one.
                self._check(seat)
            if not self.client.connected:
                await self._connect()
            if generation is not None and generation != self.generation:
                raise ModbusLostError(f"{self.client.name}: the connection is another one now")
            if seat.failures and seat.probe is not None and self._suspect(seat):
                await self._send(seat, seat.probe, timeout_s)
            return await self._send(seat, request, timeout_s)
        except ModbusLostError:
            seat.counters.lost += 1
            raise
        finally:
            self._busy = False
            self._grant()

    async def _send(self, seat: Seat, request: Request, timeout_s: float | None) -> bytes:
        if seat.min_gap_us and seat.free_us > self._clock.now_us:
            # Between a probe and its request.
            await self._clock.sleep_until(seat.free_us)
        counters = seat.counters
        counters.requests += 1
        begin_us = seat.asked_us = self._clock.now_us
        try:
            answer = await self.client.ask(seat.unit, request, timeout_s)
        except ModbusLostError:
            # Taken, and dropped again: as good as not taken.
            self._not_connected()
            raise
        except ModbusSilentError:
            counters.timed_out += 1
            self._silent(seat)
            raise
        except ModbusRefusedError as refusal:
            counters.refused += 1
            if refusal.unreached:
                self._silent(seat)
            else:
                seat.failures, seat.retry_us = 0, _ALWAYS
            raise
        except ModbusError:
            counters.unusable += 1
            raise
        finally:
            if seat.min_gap_us:
                seat.free_us = self._clock.now_us + seat.min_gap_us
        seat.failures, seat.retry_us = 0, _ALWAYS
        self._connect_failures, self._connect_us = 0, _ALWAYS
        counters.answers += 1
        took_us = counters.latency_us = self._clock.now_us - begin_us
        counters.latency_sum_us += took_us
        counters.latency_max_us = max(counters.latency_max_us, took_us)
        return answer

    def _silent(self, seat: Seat) -> None:
        seat.failures += 1
        pause_us = self._back_off.pause_us(seat.failures)
        if len(self.seats) == 1:
            pause_us = min(pause_us, _ALONE_US)
        seat.retry_us = self._clock.now_us + pause_us

    def _suspect(self, seat: Seat) -> bool:
        """Return whether a device is to be asked something short first.

        On a line that is so after every lost answer, which may still come: what answers the short
        request has nothing older to say any more.
        """
        return self.client.line is not None or seat.failures > self._back_off.allowed

    def _troubled(self, seat: Seat) -> bool:
        return self._closed or seat.retry_us != _ALWAYS or self._connect_us != _ALWAYS

    def _check(self, seat: Seat) -> None:
        """Raise if nothing may be sent to a device now."""
        name = self.client.name
        if self._closed:
            raise ModbusLostError(f"{name}: closed")
        if seat.retry_us != _ALWAYS or self._connect_us != _ALWAYS:
            now_us = self._clock.now_us
            if seat.retry_us > now_us:
                seat.counters.paused += 1
                left_s = (seat.retry_us - now_us) / US_PER_S
                raise ModbusPausedError(
                    f"{name}, unit {seat.unit}: {seat.failures} requests without answer, next "
                    f"in {left_s:.1f} s"
                )
            if self._connect_us > now_us and not self.client.connected:
                seat.counters.paused += 1
                left_s = (self._connect_us - now_us) / US_PER_S
                raise ModbusPausedError(f"{name}: no connection, next attempt in {left_s:.1f} s")

    async def _connect(self) -> None:
        try:
            await self.client.connect()
        except ModbusLostError:
            self._not_connected()
            raise
        self.generation += 1

    def _not_connected(self) -> None:
        self._connect_failures += 1
        pause_us = self._reconnect.pause_us(self._connect_failures)
        self._connect_us = self._clock.now_us + pause_us

    async def _wait(self, seat: Seat) -> None:
        """Return when it is a seat's turn; the bus is then its own."""
        future = asyncio.get_running_loop().create_future()
        seat.waiting.append(future)
        self._waiting += 1
        self._grant()
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled() and future.exception() is None:
                # Cancelled just when its turn had come: the next one has it.
                self._busy = False
                self._grant()
            raise

    def _grant(self) -> None:
        """Give the bus to the next in turn, now or when one may send."""
        if self._busy or not self._waiting:
            return
        now_us = self._clock.now_us
        soonest_us: int | None = None
        for step in range(1, len(self.seats) + 1):
            seat = self.seats[(self._turn + step) % len(self.seats)]
            while seat.waiting and seat.waiting[0].done():
                seat.waiting.popleft()
                self._waiting -= 1
            if not seat.waiting:
                continue
            if seat.free_us <= now_us:
                self._busy = True
                self._waiting -= 1
                seat.waiting.popleft().set_result(None)
                return
            if soonest_us is None or seat.free_us < soonest_us:
                soonest_us = seat.free_us
        if soonest_us is None or (self._timer is not None and self._timer_us <= soonest_us):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_us = soonest_us
        delay_s = (soonest_us - now_us) / US_PER_S
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._due)

    def _due(self) -> None:
        self._timer = None
        self._grant()
