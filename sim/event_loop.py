"""The asyncio loop under both clocks: its timers stand in one queue of events.

asyncio asks a selector to wait; this one takes the next event off the queue instead of, or while,
blocking. SimPy keeps the queue, and only this module knows it: its time is only ever an integer,
because events are stepped one by one and never run `until` a float. The order of simultaneous
events is in `sim.clock`.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from heapq import heappush
from typing import Any, Final, TypeVar, TypeVarTuple

import simpy

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

US_PER_S: Final = 1_000_000
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


class _Event:
    """As little of an event as SimPy's queue needs: there are a dozen in every simulated second."""

    __slots__ = ("argument", "callbacks")

    _ok = True

    def __init__(self, callbacks: tuple[Callable[[_Event], None]], argument: Any) -> None:
        self.callbacks = callbacks
        self.argument = argument


class EventQueue(simpy.Environment):
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


CALLS, WAKES, _RUNS = (_calls,), (_wakes,), (_runs,)
"""What an event does with its argument: calls it; sets the result of a future; runs a handle."""


class _Selector(selectors.SelectSelector):
    """Where the loop waits: it takes the next event off the queue instead of, or while, blocking.

    asyncio calls `select(0)` as long as callbacks are ready, and `select(None)` when none is:
    timers never stand in asyncio's own heap (see `EventLoop.call_at`).
    """

    def __init__(self, queue: EventQueue) -> None:
        super().__init__()
        self.queue = queue
        self.loop: EventLoop | None = None

    def deadlock(self, now_us: int) -> ClockDeadlockError:
        """Return the error that names the tasks which wait for nothing."""
        assert self.loop is not None
        tasks = asyncio.all_tasks(self.loop)
        return ClockDeadlockError(now_us, sorted(_where(task) for task in tasks))


class VirtualSelector(_Selector):
    """Waits for nothing outside: the next event takes place at once."""

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


class WallSelector(_Selector):
    """Blocks in the operating system until the next event is due or a socket has something.

    It is a `select(2)`, whose time-outs have microseconds; those of epoll and poll are rounded up
    to milliseconds.
    """

    def __init__(self, queue: EventQueue, now_us: Callable[[], int], factor: float) -> None:
        super().__init__(queue)
        self._wall_us = now_us
        self._real_s_per_us = 1.0 / (factor * US_PER_S)

    def select(self, timeout: float | None = None) -> _Ready:
        """Wait for the next event or a descriptor; return the descriptors that are ready."""
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


class EventLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose timers stand in the queue of events and whose time is simulated."""

    def __init__(self, queue: EventQueue, selector: _Selector, now_us: Callable[[], int]) -> None:
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


class VirtualLoop(EventLoop):
    """The loop of a clock that waits for nothing outside."""

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


def _where(task: asyncio.Task[Any]) -> str:
    """Return a task's name and the innermost place in its coroutines where it waits."""
    waiting: Any = task.get_coro()
    name, line = getattr(waiting, "__qualname__", repr(waiting)), 0
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        name, line = waiting.__qualname__, frame.f_lineno
        waiting = waiting.cr_await
    return f"task '{task.get_name()}' in {name}, line {line}"
