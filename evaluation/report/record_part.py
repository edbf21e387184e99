"""Events, identity and how to judge again: what the record holds besides its traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import format as fmt
from .markup import table, text
from .model import IdentityRow, ReportInput

_MAX_EVENTS = 400
_OPEN_EVENTS = 20
"""Up to so many events stand open; more are folded away."""


def events(run: ReportInput) -> str:
    """Return the event log: when, what, and the event's other fields."""
    if not run.events:
        return '<section id="events"><h2>Events</h2><p class="note">None.</p></section>'
    shown = run.events[:_MAX_EVENTS]
    rows = []
    for event in shown:
        seconds = int(event["t_sim_us"]) / 1e6
        when = fmt.local_time(run.start_utc, run.time_zone, seconds)
        rows.append(
            f'<tr><td class="n"><button type="button" class="time" data-at="{seconds:.3f}" '
            f'title="zoom the traces to this">{when:%H:%M:%S}</button></td>'
            f'<td class="n">{text(fmt.duration(round(seconds, 3)))}</td>'
            f"<td>{text(str(event.get('kind', '')).replace('_', ' '))}</td>"
            f"<td>{text(_fields(event))}</td></tr>"
        )
    heads = [("Local time", True), ("Since start", True), ("Event", False), ("What", False)]
    cut = f"The first {len(shown)} of {len(run.events)}. " if len(run.events) > len(shown) else ""
    body = table(f"{cut}A time zooms the traces to it.", heads, rows)
    if len(run.events) > _OPEN_EVENTS:
        body = f"<details><summary>{len(run.events)} events</summary>{body}</details>"
    return f'<section id="events" class="long narrow"><h2>Events</h2>{body}</section>'


def _fields(event: Mapping[str, Any]) -> str:
    hidden = {"t_sim_us", "kind"}
    return ", ".join(
        f"{key.replace('_', ' ')}: {value}" for key, value in event.items() if key not in hidden
    )


def identity(run: ReportInput) -> str:
    """Return hashes, versions, machine and safe state, grouped, and how to judge again."""
    folder = text(run.folder or "RUN")
    return (
        '<section id="identity" class="long"><h2>Identity of the record</h2>'
        f"{identity_groups(run.identity)}</section>"
        '<section id="rejudge"><h2>Judge it again</h2>'
        "<p>Everything above can be computed again from the record's folder, without a simulation: "
        f"</p><pre><code>wattbench judge {folder}</code></pre>"
        '<p class="note">The verdict uses the plant\'s truth in <code>trace/truth.parquet</code>, '
        "the limits and the baselines' measurements stored with the record. Sign convention: grid "
        "power + import, − export; battery + discharge.</p></section>"
    )


def identity_groups(facts: Sequence[IdentityRow]) -> str:
    """Return facts under the headings of their groups."""
    groups: dict[str, list[str]] = {}
    for row in facts:
        groups.setdefault(row.group, []).append(
            f'<tr><th scope="row">{text(row.name)}</th><td>{_value(row.value)}</td></tr>'
        )
    tables = "".join(
        f"<div><h3>{text(group)}</h3><table><tbody>{''.join(rows)}</tbody></table></div>"
        for group, rows in groups.items()
    )
    return f'<div class="groups">{tables}</div>'


def _value(value: str) -> str:
    return f"<code>{text(value)}</code>" if _is_hash(value) else text(value)


def _is_hash(value: str) -> bool:
    digits = value.rpartition(":")[2]
    return len(digits) >= 12 and all(c in "0123456789abcdef" for c in digits)
