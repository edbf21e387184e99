"""Where a policy stands: the axis from doing nothing to the bound, and what regret is due to."""

from __future__ import annotations

from ..bracket import (
    BOUND,
    BUDGET_BOUND,
    REPLAY,
    RESTRICTION_NAMES,
    RESTRICTIONS,
    ZERO,
    Bracket,
    Restriction,
    score_text,
)
from . import format as fmt
from .markup import table, text
from .model import ReportInput

_WIDTH, _INSET = 1000.0, 12.0
_ROW = 22.0
_CHAR = 8.0
"""Width of a character of the labels, rounded up, so that they never touch."""
_MEANING = {
    ZERO: "all loads off",
    REPLAY: "commands chosen with foresight, through the real plant",
    BOUND: "no policy can be below",
    BUDGET_BOUND: "no policy that keeps the command budget can be below",
}


def bracket(run: ReportInput) -> str:
    """Return the section with axis, table and attribution; empty where nobody asked for it."""
    found = run.bracket
    if found is None:
        return ""
    title = '<section id="bracket"><h2>Between doing nothing and the best possible</h2>'
    if found.no_bracket:
        return f'{title}<p class="note">No bracket: {text(found.no_bracket)}.</p></section>'
    notes = "".join(f"<li>{text(note)}</li>" for note in (*found.warnings, *found.notes))
    return (
        f"{title}<p>{text(_sentence(found))}</p>{axis(found)}{_table(found)}"
        f"{_attribution(found)}{f'<ul class=note>{notes}</ul>' if notes else ''}</section>"
    )


def _sentence(found: Bracket) -> str:
    summary = found.summary()
    return f"{summary[:1].upper()}{summary[1:]}."


def names(found: Bracket) -> list[str]:
    """Return who is on the axis, the worst first, the bounds last among equals."""
    order = {BOUND: 2, BUDGET_BOUND: 1}
    return sorted(found.objective_wh, key=lambda n: (-found.objective_wh[n], order.get(n, 0)))


def axis(found: Bracket) -> str:
    """Return the axis as SVG: J falls to the right; labels in rows where they would touch."""
    ordered = names(found)
    values = found.objective_wh
    high, low = values[ordered[0]], values[ordered[-1]]
    span = (high - low) or 1.0
    place = {n: _INSET + (high - values[n]) / span * (_WIDTH - 2 * _INSET) for n in ordered}
    like = max(abs(high), abs(low))
    labels = {n: f"{n} {fmt.quantity(values[n], 'Wh', like)}" for n in ordered}
    rows = _rows(ordered, place, {n: len(labels[n]) * _CHAR for n in ordered})
    base = (max(rows.values()) + 1) * _ROW + 14
    parts = []
    if REPLAY in place and BOUND in place:
        left, right = sorted((place[REPLAY], place[BOUND]))
        parts.append(
            f'<rect class="gap" x="{left:.1f}" y="{base - 5:.1f}" '
            f'width="{right - left:.1f}" height="10"/>'
        )
    parts.append(
        f'<line class="axis" x1="{_INSET}" x2="{_WIDTH - _INSET}" y1="{base:.1f}" y2="{base:.1f}"/>'
    )
    for name in ordered:
        x, top, kind = place[name], base - 12 - rows[name] * _ROW, _kind(found, name)
        side = "start" if _at_the_left(x, len(labels[name]) * _CHAR) else "end"
        shift = 5 if side == "start" else -5
        parts.append(
            f'<line class="lead" x1="{x:.1f}" x2="{x:.1f}" y1="{base:.1f}" y2="{top - 12:.1f}"/>'
            f'<circle class="{kind}" cx="{x:.1f}" cy="{base:.1f}" r="5"/>'
            f'<text class="{kind} {side}" x="{x + shift:.1f}" y="{top:.1f}">'
            f"{text(labels[name])}</text>"
        )
    said = "; ".join(labels[name] for name in ordered)
    return (
        f'<svg class="bracket" viewBox="0 0 {_WIDTH:g} {base + 12:g}" role="img" '
        f'aria-label="Objective J, falling to the right: {text(said)}">{"".join(parts)}</svg>'
        '<p class="note">Objective J, lower is better: it falls to the right.</p>'
    )


def _at_the_left(x: float, width: float) -> bool:
    """Return whether a label left of its mark would leave the picture."""
    return x - width < 0.0


def _rows(ordered: list[str], place: dict[str, float], widths: dict[str, float]) -> dict[str, int]:
    """Return in which row, from the axis up, each label stands.

    A label stands left of its mark's line and higher than those that it would touch. So no line
    crosses a label: the lines of marks to the left end lower.
    """
    rows: dict[str, int] = {}
    ends: dict[str, tuple[float, float]] = {}
    for name in ordered:
        x, width = place[name], widths[name]
        left = x if _at_the_left(x, width) else x - width
        touched = [rows[other] for other, (a, b) in ends.items() if a < left + width and left < b]
        rows[name] = max(touched, default=-1) + 1
        ends[name] = (left, left + width)
    return rows


def _kind(found: Bracket, name: str) -> str:
    if name == found.policy:
        return "own"
    return "ideal" if name in {REPLAY, BOUND, BUDGET_BOUND} else "other"


def _table(found: Bracket) -> str:
    like = max(abs(value) for value in found.objective_wh.values())
    rows = []
    for name in names(found):
        ratio, regret = found.regret_ratio(name), found.regret_wh(name)
        meaning = _MEANING.get(name, "the PI to beat" if name == found.tuned_pi else "")
        tag = "judged" if name == found.policy else meaning
        rows.append(
            f"<tr{' class=judged' if name == found.policy else ''}>"
            f'<th scope="row">{text(name)}'
            f"{f'<span class=tag>{text(tag)}</span>' if tag else ''}</th>"
            f'<td class="n">{text(fmt.quantity(found.objective_wh[name], "Wh", like))}</td>'
            f'<td class="n">{text(score_text(found.score(name)))}</td>'
            f'<td class="n">{text(fmt.quantity(regret, "Wh", like))}</td>'
            f'<td class="n">{text(fmt.NONE if ratio is None else f"{ratio:.2f}")}</td></tr>'
        )
    heads = [("", False), ("J", True), ("Score", True), ("Regret", True)]
    heads.append((f"Regret ÷ {text(found.tuned_pi or 'PI')}'s", True))
    caption = (
        "Score: 0 is doing nothing, 100 the bound. Regret: J above the bound. The true optimum "
        "lies between the bound and the replayed optimum."
    )
    return f'<div class="narrow">{table(caption, heads, rows)}</div>'


def _attribution(found: Bracket) -> str:
    """Return how much of the regret goes when a restriction is lifted, as bars and in words."""
    told = [name for name in RESTRICTIONS if name in found.lifted or name in found.lifted_how]
    if not told:
        return ""
    shares = {name: found.share(name) for name in told}
    rows = [
        f'<tr><th scope="row">{text(RESTRICTION_NAMES[name])}</th>'
        f"<td>{_share_bar(shares[name], list(shares.values()))}</td>"
        f'<td class="note">{text(_words(found, name))}</td></tr>'
        for name in told
    ]
    caption = (
        "What the policy's regret is due to: the same policy on the same seed with one restriction "
        "lifted. The shares need not add up, and lifting one may do harm."
    )
    heads = [("Restriction", False), ("Share of the regret", False), ("", False)]
    return f'<div class="narrow">{table(caption, heads, rows)}</div>'


def _words(found: Bracket, name: Restriction) -> str:
    how = found.lifted_how.get(name, "")
    if name not in found.lifted:
        return how
    told = found.explained(name).removeprefix(f"{RESTRICTION_NAMES[name]}: ")
    return f"{told}. {how[:1].upper()}{how[1:]}." if how else told


def _share_bar(share: float | None, shares: list[float | None]) -> str:
    """Return a bar of a share of the regret, to the left where it is negative."""
    if share is None:
        return ""
    known = [value for value in shares if value is not None]
    low, high = min(0.0, *known), max(1.0, *known)
    width, height = 240, 14

    def place(value: float) -> float:
        return (value - low) / (high - low) * width

    left, right = sorted((place(0.0), place(share)))
    return (
        f'<svg class="bar" width="{width}" height="{height}" aria-hidden="true">'
        f'<rect class="back" x="{place(0.0):.1f}" y="2.5" '
        f'width="{place(1.0) - place(0.0):.1f}" height="9" rx="2"/>'
        f'<rect class="fill" x="{left:.1f}" y="2.5" width="{right - left:.1f}" height="9"/>'
        f'<line class="mark" x1="{place(0.0):.1f}" x2="{place(0.0):.1f}" y1="0" y2="{height}"/>'
        "</svg>"
    )
