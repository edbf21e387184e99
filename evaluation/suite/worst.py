"""Which runs of a suite to look at first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..compare import reduction
from ..verdict import Verdict
from .judgement import SuiteJudgement
from .pairs import SuiteRuns
from .results import RunRow

_OBJECTIVE = "objective@1"


@dataclass(frozen=True, slots=True)
class WorstRun:
    """A run, and how its objective compares.

    Attributes:
        row: the run.
        baseline: the best baseline on its scenario and seed; empty without one.
        reduction: of the objective against that baseline; NaN where there is none, or one of the
            two did not complete: J is of what was run.

    """

    row: RunRow
    baseline: str
    reduction: float


def worst_runs(judgement: SuiteJudgement, most: int) -> list[WorstRun]:
    """Return the judged runs with the most severe verdicts; among equals, the lowest reductions."""
    runs = SuiteRuns(judgement.identity.plan, judgement.rows)
    found = [_compared(runs, row) for row in judgement.rows if not row.cell.baseline]
    found.sort(key=lambda worst: (-_severity(worst.row), _first(worst.reduction)))
    return found[:most]


def _compared(runs: SuiteRuns, row: RunRow) -> WorstRun:
    mine = row.measurements.get(_OBJECTIVE)
    against = {}
    for baseline in runs.baselines if row.status == "completed" else ():
        other = runs.beside(row, baseline)
        whole = other is not None and other.status == "completed"
        if other is not None and whole and baseline != row.cell.policy:
            against[baseline] = reduction(mine, other.measurements.get(_OBJECTIVE))
    best = min(against, key=lambda name: _first(against[name]), default="")
    return WorstRun(row, best, against.get(best, math.nan))


def _severity(row: RunRow) -> int:
    return int(Verdict[row.verdict or "ERROR"])


def _first(value: float) -> float:
    """Return a key by which low values come first and NaN last."""
    return math.inf if math.isnan(value) else value
