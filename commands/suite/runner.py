"""The suite's parent process: workers, rows to disk as they come, how it ends."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...evaluation.files import writing
from ...evaluation.suite.results import RESULTS_FILE, RunRow, append_row
from ..pool import Listener, Submit
from ..show import EXIT_ERROR
from .bracketing import lacking
from .estimate import Estimate
from .folder import clear
from .unit import Note, Stop, Trial, bracket_unit, rehearse, run_unit
from .work import Work

if TYPE_CHECKING:
    from .progress import SuiteProgress

_LOST: Final = "a worker process was killed (by the system, for lack of memory?)"
_POLL_S: Final = 0.1


class StoppedError(Exception):
    """The suite cannot go on."""

    def __init__(self, stop: Stop) -> None:
        """Keep why, and the exit code."""
        super().__init__(stop.reason)
        self.stop = stop


class Runner:
    """Runs what a suite still lacks.

    Call `prepare`, then `run`, inside a pool that tells its ``listener``.
    """

    def __init__(self, work: Work, jobs: int, progress: SuiteProgress) -> None:
        """Prepare; nothing is run yet."""
        self._work = work
        self._jobs = jobs
        self._progress = progress
        self._folder: Path | None = None
        self._units = {cell: unit for unit in work.units for cell in unit.cells}
        self.estimate = Estimate((), jobs)
        self.listener = Listener(self._hear)

    def prepare(self, submit: Submit) -> None:
        """Rehearse every stratum that is to run, and estimate how long it will take.

        Raises `StoppedError`.
        """
        open_units = self._work.open()
        firsts = list({unit.stratum: unit for unit in reversed(open_units)}.values())[::-1]
        trials: list[Trial] = []
        # At least one a worker: each loads what it needs before the first run.
        tried = [*firsts, *firsts[:1] * (min(self._jobs, len(open_units)) - len(firsts))]
        futures = [submit(rehearse, unit, timed=k < self._jobs) for k, unit in enumerate(tried)]
        for future in futures:
            found = self._wait([future])[0].result()
            if isinstance(found, Stop):
                raise StoppedError(found)
            if found is not None:
                trials.append(found)
        self.estimate = Estimate(trials, min(self._jobs, max(len(open_units), 1)))
        for unit in open_units:
            self.estimate.add(unit.experiment, len(self._work.cells(unit)))

    def take_over(self, folder: Path) -> None:
        """Note the runs that were finished but not noted, and remove what unfinished ones left.

        Raises `RecordError`.
        """
        self._folder = folder
        for unit in self._work.open():
            for row in clear(folder, unit.experiment, self._work.cells(unit)):
                self._note(row)

    def run(self, submit: Submit, folder: Path) -> None:
        """Run all units; each finished run is on disk before anything else is done with it.

        Raises:
            StoppedError: something ends the suite early; what is finished is kept.
            RecordError: the disk refuses.
        """
        self._folder = folder
        waiting: set[Future[Stop | None]] = set()
        open_units = self._work.open()
        self._progress.begin(self._work, self.estimate)
        for unit in open_units:
            # Few at a time, so that a stop leaves little to be cancelled; the pool is never idle.
            if len(waiting) >= 2 * self._jobs:
                waiting = self._settle(waiting)
            waiting.add(submit(run_unit, unit, folder, self._work.finished(unit)))
            if self._jobs == 1:
                waiting = self._settle(waiting)
        while waiting:
            waiting = self._settle(waiting)

    def bracket(self, submit: Submit, folder: Path) -> None:
        """Place the policies of every scenario between doing nothing and the best possible.

        Raises:
            StoppedError: something ends the suite early; what is finished is kept.
        """
        missing = list(lacking(self._work.units, self._work.rows, folder))
        if not missing:
            return
        self._progress.brackets(len(missing))
        waiting: set[Future[Stop | None]] = set()
        for unit, cell in missing:
            waiting.add(submit(bracket_unit, unit, cell, folder))
            if self._jobs == 1:
                waiting = self._settle(waiting)
                self._progress.bracketed(len(missing) - len(waiting))
        while waiting:
            waiting = self._settle(waiting)
            self._progress.bracketed(len(missing) - len(waiting))

    def _settle(self, waiting: set[Future[Stop | None]]) -> set[Future[Stop | None]]:
        """Wait for a unit to be done; return those that are not."""
        for future in self._wait(waiting):
            waiting = waiting - {future}
            stop = future.result()
            if stop is not None:
                raise StoppedError(stop)
        return waiting

    def _wait(self, futures: Any) -> list[Future[Any]]:
        """Return those that are done, at least one; hear meanwhile what the workers tell."""
        while True:
            done, _ = wait(futures, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            self.listener.drain()
            self._progress.tick()
            broken = [f for f in done if isinstance(f.exception(), BrokenProcessPool)]
            if broken:
                raise StoppedError(Stop(_LOST, EXIT_ERROR))
            if done:
                return list(done)

    def _hear(self, message: Any) -> None:
        if isinstance(message, RunRow):
            self._note(message)
            self.estimate.finished(self._units[message.cell].experiment, message.elapsed_s)
            self._progress.finished(message)
        elif isinstance(message, Note):
            self._progress.note(message.text)
        else:
            self._progress.heard(message)

    def _note(self, row: RunRow) -> None:
        assert self._folder is not None  # runs come after the folder
        with writing(self._folder / RESULTS_FILE):
            append_row(self._folder, row, self._work.suite_hash)
        self._work.rows[row.cell] = row
