"""The brackets that a suite's folder holds: one a scenario and policy, of the first seed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..bracket import Bracket, read_bracket
from ..files import RecordError
from .results import RunRow


def read_brackets(
    folder: Path, rows: Iterable[RunRow]
) -> tuple[dict[str, tuple[Bracket, ...]], list[str]]:
    """Return the brackets of each stratum, its policies in the plan's order, and what is wrong.

    Args:
        folder: the suite's.
        rows: finished runs in the plan's order; of each stratum and policy the first with a
            ``bracket.json`` counts.

    """
    found: dict[tuple[str, str], Bracket] = {}
    problems = []
    for row in rows:
        key = row.cell.stratum, row.cell.policy
        if row.cell.baseline or key in found:
            continue
        try:
            bracket = read_bracket(folder / row.cell.folder)
        except RecordError as error:
            problems.append(str(error))
            continue
        if bracket is None:
            continue
        if bracket.trace_sha256 != row.trace_sha256:
            problems.append(f"{row.cell.folder}: its bracket.json belongs to another run")
            continue
        problems += [f"{row.cell.folder}: {breach}" for breach in bracket.breaches()]
        found[key] = bracket
    strata = dict.fromkeys(stratum for stratum, _ in found)
    return {
        name: tuple(bracket for (stratum, _), bracket in found.items() if stratum == name)
        for name in strata
    }, problems
