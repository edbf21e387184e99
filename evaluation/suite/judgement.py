"""What a judged suite is: plain data that the report, JUnit and the command line show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..bracket import Bracket
from ..statistics import Interval
from ..verdict import ExitCode, Verdict
from .results import Cell, RunRow, SuiteIdentity


@dataclass(frozen=True, slots=True)
class Comparison:
    """A policy against a baseline in one metric, over paired seeds; scenarios count alike.

    Attributes:
        policy: the policy's label.
        baseline: the baseline's label.
        metric: id of the metric.
        reduction: how far below the baseline, as a share of it; mean over the scenarios.
        interquartile_mean: of the pairs' reductions.
        probability_of_improvement: that the policy is better in a random pair; ties count half.
        by_stratum: reduction in each scenario by itself.
        left_out: planned pairs that are not in it: not run, not completed, or without a value.

    """

    policy: str
    baseline: str
    metric: str
    reduction: Interval
    interquartile_mean: Interval
    probability_of_improvement: Interval
    by_stratum: Mapping[str, Interval] = field(default_factory=dict)
    left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class IntervalLimitResult:
    """A limit on an interval, judged for one policy.

    Attributes:
        policy: the policy's label.
        text: the limit in words.
        metric: id of the metric.
        unit: of interval and bound.
        interval: what was found.
        bound: what it is held against.
        upper: whether the bound is an upper one.
        verdict: PASS if the whole interval keeps the bound, FAIL if none of it does, else
            INCONCLUSIVE; ERROR where there is nothing to compare.
        reason: why, where it is neither PASS nor FAIL; else what did not enter, if anything.
        further_seeds: how many more seeds a scenario would probably settle it, 1001 for more than
            1000; None if settled or not to be settled by seeds.

    """

    policy: str
    text: str
    metric: str
    unit: str
    interval: Interval
    bound: float
    upper: bool
    verdict: Verdict
    reason: str = ""
    further_seeds: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self) | {"verdict": self.verdict.name}


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened that must not, with the highest rate not excluded.

    Attributes:
        policy: the policy's label.
        metric: id of a metric that counts.
        events: how many, in all runs; those with equal traces count once.
        hours: simulated time of these runs.
        upper_per_h: upper end of the one-sided 95 % interval of the rate; 3 / hours for none.
        text: one line for people.

    """

    policy: str
    metric: str
    events: float
    hours: float
    upper_per_h: float
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SuiteJudgement:
    """What a suite is worth.

    Attributes:
        folder: the suite's.
        identity: `suite.json`.
        verdict: the most severe of its runs' and its interval limits'.
        exit_code: of the command line, over all runs.
        rows: every finished run, in the plan's order.
        missing: planned runs that are not finished.
        interval_limits: every interval limit, for every judged policy.
        comparisons: policies against baselines.
        rates: of events that must not happen.
        brackets: per stratum, that of every judged policy's run on the first seed.
        problems: what makes the suite worthless as evidence; each is an ERROR.
        warnings: what a reader should know.
        gone: finished runs whose record is not there any more; their rows are believed.

    """

    folder: Path
    identity: SuiteIdentity
    verdict: Verdict
    exit_code: ExitCode
    rows: tuple[RunRow, ...]
    missing: tuple[Cell, ...] = ()
    interval_limits: tuple[IntervalLimitResult, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    rates: tuple[Rate, ...] = ()
    brackets: Mapping[str, tuple[Bracket, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    gone: tuple[Cell, ...] = ()

    @property
    def policies(self) -> tuple[str, ...]:
        """Labels of the judged policies, in the plan's order."""
        return tuple(dict.fromkeys(c.policy for c in self.identity.plan if not c.baseline))

    @property
    def strata(self) -> tuple[str, ...]:
        """Scenarios with their variants, in the plan's order."""
        return tuple(dict.fromkeys(cell.stratum for cell in self.identity.plan))

    @property
    def decision_rule(self) -> str:
        """How uncertainties of the runs' limits entered; every rule that occurs, guarded first."""
        said = {
            str(x["decision_rule"]) for r in self.rows for x in r.limits if "decision_rule" in x
        }
        return " and ".join(sorted(said)) or str(self.identity.suite.get("decision_rule") or "")

    def counts(self, stratum: str | None = None, policy: str | None = None) -> dict[str, int]:
        """Return how many judged runs ended in each verdict, `MISSING` for those not finished."""
        found = [(row.cell, row.verdict or row.status.upper()) for row in self.rows]
        found += [(cell, "MISSING") for cell in self.missing]
        counts: dict[str, int] = {}
        for cell, word in found:
            there = stratum in {None, cell.stratum} and policy in {None, cell.policy}
            if there and not cell.baseline:
                counts[word] = counts.get(word, 0) + 1
        return counts

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; a run's measurements stay in `results.jsonl`."""
        identity = self.identity
        return {
            "suite": identity.name,
            "suite_hash": identity.suite_hash,
            "wattbench_version": identity.wattbench_version,
            "git_revision": identity.git_revision,
            "folder": str(self.folder),
            "verdict": self.verdict.name,
            "exit_code": int(self.exit_code),
            "decision_rule": self.decision_rule,
            "counts": self.counts(),
            "missing": [cell.folder for cell in self.missing],
            "gone": [cell.folder for cell in self.gone],
            "interval_limits": [result.as_dict() for result in self.interval_limits],
            "comparisons": [comparison.as_dict() for comparison in self.comparisons],
            "rates": [rate.as_dict() for rate in self.rates],
            "brackets": {
                stratum: [{**one.model_dump(mode="json"), **one.figures()} for one in found]
                for stratum, found in self.brackets.items()
            },
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "runs": [_row(row) for row in self.rows],
        }


def _row(row: RunRow) -> dict[str, Any]:
    return {
        **asdict(row.cell),
        "folder": row.cell.folder,
        "status": row.status,
        "verdict": row.verdict,
        "exit_code": row.exit_code,
        "reason": row.reason,
        "trace_sha256": row.trace_sha256,
    }
