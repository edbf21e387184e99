"""In which steps a device moves, from the values at which it settles."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import Estimate, EstimateError

Floats = NDArray[np.float64]

_METHOD: Final = "largest step of which all settled values are multiples"
_LEAST: Final = 6
_FINEST: Final = 6.0
"""Finer steps, in tolerances, cannot be told from chance."""
_ROUNDING: Final = 1e-9


def estimate_quantisation(settled: ArrayLike, *, tolerance: float, unit: str = "W") -> Estimate:
    """Return the step of which all settled values are multiples.

    The largest q for which every value lies within `tolerance` of a multiple of q. With n values at
    random places the chance that all happen to be multiples of 2q is 2⁻ⁿ. Its uncertainty is what
    the tolerance leaves at the largest multiple.

    Args:
        settled: at least six values, measured after set-points at random places of the range.
        tolerance: greatest error of a value: the register's rounding and noise; above 0.
        unit: of the values.

    Raises:
        EstimateError: too few values.
    """
    values = np.unique(np.abs(np.asarray(settled, np.float64)))
    values = values[values > tolerance]
    if values.size < _LEAST:
        raise EstimateError(f"{values.size} different settled values; at least {_LEAST} are needed")
    if not tolerance > 0:
        raise EstimateError("the tolerance must be above 0")
    finest = _FINEST * tolerance
    samples = int(values.size)
    for step in _candidates(values, finest):
        near = tolerance / values[0]
        found = _refined(values[1:], step * (1 - near), step * (1 + near), tolerance)
        if found is not None:
            low, high = found
            return Estimate.between(low, high, unit, _METHOD, samples)
    note = f"finer than can be told: values are known to ±{tolerance:.3g} {unit} only"
    return Estimate.between(0.0, finest, unit, _METHOD, samples, note)


def _candidates(values: Floats, finest: float) -> Floats:
    """Return possible steps, largest first: fractions of the least value."""
    least = float(values[0])
    most = int(least / finest)
    return least / np.arange(1, max(most, 0) + 1)


def _refined(
    values: Floats, low: float, high: float, tolerance: float
) -> tuple[float, float] | None:
    """Return between what ends a step from `low` to `high` can lie; None if it cannot.

    Small values fix the step roughly, so that the multiples of larger ones become known; each then
    narrows it further. Where several multiples are possible, all are followed.
    """
    if values.size == 0:
        return low, high
    value = float(values[0])
    first = max(1, math.ceil((value - tolerance) / high - _ROUNDING))
    last = math.floor((value + tolerance) / low + _ROUNDING)
    ends: list[float] = []
    for multiple in range(first, last + 1):
        narrow = max(low, (value - tolerance) / multiple), min(high, (value + tolerance) / multiple)
        if narrow[0] <= narrow[1] * (1 + _ROUNDING):
            ends += _refined(values[1:], *narrow, tolerance) or ()
    return (min(ends), max(ends)) if ends else None
