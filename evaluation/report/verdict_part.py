"""The report's head, its limits, and what the verdict means in words."""

from __future__ import annotations

import math

from . import format as fmt
from .markup import badge, limit_bar, sign, table, text, tone
from .model import LimitRow, MetricInfo, PolicyRow, ReportInput

_NAMED = 3
"""How many limits the banner names before it counts the rest."""
_REFERENCES = ("zero", "pi")


def judged_row(run: ReportInput) -> PolicyRow | None:
    """Return the row of the judged policy."""
    return next((row for row in run.policies if row.judged), None)


_NOTHING = 1e-6
_MOST_TIMES = 1000


def references(rows: list[PolicyRow], row: PolicyRow) -> list[PolicyRow]:
    """Return the baselines against which a row is read: zero and pi, where present."""
    found = (next((r for r in rows if r.name == name), None) for name in _REFERENCES)
    return [r for r in found if r is not None and r is not row]


def relative(row: PolicyRow, reference: PolicyRow, key: str) -> str | None:
    """Return a measurement's change against a reference: ``−42 % vs pi``; None if undefined."""
    mine, other = row.measurements.get(key), reference.measurements.get(key)
    if mine is None or other is None or not math.isfinite(mine):
        return None
    if not other > _NOTHING or mine > _MOST_TIMES * other:
        return None  # a percentage of next to nothing says nothing
    return f"{fmt.percent(mine / other)} vs {reference.name}"


def why(run: ReportInput) -> str:
    """Return one or two sentences that give the verdict's reason."""
    if run.verdict in {"ABORTED", "ERROR"}:
        return run.reason or run.ended
    missed = [row for row in run.limits if row.verdict == run.verdict]
    count = len(run.limits)
    if run.verdict == "PASS":
        if not count:
            return "The run completed; the scenario sets no limits."
        passed = [row for row in run.limits if row.verdict == "PASS"]
        tight = max(passed or run.limits, key=closeness)
        judged = len(passed)
        total = "The one limit is met" if judged == 1 else f"All {judged} limits are met"
        if judged < count:
            total += f" ({count - judged} not judged under clock {run.clock})"
        margin = share(tight)
        return f"{total}. Tightest: {_title(run, tight)}{f', {margin}' if margin else ''}."
    named = "; ".join(_missed(run, row) for row in missed[:_NAMED])
    more = f"; and {len(missed) - _NAMED} more" if len(missed) > _NAMED else ""
    verb = "missed" if run.verdict == "FAIL" else "too close to call"
    are = "is" if len(missed) == 1 else "are"
    if not missed:
        return run.reason or "No limit was judged."
    return f"{len(missed)} of {count} limits {are} {verb}: {named}{more}."


def _title(run: ReportInput, row: LimitRow) -> str:
    return fmt.metric_title(row.metric, run.metrics.get(row.metric, MetricInfo("")).title)


def _missed(run: ReportInput, row: LimitRow) -> str:
    word = "at most" if row.direction == "max" else "at least"
    measured, bound = _pair(row)
    return f"{_title(run, row)} {measured}, {word} {bound} allowed"


def _ratio(row: LimitRow) -> float | None:
    """Return measured over bound, where that says something: both defined, bound positive."""
    if row.measured is None or row.bound is None or not row.bound > 0:
        return None
    return row.measured / row.bound if math.isfinite(row.measured) else None


def closeness(row: LimitRow) -> float:
    """Return how near a limit is to being missed: 1 at its bound, 0 far off, more beyond it."""
    ratio = _ratio(row)
    if ratio is None:
        return 0.0
    return ratio if row.direction == "max" else (1 / ratio if ratio > 0 else math.inf)


def _pair(row: LimitRow) -> tuple[str, str]:
    """Return measured value and bound in one unit, so that they compare at a glance."""
    finite = [abs(v) for v in (row.measured, row.bound) if v is not None and math.isfinite(v)]
    like = max(finite, default=None)
    measured, bound = (fmt.quantity(v, row.unit, like) for v in (row.measured, row.bound))
    if measured == bound and row.measured != row.bound:
        measured, bound = (fmt.exact(v, row.unit, like) for v in (row.measured, row.bound))
    return measured, bound


def share(row: LimitRow) -> str:
    """Return the margin in words."""
    ratio = _ratio(row)
    if ratio is not None:
        what = "allowed" if row.direction == "max" else "required"
        return f"{100 * ratio:.{1 if 0.9 < ratio < 1.1 else 0}f}\u202f% of what is {what}"
    if row.measured is None or row.bound is None:
        return ""
    apart = row.measured - row.bound
    if apart == 0:
        return "at the bound"
    return f"{fmt.quantity(abs(apart), row.unit)} {'above' if apart > 0 else 'below'} the bound"


def head(run: ReportInput) -> str:
    """Return title, verdict with its reason, and the judged policy's headline figures."""
    start = fmt.local_time(run.start_utc, run.time_zone)
    facts = [
        ("scenario", f"{run.scenario} ({run.kind})"),
        ("policy", run.policy),
        ("seed", run.seed),
        ("clock", run.clock),
        ("simulated", f"{start:%Y-%m-%d %H:%M} {run.time_zone}, {fmt.duration(run.duration_s)}"),
        ("ended", run.ended),
    ]
    items = "".join(f"<li><b>{name}</b>{text(value)}</li>" for name, value in facts if value != "")
    return (
        f'<header class="head" id="verdict"><div class="head-text"><h1>{text(run.title)}</h1>'
        f'<ul class="facts">{items}</ul></div>{banner(run)}{_notes(run)}{_tiles(run)}</header>'
    )


def banner(run: ReportInput) -> str:
    """Return the coloured band with the verdict and why."""
    return (
        f'<div class="banner {tone(run.verdict)}" role="status">{sign(run.verdict)}'
        f'<span class="word">{text(run.verdict)}</span>'
        f'<span class="why">{text(why(run))}</span></div>'
    )


def _notes(run: ReportInput) -> str:
    items = "".join(f"<li>{text(note)}</li>" for note in run.notes)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _tiles(run: ReportInput) -> str:
    row = judged_row(run)
    if row is None:
        return ""
    keys = [k for k, m in run.metrics.items() if m.headline and row.measurements.get(k) is not None]
    keys = sorted(keys, key=lambda k: k != run.objective)[:5]
    tiles = []
    for key in keys:
        info = run.metrics[key]
        against = [relative(row, ref, key) for ref in references(list(run.policies), row)]
        versus = ", ".join(a for a in against if a) if info.better else ""
        tiles.append(
            f'<div class="tile"><div class="name">{text(fmt.metric_title(key, info.title))}</div>'
            f'<div class="value">{text(fmt.quantity(row.measurements[key], info.unit))}</div>'
            f'<div class="vs">{text(versus)}</div></div>'
        )
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def limits(run: ReportInput) -> str:
    """Return the table of limits with measured values and margins, the worst first."""
    if not run.limits:
        return ""
    order = {"ERROR": 0, "FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
    rows = sorted(run.limits, key=lambda row: (order.get(row.verdict, 3), -closeness(row)))
    heads = [("Verdict", False), ("Metric", False), ("Measured", True), ("Limit", True),
             ("Margin", False), ("Note", False)]  # fmt: skip
    caption = "What was measured on the plant against what the scenario allows, worst first."
    return (
        '<section id="limits"><h2>Limits</h2>'
        f"{table(caption, heads, [_limit_row(run, row) for row in rows])}</section>"
    )


def _limit_row(run: ReportInput, row: LimitRow) -> str:
    ratio, (measured, bound) = _ratio(row), _pair(row)
    bar = "" if ratio is None else limit_bar(ratio, row.verdict)
    relation = "≤" if row.direction == "max" else "≥"
    made_from = f'<span class="tag">vs {text(row.vs)}</span>' if row.vs else ""
    return (
        f"<tr><td>{badge(row.verdict)}</td>"
        f'<th scope="row" title="{text(row.metric)}">{text(_title(run, row))}{made_from}</th>'
        f'<td class="n">{text(measured)}</td>'
        f'<td class="n">{relation} {text(bound)}</td>'
        f'<td>{bar}<span class="note">{text(share(row))}</span></td>'
        f'<td class="note">{text(row.reason)}</td></tr>'
    )
