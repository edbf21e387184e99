"""Judge a suite from its folder alone: its runs' verdicts, its interval limits, one exit code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ..files import replace_text
from ..model import json_text
from ..verdict import ExitCode, Verdict, exit_code, roll_up, suite_exit_code
from .brackets import read_brackets
from .evidence import evidence
from .intervals import comparisons, judge_interval_limit, rates
from .judgement import IntervalLimitResult, SuiteJudgement
from .limits import IntervalLimitConfig
from .pairs import SuiteRuns
from .results import Cell, RunRow, read_identity, read_rows

SUMMARY_FILE: Final = "summary.json"
SCHEMA_VERSION: Final = 1

_OF_STATUS: Final = {"aborted": Verdict.ABORTED, "error": Verdict.ERROR}
_NAMED = 3
"""How many runs a message names before it counts the rest."""


def judge_suite(folder: Path) -> SuiteJudgement:
    """Judge a suite; reads only.

    The verdict is the most severe of its runs' and its interval limits'. The limits of a run count
    whatever an interval says: a suite whose seeds may miss a bound now and then bounds the interval
    and not the run. A baseline that aborted or broke counts as in `wattbench run`. Planned runs
    that are lacking make it INCONCLUSIVE at best; two different results for one run are an ERROR,
    and so is a row that its record contradicts. A row whose record is gone counts: its hash says
    that it is as it was written.

    Raises:
        RecordError: the folder is no suite's, or one of its files cannot be read.
        DamagedError: ``suite.json`` or a line of ``results.jsonl`` is not as it was written.

    """
    folder = Path(folder)
    identity = read_identity(folder)
    rows, problems, warnings = _sorted(identity.plan, read_rows(folder))
    limits, unreadable = _limits(identity.suite)
    held = evidence(folder, identity, rows)
    problems += [*unreadable, *held.problems]
    present = {row.cell for row in rows}
    missing = tuple(cell for cell in dict.fromkeys(identity.plan) if cell not in present)
    runs = SuiteRuns(dict.fromkeys(identity.plan), rows)
    found = tuple(
        judge_interval_limit(limit, name, runs) for limit in limits for name in runs.policies
    )
    compared = tuple(comparisons(runs))
    brackets, unread = read_brackets(folder, rows)
    problems += unread
    verdicts = [*_verdicts(rows), *(result.verdict for result in found)]
    verdicts += [Verdict.ERROR] * bool(problems) + [Verdict.INCONCLUSIVE] * bool(missing)
    if missing:
        warnings.append(_missing(missing, identity.plan))
    warnings += _baselines(rows)
    if held.gone:
        warnings.append(_gone(held.gone, rows))
    warnings += _left_out(compared)
    return SuiteJudgement(
        folder,
        identity,
        roll_up(verdicts),
        _exit_code(rows, found, missing, problems),
        tuple(rows),
        missing,
        found,
        compared,
        tuple(rates(runs)),
        brackets,
        tuple(problems),
        tuple(warnings),
        held.gone,
    )


def store_suite(judgement: SuiteJudgement) -> Path:
    """Write ``summary.json`` into the suite's folder and return its path.

    Raises:
        RecordError: the file cannot be written.

    """
    path = judgement.folder / SUMMARY_FILE
    content = judgement.as_dict()
    del content["folder"]  # the folder may be moved, and equal suites have equal summaries
    replace_text(path, json_text({"schema_version": SCHEMA_VERSION, **content}))
    return path


def _sorted(
    plan: Sequence[Cell], rows: Iterable[RunRow]
) -> tuple[list[RunRow], list[str], list[str]]:
    """Return the plan's rows in its order, each once, and what is wrong with the others."""
    problems, warnings = [], []
    planned = set(plan)
    if (
        twice := _named(cell for cell in planned if plan.count(cell) > 1)
        if len(planned) < len(plan)
        else ""
    ):
        problems.append(f"suite.json plans a run twice: {twice}")
    by_cell: dict[Cell, RunRow] = {}
    strangers: list[Cell] = []
    for row in rows:
        known = by_cell.get(row.cell)
        if row.cell not in planned:
            strangers.append(row.cell)
        elif known is not None and _outcome(known) != _outcome(row):
            problems.append(f"{row.cell.folder} has two results in results.jsonl that differ")
        elif known is not None:
            warnings.append(f"{row.cell.folder} is in results.jsonl twice, with the same result")
        by_cell[row.cell] = row
    if strangers:
        warnings.append(
            f"results.jsonl has runs that are not planned, left out: {_named(strangers)}"
        )
    found = [by_cell[cell] for cell in dict.fromkeys(plan) if cell in by_cell]
    return found, problems, warnings


def _outcome(row: RunRow) -> tuple[Any, ...]:
    """Return what two executions of one run must have in common."""
    return row.status, row.verdict, json_text(row.measurements), row.trace_sha256


def _verdicts(rows: Iterable[RunRow]) -> list[Verdict]:
    """Return the verdicts of judged runs, and of baselines that did not end well."""
    found = []
    for row in rows:
        if row.cell.baseline:
            if row.status != "completed":
                found.append(_OF_STATUS.get(row.status, Verdict.ABORTED))
        elif row.verdict is not None:
            found.append(Verdict[row.verdict])
    return found


def _exit_code(
    rows: Sequence[RunRow],
    limits: Iterable[IntervalLimitResult],
    missing: Sequence[Cell],
    problems: Sequence[str],
) -> ExitCode:
    codes = [exit_code(verdict) for verdict in _verdicts(rows)]
    codes += [exit_code(result.verdict) for result in limits]
    codes += [ExitCode(row.exit_code) for row in rows if row.exit_code is not None]
    codes += [ExitCode.ERROR] * bool(problems) + [ExitCode.INCONCLUSIVE] * bool(missing)
    return suite_exit_code(codes)


def _limits(suite: Mapping[str, Any]) -> tuple[list[IntervalLimitConfig], list[str]]:
    """Return the suite's interval limits, and what is wrong with those that cannot be read."""
    limits, problems = [], []
    for number, raw in enumerate(suite.get("interval_limits") or (), start=1):
        try:
            limits.append(IntervalLimitConfig.model_validate(raw))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            what = f"{place}: {first['msg']}" if place else first["msg"]
            problems.append(f"interval limit {number} cannot be read: {what}")
    return limits, problems


def _missing(missing: Sequence[Cell], plan: Sequence[Cell]) -> str:
    return f"{len(missing)} of {len(plan)} planned runs are not finished: {_named(missing)}"


def _gone(gone: Sequence[Cell], rows: Sequence[RunRow]) -> str:
    return (
        f"{len(gone)} of {len(rows)} finished runs have no record any more, so that nothing can be "
        f"held against their rows: {_named(gone)}"
    )


def _baselines(rows: Iterable[RunRow]) -> Iterator[str]:
    """Say which baselines did not complete: they make the verdict what it is."""
    for row in rows:
        if row.cell.baseline and row.status != "completed":
            verdict = _OF_STATUS.get(row.status, Verdict.ABORTED)
            reason = f": {row.reason}" if row.reason else ""
            yield f"{verdict.name}, since a baseline did not complete: {row.cell.folder}{reason}"


def _left_out(compared: Iterable[Any]) -> list[str]:
    """Say, for every policy and baseline, how many pairs a comparison lacks at most."""
    most: dict[tuple[str, str], int] = {}
    for comparison in compared:
        key = comparison.policy, comparison.baseline
        most[key] = max(most.get(key, 0), comparison.left_out)
    return [
        f"{policy} against {baseline}: {count} pairs are left out of comparisons (not run, not "
        "completed or without a value)"
        for (policy, baseline), count in most.items()
        if count
    ]


def _named(cells: Iterable[Cell]) -> str:
    folders = sorted(cell.folder for cell in cells)
    more = f" and {len(folders) - _NAMED} more" if len(folders) > _NAMED else ""
    return ", ".join(folders[:_NAMED]) + more
