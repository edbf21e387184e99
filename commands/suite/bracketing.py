"""The brackets of a suite: for each scenario and policy, of the run on the first seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...evaluation.bracket import BRACKET_FILE
from ...evaluation.suite.results import Cell, RunRow
from ..setup import setup_of
from .folder import worked_on

if TYPE_CHECKING:
    from .plan import Unit


def lacking(
    units: Sequence[Unit], rows: Mapping[Cell, RunRow], folder: Path
) -> Iterator[tuple[Unit, Cell]]:
    """Yield the judged runs on each stratum's first seed that have no bracket yet.

    A run that did not complete has none: its J is of a part of the day.
    """
    firsts: dict[str, Unit] = {}
    for unit in units:
        firsts.setdefault(unit.stratum, unit)
    for unit in firsts.values():
        for cell in unit.cells:
            completed = cell in rows and rows[cell].status == "completed"
            if (
                completed
                and not cell.baseline
                and not (folder / cell.folder / BRACKET_FILE).exists()
            ):
                yield unit, cell


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
