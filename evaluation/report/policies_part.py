"""Policies side by side, in one run or over several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from . import format as fmt
from .markup import badge, spread_bar, table, text
from .model import MetricInfo, PolicyRow, ReportInput
from .verdict_part import references, relative

_SAME = 1e-9
_RELATIVE_UNITS = {"Wh", "W"}
"""Units of those metrics that say something as a share of a baseline's."""


def policies(run: ReportInput) -> str:
    """Return the section that compares the judged policy with its baselines."""
    if not run.policies:
        return ""
    return section(
        list(run.policies),
        run,
        "★ marks the best value of a column; small print relates it to the baselines.",
        {},
    )


def pooled(runs: Sequence[ReportInput]) -> str:
    """Return the section that compares policies by their means over the runs' seeds."""
    found: dict[str, dict[int, PolicyRow]] = {}
    for run in runs:
        for row in run.policies:
            seen = found.setdefault(row.name, {})
            if row.judged or run.seed not in seen:
                seen[run.seed] = row
    rows = [_mean_row(name, list(seeds.values())) for name, seeds in found.items()]
    key = runs[0].objective
    spreads = {
        name: [v for row in seeds.values() if (v := row.measurements.get(key)) is not None]
        for name, seeds in found.items()
    }
    seeds = ", ".join(str(s) for s in sorted({run.seed for run in runs}))
    return section(
        rows, runs[0], f"Means over seeds {seeds}; ★ marks the best value of a column.", spreads
    )


def _mean_row(name: str, rows: Sequence[PolicyRow]) -> PolicyRow:
    keys = dict.fromkeys(key for row in rows for key in row.measurements)
    means: dict[str, float | None] = {}
    for key in keys:
        values = [v for row in rows if (v := row.measurements.get(key)) is not None]
        means[key] = fmean(values) if values else None
    verdicts = {row.verdict for row in rows if row.verdict}
    return PolicyRow(
        name, any(r.judged for r in rows), means, verdicts.pop() if len(verdicts) == 1 else None
    )


def section(
    rows: list[PolicyRow], run: ReportInput, caption: str, spreads: Mapping[str, Sequence[float]]
) -> str:
    """Return the table of headline metrics, and all others folded away below it."""
    keys = [k for k in run.metrics if any(row.measurements.get(k) is not None for row in rows)]
    keys.sort(key=lambda key: key != run.objective)
    columns = [k for k in keys if run.metrics[k].headline] or keys[:8]
    verdicts = sum(row.verdict is not None for row in rows) > 1
    heads = [("Policy", False)] + ([("Verdict", False)] if verdicts else [])
    spread = [v for values in spreads.values() for v in values]
    heads += [("Spread over seeds", False)] if len(spread) > len(spreads) else []
    heads += [(_column_head(k, run.metrics[k]), True) for k in columns]
    ordered = sorted(rows, key=lambda row: (not row.judged, _rank(row, run.objective)))
    lines = []
    for row in ordered:
        cells = [f'<th scope="row">{text(row.name)}{_role(row)}</th>']
        if verdicts:
            cells.append(f"<td>{badge(row.verdict) if row.verdict else fmt.NONE}</td>")
        if len(spread) > len(spreads):
            values = spreads.get(row.name, ())
            cells.append(
                f"<td>{spread_bar(values, min(spread), max(spread)) if values else ''}</td>"
            )
        cells += [_cell(row, rows, key, run.metrics[key]) for key in columns]
        lines.append(f"<tr{' class=judged' if row.judged else ''}>{''.join(cells)}</tr>")
    formula = (
        f'<p class="note">Objective: {text(run.objective_formula)}</p>'
        if run.objective_formula
        else ""
    )
    return (
        '<section id="policies" class="long"><h2>Policies side by side</h2>'
        f"{table(caption, heads, lines)}{formula}"
        f"{_all_metrics(ordered, keys, run.metrics)}</section>"
    )


def _role(row: PolicyRow) -> str:
    return f'<span class="tag">{"judged" if row.judged else "baseline"}</span>'


def _rank(row: PolicyRow, key: str) -> float:
    value = row.measurements.get(key)
    return math.inf if value is None or math.isnan(value) else value


def _column_head(key: str, info: MetricInfo) -> str:
    arrow = {"lower": " ↓", "higher": " ↑", None: ""}[info.better]
    hint = {"lower": "lower is better", "higher": "higher is better", None: ""}[info.better]
    spoken = f'<span class="hidden"> ({hint})</span>' if hint else ""
    tip = text(f"{key}: {info.help}" if info.help else key)
    return f'<span title="{tip}">{text(fmt.metric_title(key, info.title))}{arrow}</span>{spoken}'


def best_value(rows: Sequence[PolicyRow], key: str, info: MetricInfo) -> float | None:
    """Return the best value of a metric; None where all are equal or none is better in itself."""
    values = [
        v for row in rows if (v := row.measurements.get(key)) is not None and math.isfinite(v)
    ]
    if info.better is None or len(values) < 2 or _near(min(values), max(values)):
        return None
    return min(values) if info.better == "lower" else max(values)


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_SAME, abs_tol=_SAME)


def _cell(row: PolicyRow, rows: list[PolicyRow], key: str, info: MetricInfo) -> str:
    value = row.measurements.get(key)
    best = best_value(rows, key, info)
    is_best = best is not None and value is not None and _near(value, best)
    mark = '<span class="mark">★</span><span class="hidden">best</span> ' if is_best else ""
    like = max((abs(v) for r in rows if (v := r.measurements.get(key)) is not None), default=None)
    shown = f"{mark}{text(fmt.quantity(value, info.unit, like))}"
    small = ""
    if info.better and info.unit in _RELATIVE_UNITS:
        against = [relative(row, reference, key) for reference in references(rows, row)]
        small = "".join(f'<span class="rel">{text(a)}</span>' for a in against if a)
    return f'<td class="n{" best" if is_best else ""}">{shown}{small}</td>'


def _all_metrics(
    rows: Sequence[PolicyRow], keys: Sequence[str], metrics: Mapping[str, MetricInfo]
) -> str:
    """Return every metric, one a row, folded away."""
    heads = [("Metric", False), *((text(row.name), True) for row in rows)]
    lines = []
    for key in keys:
        info = metrics[key]
        like = max((abs(v) for r in rows if (v := r.measurements.get(key)) is not None), default=0)
        best = best_value(rows, key, info)
        cells = [f'<th scope="row">{_column_head(key, info)}</th>']
        for row in rows:
            value = row.measurements.get(key)
            is_best = best is not None and value is not None and _near(value, best)
            mark = "★ " if is_best else ""
            cells.append(
                f'<td class="n{" best" if is_best else ""}">{mark}'
                f"{text(fmt.quantity(value, info.unit, like))}</td>"
            )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f"<details><summary>All {len(keys)} metrics</summary>"
        f"{table('Every metric of the record.', heads, lines)}</details>"
    )
