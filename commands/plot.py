"""What `wattbench plot` does: pictures of recorded runs, as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from .problems import say
from .run import UsageError, records_in
from .show import EXIT_USAGE

if TYPE_CHECKING:
    from ..evaluation.plots import Subject
    from ..evaluation.plots.catalogue import Format

_EXIT_PASS: Final = 0
_FORMATS: Final = ("png", "svg")
_MANY: Final = 8
"""More runs than this are announced: who names a suite's folder may mean one picture."""


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """What `wattbench plot` was told; no kinds: all that the records have data for."""

    runs: tuple[Path, ...]
    kinds: tuple[str, ...]
    out: Path
    form: str


def plot(options: PlotOptions) -> int:
    """Draw pictures of records, print the files' names; return the exit code."""
    from ..evaluation.plots import UnknownKindError, check_kinds, write_plots

    try:
        if options.form not in _FORMATS:
            raise UsageError(f"--format is '{options.form}'; allowed: {', '.join(_FORMATS)}")
        check_kinds(options.kinds)
        _make(options.out)
    except (UnknownKindError, UsageError) as problem:
        return _refused([str(problem)])
    subjects, problems = _subjects(options.runs)
    if not subjects:
        return _refused(problems)
    if len(subjects) > _MANY:
        say(f"{len(subjects)} runs, some seconds each; --kind, or the folder of one run, makes it "
            "less")  # fmt: skip
    form = cast("Format", options.form)
    written, missing = write_plots(subjects, options.kinds, options.out, form)
    for path in written:
        print(path)
    if not written and not missing:
        missing = ["the records hold no data for any picture: their runs ended before a trace"]
    return _refused([*problems, *missing])


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(
            f"--out {out}: cannot make the folder ({problem.strerror}); choose another"
        ) from problem


def _subjects(runs: Sequence[Path]) -> tuple[list[Subject], list[str]]:
    """Read every record; what cannot be read is told and does not keep the others from it."""
    from ..evaluation.files import RecordError
    from ..evaluation.plots import read_subject

    subjects, problems = [], []
    for given in runs:
        try:
            subjects += [read_subject(folder) for folder in records_in(given)]
        except (RecordError, UsageError) as problem:
            problems.append(str(problem))
    return subjects, problems


def _refused(problems: Sequence[str]) -> int:
    for problem in problems:
        say(problem)
    return EXIT_USAGE if problems else _EXIT_PASS
