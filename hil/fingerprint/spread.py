"""Times that are spread evenly over a range: watchdogs with slack, answers with jitter.

For n values drawn evenly from [a, a + s], with least X₁ and greatest Xₙ:
P((X₁ − a)/(Xₙ − X₁) > k) = (1 + k)^−(n−1), and (Xₙ − X₁)/s has a beta distribution (n − 1, 2).
Both are exact, so that the intervals are too, whatever s is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from .estimate import Estimate, EstimateError

_LEVEL: Final = 0.975
"""Of the interval of each of the two: together still 95 %."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The range over which a time is spread."""

    least: Estimate
    """Its beginning, s."""
    width: Estimate
    """s."""


def estimate_spread(early_s: ArrayLike, late_s: ArrayLike, what: str) -> Spread:
    """Return the range over which times are spread evenly.

    Args:
        early_s: at the earliest, each of the times, s.
        late_s: and at the latest.
        what: was seen, for the method.

    Raises:
        EstimateError: fewer than three times.
    """
    early, late = np.asarray(early_s, np.float64), np.asarray(late_s, np.float64)
    n = early.size
    if n < 3:
        raise EstimateError(f"{what}: seen {n} times; at least 3 are needed")
    from scipy.stats import beta

    first, first_late = float(early.min()), float(late.min())
    last_early, last = float(early.max()), float(late.max())
    widest, narrowest = last - first, max(0.0, last_early - first_late)
    reach = (1.0 - _LEVEL) ** (-1.0 / (n - 1)) - 1.0
    method = f"{what}, taken as evenly spread: least of {n}, exact interval"
    least = Estimate.between(max(0.0, first - reach * widest), first_late, "s", method, n)
    tail = (1.0 - _LEVEL) / 2
    narrow, wide = (float(beta.ppf(p, n - 1, 2)) for p in (tail, 1.0 - tail))
    method = f"{what}, taken as evenly spread: range of {n}, exact interval"
    width = Estimate.between(narrowest / wide, widest / narrow, "s", method, n)
    if narrowest == 0.0:
        # All may be the same time: then there is no slack, and nothing before the least one.
        width = Estimate.between(0.0, widest / narrow, "s", method, n, "none was seen")
    return Spread(least, width)


def estimate_watchdog(early_s: ArrayLike, late_s: ArrayLike) -> Spread:
    """Return the expiry of a watchdog and its slack, from expiries that were waited for.

    Args:
        early_s: after the last command (or request) that kept the device going, the latest time at
            which it certainly had not reverted yet, one of each expiry, s.
        late_s: and the earliest at which it certainly had.
    """
    return estimate_spread(early_s, late_s, "expiries waited for")
