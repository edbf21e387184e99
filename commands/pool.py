"""Worker processes for commands that have many runs: audit, suite, tune.

Workers are fresh processes, can be interrupted, and end when the command itself is killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Final, ParamSpec, Protocol, TypeVar

from .show import EXIT_ABORTED

#: Time that a run has to close its record when the command itself was killed.
_GRACE_S: Final = 10.0

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


class Submit(Protocol):
    """Has a function of a module called with picklable arguments, now or by a worker."""

    def __call__(
        self, function: Callable[_Given, _Found], /, *args: _Given.args, **kwargs: _Given.kwargs
    ) -> Future[_Found]:
        """Return the future of ``function(*args, **kwargs)``."""
        ...


@contextlib.contextmanager
def workers(jobs: int) -> Iterator[Submit]:
    """Yield what submits calls to ``jobs`` processes; with 1 each is made when it is submitted.

    An exception in the body cancels the calls that have not begun and waits for the others.
    """
    if jobs == 1:
        yield _call_now
        return
    # Fresh processes, on every platform: a forked one would share compiled code's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_be_interruptible) as pool:
        try:
            yield pool.submit
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _call_now(
    function: Callable[_Given, _Found], /, *args: _Given.args, **kwargs: _Given.kwargs
) -> Future[_Found]:
    future: Future[_Found] = Future()
    future.set_result(function(*args, **kwargs))
    return future


def _be_interruptible() -> None:
    """Let Ctrl-C end an idle worker without a traceback; a run handles it by itself."""
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
