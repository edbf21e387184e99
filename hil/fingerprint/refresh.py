"""How often a device's values change, from when they were seen to."""

from __future__ import annotations

from typing import Final

import numpy as np

from .bounds import extent
from .estimate import Estimate, EstimateError
from .series import Series

_METHOD: Final = "grid that meets every window in which a value changed (linear programme)"
_LEAST: Final = 8


def estimate_refresh(series: Series) -> Estimate:
    """Return the period of the grid on which a value changes, s.

    Every change is a tick φ + k·R of the device that lies between the request that was still
    answered with the old value and the answer with the new one. A device whose value changes with
    every request has no period that could be seen; the answer is then 0 to the time between
    requests.

    Args:
        series: of a value that moves, asked for several times a period.

    Raises:
        EstimateError: the value hardly ever changes.
    """
    changed = np.flatnonzero(series.changed())
    if changed.size < _LEAST:
        raise EstimateError(f"the value changed {changed.size} times; at least {_LEAST} are needed")
    early, late = series.sent_s[changed - 1], series.received_s[changed]
    asked_s = float(np.max(np.diff(series.sent_s)))
    if changed.size > 0.6 * (len(series) - 1):
        note = "it changes with nearly every request"
        return Estimate.between(0.0, 2.0 * asked_s, "s", _METHOD, int(changed.size), note)
    number = _numbers(early, late)
    origin = float(early[0])
    # φ + k·R <= late and φ + k·R >= early
    rows = np.concatenate([np.stack([np.ones(len(number)), number], 1)] * 2)
    rows[len(number) :] *= -1
    limits = np.concatenate([late - origin, origin - early])
    span_s = float(late[-1] - origin)
    found = extent(rows, limits, (span_s, span_s))
    note = f"not quite even: windows taken ±{found.relaxed:.3g} s wider" if found.relaxed else ""
    low, high = float(found.low[1]), float(found.high[1])
    return Estimate.between(low, high, "s", _METHOD, int(changed.size), note)


def _numbers(early: np.ndarray, late: np.ndarray) -> np.ndarray:
    """Return how many periods after the first change each one came; some ticks change nothing."""
    middle = (early + late) / 2
    gaps = np.diff(middle)
    period = float(np.median(gaps[gaps <= 1.5 * gaps.min()]))
    number = [0]
    for k, gap in enumerate(gaps):
        number.append(number[-1] + max(1, round(gap / period)))
        # From far apart the period is known better: it keeps long gaps from being miscounted.
        period = float(middle[k + 1] - middle[0]) / number[-1]
    return np.asarray(number, np.float64)
