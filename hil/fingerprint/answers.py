"""Answer times: their distribution, the least gap between requests, the slow first answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from .estimate import Estimate, EstimateError
from .spread import Spread, estimate_spread

PATH_S: Final = 0.0005
"""What the way to the device and the machine's own timers can add to an answer, s: from outside
they cannot be told from the device."""
_SUCCESSES: Final = 3
"""How often a gap must succeed before it counts as long enough."""


@dataclass(frozen=True, slots=True)
class AnswerTimes:
    """How long a device takes to answer."""

    median: Estimate
    p95: Estimate
    least: Estimate
    spread: Estimate
    """Up to this much more than `least`, evenly spread."""


def quantile(times_s: ArrayLike, share: float, unit: str = "s") -> Estimate:
    """Return a quantile with the 95 % interval of its order statistics.

    Its ends are the ranks that a binomial count of values below the quantile keeps to; nothing is
    assumed but that the values are independent.
    """
    from scipy.stats import binom

    times = np.sort(np.asarray(times_s, np.float64))
    n = times.size
    if n == 0:
        raise EstimateError("no answer times")
    low = int(binom.ppf(0.025, n, share)) - 1
    high = int(binom.ppf(0.975, n, share))
    method = f"order statistics of {n} answers, distribution-free"
    note = "" if low >= 0 and high < n else "too few answers for this quantile's interval"
    ends = float(times[max(low, 0)]), float(times[min(high, n - 1)])
    return Estimate.between(*ends, unit, method, n, note)


def latency_distribution(times_s: ArrayLike) -> AnswerTimes:
    """Return the distribution of answer times.

    Args:
        times_s: from request to answer, s; at least ten, none of them a first answer.

    Raises:
        EstimateError: too few.
    """
    times = np.asarray(times_s, np.float64)
    if times.size < 10:
        raise EstimateError(f"{times.size} answers; at least 10 are needed")
    spread: Spread = estimate_spread(times - PATH_S, times, "answers")
    return AnswerTimes(
        median=quantile(times, 0.5),
        p95=quantile(times, 0.95),
        least=spread.least.at_least(PATH_S),
        spread=spread.width.at_least(PATH_S),
    )


def estimate_first_answer(first_s: ArrayLike, usual_s: ArrayLike) -> Estimate:
    """Return how long the first answer after a pause takes, s, if that is longer than others.

    Args:
        first_s: answers after a pause, at least two.
        usual_s: answers otherwise.
    """
    first, usual = np.asarray(first_s, np.float64), np.asarray(usual_s, np.float64)
    if first.size < 2 or usual.size < 10:
        raise EstimateError("too few answers: at least 2 first ones and 10 others are needed")
    method = f"least and greatest of {first.size} answers after a pause, less what others take"
    jitter = float(np.ptp(usual))
    if first.min() <= usual.max() + PATH_S:
        note = "no longer than other answers"
        return Estimate.between(0.0, float(usual.max()), "s", method, int(first.size), note)
    # The pause's cost may stand for the usual time or be the time that others are drawn above.
    low = first.min() - jitter - PATH_S
    return Estimate.between(float(low), float(first.max()), "s", method, int(first.size))


async def estimate_gap(
    answered_after: Callable[[float], Awaitable[tuple[bool, float]]],
    *,
    longest_s: float,
    resolution_s: float = 0.001,
    between: str = "an answer and the next request",
) -> Estimate:
    """Return the least gap at which a second request is answered, by bisection.

    Args:
        answered_after: sends a request, waits for its answer, waits the gap, sends another; returns
            whether that was answered and the gap that it really was, s. Must leave the device
            rested.
        longest_s: no gap above this is looked for.
        resolution_s: when to stop.
        between: what and what the gap lies, for the method.

    Raises:
        EstimateError: even the longest gap is too short.
    """
    method = f"bisection of the time between {between}, {_SUCCESSES} successes each"
    tried = 0

    async def enough(gap_s: float) -> tuple[bool, float, float]:
        nonlocal tried
        shortest, longest = float("inf"), 0.0
        for _ in range(_SUCCESSES):
            tried += 1
            good, was_s = await answered_after(gap_s)
            if not good:
                return False, was_s, was_s
            shortest, longest = min(shortest, was_s), max(longest, was_s)
        return True, shortest, longest

    good, shortest_s, _ = await enough(0.0)
    if good:
        note = "none was seen"
        return Estimate.between(0.0, max(shortest_s, PATH_S), "s", method, tried, note)
    low_s = 0.0
    good, _, high_s = await enough(longest_s)
    if not good:
        raise EstimateError(f"no answer even {longest_s:g} s after the last one")
    while high_s - low_s > resolution_s:
        middle_s = (low_s + high_s) / 2
        good, shortest_s, longest_was_s = await enough(middle_s)
        if good and longest_was_s < high_s:
            high_s = longest_was_s
        elif not good and low_s < shortest_s < high_s:
            low_s = shortest_s
        else:
            break  # the machine's timers are no sharper than this
    return Estimate.between(low_s, high_s + PATH_S, "s", method, tried)
