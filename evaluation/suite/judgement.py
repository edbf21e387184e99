"""What a judged suite is: plain data that the report, JUnit and the command line show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..verdict import ExitCode, Verdict
from .results import Cell, RunRow, SuiteIdentity


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval, NaN where there is none.

    Attributes:
        estimate: the statistic of the data.
        low: lower end.
        high: upper end.
        level: confidence level, such as 0.95.
        pairs: how many paired runs stand behind it.
        strata: how many scenarios they stem from.

    """

    estimate: float
    low: float
    high: float
    level: float
    pairs: int
    strata: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A policy against a baseline in one metric, over paired seeds, stratified by scenario.

    Attributes:
        policy: the policy's label.
        baseline: the baseline's label.
        metric: id of the metric.
        reduction: how far below the baseline, as a share of it; mean over the scenarios.
        interquartile_mean: of the pairs' reductions.
        probability_of_improvement: that the policy is better in a random pair; ties count half.
        by_stratum: reduction in each scenario by itself.

    """

    policy: str
    baseline: str
    metric: str
    reduction: Interval
    interquartile_mean: Interval
    probability_of_improvement: Interval
    by_stratum: Mapping[str, Interval] = field(default_factory=dict)


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
        reason: why, where it is neither PASS nor FAIL.
        further_seeds: how many more seeds a scenario would probably settle it; None if settled or
            not to be settled by seeds.

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


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened that must not, with the highest rate not excluded.

    Attributes:
        policy: the policy's label.
        metric: id of a metric that counts.
        events: how many, in all runs.
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
        brackets: per stratum, the contents of a `bracket.json` of its first seed.
        problems: what makes the suite worthless as evidence; each is an ERROR.
        warnings: what a reader should know.

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
    brackets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
