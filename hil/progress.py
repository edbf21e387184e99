"""Progress of runs: a moving line on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any, Final, Protocol, TextIO

from ..sim.clock import US_PER_S

_PLAIN_EVERY_S: Final = 10.0


class Progress(Protocol):
    """Who is told how far a run is."""

    def start(self, label: str, duration_us: int) -> None:
        """Begin a run."""

    def note(self, text: str) -> None:
        """Say something about a run that is being prepared."""

    def update(self, t_us: int) -> None:
        """Say that a run has come to a simulated time; called about ten times a second."""

    def finish(self, outcome: str, t_us: int | None) -> None:
        """End a run at a simulated time; None: it is not known."""


class Silent:
    """Says nothing."""

    def start(self, label: str, duration_us: int) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def update(self, t_us: int) -> None:
        """Ignore."""

    def finish(self, outcome: str, t_us: int | None) -> None:
        """Ignore."""


class PlainProgress:
    """A line when a run begins to take long, every ten seconds after that, and when it ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._label = ""
        self._duration_us = self._t_us = 0
        self._begin_s = self._told_s = 0.0

    def start(self, label: str, duration_us: int) -> None:
        """Begin a run."""
        self._label, self._duration_us, self._t_us = label, duration_us, 0
        self._begin_s = self._told_s = perf_counter()

    def note(self, text: str) -> None:
        """Print it."""
        self._print(text)

    def update(self, t_us: int) -> None:
        """Print a line if the last one is ten seconds old."""
        self._t_us = t_us
        if perf_counter() - self._told_s >= _PLAIN_EVERY_S:
            self._told_s = perf_counter()
            share = t_us / max(self._duration_us, 1)
            self._say(f"{share:4.0%}, {self._pace(t_us)}")

    def finish(self, outcome: str, t_us: int | None) -> None:
        """Print how the run ended."""
        done_us = _done_us(outcome, t_us, self._t_us, self._duration_us)
        self._say(f"{outcome}, {self._pace(done_us)}")

    def _pace(self, t_us: int) -> str:
        return f"{simulated(t_us)} simulated, {speed(t_us, perf_counter() - self._begin_s)}"

    def _say(self, text: str) -> None:
        self._print(f"{self._label}: {text}")

    def _print(self, text: str) -> None:
        # Progress is no result: a stream that is full or closed must not end the run.
        with suppress(OSError, ValueError):
            print(text, file=self._stream, flush=True)


class RichProgress:
    """A moving bar on a terminal."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task: Any = None
        self._label = ""
        self._duration_us = self._t_us = 0
        self._begin_s = 0.0

    def start(self, label: str, duration_us: int) -> None:
        """Begin a run."""
        self._label, self._duration_us, self._t_us = label, duration_us, 0
        self._begin_s = perf_counter()
        self._task = self._bar.add_task(label, total=duration_us, pace="starting")

    def note(self, text: str) -> None:
        """Print it above the bar."""
        self._bar.console.print(text, highlight=False, markup=False)

    def update(self, t_us: int) -> None:
        """Move the bar."""
        self._t_us = t_us
        self._bar.update(self._task, completed=t_us, pace=self._pace(t_us))

    def finish(self, outcome: str, t_us: int | None) -> None:
        """Replace the bar by a line that stays."""
        done_us = _done_us(outcome, t_us, self._t_us, self._duration_us)
        self._bar.remove_task(self._task)
        self._bar.console.print(f"{self._label}: {outcome}, {self._pace(done_us)}", highlight=False)

    def _pace(self, t_us: int) -> str:
        return f"{simulated(t_us)} simulated, {speed(t_us, perf_counter() - self._begin_s)}"


def _done_us(outcome: str, t_us: int | None, told_us: int, duration_us: int) -> int:
    if t_us is not None:
        return t_us
    return duration_us if outcome == "completed" else told_us


@contextmanager
def shown(stream: TextIO | None = None) -> Iterator[Progress]:
    """Show progress on a stream (default: stderr): moving if it is a terminal, else in lines."""
    stream = sys.stderr if stream is None else stream
    if stream is None:  # there is no stderr at all
        yield Silent()
        return
    if not stream.isatty():
        yield PlainProgress(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    with Bar(*columns, console=Console(file=stream), transient=True) as bar:
        yield RichProgress(bar)


def simulated(t_us: int) -> str:
    """Return a time as hours, minutes and seconds: ``1:02:03``."""
    seconds = t_us // US_PER_S
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def speed(t_us: int, elapsed_s: float) -> str:
    """Return a speed in words: ``12 300 × real time``, or ``1.0 ×`` where it is slow."""
    ratio = t_us / US_PER_S / max(elapsed_s, 1e-9)
    number = f"{ratio:,.0f}".replace(",", " ") if ratio >= 20 else f"{ratio:.1f}"
    return f"{number} × real time"
