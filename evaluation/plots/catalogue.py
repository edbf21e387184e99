"""Which pictures there are, and drawing them into files."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import control, distributions, site, storage
from .comparison import comparison
from .style import drawing
from .subject import NothingToDrawError, Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["png", "svg"]

_LONGEST = 160
"""Characters of a file's name, without kind and suffix."""

#: Pictures of one run, by the name of their kind.
OF_ONE: Mapping[str, Callable[[Subject], Figure]] = {
    "power": site.power,
    "phases": site.phases,
    "commands": control.commands,
    "dead_time": control.dead_time,
    "changes": control.changes,
    "imbalance": site.imbalance,
    "export_histogram": distributions.export_histogram,
    "duration": distributions.duration,
    "voltage": site.voltage,
    "tanks": storage.tanks,
    "battery": storage.battery,
    "latency": control.latency,
}
#: Of several together.
OF_SEVERAL: Mapping[str, Callable[[Sequence[Subject]], Figure]] = {"comparison": comparison}
KINDS = (*OF_ONE, *OF_SEVERAL)


class UnknownKindError(Exception):
    """There is no such picture; the message names the nearest."""


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise UnknownKindError if there is no such kind of picture."""
    for kind in kinds:
        if kind not in KINDS:
            nearest = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.4)
            hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
            raise UnknownKindError(f"no picture '{kind}'; allowed: {', '.join(KINDS)}{hint}")


def draw(kind: str, subjects: Sequence[Subject]) -> Figure:
    """Return a picture; one of a single run takes the first.

    Raises:
        NothingToDrawError: the records lack what it shows.

    """
    with drawing():
        return OF_ONE[kind](subjects[0]) if kind in OF_ONE else OF_SEVERAL[kind](subjects)


def save(figure: Figure, path: Path) -> None:
    """Write a picture as its suffix says: same picture, same bytes; whole or not at all.

    Raises:
        OSError: the file cannot be written.

    """
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    temporary = path.with_name(f"{path.name}.new")
    try:
        with drawing(), temporary.open("wb") as file:
            figure.savefig(file, format=path.suffix[1:], metadata=metadata)
        temporary.replace(path)
    except OSError as problem:
        temporary.unlink(missing_ok=True)
        # A full disk shows while the picture is written, and that error names no file.
        raise OSError(problem.errno, problem.strerror or str(problem), str(path)) from problem


def write_plots(
    subjects: Sequence[Subject], kinds: Sequence[str], out: Path, form: Format
) -> tuple[list[Path], list[str]]:
    """Draw runs into files, ``OUT/<scenario's folder>-<run's folder>-<kind>.<form>``.

    A picture of several is named after all of them.

    Args:
        subjects: the runs.
        kinds: names out of `KINDS`; empty: all that the records have data for.
        out: folder; made if it is not there.
        form: ``png`` or ``svg``.

    Returns:
        The files in the order of drawing, and what of the wanted could not be drawn, one line each.

    Raises:
        UnknownKindError: no such kind.
        OSError: a file cannot be written.

    """
    check_kinds(kinds)
    wanted = tuple(dict.fromkeys(kinds)) or KINDS
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    missing: list[str] = []

    def one(kind: str, drawn: Sequence[Subject], name: str, where: str) -> None:
        try:
            figure = draw(kind, drawn)
        except NothingToDrawError as reason:
            if kinds:
                missing.append(f"{where}: nothing to draw as '{kind}', it has {reason}")
            return
        written.append(out / f"{name}-{kind}.{form}")
        save(figure, written[-1])

    names = _names(subjects)
    for subject, name in zip(subjects, names, strict=True):
        for kind in wanted:
            if kind in OF_ONE:
                one(kind, [subject], name, str(subject.folder))
    for kind in wanted:
        if kind in OF_SEVERAL:
            one(kind, subjects, _name_of_all(names), f"{len(names)} run(s)")
    return written, missing


def _name_of_all(names: Sequence[str]) -> str:
    """Return a name for a picture of several runs: all of theirs.

    Where that is too long for a file, the first and a hash of all: other runs have another name.
    """
    name = "-and-".join(names)
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{names[0][:_LONGEST]}-and-{len(names) - 1}-{digest}"


def _names(subjects: Sequence[Subject]) -> list[str]:
    """Return a name of files for each run: two runs never share one."""
    names: list[str] = []
    for subject in subjects:
        folder = subject.folder.resolve()
        name, number = f"{folder.parent.name}-{folder.name}", 1
        while (fresh := name if number == 1 else f"{name}-{number}") in names:
            number += 1
        names.append(fresh)
    return names
