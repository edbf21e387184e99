"""A judged suite in a few lines for the terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from ..statistics import Interval
from ..units import format_quantity
from .judgement import Comparison, Rate, SuiteJudgement
from .results import Cell
from .worst import WorstRun, worst_runs

_WORST = 5
_TOTAL = "safety_violations@1"
_OBJECTIVE = "objective@1"
_COMPARED = (_OBJECTIVE, "export_energy@1", "peak_export_1min@1")


def shown(value: float, unit: str) -> str:
    """Return a value of an interval for people; shares in percent, ±∞ as such."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if unit == "1":
        if math.isnan(value):
            return "n/a"
        percent = 100 * value
        return f"{percent:.0f} %" if abs(percent) >= 1000 else f"{percent:.3g} %"
    return format_quantity(value, unit)


def shown_interval(interval: Interval, unit: str) -> str:
    """Return ``12.3 % [9.8, 15.1]``; without an interval the estimate alone."""
    estimate = shown(interval.estimate, unit)
    if not interval.known:
        return estimate
    low, high = (shown(value, unit) for value in (interval.low, interval.high))
    if unit == "1":
        low, high = low.removesuffix(" %"), high.removesuffix(" %")
    return f"{estimate} [{low}, {high}]"


def suite_lines(judgement: SuiteJudgement) -> list[str]:
    """Return the suite as lines: verdicts, intervals, rates, brackets, worst runs."""
    identity = judgement.identity
    lines = [*_matrix(judgement), *_interval_limits(judgement), *_comparisons(judgement)]
    lines += [*_rates(judgement.rates), *_brackets(judgement), *_worst(judgement)]
    lines += [f"PROBLEM  {text}" for text in judgement.problems]
    lines += [f"note: {text}" for text in judgement.warnings]
    lines.append(f"{judgement.verdict.name}  {identity.name}: {_in_all(judgement)}")
    return lines


def _in_all(judgement: SuiteJudgement) -> str:
    """Return how often each verdict came, and whatever else made the suite's verdict."""
    planned = sum(not cell.baseline for cell in judgement.identity.plan)
    parts = [f"{planned} judged runs: {_counts(judgement.counts())}"]
    if judgement.interval_limits:
        found = Counter(result.verdict for result in judgement.interval_limits)
        counts = {verdict.name: found[verdict] for verdict in sorted(found)}
        parts.append(f"limits on intervals: {_counts(counts)}")
    broken = sum(row.cell.baseline and row.status != "completed" for row in judgement.rows)
    if broken:
        parts.append(f"baselines that did not complete: {broken}")
    if judgement.problems:
        parts.append(f"problems: {len(judgement.problems)}")
    if judgement.gone:
        parts.append(f"records that are gone: {len(judgement.gone)}")
    return "; ".join(parts)


def _matrix(judgement: SuiteJudgement) -> Iterator[str]:
    """Yield how often each verdict came, a line a scenario, a column a policy."""
    policies = judgement.policies
    table = [["", *policies]]
    for stratum in judgement.strata:
        cells = [_counts(judgement.counts(stratum, policy)) for policy in policies]
        table.append([stratum, *cells])
    yield from columns(table)
    yield ""


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {word}" for word, number in counts.items()) or "–"


def _interval_limits(judgement: SuiteJudgement) -> Iterator[str]:
    if not judgement.interval_limits:
        return
    yield "Interval limits"
    table = [
        ["", result.verdict.name, result.policy, result.text,
         shown_interval(result.interval, result.unit), result.reason]
        for result in judgement.interval_limits
    ]  # fmt: skip
    yield from columns(table)
    yield ""


def _comparisons(judgement: SuiteJudgement) -> Iterator[str]:
    """Yield a line a policy and baseline; the other metrics are in the report and in JSON."""
    groups: dict[tuple[str, str], dict[str, Comparison]] = {}
    for found in judgement.comparisons:
        groups.setdefault((found.policy, found.baseline), {})[found.metric] = found
    if not groups:
        return
    yield "Reductions against baselines, 95 % intervals"
    table = [["", "", "J", "P(better in J)", "export", "peak export", "pairs"]]
    for (policy, baseline), of in groups.items():
        objective = of.get(_OBJECTIVE)
        better = "n/a"
        if objective is not None:
            better = shown_interval(objective.probability_of_improvement, "1")
        three = [
            shown_interval(of[key].reduction, "1") if key in of else "n/a" for key in _COMPARED
        ]
        pairs = max(found.reduction.pairs for found in of.values())
        table.append(["", f"{policy} vs {baseline}", three[0], better, *three[1:], str(pairs)])
    yield from columns(table)
    told = [of[key].reduction for of in groups.values() for key in _COMPARED if key in of]
    why = {interval.reason for interval in told if not interval.known}
    yield from (f"  reductions without interval: {reason}" for reason in sorted(why))
    yield ""


def _rates(rates: Sequence[Rate]) -> Iterator[str]:
    """Yield the rate of all violations together, and of every kind that happened."""
    told = [rate for rate in rates if rate.metric == _TOTAL or rate.events > 0]
    yield from (f"{rate.policy}: {rate.text}" for rate in told)
    if told:
        yield ""


def _brackets(judgement: SuiteJudgement) -> Iterator[str]:
    """Yield where each policy stands between doing nothing and the bound, on a first seed."""
    if not judgement.brackets:
        return
    yield "Between doing nothing (0) and the bound (100), first seeds"
    yield from columns(
        [
            ["", stratum, bracket.policy, bracket.summary()]
            for stratum, found in judgement.brackets.items()
            for bracket in found
        ]
    )
    yield ""


def _worst(judgement: SuiteJudgement) -> Iterator[str]:
    worst = worst_runs(judgement, _WORST)
    if not worst:
        return
    yield "Runs to look at first"
    for found in worst:
        row = found.row
        reason = f": {row.reason}" if row.reason else ""
        yield f"  {row.verdict}  {_name(row.cell)}{_objective(found)}{reason}"
        yield f"    {judgement.folder / row.cell.folder}"
    yield ""


def _name(cell: Cell) -> str:
    return f"{cell.stratum}, {cell.policy}, seed {cell.seed}"


def _objective(worst: WorstRun) -> str:
    if math.isnan(worst.reduction):
        return ""
    word = "below" if worst.reduction >= 0 else "above"
    return f", J {shown(abs(worst.reduction), '1')} {word} {worst.baseline}"


def columns(table: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table with columns of equal width, two blanks between them."""
    widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()
