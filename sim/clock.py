"""Simulation time: one queue of events, passed in no time at all or at the pace of the wall.

Time is an integer number of microseconds since the start of the run. Loop and drivers are ordinary
asyncio coroutines, written once; two clocks run them:

`VirtualClock`
    An asyncio loop whose time is the simulation's. When nothing is left to do at an instant, time
    jumps to the next event, so an unmodified asyncio client runs deterministically, and a time-out
    of a second passes in well under a millisecond.
`WallClock`
    The same queue, paced against the monotonic clock (times a factor), beside real sockets and
    serial ports.

**Order of simultaneous events.** Everything that waits for a time stands in one queue: `schedule`,
`sleep_until`, and asyncio's own `call_later`, `call_at`, `sleep` and time-outs. Events take place
in order of their time in whole microseconds; at one and the same microsecond in the order in which
they were scheduled. Whatever an event makes ready (coroutines it wakes, `call_soon`) runs to
completion before the next event. An event scheduled for a time that has passed takes place at once,
behind those already due. Both clocks keep this order; answers of real sockets, which only the wall
clock knows, come in between events, when they come.

The queue and the loop are in `sim.event_loop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

from .event_loop import (
    CALLS,
    US_PER_S,
    WAKES,
    ClockDeadlockError,
    ClockError,
    EventLoop,
    EventQueue,
    VirtualLoop,
    VirtualSelector,
    WallSelector,
)

__all__ = [
    "US_PER_S",
    "Clock",
    "ClockDeadlockError",
    "ClockError",
    "VirtualClock",
    "WallClock",
    "build_clock",
    "to_us",
]

T = TypeVar("T")


class Clock(Protocol):
    """What loop, drivers and bench know of time."""

    mode: Literal["virtual", "wall"]
    factor: float
    """Simulated seconds per real second; infinite in virtual time."""

    @property
    def now_us(self) -> int:
        """Microseconds of simulated time since the start of the first `run`."""

    async def sleep_until(self, t_us: int) -> None:
        """Return at `t_us`, or after the events already due when that has passed."""

    def schedule(self, t_us: int, callback: Callable[[], object]) -> None:
        """Call `callback()` at `t_us`; what it raises ends `run`."""

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return its result; may be called again."""

    def cancel(self) -> None:
        """Cancel the coroutine that `run` is running; safe in a signal handler."""

    def close(self) -> None:
        """Cancel what is left and close the loop."""


def to_us(seconds: float) -> int:
    """Return seconds as the nearest integer number of microseconds."""
    return round(seconds * US_PER_S)


class _BaseClock:
    """What both clocks share: the queue, the loop, and running coroutines on it."""

    _loop: EventLoop

    def __init__(self, start_us: int = 0) -> None:
        self._queue = EventQueue(start_us)
        self._main: asyncio.Task[Any] | None = None

    async def sleep_until(self, t_us: int) -> None:
        """Return at `t_us`, or after the events already due when that has passed."""
        future = self._loop.create_future()
        self._queue.at(t_us, WAKES, future)
        await future

    def schedule(self, t_us: int, callback: Callable[[], object]) -> None:
        """Call `callback()` at `t_us`; what it raises ends `run`."""
        self._queue.at(t_us, CALLS, callback)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return its result; may be called again.

        Raises what the coroutine or a scheduled callback raises, and `ClockDeadlockError` when
        nothing is left that could wake it. The coroutine is then cancelled and its `finally`
        clauses have run.
        """
        if self._loop.is_closed():
            coroutine.close()
            raise ClockError("the clock is closed")
        task: asyncio.Task[T] = self._loop.create_task(coroutine)
        self._main = task
        try:
            return self._loop.run_until_complete(task)
        except BaseException:
            self._end({task})
            raise
        finally:
            self._main = None

    def cancel(self) -> None:
        """Cancel the coroutine that `run` is running; safe in a signal handler."""
        if self._main is not None:
            self._loop.call_soon_threadsafe(self._main.cancel)

    def close(self) -> None:
        """Cancel what is left and close the loop."""
        if self._loop.is_closed():
            return
        self._end(asyncio.all_tasks(self._loop))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _end(self, tasks: set[asyncio.Task[Any]]) -> None:
        left = {task for task in tasks if not task.done()}
        for task in left:
            task.cancel()
        if left:
            # Whoever answers a cancellation by waiting for nothing again is given up.
            with contextlib.suppress(ClockDeadlockError):
                self._loop.run_until_complete(asyncio.wait(left))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class VirtualClock(_BaseClock):
    """Simulated time that passes as fast as the work at each instant is done.

    It begins at `start_us`: before 0 where something has to be ready when a run begins.
    """

    mode: Literal["virtual", "wall"] = "virtual"
    factor = float("inf")

    def __init__(self, start_us: int = 0) -> None:
        super().__init__(start_us)
        queue = self._queue
        self._loop = VirtualLoop(queue, VirtualSelector(queue), lambda: queue.now_us)

    @property
    def now_us(self) -> int:
        """Microseconds of simulated time: the time of the event that takes place."""
        return self._queue._now  # type: ignore[return-value]  # only integers are ever queued


class WallClock(_BaseClock):
    """Simulated time paced against the monotonic clock, `factor` simulated seconds a second.

    Time starts with the first `run`, at `start_us`, and never stands still, so `now_us` lies behind
    the time of the event that takes place by however late that is. With `zero_ns` it is given by
    the machine's monotonic clock from the beginning: 0 at that instant, which clocks of several
    processes can share. Timers of asyncio count simulated seconds too, so beside real devices the
    factor must be 1.
    """

    mode: Literal["virtual", "wall"] = "wall"

    def __init__(
        self, factor: float = 1.0, *, start_us: int = 0, zero_ns: int | None = None
    ) -> None:
        if not 0 < factor < float("inf"):
            raise ClockError(f"factor is {factor}; a wall clock needs one above 0, and finite")
        self.factor = float(factor)
        self._start_us = start_us
        self._zero_ns = zero_ns
        super().__init__(self._elapsed_us())
        selector = WallSelector(self._queue, self._elapsed_us, self.factor)
        self._loop = EventLoop(self._queue, selector, self._elapsed_us)

    def _elapsed_us(self) -> int:
        if self._zero_ns is None:
            return self._start_us
        return int((time.monotonic_ns() - self._zero_ns) * self.factor) // 1000

    def restart_at(self, zero_ns: int) -> None:
        """Let time be 0 at another instant of the monotonic clock, earlier than it would have been.

        What was queued for times that are thereby over takes place at once.
        """
        if self._zero_ns is not None and zero_ns > self._zero_ns:
            raise ClockError("a clock cannot be put back")
        self._zero_ns = zero_ns

    @property
    def zero_ns(self) -> int | None:
        """The monotonic clock's time at simulated time 0; None before time has started."""
        return self._zero_ns

    @property
    def now_us(self) -> int:
        """Microseconds of simulated time that the monotonic clock says have passed."""
        return self._elapsed_us()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; the first call starts time."""
        if self._zero_ns is None:
            self._zero_ns = time.monotonic_ns() - round(self._start_us * 1000 / self.factor)
        return super().run(coroutine)


def build_clock(
    mode: Literal["virtual", "wall"], factor: float = 1.0, start_us: int = 0
) -> VirtualClock | WallClock:
    """Return a clock whose time begins at `start_us`; `factor` counts for the wall clock only."""
    if mode == "virtual":
        return VirtualClock(start_us)
    return WallClock(factor, start_us=start_us)
