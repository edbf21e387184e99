"""One horizontal scale for many rows of a table: a small picture a row, an axis below the last."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .. import format as fmt
from ..markup import text, tone

_INSET = 8.0
_STEPS = (1.0, 2.0, 5.0, 10.0)
_TICKS = 5
_ALIKE = 1e-9
"""Values nearer to one another than this part of their size are one value."""
_EDGE = 40.0
"""A tick this near to an edge is labelled towards the middle, so that its label is not cut off."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where values stand in a picture.

    Attributes:
        low: value at the left.
        high: value at the right.
        unit: of the values; shown in what `format.quantity` makes of it.
        width: of the picture, px.

    """

    low: float
    high: float
    unit: str
    width: int

    def place(self, value: float) -> float:
        """Return a value's distance from the left, px."""
        share = (value - self.low) / (self.high - self.low)
        return _INSET + share * (self.width - 2 * _INSET)

    def ticks(self) -> list[float]:
        """Return round values within the scale."""
        rough = (self.high - self.low) / _TICKS
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * s for s in _STEPS if size * s >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [i * step for i in range(first, last + 1)]

    def axis(self) -> str:
        """Return the axis as a picture: a line, and ticks with their values and unit."""
        ticks = self.ticks()
        like = max((abs(t) for t in ticks), default=1.0)
        marks = "".join(self._tick(value, like) for value in ticks)
        return (
            f'<svg class="axis" width="{self.width}" height="24" aria-hidden="true">'
            f'<line x1="0" x2="{self.width}" y1="0.5" y2="0.5"/>{marks}</svg>'
        )

    def _tick(self, value: float, like: float) -> str:
        x = self.place(value)
        anchor = "start" if x < _EDGE else "end" if x > self.width - _EDGE else "middle"
        return (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="5"/>'
            f'<text x="{x:.1f}" y="18" text-anchor="{anchor}">'
            f"{text(self._label(value, like))}</text>"
        )

    def _label(self, value: float, like: float) -> str:
        if self.unit != "1":
            return fmt.quantity(value, self.unit, like)
        return f"{round(100 * value, 6):g}\u202f%".replace("-", "\u2212")


def amount(value: float | None, unit: str, like: float | None = None) -> str:
    """Return a value with its unit; shares in %, with one decimal at least; ±∞.

    Three significant digits, so that values that differ look different.
    """
    if value is not None and math.isinf(value):
        return "∞" if value > 0 else "\u2212∞"
    if unit != "1" or value is None or math.isnan(value):
        return fmt.significant(value, unit, like)
    percent = 100 * value
    small = 0 < abs(percent) < 10
    decimals = min(2 - math.floor(math.log10(abs(percent))), 6) if small else 1
    return f"{percent:.{decimals}f}\u202f%".replace("-", "\u2212")


def scale_over(values: Iterable[float | None], unit: str, width: int = 360) -> Scale:
    """Return a scale that holds all values that are numbers, with a little room beside them."""
    found = [v for v in values if v is not None and math.isfinite(v)]
    low, high = min(found, default=0.0), max(found, default=1.0)
    if not high - low > _ALIKE * max(abs(low), abs(high), 1.0):
        room = 0.5 * max(abs(high), 1.0)
        low, high = low - room, high + room
    room = 0.03 * (high - low)
    return Scale(low - room, high + room, unit, width)


def picture(
    scale: Scale,
    verdict: str = "",
    *,
    at: float | None = None,
    span: tuple[float, float] | None = None,
    lines: Sequence[float] = (),
) -> str:
    """Return one row's picture: a dot, a bar from ``span[0]`` to ``span[1]``, upright lines.

    Whatever is no number is left out.
    """
    parts = [
        f'<line class="mark" x1="{scale.place(v):.1f}" x2="{scale.place(v):.1f}" y1="0" y2="20"/>'
        for v in lines
        if math.isfinite(v)
    ]
    if span is not None and all(math.isfinite(v) for v in span):
        low, high = (scale.place(v) for v in span)
        parts.append(f'<path class="span" d="M{low:.1f} 6v8m0-4H{high:.1f}m0-4v8"/>')
    if at is not None and math.isfinite(at):
        parts.append(f'<circle class="dot" cx="{scale.place(at):.1f}" cy="10" r="4.5"/>')
    return (
        f'<svg class="row {tone(verdict)}" width="{scale.width}" height="20" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )
