"""The brackets of a suite: for each scenario and policy, of the run on the first seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...evaluation.bracket import read_bracket
from ...evaluation.files import RecordError
from ...evaluation.suite.results import Cell, RunRow
from ..setup import setup_of
from .folder import worked_on

if TYPE_CHECKING:
    from .plan import Unit


def lacking(
    units: Sequence[Unit], rows: Mapping[Cell, RunRow], folder: Path
) -> Iterator[tuple[Unit, Cell]]:
    """Yield the judged runs on each stratum's first seed that have no bracket yet, or a bad one.

    A run that did not complete has none: its J is of a part of the day. Nor has one whose record is
    gone.
    """
    firsts: dict[str, Unit] = {}
    for unit in units:
        firsts.setdefault(unit.stratum, unit)
    for unit in firsts.values():
        for cell in unit.cells:
            row, place = rows.get(cell), folder / cell.folder
            if cell.baseline or row is None or row.status != "completed":
                continue
            if (place / "record.json").exists() and not _has_bracket(place, row):
                yield unit, cell


def _has_bracket(place: Path, row: RunRow) -> bool:
    """Return whether a run has a bracket that can be read and is its own."""
    try:
        bracket = read_bracket(place)
    except RecordError:
        return False
    return bracket is not None and bracket.trace_sha256 == row.trace_sha256


def write_one(unit: Unit, cell: Cell, folder: Path) -> None:
    """Write the bracket of a run, which runs what is not known yet; called in a worker.

    Raises:
        RecordError: the record cannot be read, or the file not be written.
        KeyboardInterrupt: a signal came.
    """
    from ...hil.safestate import StopSignals
    from ..bracketing import write_bracket

    experiment = unit.experiment
    with StopSignals(), worked_on(folder):
        setup = setup_of(experiment.rig, experiment)
        write_bracket(folder / cell.folder, experiment, setup)
