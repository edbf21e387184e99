"""Worker processes: an interruption ends them, also those that hear no signal."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from wattbench.commands import pool

#: In code that hears no signal, as in a network that never answers. A text: whatever this module is
#: called, workers can take it.
DEAF = """
import pathlib, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGINT, signal.SIGTERM}})
pathlib.Path({ready!r}).touch()
time.sleep(600)
"""


def interrupted(ready: Path) -> None:
    """Be interrupted while a worker hears nothing."""
    with pool.workers(2) as submit:
        future = submit(exec, DEAF.format(ready=str(ready)))
        while not ready.exists():
            assert not future.done()
            time.sleep(0.01)
        raise KeyboardInterrupt


def test_a_worker_that_hears_nothing_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_PATIENCE_S", 1.0)
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "ready")
    assert not multiprocessing.active_children()
