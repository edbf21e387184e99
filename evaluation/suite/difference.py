"""Two suites: runs paired by scenario, variant, policy and seed; what changed, and what got worse.

Of each headline metric the paired differences B − A are taken, with a bootstrap interval of their
mean over the scenarios. Baselines are paired too: they show whether the bench itself changed, and
never count as a regression.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..files import RecordError
from ..identity import changed_keys, other_versions, some_of
from ..metrics import METRICS, Metric
from ..regression import Allowances, exceeds, got_worse, worsening
from ..statistics import Interval, Values, mean_interval
from ..units import format_quantity
from .judge import judge_suite
from .judgement import SuiteJudgement
from .results import Cell, RunRow, SuiteIdentity

_Pairs: TypeAlias = Sequence[tuple[RunRow, RunRow]]


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """A run whose verdict is another one now."""

    cell: Cell
    a: str
    b: str
    reason: str
    """Why B's verdict is not PASS."""

    @property
    def regression(self) -> bool:
        """Whether it got more severe."""
        return got_worse(self.a, self.b)


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit on an interval whose verdict is another one now."""

    policy: str
    text: str
    a: str
    b: str

    @property
    def regression(self) -> bool:
        """Whether it got more severe."""
        return got_worse(self.a, self.b)


@dataclass(frozen=True, slots=True)
class MetricChange:
    """A metric of one policy over all paired runs.

    Attributes:
        policy: its label; in brackets for a baseline.
        metric: its id.
        before: mean of A's values over the scenarios.
        interval: mean of the differences B − A, with its interval; without one where the seeds are
            too few. Runs that were not completed in both suites are left out, for they measured
            less; their verdicts tell.
        allowed: by how much it may get worse; None where the metric is not held.
        by_seed: differences on each seed, mean over the scenarios.
        gone: completed pairs in which A has a value and B has none.

    """

    policy: str
    metric: str
    before: float
    interval: Interval
    allowed: float | None
    by_seed: tuple[float, ...] = ()
    gone: int = 0

    @property
    def worse_by(self) -> float:
        """How much worse it got at least: the better end of the interval; NaN without data.

        Without an interval that of the best seed: what every seed shows is no chance of one run.
        """
        entry, interval = METRICS[self.metric], self.interval
        ends = (interval.low, interval.high) if interval.known else self.by_seed
        if not ends:
            return math.nan
        if entry.better is None and min(ends) <= 0 <= max(ends):
            return 0.0
        return min(worsening(entry, end) for end in ends)

    @property
    def regression(self) -> bool:
        """Whether it is shown to be worse by more than is tolerated, or values are gone."""
        if self.allowed is None:
            return False
        return self.gone > 0 or exceeds(self.worse_by, self.allowed, self.before)


@dataclass(frozen=True)
class SuiteComparison:
    """How two suites compare.

    Attributes:
        a: folder of the suite before.
        b: of the one after.
        unlike: in what they differ beforehand.
        pairs: how many runs have a partner.
        identical_traces: in how many of these the traces are the same.
        metrics: headline metrics and those held, by policy.
        verdicts: of paired runs, that are not the same.
        limits: limits on intervals that both have, whose verdicts are not the same.
        problems: what makes B worthless as evidence and A not: records that contradict rows,
            baselines that broke.
        only_in_a: finished runs without a partner.
        only_in_b: those of the other.
        unfinished: runs of A that B planned and did not finish.

    """

    a: Path
    b: Path
    unlike: tuple[str, ...]
    pairs: int
    identical_traces: int
    metrics: tuple[MetricChange, ...]
    verdicts: tuple[VerdictChange, ...]
    limits: tuple[LimitChange, ...]
    problems: tuple[str, ...]
    only_in_a: tuple[Cell, ...]
    only_in_b: tuple[Cell, ...]
    unfinished: tuple[Cell, ...]

    @property
    def regressions(self) -> list[str]:
        """What got worse, a line each."""
        return list(self._regressions())

    def _regressions(self) -> Iterator[str]:
        for problem in self.problems:
            yield f"B is an ERROR: {problem}"
        for limit in self.limits:
            if limit.regression:
                yield f"limit '{limit.text}' of {limit.policy}: {limit.a} became {limit.b}"
        if self.unfinished:
            more = f" and {len(self.unfinished) - 1} more" if len(self.unfinished) > 1 else ""
            yield f"not finished in B: {self.unfinished[0].folder}{more}"
        for verdict in self.verdicts:
            if verdict.regression:
                cell = verdict.cell
                yield (
                    f"verdict of {cell.stratum}, {cell.policy}, seed {cell.seed}: "
                    f"{verdict.a} became {verdict.b}"
                )
        for metric in self.metrics:
            if metric.regression and metric.gone:
                runs = f"{metric.gone} run{'s' if metric.gone > 1 else ''}"
                yield f"{metric.policy}, {metric.metric}: no value in B in {runs} that had one"
            elif metric.regression:
                unit = METRICS[metric.metric].unit
                worse = format_quantity(metric.worse_by, unit)
                allowed = format_quantity(metric.allowed, unit)
                at_least = "by at least" if metric.interval.known else "on every seed, by at least"
                yield (
                    f"{metric.policy}, {metric.metric}: worse {at_least} {worse}, "
                    f"allowed: {allowed}"
                )


def compare_suites(a: Path, b: Path, allowances: Allowances) -> SuiteComparison:
    """Compare the finished runs of two suites.

    Raises:
        RecordError: a folder is no suite's, is damaged, or no run of one has a partner.

    """
    judged = judge_suite(a), judge_suite(b)
    identities = judged[0].identity, judged[1].identity
    before, after = _by_key(judged[0].rows), _by_key(judged[1].rows)
    keys = [key for key in before if key in after]
    if not keys:
        raise RecordError(
            f"no finished run of {a} has a partner in {b} (same scenario, variant, policy, seed)"
        )
    pairs = [(before[key], after[key]) for key in keys]
    planned = {_key(cell) for cell in identities[1].plan}
    only_a = [before[key].cell for key in before if key not in after]
    return SuiteComparison(
        a,
        b,
        tuple(_unlike(*identities)),
        len(pairs),
        sum(one.trace_sha256 is not None and one.trace_sha256 == other.trace_sha256
            for one, other in pairs),
        tuple(_metrics(pairs, allowances)),
        tuple(
            VerdictChange(one.cell, one.verdict, other.verdict, other.reason)
            for one, other in pairs
            if one.verdict != other.verdict and one.verdict and other.verdict
        ),
        tuple(_limits(*judged)),
        tuple(_problems(*judged)),
        tuple(only_a),
        tuple(after[key].cell for key in after if key not in before),
        tuple(cell for cell in only_a if _key(cell) in planned),
    )  # fmt: skip


def _limits(a: SuiteJudgement, b: SuiteJudgement) -> Iterator[LimitChange]:
    """Yield the limits on intervals, of those that both have, whose verdicts differ."""
    before = {(limit.policy, limit.text): limit.verdict.name for limit in a.interval_limits}
    for limit in b.interval_limits:
        was = before.get((limit.policy, limit.text), limit.verdict.name)
        if was != limit.verdict.name:
            yield LimitChange(limit.policy, limit.text, was, limit.verdict.name)


def _problems(a: SuiteJudgement, b: SuiteJudgement) -> Iterator[str]:
    """Yield what is wrong with B as evidence and was not with A."""
    known = set(a.problems)
    yield from (problem for problem in b.problems if problem not in known)
    before = _by_key(a.rows)
    for row in b.rows:
        other = before.get(_key(row.cell))
        well = other is None or other.status == "completed"
        if row.cell.baseline and row.status != "completed" and well:
            reason = f": {row.reason}" if row.reason else ""
            yield f"a baseline did not complete: {row.cell.folder}{reason}"


def _key(cell: Cell) -> tuple[str, str, int, bool]:
    return cell.stratum, cell.policy, cell.seed, cell.baseline


def _by_key(rows: Sequence[RunRow]) -> dict[tuple[str, str, int, bool], RunRow]:
    """Return rows by what pairs them, in an order that does not depend on who finished first."""
    return dict(sorted({_key(row.cell): row for row in rows}.items()))


def _unlike(a: SuiteIdentity, b: SuiteIdentity) -> Iterator[str]:
    if a.name != b.name:
        yield f"name ({a.name}, {b.name})"
    if a.suite_hash != b.suite_hash:
        yield from _unlike_content(a.suite, b.suite)
    if a.wattbench_version != b.wattbench_version:
        yield f"wattbench ({a.wattbench_version}, {b.wattbench_version})"
    if a.git_revision != b.git_revision:
        yield f"git revision ({a.git_revision or 'none'}, {b.git_revision or 'none'})"
    yield from other_versions(a.packages, b.packages)


def _unlike_content(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys in which two suites differ; where none does, scenarios whose files do."""
    one, other = ({k: v for k, v in suite.items() if k != "strata"} for suite in (a, b))
    keys = list(dict.fromkeys((*changed_keys(one, other), *_other_labels(a, b))))
    before, after = _hashes(a), _hashes(b)
    changed = [key for key in before if key in after and before[key] != after[key]]
    if keys:
        yield f"suite ({some_of(keys)})"
    elif changed:
        yield f"files of the scenarios ({some_of(changed)})"
    else:
        yield "the suite or files that it names"


def _other_labels(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of the policies and baselines that take part has other names."""
    for key in ("policies", "baselines"):
        one, other = ([list(each[key]) for each in suite.get("strata") or ()] for suite in (a, b))
        if one != other:
            yield key


def _hashes(suite: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of what each scenario is, in each variant."""
    found = {}
    for each in suite.get("strata") or ():
        name = f"{each['scenario']}@{each['variant']}" if each["variant"] else each["scenario"]
        found[name] = str(each["hash"])
    return found


def _metrics(pairs: _Pairs, allowances: Allowances) -> Iterator[MetricChange]:
    """Yield the changes of metrics, judged policies first, a policy's together."""
    policies = sorted({(one.cell.baseline, one.cell.policy) for one, _ in pairs})
    for baseline, policy in policies:
        own = [(x, y) for x, y in pairs if (x.cell.baseline, x.cell.policy) == (baseline, policy)]
        held: Allowances = {} if baseline else allowances
        for key, entry in METRICS.items():
            if entry.headline or key in held:
                change = _metric(f"({policy})" if baseline else policy, entry, own, held)
                if change is not None:
                    yield change


def _metric(
    policy: str, entry: Metric, pairs: _Pairs, allowances: Allowances
) -> MetricChange | None:
    """Return how a metric changed; None if A has no value of it."""
    seeds = {seed: k for k, seed in enumerate(sorted({one.cell.seed for one, _ in pairs}))}
    before: dict[str, Values] = {}
    apart: dict[str, Values] = {}
    gone = 0
    for one, other in pairs:
        if not one.status == other.status == "completed":
            continue
        x, y = _value(one.measurements, entry.id), _value(other.measurements, entry.id)
        if x is None:
            continue
        for table, value in ((before, x), (apart, math.nan if y is None else y - x)):
            row = table.setdefault(one.cell.stratum, np.full(len(seeds), math.nan))
            row[seeds[one.cell.seed]] = value
        gone += y is None
    if not before:
        return None
    mean = float(np.mean([np.nanmean(values) for values in before.values()]))
    allowance = allowances.get(entry.id)
    allowed = None if allowance is None else allowance.of(mean)
    by_seed = _by_seed(np.stack(list(apart.values())))
    return MetricChange(policy, entry.id, mean, mean_interval(apart), allowed, by_seed, gone)


def _by_seed(apart: Values) -> tuple[float, ...]:
    """Return each seed's mean over the scenarios, `apart` being `[scenarios, seeds]`."""
    columns = (column[~np.isnan(column)] for column in apart.T)
    return tuple(float(np.mean(column)) for column in columns if len(column))


def _value(measurements: Mapping[str, float | None], key: str) -> float | None:
    value = measurements.get(key)
    return None if value is None or math.isnan(value) else value
