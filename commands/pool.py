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
from multiprocessing.queues import SimpleQueue
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from .show import EXIT_ABORTED

#: Time that a run has to close its record when the command itself was killed.
_GRACE_S: Final = 10.0
_DRAIN_S: Final = 0.02
_HEARD_S: Final = 1.0

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
            pool.shutdown(wait=False, cancel_futures=True)
            _see_off(listener, asked_from_s=_HEARD_S if _is_stop(problem) else math.inf)
            raise


def _is_stop(problem: BaseException) -> bool:
    return isinstance(problem, KeyboardInterrupt)


def _see_off(listener: Listener | None, asked_from_s: float) -> None:
    """Wait until every worker has ended; after a while ask them to.

    Ctrl-C at a terminal reaches the workers by itself, and twice would cut short how they end.
    """
    begin_s, asked = time.monotonic(), False
    while children := multiprocessing.active_children():
        if listener is not None:
            listener.drain()  # who tells something waits for a place in the queue
        if not asked and time.monotonic() - begin_s >= asked_from_s:
            asked = True
            for child in children:
                child.terminate()  # a run that is under way closes its record
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
    """Let Ctrl-C end an idle worker without a traceback; a run handles it by itself."""
    if queue is not None:
        _heard_by.append(queue.put)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Stop when the command itself was killed: nobody is left to take a result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)  # a run that is under way closes its record
        time.sleep(_GRACE_S)
        os._exit(EXIT_ABORTED)
