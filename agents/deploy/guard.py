"""The guard: whatever a policy decides, what leaves here respects every limit of the actuators.

Interventions, as codes:

- ``shape``: not one number for each actuator; safe values are commanded,
- ``not_finite``: NaN or infinite; safe values for all,
- ``stale``: the reading is older than the limit, or there is none; safe values for all,
- ``negative``: a load or charger was told to produce while the set-point of grid power is
  positive; it gets its lowest power,
- ``below_low``, ``above_high``: outside the actuator's range; clamped,
- ``below_min_on``: above zero, but less than the actuator can run at; it gets zero.

A hair's breadth beyond a limit (a millionth of the range, from rounding) is clamped silently.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...sim.compiled import compiled
from ..policy import SiteInfo

CODES: Final = (
    "shape",
    "not_finite",
    "stale",
    "negative",
    "below_low",
    "above_high",
    "below_min_on",
)
_NOT_FINITE, _NEGATIVE, _LOW, _HIGH, _MIN_ON = 2, 8, 16, 32, 64
_ROW_LOW, _ROW_HIGH, _ROW_MIN_ON, _ROW_SAFE, _ROW_SINK, _ROW_SLACK = 0, 1, 2, 3, 4, 5
#: The tuple of codes of each combination of bits.
_COMBINATIONS: Final = tuple(
    tuple(code for bit, code in enumerate(CODES) if bits >> bit & 1)
    for bits in range(1 << len(CODES))
)


@compiled
def limit(decided_w: Any, limits: Any, positive_setpoint: bool, out: Any) -> int:
    """Write what may be sent to ``out`` [A]; return the interventions as bits."""
    bits = 0
    count = out.shape[0]
    for k in range(count):
        if not math.isfinite(decided_w[k]):
            bits = _NOT_FINITE
    if bits:
        out[:] = limits[_ROW_SAFE]
        return bits
    for k in range(count):
        power, low, high = decided_w[k], limits[_ROW_LOW, k], limits[_ROW_HIGH, k]
        slack = limits[_ROW_SLACK, k]
        if power < low:
            if power < low - slack:
                negative = positive_setpoint and power < 0.0 and limits[_ROW_SINK, k] > 0.0
                bits |= _NEGATIVE if negative else _LOW
            power = low
        elif power > high:
            bits |= _HIGH if power > high + slack else 0
            power = high
        if 0.0 < power < limits[_ROW_MIN_ON, k]:
            near = power >= limits[_ROW_MIN_ON, k] - slack
            bits |= 0 if near else _MIN_ON
            power = limits[_ROW_MIN_ON, k] if near else 0.0
        # adding zero turns −0.0 into 0.0: one and the same command, one and the same record
        out[k] = power + 0.0
    return bits


@compiled
def near(power_w: Any, other_w: Any, deadband_w: float) -> bool:
    """Return whether no set-point [A] differs from its other by more than ``deadband_w``."""
    apart = 0
    for k in range(power_w.shape[0]):
        apart += abs(power_w[k] - other_w[k]) > deadband_w
    return apart == 0


class Guard:
    """The guard of one site."""

    def __init__(self, site: SiteInfo, max_age_s: float | None) -> None:
        """Take the limits of the site's actuators; ``max_age_s`` None: readings never age."""
        actuators = site.actuators
        low = [a.low_w for a in actuators]
        high = [a.high_w for a in actuators]
        min_on = [a.min_on_w for a in actuators]
        sink = [float(a.kind in {"load", "charger"}) for a in actuators]
        slack = [1e-6 * max(b - a, 1e-3) for a, b in zip(low, high, strict=True)]
        self.safe_w: NDArray[np.float64] = np.array([a.safe_w for a in actuators], dtype=np.float64)
        """[A] the set-points that are safe when nobody is in control."""
        self.limits = np.array([low, high, min_on, self.safe_w, sink, slack], dtype=np.float64)
        """What :func:`limit` takes."""
        self.positive_setpoint = site.setpoint_w > 0.0
        self.max_age_s = math.inf if max_age_s is None else max_age_s
        self._shape = self.safe_w.shape

    def apply(self, decided_w: Any, age_s: float) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return what may be sent [A] in W, a new array, and the codes of interventions.

        ``decided_w`` may be anything; ``age_s`` is the reading's age, infinite if there is none.
        """
        # "not ≤" so that an age that is no number counts as stale
        if not age_s <= self.max_age_s:
            return self.safe_w.copy(), ("stale",)
        if not isinstance(decided_w, np.ndarray) or decided_w.shape != self._shape:
            return self.safe_w.copy(), ("shape",)
        if decided_w.dtype != np.float64:
            if decided_w.dtype.kind not in "fiu":
                return self.safe_w.copy(), ("shape",)
            decided_w = decided_w.astype(np.float64)
        guarded = np.empty(self._shape)
        bits = limit(decided_w, self.limits, self.positive_setpoint, guarded)
        return guarded, _COMBINATIONS[bits]
