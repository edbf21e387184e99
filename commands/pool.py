"""Worker processes for commands that have many runs: audit, suite, tune.

Workers are fresh processes, can be interrupted, and end when the command itself is killed.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from .show import EXIT_ABORTED

#: Time that a run has to close its record when the command itself was killed.
_GRACE_S: Final = 10.0
_DRAIN_S: Final = 0.02
#: How often workers are asked to end, and how long an idle one waits for the pool to end it.
_ASKED_S: Final = 1.0
#: How long workers are asked before they are killed: one that is in a network which never answers
#: hears nothing. What they held is then made safe by the guardian of their rig.
_PATIENCE_S: Final = 30.0
_IDLE_S: Final = 2.0

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


class Submit(Protocol):
    """Has a function of a module called with picklable arguments, now or by a worker."""

    def __call__(
        self, function: Callable[_Given, _Found], /, *args: _Given.args, **kwargs: _Given.kwargs
    ) -> Future[_Found]:
        """Return the future of ``function(*args, **kwargs)``."""
        ...


class Listener:
    """Hears what calls `tell` while they are made: at once in this process, else in `drain`."""

    def __init__(self, hear: Callable[[Any], object]) -> None:
        """Hear by calling ``hear``, in the thread that drains."""
        self.hear = hear
        self.queue: SimpleQueue[Any] | None = None

    def drain(self) -> None:
        """Hear what workers have told so far."""
        while self.queue is not None and not self.queue.empty():
            self.hear(self.queue.get())


def tell(message: Any) -> None:
    """Tell who submitted the call that is being made something picklable."""
    for hear in _heard_by:
        hear(message)


_heard_by: Final[list[Callable[[Any], object]]] = []
"""Who hears this process: nobody, or one."""


@contextlib.contextmanager
def workers(jobs: int, listener: Listener | None = None) -> Iterator[Submit]:
    """Yield what submits calls to ``jobs`` processes; with 1 each is made when it is submitted.

    An exception in the body cancels the calls that have not begun and waits for the others; an
    interruption asks them to stop, too. Nothing that they tell meanwhile is lost.
    """
    if jobs == 1:
        _heard_by[:] = [] if listener is None else [listener.hear]
        try:
            yield _call_now
        finally:
            _heard_by.clear()
        return
    # Fresh processes, on every platform: a forked one would share compiled code's threads.
    context = multiprocessing.get_context("spawn")
    queue: SimpleQueue[Any] | None = None
    if listener is not None:
        queue = listener.queue = context.SimpleQueue()
    with ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(queue,)) as pool:
        try:
            yield pool.submit
        except BaseException as problem:
            over = isinstance(problem, KeyboardInterrupt) or _is_broken(pool)
            pool.shutdown(wait=False, cancel_futures=True)
            _see_off(listener, asked_every_s=_ASKED_S if over else math.inf)
            raise


def _is_broken(pool: ProcessPoolExecutor) -> bool:
    """Return whether a worker of the pool has died, so that no call will ever end."""
    try:
        pool.submit(int)
    except BrokenProcessPool:
        return True
    return False


def _see_off(listener: Listener | None, asked_every_s: float) -> None:
    """Wait until every worker has ended; ask again and again those that have not.

    Not at once: Ctrl-C at a terminal reaches the workers by itself, and twice would cut short how
    they end.
    """
    asked_s = time.monotonic()
    killed_s = asked_s + (_PATIENCE_S if math.isfinite(asked_every_s) else math.inf)
    while children := multiprocessing.active_children():
        if listener is not None:
            listener.drain()  # who tells something waits for a place in the queue
        if time.monotonic() - asked_s >= asked_every_s:
            asked_s = time.monotonic()
            for child in children:
                child.terminate()  # a run that is under way closes its record
        if time.monotonic() >= killed_s:
            for child in children:
                child.kill()
        time.sleep(_DRAIN_S)
    if listener is not None:
        listener.drain()


def _call_now(
    function: Callable[_Given, _Found], /, *args: _Given.args, **kwargs: _Given.kwargs
) -> Future[_Found]:
    future: Future[_Found] = Future()
    future.set_result(function(*args, **kwargs))
    return future


def _begin(queue: SimpleQueue[Any] | None) -> None:
    """Let an idle worker outlive signals for a while, in which the pool ends it.

    One that dies while it waits for work takes the lock of the queue with it, and the others would
    never hear that there is nothing left to do. Runs handle signals by themselves.
    """
    if queue is not None:
        _heard_by.append(queue.put)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _heard_when_idle)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _heard_when_idle(_number: int, _frame: object) -> None:
    timer = threading.Timer(_IDLE_S, _end_if_idle)
    timer.daemon = True
    timer.start()


def _end_if_idle() -> None:
    if signal.getsignal(signal.SIGTERM) is _heard_when_idle:
        os._exit(EXIT_ABORTED)


def _end_with_parent() -> None:
    """Stop when the command itself was killed: nobody is left to take a result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)  # a run that is under way closes its record
        time.sleep(_GRACE_S)
        os._exit(EXIT_ABORTED)
