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

SimPy keeps the queue, and only this module knows it: its time is only ever an integer, because
events are stepped one by one and never run `until` a float.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import selectors
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from heapq import heappush
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar, TypeVarTuple

import simpy

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

US_PER_S = 1_000_000
_Ready = list[tuple[selectors.SelectorKey, int]]


class ClockError(RuntimeError):
    """A clock was asked for something that it cannot do."""


class ClockDeadlockError(ClockError):
    """Nothing is scheduled and the coroutine that was run is not done: it would wait for ever."""

    def __init__(self, now_us: int, waiting: list[str]) -> None:
        self.now_us = now_us
        self.waiting = waiting
        who = "; ".join(waiting) or "no task"
        super().__init__(
            f"nothing is scheduled after {now_us / US_PER_S:.6f} s of simulated time, so nobody "
            f"can go on; waiting: {who}"
        )


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


class _Event:
    """As little of an event as SimPy's queue needs: there are a dozen in every simulated second."""

    __slots__ = ("argument", "callbacks")

    _ok = True

    def __init__(self, callbacks: tuple[Callable[[_Event], None]], argument: Any) -> None:
        self.callbacks = callbacks
        self.argument = argument


class _Queue(simpy.Environment):
    """The queue of events; its time is an integer number of microseconds."""

    @property
    def now_us(self) -> int:
        """Time of the event that takes place."""
        return self._now  # type: ignore[return-value]  # only integers are ever queued

    def at(self, t_us: int, callbacks: tuple[Callable[[_Event], None]], argument: Any) -> None:
        """Let an event take place at `t_us`, or at once behind what is due if that has passed."""
        now_us = self._now
        at_us = int(t_us) if t_us > now_us else now_us
        event: Any = _Event(callbacks, argument)
        heappush(self._queue, (at_us, simpy.events.NORMAL, next(self._eid), event))


def _calls(event: _Event) -> None:
    event.argument()


def _wakes(event: _Event) -> None:
    future: asyncio.Future[None] = event.argument
    if not future.done():
        future.set_result(None)


def _runs(event: _Event) -> None:
    # As asyncio would: events take place when nothing is ready, so it would be the next to run.
    handle: Any = event.argument
    if not handle._cancelled:
        handle._run()


_CALLS, _WAKES, _RUNS = (_calls,), (_wakes,), (_runs,)


class _Selector(selectors.SelectSelector):
    """Where the loop waits: it takes the next event off the queue instead of, or while, blocking.

    asyncio calls `select(0)` as long as callbacks are ready, and `select(None)` when none is:
    timers never stand in asyncio's own heap (see `_Loop.call_at`).
    """

    def __init__(self, queue: _Queue) -> None:
        super().__init__()
        self.queue = queue
        self.loop: _Loop | None = None

    def deadlock(self, now_us: int) -> ClockDeadlockError:
        """Return the error that names the tasks which wait for nothing."""
        assert self.loop is not None
        tasks = asyncio.all_tasks(self.loop)
        return ClockDeadlockError(now_us, sorted(_where(task) for task in tasks))


class _VirtualSelector(_Selector):
    def select(self, timeout: float | None = None) -> _Ready:
        """Let events take place until one makes something ready, or the loop is to stop."""
        if timeout is not None:
            return []
        loop: Any = self.loop
        ready, step = loop._ready, self.queue.step
        try:
            while not ready and not loop._stopping:
                step()
        except simpy.core.EmptySchedule:
            raise self.deadlock(self.queue.now_us) from None
        return []


class _WallSelector(_Selector):
    """Blocks in the operating system until the next event is due or a socket has something.

    It is a `select(2)`, whose time-outs have microseconds; those of epoll and poll are rounded up
    to milliseconds.
    """

    def __init__(self, queue: _Queue, now_us: Callable[[], int], factor: float) -> None:
        super().__init__(queue)
        self._wall_us = now_us
        self._real_s_per_us = 1.0 / (factor * US_PER_S)

    def select(self, timeout: float | None = None) -> _Ready:
        if timeout is not None:
            return super().select(timeout)
        next_us = self.queue.peek()
        if next_us == float("inf"):
            if self._nothing_outside():
                raise self.deadlock(self._wall_us())
            return super().select(None)
        wait_us = next_us - self._wall_us()
        if wait_us > 0:
            return super().select(wait_us * self._real_s_per_us)
        self.queue.step()
        return super().select(0)

    def _nothing_outside(self) -> bool:
        # One descriptor is the loop's own pipe, through which other threads wake it.
        files: Mapping[Any, Any] | None = self.get_map()
        threads = getattr(self.loop, "_default_executor", None)
        return (files is None or len(files) <= 1) and threads is None


class _Loop(asyncio.SelectorEventLoop):
    """An asyncio loop whose timers stand in the queue of events and whose time is simulated."""

    def __init__(self, queue: _Queue, selector: _Selector, now_us: Callable[[], int]) -> None:
        self._queue = queue
        self._now = now_us
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self._now() * 1e-6

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Queue a timer; `when` is rounded to the nearest microsecond."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._queue.at(round(when * US_PER_S), _RUNS, handle)
        return handle


class _VirtualLoop(_Loop):
    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self._queue._now * 1e-6

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Refuse: a thread takes real time, which virtual time does not wait for."""
        name = getattr(func, "__qualname__", repr(func))
        raise ClockError(
            f"'{name}' wants a thread, for instance to look up a host name; that takes real time, "
            "which the virtual clock does not know. Use the wall clock, or an in-memory transport"
        )


class _BaseClock:
    """What both clocks share: the queue, the loop, and running coroutines on it."""

    _loop: _Loop

    def __init__(self, start_us: int = 0) -> None:
        self._queue = _Queue(start_us)
        self._main: asyncio.Task[Any] | None = None

    async def sleep_until(self, t_us: int) -> None:
        """Return at `t_us`, or after the events already due when that has passed."""
        future = self._loop.create_future()
        self._queue.at(t_us, _WAKES, future)
        await future

    def schedule(self, t_us: int, callback: Callable[[], object]) -> None:
        """Call `callback()` at `t_us`; what it raises ends `run`."""
        self._queue.at(t_us, _CALLS, callback)

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
        self._loop = _VirtualLoop(queue, _VirtualSelector(queue), lambda: queue.now_us)

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
        selector = _WallSelector(self._queue, self._elapsed_us, self.factor)
        self._loop = _Loop(self._queue, selector, self._elapsed_us)

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


def _where(task: asyncio.Task[Any]) -> str:
    """Return a task's name and the innermost place in its coroutines where it waits."""
    waiting: Any = task.get_coro()
    name, line = getattr(waiting, "__qualname__", repr(waiting)), 0
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        name, line = waiting.__qualname__, frame.f_lineno
        waiting = waiting.cr_await
    return f"task '{task.get_name()}' in {name}, line {line}"
