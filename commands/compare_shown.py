"""What `wattbench compare` prints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from ..evaluation.run_difference import RunComparison
from ..evaluation.suite.difference import SuiteComparison

if TYPE_CHECKING:
    from ..evaluation.divergence import Difference, Moment
    from ..evaluation.regression import Change
    from ..evaluation.run_difference import Side

_COLUMNS_SHOWN = 6
_DIGITS = range(12, 18)
"""Of a trace's values: as many as tell two apart."""


@singledispatch
def as_dict(found: Any) -> dict[str, Any]:
    """Return what `--json` prints."""
    raise TypeError(type(found).__name__)


@singledispatch
def lines(found: Any) -> Iterator[str]:
    """Yield what is printed for people."""
    raise TypeError(type(found).__name__)


@as_dict.register
def _(found: RunComparison) -> dict[str, Any]:
    sides = {
        name: {"path": side.place, "policy": side.policy, "verdict": side.verdict}
        for name, side in (("a", found.a), ("b", found.b))
    }
    measurements = {
        change.metric: {
            "a": change.a,
            "b": change.b,
            "difference": change.difference,
            "allowed": change.allowed,
            "regression": change.regression,
        }
        for change in found.changes
    }
    return {
        "kind": "golden" if found.golden else "runs",
        **sides,
        "differ_in": found.unlike,
        "measurements": measurements,
        "divergence": asdict(found.divergence),
        "regressions": found.regressions,
    }


@lines.register
def _(found: RunComparison) -> Iterator[str]:
    yield from (f"{name}  {_of(side)}" for name, side in (("A", found.a), ("B", found.b)))
    yield f"They differ in: {', '.join(found.unlike) or 'nothing that is known beforehand'}"
    yield ""
    yield from _change_lines(found.changes)
    yield ""
    yield from _divergence_lines(found)
    yield ""
    yield from _regression_lines(found.regressions)


def _of(side: Side) -> str:
    return f"{side.verdict or 'not judged':<12}  {side.policy}  {side.place}"


def _change_lines(changes: Sequence[Change]) -> Iterator[str]:
    """Yield headline metrics, and others that differ or are held."""
    from ..evaluation.metrics import METRICS
    from ..evaluation.units import format_quantity

    rows = [["metric", "A", "B", "B − A", "worse at most"]]
    for change in changes:
        entry = METRICS[change.metric]
        if not (entry.headline or change.allowed is not None or change.a != change.b):
            continue
        values = [format_quantity(v, entry.unit) for v in (change.a, change.b, change.difference)]
        if math.isfinite(change.difference) and change.difference > 0:
            values[2] = f"+{values[2]}"
        allowed = "" if change.allowed is None else format_quantity(change.allowed, entry.unit)
        mark = "  ←" if change.regression else ""
        rows.append([entry.name, *values, allowed + mark])
    yield from aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows of cells as lines: the first column to the left, all others to the right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


def _divergence_lines(found: RunComparison) -> Iterator[str]:
    divergence = found.divergence
    for name, columns in (("A", divergence.only_in_a), ("B", divergence.only_in_b)):
        if columns:
            yield f"Only in {name}: {_some(columns)}"
    yield from divergence.notes
    if found.every > 1:
        yield f"One row of {found.every} is golden: what lies between is not compared"
    if divergence.identical:
        yield "Traces: identical, byte for byte (same hash)"
        return
    if divergence.first is None:
        yield "Traces: the same in every value compared"
        return
    moment = divergence.first
    yield f"Traces part at {_when(moment)}: {_what(moment.first)}"
    here = [d for d in moment.others if d.stream == moment.first.stream]
    for difference in here[:_COLUMNS_SHOWN]:
        yield f"  and {_what(difference)}"
    if len(moment.others) > len(here[:_COLUMNS_SHOWN]):
        yield f"  and {len(moment.others) - len(here[:_COLUMNS_SHOWN])} more at this time"
    counts = (f"{n} of {divergence.compared[s]} in {s}" for s, n in divergence.differing.items())
    yield f"  columns that ever differ: {', '.join(counts)}"
    decisions = divergence.decisions
    if decisions is None:
        yield "Decisions: the same throughout"
    elif decisions.t_sim_us == moment.t_sim_us and decisions.first == moment.first:
        yield "Decisions part there too"
    else:
        yield f"Decisions part at {_when(decisions)}: {_what(decisions.first)}"
    for name, events in (("A", divergence.events_a), ("B", divergence.events_b)):
        if found.golden and name == "A":
            continue  # a golden trace keeps no events
        yield f"Events before, {name}: " + ("" if events else "none")
        yield from (f"  {_event(event)}" for event in events)


def _when(moment: Moment) -> str:
    return f"{moment.t_sim_us / 1e6:g} s ({moment.utc})"


def _what(difference: Difference) -> str:
    known = [value for value in (difference.a, difference.b) if value is not None]
    digits = next((n for n in _DIGITS if len({f"{v:.{n}g}" for v in known}) > 1), _DIGITS[-1])
    values = (_value(v, digits, difference.unit) for v in (difference.a, difference.b))
    return f"{difference.stream} {difference.column}: {', '.join(values)}"


def _value(value: float | None, digits: int, unit: str) -> str:
    return "no row" if value is None else f"{value:.{digits}g} {unit}".rstrip()


def _event(event: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in event.items() if key not in {"t_sim_us", "kind"}}
    details = ", ".join(f"{key} {value}" for key, value in rest.items())
    return f"{event.get('t_sim_us', 0) / 1e6:g} s  {event.get('kind', '?')}  {details}".rstrip()


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _COLUMNS_SHOWN} more" if len(names) > _COLUMNS_SHOWN else ""
    return ", ".join(names[:_COLUMNS_SHOWN]) + more


def _regression_lines(regressions: Sequence[str]) -> Iterator[str]:
    if not regressions:
        yield "No regression."
        return
    yield f"{len(regressions)} regression{'s' if len(regressions) > 1 else ''}:"
    yield from (f"  {line}" for line in regressions)


@as_dict.register
def _(found: SuiteComparison) -> dict[str, Any]:
    return {
        "kind": "suites",
        "a": str(found.a),
        "b": str(found.b),
        "differ_in": found.unlike,
        "pairs": found.pairs,
        "identical_traces": found.identical_traces,
        "limits": [
            {"policy": one.policy, "text": one.text, "a": one.a, "b": one.b}
            for one in found.limits
        ],
        "problems": list(found.problems),
        "verdicts": [
            {"stratum": v.cell.stratum, "policy": v.cell.policy, "seed": v.cell.seed,
             "a": v.a, "b": v.b, "reason": v.reason, "regression": v.regression}
            for v in found.verdicts
        ],
        "metrics": [{**asdict(m), "regression": m.regression} for m in found.metrics],
        "only_in_a": [cell.folder for cell in found.only_in_a],
        "only_in_b": [cell.folder for cell in found.only_in_b],
        "regressions": found.regressions,
    }  # fmt: skip


@lines.register
def _(found: SuiteComparison) -> Iterator[str]:
    yield f"A  {found.a}"
    yield f"B  {found.b}"
    yield f"They differ in: {', '.join(found.unlike) or 'nothing that is known beforehand'}"
    yield f"{found.pairs} paired runs, {found.identical_traces} with identical traces"
    for name, cells in (("A", found.only_in_a), ("B", found.only_in_b)):
        if cells:
            yield f"Only in {name}: {len(cells)}: {_some([cell.folder for cell in cells])}"
    policies = list(dict.fromkeys(metric.policy for metric in found.metrics))
    for policy in policies:
        yield ""
        yield from _suite_metric_lines(found, policy)
    yield ""
    for limit in found.limits:
        yield f"Limit '{limit.text}', {limit.policy}: {limit.a} became {limit.b}"
    yield f"Verdicts that changed: {len(found.verdicts) or 'none'}"
    for verdict in found.verdicts:
        mark = "  ←" if verdict.regression else ""
        reason = f": {verdict.reason}" if verdict.reason else ""
        where = f"{verdict.cell.stratum}, {verdict.cell.policy}, seed {verdict.cell.seed}"
        yield f"  {where}: {verdict.a} → {verdict.b}{reason}{mark}"
    yield ""
    yield from _regression_lines(found.regressions)


def _suite_metric_lines(found: SuiteComparison, policy: str) -> Iterator[str]:
    from ..evaluation.metrics import METRICS
    from ..evaluation.units import format_quantity

    rows = [[policy, "A", "B − A", "95 % interval", "worse at most"]]
    for metric in found.metrics:
        if metric.policy != policy:
            continue
        entry, interval = METRICS[metric.metric], metric.interval
        apart, low, high = (
            format_quantity(value, entry.unit)
            for value in (interval.estimate, interval.low, interval.high)
        )
        ends = f"{low} … {high}" if interval.known else "n/a"
        allowed = "" if metric.allowed is None else format_quantity(metric.allowed, entry.unit)
        mark = "  ←" if metric.regression else ""
        rows.append([entry.name, format_quantity(metric.before, entry.unit), apart, ends,
                     allowed + mark])  # fmt: skip
    yield from aligned(rows)
    mine = [metric.interval for metric in found.metrics if metric.policy == policy]
    why = {interval.reason for interval in mine if not interval.known}
    yield from (f"  no interval: {reason}" for reason in sorted(why))
