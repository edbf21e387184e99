"""Intervals as plots: limits on them, comparisons with baselines; and rates of what must not be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ...metrics import METRICS
from ...statistics import MOST_SEEDS, Interval
from ...suite.intervals import per_hour
from ...suite.judgement import Comparison, IntervalLimitResult, Rate
from .. import format as fmt
from ..markup import badge, table, text
from .scale import Scale, amount, picture, scale_over

_HOW = (
    "Dot: estimate; bar: its interval; upright line: {line}. Paired seeds: policy and baseline met "
    "the same weather and faults."
)
_EVEN = 0.5
"""Probability of improvement of a policy that is as good as the baseline."""


def title_of(metric: str) -> str:
    """Return a metric's name for people."""
    return fmt.metric_title(metric, "objective J" if metric.startswith("objective@") else "")


def ends(interval: Interval, unit: str, like: float | None = None) -> str:
    """Return an interval's ends and level, ``10.2 % … 18.5 % (95 %)``, or why there is none.

    ``like``: the size that decides between Wh and kWh; None: the larger end.
    """
    if math.isnan(interval.low) or math.isnan(interval.high):
        return f"no interval: {interval.reason}" if interval.reason else "no interval"
    if like is None:
        like = _largest([interval.low, interval.high])
    return (
        f"{amount(interval.low, unit, like)} … {amount(interval.high, unit, like)}"
        f" ({100 * interval.level:g}\u202f%)"
    )


def _largest(values: Iterable[float]) -> float | None:
    """Return the size of the largest value that is a number, None if there is none."""
    return max((abs(v) for v in values if math.isfinite(v)), default=None)


def _basis(interval: Interval) -> str:
    def count(number: int, one: str) -> str:
        return f"{number} {one}{'' if number == 1 else 's'}"

    return f"{count(interval.pairs, 'pair')}, {count(interval.strata, 'scenario')}"


def _over(intervals: Iterable[Interval], unit: str, lines: Sequence[float] = ()) -> Scale:
    values = [v for i in intervals for v in (i.estimate, i.low, i.high)]
    return scale_over([*values, *lines], unit)


def _row_of(scale: Scale, interval: Interval, verdict: str, lines: Sequence[float]) -> str:
    span = (interval.low, interval.high)
    return picture(scale, verdict, at=interval.estimate, span=span, lines=lines)


def interval_limits(results: Sequence[IntervalLimitResult]) -> str:
    """Return every limit on an interval: a table each, one policy a row, the bound drawn."""
    if not results:
        return ""
    groups: dict[tuple[str, str, str, bool, float], list[IntervalLimitResult]] = {}
    for result in results:
        key = (result.text, result.metric, result.unit, result.upper, result.bound)
        groups.setdefault(key, []).append(result)
    tables = "".join(_limit_table(group) for group in groups.values())
    note = _HOW.format(line="the bound, which the whole bar must keep")
    return (
        '<section id="intervals" class="long"><h2>Limits on intervals</h2>'
        f'<p class="note">{note}</p>{tables}</section>'
    )


def _limit_table(results: Sequence[IntervalLimitResult]) -> str:
    first = results[0]
    scale = _over((r.interval for r in results), first.unit, [first.bound])
    found = [v for r in results for v in (r.interval.estimate, r.interval.low, r.interval.high)]
    like = _largest([first.bound, *found])
    heads = [("Verdict", False), ("Policy", False), ("Interval", False), ("Estimate", True),
             ("From … to", True), ("Data", True), ("Note", False)]  # fmt: skip
    rows = [
        f'<tr><td>{badge(r.verdict.name)}</td><th scope="row">{text(r.policy)}</th>'
        f"<td>{_row_of(scale, r.interval, r.verdict.name, [r.bound])}</td>"
        f'<td class="n">{text(amount(r.interval.estimate, r.unit, like))}</td>'
        f'<td class="n">{text(ends(r.interval, r.unit, like))}</td>'
        f'<td class="n">{text(_basis(r.interval))}</td>'
        f'<td class="note">{text(r.reason)}</td></tr>'
        for r in results
    ]
    rows.append(_axis_row(scale, 2, 4))
    caption = f"<b>{text(first.text)}</b> ({text(title_of(first.metric))})"
    return table(caption, heads, rows)


def _axis_row(scale: Scale, before: int, after: int) -> str:
    return (
        f'<tr class="axis"><td colspan="{before}"></td><td>{scale.axis()}</td>'
        f'<td colspan="{after}"></td></tr>'
    )


def more_seeds(count: int) -> str:
    """Return ``about 12 more seeds``."""
    if count > MOST_SEEDS:
        return f"more than {MOST_SEEDS} more seeds"
    return f"about {count} more seed{'' if count == 1 else 's'}"


def comparisons(found: Sequence[Comparison]) -> str:
    """Return how far policies lie below each baseline: the objective, other metrics folded away."""
    if not found:
        return ""
    baselines = list(dict.fromkeys(comparison.baseline for comparison in found))
    parts = "".join(_against([c for c in found if c.baseline == name]) for name in baselines)
    note = _HOW.format(line="no difference")
    return (
        '<section id="comparisons" class="long"><h2>Policies against baselines</h2>'
        f'<p class="note">{note} Interquartile mean: of the pairs\' reductions, the best and the '
        "worst quarter left out. Better in: the probability that the policy is better in a random "
        f"pair.</p>{parts}</section>"
    )


def _against(found: Sequence[Comparison]) -> str:
    groups: dict[str, list[Comparison]] = {}
    for comparison in sorted(found, key=lambda c: not c.metric.startswith("objective@")):
        groups.setdefault(comparison.metric, []).append(comparison)
    first, *others = (_comparison_table(group) for group in groups.values())
    if not others:
        return first
    said = f"{len(others)} other metric{'' if len(others) == 1 else 's'} against "
    return (
        f"{first}<details><summary>{said}{text(found[0].baseline)}</summary>"
        f"{''.join(others)}</details>"
    )


def _comparison_table(group: Sequence[Comparison]) -> str:
    first = group[0]
    scale = _over((c.reduction for c in group), "1", [0.0])
    heads = [("Policy", False), ("Below the baseline by", False), ("Mean", True),
             ("From … to", True), ("Interquartile mean", True), ("Better in", True),
             ("Data", True)]  # fmt: skip
    rows = [
        f'<tr><th scope="row">{text(c.policy)}</th>'
        f"<td>{_row_of(scale, c.reduction, '', [0.0])}</td>"
        f'<td class="n">{_share(c.reduction.estimate)}</td>'
        f'<td class="n">{text(ends(c.reduction, "1"))}</td>'
        f'<td class="n">{_with_ends(c.interquartile_mean)}</td>'
        f'<td class="n">{_with_ends(c.probability_of_improvement)}{_even(c)}</td>'
        f'<td class="n">{text(_basis(c.reduction))}</td></tr>'
        for c in group
    ]
    rows.append(_axis_row(scale, 1, 5))
    caption = f"<b>{text(title_of(first.metric))}</b> against {text(first.baseline)}"
    return table(caption, heads, rows) + _by_stratum(group)


def _share(value: float) -> str:
    return text(amount(value, "1"))


def _with_ends(interval: Interval) -> str:
    if math.isnan(interval.estimate):
        return fmt.NONE
    return f'{_share(interval.estimate)}<span class="rel">{text(ends(interval, "1"))}</span>'


def _even(comparison: Comparison) -> str:
    interval = comparison.probability_of_improvement
    if interval.low <= _EVEN <= interval.high:
        return '<span class="rel">may be chance</span>'
    return ""


def _by_stratum(group: Sequence[Comparison]) -> str:
    """Return the reductions in each scenario by itself, folded away."""
    pairs = [(c, name, i) for c in group for name, i in c.by_stratum.items()]
    if not pairs:
        return ""
    scale = _over((i for _, _, i in pairs), "1", [0.0])
    strata = list(dict.fromkeys(name for _, name, _ in pairs))
    by_name: Mapping[str, list[tuple[Comparison, Interval]]] = {
        name: [(c, i) for c, other, i in pairs if other == name] for name in strata
    }
    rows = [
        f'<tr><th scope="row">{text(name)}</th><td>{text(c.policy)}</td>'
        f"<td>{_row_of(scale, i, '', [0.0])}</td>"
        f'<td class="n">{_share(i.estimate)}</td><td class="n">{text(ends(i, "1"))}</td></tr>'
        for name in strata
        for c, i in by_name[name]
    ]
    rows.append(_axis_row(scale, 2, 2))
    heads = [("Scenario", False), ("Policy", False), ("Below the baseline by", False),
             ("Mean", True), ("From … to", True)]  # fmt: skip
    return f"<details><summary>Scenario by scenario</summary>{table('', heads, rows)}</details>"


def rates(found: Sequence[Rate]) -> str:
    """Return how often happened what must not, with the highest rate not excluded."""
    if not found:
        return ""
    heads = [("Policy", False), ("Event", False), ("Events", True), ("Simulated", True),
             ("Rate is below", True), ("In words", False)]  # fmt: skip
    rows = [
        f'<tr><th scope="row">{text(r.policy)}</th>'
        f'<td title="{text(r.metric)}">{text(_event(r.metric))}</td>'
        f'<td class="n">{text(_number(r.events))}</td>'
        f'<td class="n">{text(_number(r.hours))} h</td>'
        f'<td class="n">{text(_rate(r.upper_per_h))}</td><td>{text(r.text)}</td></tr>'
        for r in found
    ]
    caption = (
        "The one-sided 95 % bound of the rate. Nothing seen is not nothing: after T hours without "
        "an event the rate may still be 3 / T (rule of three)."
    )
    return (
        f'<section id="rates" class="narrow"><h2>Rates</h2>{table(caption, heads, rows)}</section>'
    )


def _event(metric: str) -> str:
    return fmt.metric_title(metric) if metric in METRICS else metric


def _number(value: float) -> str:
    return fmt.number(value) if math.isfinite(value) else fmt.NONE


def _rate(per_h: float) -> str:
    return per_hour(per_h) if math.isfinite(per_h) else fmt.NONE
