"""What a worker does: the runs of one stratum on one seed, judged, told to whoever listens."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ...evaluation.suite.results import Cell
from ..pool import tell
from ..run import exit_code_of, wants_traceback
from ..setup import setup_of
from ..show import EXIT_ABORTED, EXIT_ERROR, outcome_codes
from .bracketing import write_one
from .folder import worked_on
from .rows import row_of_result

if TYPE_CHECKING:
    from ...hil.bench import RunResult
    from ...hil.execute import Outcome
    from ...scenarios.model import Scenario
    from .plan import Unit

#: How often a run tells how far it is.
_TELL_S: Final = 0.5
#: Two lengths of a trial: what a simulated second takes, and what a run takes besides.
_TRIALS_S: Final = (60.0, 300.0)

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Trial:
    """What runs take on this machine, tried before the suite begins.

    Attributes:
        run_s: a run of no length: profiles, assembling, recording, judging.
        second_s: a simulated second.

    """

    run_s: float
    second_s: float


@dataclass(frozen=True, slots=True)
class Started:
    """A worker has begun a run."""

    worker: int
    label: str
    duration_us: int


@dataclass(frozen=True, slots=True)
class Reached:
    """A worker's run has come to a simulated time."""

    worker: int
    t_us: int


@dataclass(frozen=True, slots=True)
class Note:
    """What a person should know of a scenario."""

    text: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing more is run: a signal, a rig that is gone, a full disk, a file with mistakes."""

    reason: str
    exit_code: int


def rehearse(unit: Unit, *, timed: bool) -> Trial | Stop | None:
    """Build everything once, so that mistakes show before the first run; measure if ``timed``."""
    return _safely(lambda: _rehearse(unit, timed=timed))


def run_unit(unit: Unit, folder: Path, finished: Mapping[Cell, Any]) -> Stop | None:
    """Run what is not finished of a unit; each finished run is told as a `RunRow`.

    Args:
        unit: the runs.
        folder: the suite's.
        finished: the runs that are there already, each with what it gives to limits against it.

    Returns:
        Why the suite must end; None if it goes on.
    """
    return _safely(lambda: _run(unit, folder, finished))


def bracket_unit(unit: Unit, cell: Cell, folder: Path) -> Stop | None:
    """Write the bracket of a finished run; return why the suite must end, None if it goes on."""
    return _safely(lambda: write_one(unit, cell, folder))


def _safely(work: Callable[[], _Found]) -> _Found | Stop:
    """Return what ends a suite as a value: exceptions do not all survive the way to the parent."""
    from ...hil.safestate import StopSignals

    try:
        with StopSignals():
            return work()
    except KeyboardInterrupt as stop:
        return Stop(str(stop) or "stopped by SIGINT", EXIT_ABORTED)
    except Exception as problem:
        if wants_traceback():
            traceback.print_exception(problem)
        code = exit_code_of(problem)
        if code is not None:
            return Stop(str(problem), code)
        return Stop(f"error inside: {type(problem).__name__}: {problem}", EXIT_ERROR)


def _rehearse(unit: Unit, *, timed: bool) -> Trial | None:
    from ...hil.bench import Bench

    experiment = unit.experiment
    setup = setup_of(experiment.rig, experiment, lambda text: tell(Note(text)))
    Bench(experiment, Path(), measure=lambda record: {}, rig=setup).rehearse()
    if not timed:
        return None
    _elapsed_s(experiment, unit.seed, _TRIALS_S[0])  # loads what is loaded once
    lengths = [min(length, experiment.clock.duration_s) for length in _TRIALS_S]
    short, long = (_elapsed_s(experiment, unit.seed, length) for length in lengths)
    if lengths[1] > lengths[0] and long > short:
        second_s = (long - short) / (lengths[1] - lengths[0])
    else:
        second_s = long / lengths[1] / 2.0
    return Trial(max(long - second_s * lengths[1], 0.0), second_s)


def _elapsed_s(experiment: Scenario, seed: int, length_s: float) -> float:
    """Return what one short run takes, from its profiles to its judgement."""
    from ...evaluation.metrics import measure
    from ...hil.bench import Bench

    clock = experiment.clock.model_copy(update={"duration_s": length_s, "mode": "virtual"})
    changes = {"clock": clock, "baselines": (), "policies": experiment.policies[:1], "limits": ()}
    brief = experiment.model_copy(update=changes)
    cell = Cell(brief.name, "", brief.policies[0].label, seed, baseline=False)

    def judged(result: RunResult) -> None:
        row_of_result(cell, result, 0.0)

    with tempfile.TemporaryDirectory(prefix="wattbench-suite-") as place:
        begin_s = time.perf_counter()
        setup = setup_of(brief.rig, brief)
        bench = Bench(brief, Path(place), measure=measure, on_result=judged, rig=setup)
        bench.run_seed(seed, Path(place), {})
        return time.perf_counter() - begin_s


def _run(unit: Unit, folder: Path, finished: Mapping[Cell, Any]) -> Stop | None:
    from ...evaluation.metrics import measure
    from ...evaluation.verdict import suite_exit_code
    from ...hil.bench import Bench

    experiment = unit.experiment
    cells = {(cell.policy, cell.baseline): cell for cell in unit.cells}
    begin_s = time.perf_counter()
    stop: Stop | None = None

    def finish(result: RunResult) -> None:
        nonlocal begin_s, stop
        now_s = time.perf_counter()
        outcome = result.outcome
        if outcome.error is not None and wants_traceback():
            traceback.print_exception(outcome.error)
        if bench.is_over(outcome):
            # No row: what a signal or the rig has cut short is run again.
            stop = Stop(_why(outcome), int(suite_exit_code(outcome_codes(outcome))))
        else:
            cell = cells[result.policy, result.baseline]
            tell(row_of_result(cell, result, now_s - begin_s))
        begin_s = now_s

    keys = {(cell.policy, cell.baseline): values for cell, values in finished.items()}
    setup = setup_of(experiment.rig, experiment)
    bench = Bench(
        experiment, folder, measure=measure, on_result=finish, progress=_Told(unit), rig=setup
    )
    with worked_on(folder):
        bench.run_seed(unit.seed, folder / "runs" / unit.stratum, keys)
    return stop


def _why(outcome: Outcome) -> str:
    """Return why nothing more is run; a run that was completed may have left its rig unsafe."""
    safe = outcome.safe_state
    return outcome.reason or ("" if safe is None else safe.note)


class _Told:
    """Tells how far a run is."""

    def __init__(self, unit: Unit) -> None:
        self._stratum = unit.stratum
        self._worker = os.getpid()
        self._told_s = 0.0

    def start(self, label: str, duration_us: int) -> None:
        """Tell who runs."""
        who = label.partition(" · ")[2]
        self._told_s = time.perf_counter()
        tell(Started(self._worker, f"{self._stratum} · {who}", duration_us))

    def note(self, text: str) -> None:
        """Say nothing: the rehearsal said it."""

    def update(self, t_us: int) -> None:
        """Tell how far the run is, now and then."""
        now_s = time.perf_counter()
        if now_s - self._told_s >= _TELL_S:
            self._told_s = now_s
            tell(Reached(self._worker, t_us))

    def finish(self, outcome: str, t_us: int | None) -> None:
        """Say nothing: the run's row follows."""
