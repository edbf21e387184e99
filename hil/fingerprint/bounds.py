"""Set-membership estimation: what is left of two parameters when every observation bounds them.

An observation says ``a·x <= b`` for the parameters x = (x₀, x₁) >= 0 and cannot be wrong by more
than what was put into b. The parameters lie in the polygon where all of them hold; its extent is
the estimate. Nothing has to be known of how errors are distributed, only how large they can be, and
the truth is never outside unless a bound was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Extent:
    """Least and greatest value of each parameter."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    relaxed: float
    """By how much every bound had to be widened before all held; 0: none was violated."""


def extent(rows: ArrayLike, limits: ArrayLike, highest: ArrayLike) -> Extent:
    """Return the extent of ``rows @ x <= limits`` within ``0 <= x <= highest``.

    If the observations contradict each other, all limits are widened by the least amount at which
    they no longer do, and by as much again.

    Args:
        rows: [n, k] coefficients.
        limits: [n] in the unit of ``rows @ x``.
        highest: [k] upper ends of the parameters.
    """
    from scipy.optimize import linprog

    a, b = np.asarray(rows, np.float64), np.asarray(limits, np.float64)
    top = np.asarray(highest, np.float64)
    box = [(0.0, float(end)) for end in top]
    relaxed = 0.0
    if len(b):
        # First: by how much is everything violated at best?
        widened = np.hstack([a, -np.ones((len(b), 1))])
        cost = np.append(np.zeros(len(top)), 1.0)
        found = linprog(cost, A_ub=widened, b_ub=b, bounds=[*box, (0.0, None)])
        least = float(found.x[-1]) if found.status == 0 else 0.0
        relaxed = 2.0 * least if least > 1e-9 else 0.0
        b = b + relaxed + 1e-9
    low, high = np.zeros(len(top)), top.copy()
    for k in range(len(top)):
        direction = np.zeros(len(top))
        direction[k] = 1.0
        down = linprog(direction, A_ub=a, b_ub=b, bounds=box) if len(b) else None
        up = linprog(-direction, A_ub=a, b_ub=b, bounds=box) if len(b) else None
        if down is not None and down.status == 0:
            low[k] = down.x[k]
        if up is not None and up.status == 0:
            high[k] = up.x[k]
    return Extent(low, high, relaxed)
