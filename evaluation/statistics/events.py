"""How rare an event that never happened must be, and how many seeds would settle a limit."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

from .bootstrap import Interval

#: Chance with which the seeds that `further_seeds` asks for settle a limit.
POWER: Final = 0.8
#: More seeds than this are not worth naming.
MOST_SEEDS: Final = 1000


def upper_rate(events: float, hours: float, level: float = 0.95) -> float:
    """Return the highest rate per hour that ``events`` in ``hours`` do not exclude; ∞ for no time.

    One-sided exact limit for a Poisson process: λ = χ²(level; 2·(k + 1))/2 / hours, Garwood,
    Fiducial Limits for the Poisson Distribution (Biometrika 28, 1936). For k = 0 that is
    −ln(1 − level)/hours, 2.996/hours at 95 %: the rule of three (Hanley and Lippman-Hand, JAMA 249,
    1983). Fractions of an event count as one. It holds for independent events; control steps of
    one and the same incident are not, so a count of these is a count of incidents at most.
    """
    if not hours > 0:
        return math.inf
    if events <= 0:
        return -math.log1p(-level) / hours
    from scipy.special import gammaincinv  # late: it takes long to import

    return float(gammaincinv(math.ceil(events) + 1, level)) / hours


def further_seeds(interval: Interval, bound: float) -> int | None:
    """Return how many more seeds a stratum would probably move an interval off a bound inside it.

    Width and standard error s shrink with 1/√n. With d the estimate's distance from the bound and
    a the length of the interval's arm towards it, n' seeds instead of n settle it with a chance of
    80 % if the estimate is the truth:

        d ≥ (a + z·s)·√(n/n'),  z = Φ⁻¹(0.8)   ⟹   n' = n·((a + z·s)/d)².

    Returns:
        n' − n, rounded up, at least 1; `MOST_SEEDS` + 1 for any number above `MOST_SEEDS`; None
        where seeds do not settle it, as the interval has no ends or the bound is not inside.

    """
    if not (interval.known and interval.low <= bound <= interval.high) or not interval.strata:
        return None
    distance = abs(interval.estimate - bound)
    arm = interval.high - interval.estimate
    if interval.estimate > bound:
        arm = interval.estimate - interval.low
    seeds = interval.pairs / interval.strata
    reach = arm + NormalDist().inv_cdf(POWER) * interval.standard_error
    if not distance > 0 or not math.isfinite(reach):
        return MOST_SEEDS + 1
    more = math.ceil(seeds * ((reach / distance) ** 2 - 1))
    return min(max(more, 1), MOST_SEEDS + 1)
