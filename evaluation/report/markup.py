"""Small pieces of HTML: escaping, tables, verdict marks, bars."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

SEVERITY = ("PASS", "INCONCLUSIVE", "FAIL", "ABORTED", "ERROR")
_SIGNS = {"PASS": "✓", "INCONCLUSIVE": "?", "FAIL": "✗", "ABORTED": "■", "ERROR": "!"}
_FULL = 1.5
"""A bar is this many bounds long, so that what lies beyond the bound shows."""


def text(value: object) -> str:
    """Return a value as HTML text, safe as element content and as attribute value."""
    return escape(str(value), quote=True)


def tone(verdict: str) -> str:
    """Return the class that colours a verdict; none for what was not judged."""
    return verdict if verdict in SEVERITY else "unjudged"


def sign(verdict: str) -> str:
    """Return the sign beside a verdict's word, for those who do not see its colour."""
    return f'<span class="sign" aria-hidden="true">{_SIGNS.get(verdict, "–")}</span>'


def badge(verdict: str) -> str:
    """Return a verdict as sign and word."""
    return f'<span class="badge {tone(verdict)}">{sign(verdict)} {text(verdict)}</span>'


def table(caption: str, heads: Sequence[tuple[str, bool]], rows: Sequence[str]) -> str:
    """Return a table that scrolls sideways.

    ``heads`` are (HTML, whether numeric); ``rows`` are rows of HTML; ``caption`` is HTML.
    """
    head = "".join(
        f'<th scope="col"{" class=n" if numeric else ""}>{name}</th>' for name, numeric in heads
    )
    return (
        f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def limit_bar(ratio: float, verdict: str) -> str:
    """Return a bar of measured over bound; the stroke marks the bound."""
    width, height = 180, 14
    fill = max(0.0, min(ratio, _FULL)) / _FULL * width
    return (
        f'<svg class="bar {tone(verdict)}" width="{width}" height="{height}" aria-hidden="true">'
        f'<rect class="back" x="0.5" y="2.5" width="{width - 1}" height="9" rx="2"/>'
        f'<rect class="fill" x="0.5" y="2.5" width="{fill:.1f}" height="9" rx="2"/>'
        f'<line class="mark" x1="{width / _FULL:.1f}" x2="{width / _FULL:.1f}" y1="0" '
        f'y2="{height}"/></svg>'
    )


def spread_bar(values: Sequence[float], low: float, high: float) -> str:
    """Return one dot a value between ``low`` and ``high``, and a stroke at their mean."""
    width, height, inset = 100, 14, 6
    extent = (high - low) or 1.0

    def place(value: float) -> str:
        return f"{inset + (value - low) / extent * (width - 2 * inset):.1f}"

    dots = "".join(f'<circle class="dot" cx="{place(v)}" cy="7" r="4"/>' for v in values)
    mean = place(sum(values) / len(values))
    return (
        f'<svg class="bar" width="{width}" height="{height}" aria-hidden="true">'
        f'<line class="back" x1="0" x2="{width}" y1="7" y2="7"/>{dots}'
        f'<line class="mean" x1="{mean}" x2="{mean}" y1="0" y2="{height}"/></svg>'
    )
