"""A suite's folder: made anew or taken up again, used by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from ...evaluation.files import RecordError, first_line, writing
from ...evaluation.reading import PARTIAL
from ...evaluation.suite.results import (
    IDENTITY_FILE,
    RESULTS_FILE,
    Cell,
    RunRow,
    SuiteIdentity,
    read_identity,
    read_rows,
    write_identity,
)
from .plan import differences
from .rows import row_of_record

if TYPE_CHECKING:
    from ...scenarios.model import Scenario

#: What workers of a killed suite have to end, `pool` and a little.
_ORPHANS_S: Final = 15.0


class ResumeError(Exception):
    """A suite cannot be taken up again; one line says why and what to do."""


def latest(out: Path, name: str) -> Path | None:
    """Return the suite's folder that was made last under ``out``, None if there is none."""
    number, found = 1, None
    while (folder := _numbered(out, name, number)).exists():
        if (folder / IDENTITY_FILE).exists() and _is_called(folder, name):
            found = folder
        number += 1
    return found


def _is_called(folder: Path, name: str) -> bool:
    """Return whether a folder is of a suite of that name; one that cannot be read may be."""
    try:
        return read_identity(folder).name == name
    except RecordError:
        return True


def _numbered(out: Path, name: str, number: int) -> Path:
    return out / (name if number == 1 else f"{name}-{number}")


def begin(folder: Path, identity: SuiteIdentity) -> None:
    """Write what stands before the first run. Raises `RecordError`."""
    with writing(folder):
        write_identity(folder, identity)
        (folder / RESULTS_FILE).touch()


def check_same(folder: Path, now: SuiteIdentity) -> None:
    """Raise `ResumeError` if a folder holds runs of another suite, or of another wattbench."""
    changed = differences(read_identity(folder), now)
    if changed:
        raise ResumeError(
            f"{folder} cannot be resumed, its runs would not be alike; changed: "
            f"{'; '.join(changed)}. Start anew: leave out --resume, the old runs are kept"
        )


@contextlib.contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep others from running a suite in the same folder.

    Raises:
        ResumeError: somebody does so now, or what a killed suite left goes on.
    """
    with _open(folder / RESULTS_FILE) as mine:
        if not _locked(mine, fcntl.LOCK_EX):
            raise ResumeError(f"{folder} is in use: another process runs this suite")
        with _open(folder / IDENTITY_FILE) as workers:
            end_s = time.monotonic() + _ORPHANS_S
            while not _locked(workers, fcntl.LOCK_EX):
                if time.monotonic() > end_s:
                    raise ResumeError(f"{folder} is in use: workers of a killed suite still run")
                time.sleep(0.1)
        yield


@contextlib.contextmanager
def worked_on(folder: Path) -> Iterator[None]:
    """Show, in a worker, that something is still written to the folder."""
    with _open(folder / IDENTITY_FILE) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _open(path: Path) -> TextIO:
    try:
        return path.open("r+", encoding="utf-8")
    except OSError as error:
        raise RecordError(f"cannot open {path}: {first_line(error)}") from error


def _locked(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


def finished_rows(folder: Path, plan: Sequence[Cell]) -> dict[Cell, RunRow]:
    """Return the rows of finished runs; a line that a kill has cut short is removed.

    Raises:
        RecordError: the file is damaged otherwise, or cannot be written.
    """
    path = folder / RESULTS_FILE
    with writing(path), path.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
    planned = set(plan)
    return {row.cell: row for row in read_rows(folder) if row.cell in planned}


def clear(folder: Path, experiment: Scenario, cells: Sequence[Cell]) -> list[RunRow]:
    """Remove what unfinished runs have left; return the rows of those that closed a record.

    A run that was stopped has a record too, but it is not finished: it is run again. So is one in
    whose place the record of another run lies.

    Args:
        folder: the suite's.
        experiment: the scenario of the cells.
        cells: runs that are not finished.

    Raises:
        RecordError: a leftover cannot be removed.
    """
    taken_over = []
    for cell in cells:
        place = folder / cell.folder
        leftovers = list(place.parent.glob(f"{place.name}{PARTIAL}*"))
        row = row_of_record(experiment, cell, place) if place.exists() else None
        if row is not None:
            taken_over.append(row)
        elif place.exists():
            leftovers.append(place)
        for leftover in leftovers:
            try:
                shutil.rmtree(leftover)
            except OSError as error:
                message = f"cannot remove {leftover}, left by a run that was cut short"
                raise RecordError(f"{message}: {first_line(error)}") from error
    return taken_over


def measured(row: RunRow) -> Mapping[str, float | None] | None:
    """Return what a finished baseline gives its policies' limits, None if it is no yardstick."""
    return row.measurements if row.cell.baseline and row.status == "completed" else None
