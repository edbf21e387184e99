"""Interval limits, comparisons and rates: what all seeds of a suite show together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ..metrics import METRICS
from ..statistics import (
    MIN_PAIRS,
    MOST_SEEDS,
    Interval,
    further_seeds,
    improvement_interval,
    interquartile_mean_interval,
    mean_interval,
    reduction_interval,
    reductions,
    upper_rate,
)
from ..verdict import Verdict
from .judgement import Comparison, IntervalLimitResult, Rate
from .limits import IntervalLimitConfig
from .pairs import Paired, SuiteRuns

#: Metrics that count what must not happen; their rates are stated.
EVENTS: Final = (
    "safety_violations@1",
    "negative_commands@1",
    "commands_beyond_rating@1",
    "cut_outs_tripped@1",
    "overheated_loads@1",
)
#: Metrics in which policies are compared: those of the short table of which less is better.
COMPARED: Final = tuple(
    key
    for key, entry in METRICS.items()
    if entry.headline and entry.better == "lower" and not entry.wall_only and key not in EVENTS
)
_NOTHING: Final = Interval(math.nan, math.nan, math.nan, math.nan, 0, 0)


def judge_interval_limit(
    limit: IntervalLimitConfig, policy: str, runs: SuiteRuns
) -> IntervalLimitResult:
    """Hold the interval of a policy's runs against a limit.

    ERROR where there is nothing to compare; INCONCLUSIVE where a scenario has fewer than
    `MIN_PAIRS` pairs or the interval straddles the bound. What would be a PASS is INCONCLUSIVE too
    where pairs are left out: the runs that are lacking may be the bad ones.
    """
    if limit.vs is None:
        data = runs.values(policy, limit.metric)
    else:
        data = runs.paired(policy, limit.vs, limit.metric)
    interval = _interval(limit, data)
    verdict, reason = _verdict(limit, data, interval)
    more = None
    if verdict is Verdict.INCONCLUSIVE and math.isfinite(interval.estimate):
        more = further_seeds(interval, limit.value)
    return IntervalLimitResult(
        policy, limit.text(), limit.metric, limit.unit, interval, limit.value, limit.upper,
        verdict, reason, more,
    )  # fmt: skip


def _interval(limit: IntervalLimitConfig, data: Paired) -> Interval:
    if data.unplanned or not data.pairs:
        return replace(_NOTHING, level=limit.level)
    if limit.of_ratio:
        found = reduction_interval(data.policy, data.baseline, limit.level)
        if limit.of_reduction:
            return found
        low, high = 1 - found.high, 1 - found.low  # B − x ≥ r·|B| is a ratio of at most 1 − r
        return replace(found, estimate=1 - found.estimate, low=low, high=high)
    return mean_interval(data.policy if limit.vs is None else data.differences, limit.level)


def _verdict(limit: IntervalLimitConfig, data: Paired, interval: Interval) -> tuple[Verdict, str]:
    if data.unplanned:
        return Verdict.ERROR, f"no baseline '{limit.vs}' in {_named(data.unplanned)}"
    if not data.pairs:
        lack = f"; {data.valueless} have no value" if data.valueless else ""
        return Verdict.ERROR, f"there is no completed {_word(limit)}{lack}"
    if math.isnan(interval.estimate):
        return Verdict.ERROR, interval.reason
    few = [key for key, values in data.policy.items() if len(values) < MIN_PAIRS]
    if few:
        return Verdict.INCONCLUSIVE, f"fewer than {MIN_PAIRS} {_word(limit)}s in {_named(few)}"
    if not interval.known:
        return Verdict.INCONCLUSIVE, interval.reason
    bound, low, high = limit.value, interval.low, interval.high
    if limit.upper:
        bound, low, high = -bound, -high, -low
    if high < bound:
        return Verdict.FAIL, _no_share(limit, interval)
    if low < bound:
        return Verdict.INCONCLUSIVE, _no_share(limit, interval) or _straddles(interval, limit.value)
    if data.left_out:
        lack = f"{data.left_out} of {data.left_out + data.pairs} {_word(limit)}s are left out"
        return Verdict.INCONCLUSIVE, f"{lack}: {_why_left_out(data)}"
    return Verdict.PASS, ""


def _no_share(limit: IntervalLimitConfig, interval: Interval) -> str:
    """Say why a ratio is infinite; empty if it is not."""
    if math.isfinite(interval.estimate):
        return ""
    return f"{limit.vs} has 0 in a scenario, of which there is no share: bound max_increase"


def _straddles(interval: Interval, bound: float) -> str:
    more = further_seeds(interval, bound)
    if more is None:
        return "the interval straddles the bound"
    seeds = f"more than {MOST_SEEDS}" if more > MOST_SEEDS else f"about {more}"
    return f"the interval straddles the bound; {seeds} further seeds a scenario would settle it"


def _word(limit: IntervalLimitConfig) -> str:
    return "run" if limit.vs is None else "pair"


def _why_left_out(data: Paired) -> str:
    parts = []
    if data.unfinished:
        parts.append(f"{data.unfinished} not completed")
    if data.valueless:
        parts.append(f"{data.valueless} without a value")
    return ", ".join(parts)


def _named(strata: tuple[str, ...] | list[str], most: int = 3) -> str:
    more = f" and {len(strata) - most} more" if len(strata) > most else ""
    return ", ".join(strata[:most]) + more


def comparisons(runs: SuiteRuns) -> Iterator[Comparison]:
    """Yield every judged policy against every baseline in the metrics `COMPARED`.

    Scenarios in which the baseline is not planned, or without a pair, do not enter.
    """
    for policy in runs.policies:
        for baseline in runs.baselines:
            if policy == baseline:
                continue
            for metric in COMPARED:
                data = runs.paired(policy, baseline, metric)
                if data.pairs:
                    yield _comparison(policy, baseline, metric, data)


def _comparison(policy: str, baseline: str, metric: str, data: Paired) -> Comparison:
    own = {key: values for key, values in data.policy.items() if len(values)}
    other = {key: data.baseline[key] for key in own}
    each = {key: reductions(values, other[key]) for key, values in own.items()}
    return Comparison(
        policy,
        baseline,
        metric,
        reduction_interval(own, other),
        interquartile_mean_interval(each),
        improvement_interval(own, other),
        {key: reduction_interval({key: own[key]}, {key: other[key]}) for key in own},
        data.left_out,
    )


def rates(runs: SuiteRuns) -> Iterator[Rate]:
    """Yield, for every judged policy, how often what must not happen did, over completed runs."""
    for policy in runs.policies:
        rows = [row for row in runs.of_policy(policy) if row.status == "completed"]
        for metric in EVENTS:
            known = [(row.measurements.get(metric), row.duration_s) for row in rows]
            counted = [(n, s) for n, s in known if n is not None and math.isfinite(n)]
            hours = sum(s for _, s in counted) / 3600
            if hours > 0:
                yield _rate(policy, metric, sum(n for n, _ in counted), hours)


def _rate(policy: str, metric: str, events: float, hours: float) -> Rate:
    upper_per_h = upper_rate(events, hours)
    name = METRICS[metric].name.replace("_", " ")
    text = f"{events:g} {name} in {hours:.4g} h: rate < {_per_hour(upper_per_h)} at 95 %"
    if events > 0:
        text += ", if each is an event of its own"
    return Rate(policy, metric, events, hours, upper_per_h, text)


def _per_hour(rate_per_h: float) -> str:
    """Return a rate as ``1 in 80 h``, rounded to the safe side, or ``3.2 per h`` above one."""
    if rate_per_h > 1:
        return f"{math.ceil(10 * rate_per_h) / 10:g} per h"
    hours = 1 / rate_per_h
    return f"1 in {math.floor(hours) if hours >= 10 else math.floor(10 * hours) / 10:g} h"
