"""Interval limits, comparisons and rates: what all seeds of a suite show together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from ..metrics import METRICS
from ..statistics import (
    MOST_SEEDS,
    Interval,
    further_seeds,
    improvement_interval,
    interquartile_mean_interval,
    mean_interval,
    reduction_interval,
    reductions,
    shares,
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

    ERROR where there is nothing to compare; INCONCLUSIVE where a scenario has fewer pairs than
    `pairs_needed`, or the interval straddles the bound. What would be a PASS is INCONCLUSIVE too
    where pairs are left out: the runs that are lacking may be the bad ones. Scenarios in which
    policy and baseline are 0 throughout have no share and do not enter one, and where all are so,
    every bound on a share is kept, as 0 keeps every share of 0 in a single run.
    """
    if limit.vs is None:
        data = runs.values(policy, limit.metric)
    else:
        data = runs.paired(policy, limit.vs, limit.metric)
    interval = _interval(limit, data)
    verdict, why = _verdict(limit, data, interval)
    reason = "; ".join(filter(None, (why, _idle(limit, data))))
    more = None
    if verdict is Verdict.INCONCLUSIVE and math.isfinite(interval.estimate):
        more = _further_seeds(limit, data, interval)
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
    if _unseen(limit, data):
        # As many seeds are all that shows it, however many scenarios share them.
        high = upper_rate(0, _fewest(data), limit.level)
        return replace(mean_interval(data.policy, limit.level), high=high)
    return mean_interval(data.policy if limit.vs is None else data.differences, limit.level)


def _unseen(limit: IntervalLimitConfig, data: Paired) -> bool:
    """Return whether a mean above 0 is allowed of an event of which there was none.

    Seeds without an event are all alike, and the bootstrap's interval is a point at 0, which would
    keep any such bound, however rare the event. That no event at all is allowed is kept by it: no
    number of seeds shows more.
    """
    rare = limit.metric in EVENTS and limit.vs is None and limit.upper and limit.value > 0
    return rare and all(np.nansum(values) == 0 for values in data.policy.values())


def _fewest(data: Paired) -> int:
    return min(int(np.count_nonzero(~np.isnan(values))) for values in data.policy.values())


def _further_seeds(limit: IntervalLimitConfig, data: Paired, interval: Interval) -> int | None:
    if not _unseen(limit, data) or not interval.known:
        return further_seeds(interval, limit.value)
    needed = math.ceil(upper_rate(0, 1.0, limit.level) / limit.value)  # the interval goes as 1/n
    return min(max(needed - _fewest(data), 1), MOST_SEEDS + 1)


def _verdict(limit: IntervalLimitConfig, data: Paired, interval: Interval) -> tuple[Verdict, str]:
    if data.unplanned:
        return Verdict.ERROR, f"no baseline '{limit.vs}' in {_named(data.unplanned)}"
    if not data.pairs:
        lack = f"; {data.valueless} have no value" if data.valueless else ""
        return Verdict.ERROR, f"there is no completed {_word(limit)}{lack}"
    if data.without_pairs:
        return Verdict.INCONCLUSIVE, f"no completed {_word(limit)} in {_named(data.without_pairs)}"
    if limit.of_ratio and not interval.strata:
        return _of_nothing(limit, data, interval)
    if math.isnan(interval.estimate):
        return Verdict.ERROR, interval.reason
    if not interval.known:
        return Verdict.INCONCLUSIVE, _no_share(limit, interval) or interval.reason
    bound, low, high = limit.value, interval.low, interval.high
    if limit.upper:
        bound, low, high = -bound, -high, -low
    if high < bound:
        return Verdict.FAIL, _no_share(limit, interval)
    if low < bound:
        return Verdict.INCONCLUSIVE, _no_share(limit, interval) or _straddles(
            _further_seeds(limit, data, interval)
        )
    if data.left_out:
        return Verdict.INCONCLUSIVE, _left_out(limit, data)
    return Verdict.PASS, ""


def _of_nothing(
    limit: IntervalLimitConfig, data: Paired, interval: Interval
) -> tuple[Verdict, str]:
    """Judge a share of a baseline where policy and baseline are 0 in every pair."""
    differences = mean_interval(data.differences, limit.level)
    if not differences.known:
        return Verdict.INCONCLUSIVE, differences.reason
    if data.left_out:
        return Verdict.INCONCLUSIVE, _left_out(limit, data)
    return Verdict.PASS, f"{interval.reason}: 0 keeps every bound on one"


def _idle(limit: IntervalLimitConfig, data: Paired) -> str:
    """Say which scenarios do not enter: copies, and of a share those with 0; empty if all do."""
    copies = f"left out, as they repeat another: {_named(data.copies)}" if data.copies else ""
    if not limit.of_ratio:
        return copies
    own, _ = shares(data.policy, data.baseline)
    idle = [key for key, values in own.items() if np.isnan(values).all()]
    zero = f"left out, as both are 0 there: {_named(idle)}" if 0 < len(idle) < len(own) else ""
    return "; ".join(filter(None, (copies, zero)))


def _left_out(limit: IntervalLimitConfig, data: Paired) -> str:
    lack = f"{data.left_out} of {data.left_out + data.pairs} {_word(limit)}s are left out"
    return f"{lack}: {_why_left_out(data)}"


def _no_share(limit: IntervalLimitConfig, interval: Interval) -> str:
    """Say why a ratio is infinite; empty if it is not."""
    if math.isfinite(interval.estimate):
        return ""
    return f"{limit.vs} has 0 in a scenario, of which there is no share: bound max_increase"


def _straddles(more: int | None) -> str:
    if more is None:
        return "the interval straddles the bound"
    seeds = f"more than {MOST_SEEDS}" if more > MOST_SEEDS else f"about {more}"
    settling = f"{seeds} further seeds a scenario would probably settle it"
    return f"the interval straddles the bound; {settling}"


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
    lacking = set(data.without_pairs)
    own = {key: values for key, values in data.policy.items() if key not in lacking}
    other = {key: data.baseline[key] for key in own}
    active, reference = shares(own, other)
    each = {key: reductions(values, reference[key]) for key, values in active.items()}
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
    """Yield, for every judged policy, how often what must not happen did, over completed runs.

    Runs that are copies of one another, as their traces are equal byte for byte, count once: a
    scenario that is repeated under another name, or that no seed changes, adds no time. The time of
    variants counts, though they share the weather of a seed.
    """
    for policy in runs.policies:
        rows = [row for row in runs.of_policy(policy) if row.status == "completed"]
        for metric in EVENTS:
            known = [(row, row.measurements.get(metric)) for row in rows]
            counted = [(row, n) for row, n in known if n is not None and math.isfinite(n)]
            once = {row.trace_sha256 or row.cell.folder: (n, row.duration_s) for row, n in counted}
            hours = sum(s for _, s in once.values()) / 3600
            if hours > 0:
                copies = len(counted) - len(once)
                yield _rate(policy, metric, sum(n for n, _ in once.values()), hours, copies)


def _rate(policy: str, metric: str, events: float, hours: float, copies: int) -> Rate:
    upper_per_h = upper_rate(events, hours)
    name = METRICS[metric].name.replace("_", " ")
    text = f"{events:g} {name} in {hours:.4g} h: rate < {per_hour(upper_per_h)} at 95 %"
    if events > 0:
        text += ", if each is an event of its own"
    if copies:
        text += f"; {copies} runs that repeat another byte for byte are not counted"
    return Rate(policy, metric, events, hours, upper_per_h, text)


def per_hour(rate_per_h: float) -> str:
    """Return a rate as ``1 in 80 h``, rounded to the safe side, or ``3.2 per h`` above one."""
    if rate_per_h > 1:
        return f"{math.ceil(10 * rate_per_h) / 10:g} per h"
    hours = 1 / rate_per_h
    return f"1 in {math.floor(hours) if hours >= 10 else math.floor(10 * hours) / 10:g} h"
