"""How far a suite is: a bar a worker on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from .estimate import Estimate, in_words
from .unit import Reached, Started

if TYPE_CHECKING:
    from ...evaluation.suite.results import RunRow
    from .work import Work

_PLAIN_EVERY_S: Final = 10.0


class SuiteProgress(Protocol):
    """Who is told how far a suite is."""

    def say(self, text: str) -> None:
        """Say something that stays."""

    def note(self, text: str) -> None:
        """Say what a person should know of a scenario, once."""

    def begin(self, work: Work, estimate: Estimate) -> None:
        """Begin the runs."""

    def heard(self, message: Started | Reached) -> None:
        """Take what a worker says of its run."""

    def finished(self, row: RunRow) -> None:
        """Take a finished run."""

    def brackets(self, total: int) -> None:
        """Begin the brackets."""

    def bracketed(self, done: int) -> None:
        """Take how many brackets are done."""

    def tick(self) -> None:
        """Show what has changed; called about ten times a second."""


class _Brackets:
    """How many brackets are done; how long one takes is known once one is."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self._begin_s = perf_counter()

    def counted(self) -> str:
        """Return how many are done, and how long the others will take."""
        text = f"{self.done} of {self.total} brackets"
        if not self.done:
            return text
        left_s = (perf_counter() - self._begin_s) * (self.total - self.done) / self.done
        return f"{text}, {in_words(left_s)} left"


class Lines:
    """Plain lines: now and then how many runs are done, and each run that did not pass."""

    def __init__(self, stream: TextIO | None) -> None:
        """Print to a stream; None: nowhere."""
        self._stream = stream
        self._noted: set[str] = set()
        self._told_s = perf_counter()
        self._work: Work | None = None
        self._estimate = Estimate((), 1)
        self._total = 0
        self._brackets: _Brackets | None = None

    def say(self, text: str) -> None:
        """Print a line; a stream that is full or closed must not end the suite."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                print(text, file=self._stream, flush=True)

    def note(self, text: str) -> None:
        """Print a line that was not there yet."""
        if text not in self._noted:
            self._noted.add(text)
            self.say(text)

    def begin(self, work: Work, estimate: Estimate) -> None:
        """Begin to count."""
        self._work, self._estimate = work, estimate
        self._total = sum(len(unit.cells) for unit in work.units)
        self._told_s = perf_counter()

    def heard(self, message: Started | Reached) -> None:
        """Say nothing of single runs."""

    def finished(self, row: RunRow) -> None:
        """Print a run that ended early."""
        if row.status != "completed":
            self.say(f"{row.cell.folder.removeprefix('runs/')}: {row.status}: {row.reason}")

    def brackets(self, total: int) -> None:
        """Say what comes now."""
        self._brackets = _Brackets(total)
        self._told_s = perf_counter()
        runs = "1 run" if total == 1 else f"{total} runs"
        self.say(f"brackets of {runs}, each policy's on a first seed ...")

    def bracketed(self, done: int) -> None:
        """Count."""
        if self._brackets is not None:
            self._brackets.done = done

    def tick(self) -> None:
        """Print a line if the last one is ten seconds old."""
        if self._brackets is None and self._work is None:
            return
        if perf_counter() - self._told_s >= _PLAIN_EVERY_S:
            self._told_s = perf_counter()
            self.say(self.counted() if self._brackets is None else self._brackets.counted())

    def counted(self) -> str:
        """Return how many runs are done, and how long the others will take."""
        assert self._work is not None
        left = in_words(self._estimate.left_s())
        return f"{len(self._work.rows)} of {self._total} runs, {left} left"


class Bars(Lines):
    """A bar over all runs and one for each worker, on a terminal."""

    def __init__(self, bar: Any) -> None:
        """Show on rich's progress display."""
        super().__init__(None)
        self._bar = bar
        self._all: Any = None
        self._tasks: dict[int, Any] = {}

    def say(self, text: str) -> None:
        """Print above the bars."""
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def begin(self, work: Work, estimate: Estimate) -> None:
        """Show the bar over all runs."""
        super().begin(work, estimate)
        self._all = self._bar.add_task("all runs", total=self._total, about="")
        self._count()

    def heard(self, message: Started | Reached) -> None:
        """Move a worker's bar."""
        task = self._tasks.get(message.worker)
        if isinstance(message, Reached):
            if task is not None:
                self._bar.update(task, completed=message.t_us)
        elif task is None:
            self._tasks[message.worker] = self._bar.add_task(
                message.label, total=message.duration_us, about=""
            )
        else:
            self._bar.update(
                task, description=message.label, total=message.duration_us, completed=0
            )

    def finished(self, row: RunRow) -> None:
        """Move the bar over all runs."""
        super().finished(row)
        self._count()

    def brackets(self, total: int) -> None:
        """Show a bar over the brackets."""
        super().brackets(total)
        for task in self._tasks.values():
            self._bar.remove_task(task)
        self._tasks.clear()
        self._all = self._bar.add_task("brackets", total=total, about="")

    def bracketed(self, done: int) -> None:
        """Move the bar over the brackets."""
        super().bracketed(done)
        if self._brackets is not None:
            self._bar.update(self._all, completed=done, about=self._brackets.counted())

    def tick(self) -> None:
        """Do nothing: the bars move by themselves."""

    def _count(self) -> None:
        assert self._work is not None
        if self._all is not None:
            self._bar.update(self._all, completed=len(self._work.rows), about=self.counted())


@contextmanager
def shown(stream: TextIO | None = None) -> Iterator[SuiteProgress]:
    """Show progress on a stream (default: stderr): bars if it is a terminal, else lines."""
    stream = sys.stderr if stream is None else stream
    if stream is None or not stream.isatty():
        yield Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[about]}"),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        yield Bars(bar)
