"""Regressions: what got worse between two runs or suites, by more than is tolerated.

A verdict that got more severe always is one. A metric is one if it got worse, in the direction that
`Metric.better` calls worse, by more than its tolerance: for two runs the difference itself, for
suites the whole interval of the paired differences. Metrics without a direction may not move by
more than their tolerance either way. A value that is no longer there cannot be held, and that is a
regression too: else a run passes for no worse because it measures less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from .metrics import METRICS, Metric, find_metric
from .units import UNITS, parse_quantity
from .verdict import Verdict

_NOISE: Final = 1e-9
"""A relative difference of this is rounding."""
_MOST_PERCENT: Final = 1000.0
#: Defaults: J may get worse by 1 %, other headline metrics by 5 %, each by at least this much.
_OBJECTIVE_SHARE, _HEADLINE_SHARE = 0.01, 0.05
_AT_LEAST: Final = {"Wh": 10.0, "W": 10.0, "1": 0.01, "1/min": 0.5, "s": 0.0, "count": 0.0}


class ToleranceError(ValueError):
    """A tolerance that cannot be read; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """By how much a metric may get worse: the greater of both.

    Attributes:
        absolute: in the metric's unit.
        relative: as a share of the size of the value before.

    """

    absolute: float = 0.0
    relative: float = 0.0

    def of(self, before: float) -> float:
        """Return the tolerance for a value."""
        return max(self.absolute, self.relative * abs(before))


Allowances = Mapping[str, Allowance]


def default_allowances() -> dict[str, Allowance]:
    """Return what is held if nothing was declared: the headline metrics with a direction.

    What depends on the machine (`Metric.wall_only`) is not among them.
    """
    return {
        key: Allowance(
            _AT_LEAST[entry.unit],
            _OBJECTIVE_SHARE if entry.name == "objective" else _HEADLINE_SHARE,
        )
        for key, entry in METRICS.items()
        if entry.headline and entry.better is not None and not entry.wall_only
    }


def parse_allowance(metric: str, value: object) -> tuple[str, Allowance]:
    """Return a metric's id and its tolerance.

    Args:
        metric: its name or id.
        value: ``5 %`` (of the value before), a text with a unit, or a number in the metric's unit.

    Raises:
        ToleranceError: no such metric, or the value is no tolerance.

    """
    try:
        entry = find_metric(metric)
    except KeyError as error:
        raise ToleranceError(str(error.args[0])) from error
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ToleranceError(f"{metric}: expected a number, a text with a unit, or a percentage")
    text = str(value).strip()
    if text.endswith("%"):
        share = _plain(metric, text.removesuffix("%"), entry) / 100.0
        if share > _MOST_PERCENT / 100.0:
            raise ToleranceError(f"{metric}: {text}; allowed: at most {_MOST_PERCENT:g} %")
        return entry.id, Allowance(relative=share)
    return entry.id, Allowance(absolute=_plain(metric, text, entry, units=True))


def _plain(metric: str, text: str, entry: Metric, *, units: bool = False) -> float:
    try:
        number = float(text)
    except ValueError:
        spellings = [spelling for spelling in UNITS[entry.unit] if spelling != "%"]
        try:
            if not units:
                raise ValueError
            number = parse_quantity(text, entry.unit)
        except ValueError:
            named = f", a number with a unit ({', '.join(spellings)})" if spellings else ""
            raise ToleranceError(
                f"{metric}: '{text}' is no tolerance; allowed: a number{named}, or a percentage"
            ) from None
    if not (math.isfinite(number) and number >= 0):
        raise ToleranceError(f"{metric}: '{text}' is no tolerance; allowed: 0 or more")
    return number


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of two runs.

    Attributes:
        metric: its id.
        a: the value before; None where there is none.
        b: the value after.
        worse_by: how much worse it got, negative where better; NaN where it cannot be said.
        allowed: the tolerance; None where the metric is not held.

    """

    metric: str
    a: float | None
    b: float | None
    worse_by: float
    allowed: float | None

    @property
    def difference(self) -> float:
        """What came on top: b − a."""
        return math.nan if self.a is None or self.b is None else self.b - self.a

    @property
    def regression(self) -> bool:
        """Whether it got worse by more than is tolerated, or the value is gone."""
        if self.allowed is None or self.a is None:
            return False
        if self.b is None:
            return True
        return exceeds(self.worse_by, self.allowed, self.a)


def exceeds(worse_by: float, allowed: float, before: float) -> bool:
    """Return whether a worsening is more than tolerated, and more than rounding."""
    return worse_by > allowed + _NOISE * abs(before)


def worsening(metric: Metric, difference: float) -> float:
    """Return how much worse a difference b − a is; negative: better."""
    if metric.better is None:
        return abs(difference)
    return difference if metric.better == "lower" else -difference


def changes(
    a: Mapping[str, float | None], b: Mapping[str, float | None], allowances: Allowances
) -> tuple[Change, ...]:
    """Return every metric that either run has, in the order of tables."""
    found = []
    for key, entry in METRICS.items():
        one, other = _known(a.get(key)), _known(b.get(key))
        if one is None and other is None:
            continue
        apart = math.nan if one is None or other is None else other - one
        allowance = allowances.get(key)
        allowed = None if allowance is None or one is None else allowance.of(one)
        found.append(Change(key, one, other, worsening(entry, apart), allowed))
    return tuple(found)


def got_worse(a: str | None, b: str | None) -> bool:
    """Return whether a verdict, by name, is more severe than the one before."""
    return a is not None and b is not None and Verdict[b] > Verdict[a]


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def parse_allowances(items: Iterable[tuple[str, object]]) -> dict[str, Allowance]:
    """Return tolerances by metric id; the last of a metric counts.

    Raises:
        ToleranceError: one cannot be read.

    """
    return dict(parse_allowance(metric, value) for metric, value in items)
