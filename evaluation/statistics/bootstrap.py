"""Bootstrap intervals over paired seeds: a drawn seed brings all that happened on it.

Resampling: as many seeds as there are are drawn with replacement, and a drawn seed brings its pair
(policy and baseline met the same weather and the same faults) in *every* stratum (scenario and
variant). A run's random numbers stem from its seed and the name of what draws (`sim.random`), not
from the scenario: on one seed, scenarios of one date have the same household, those of one sky the
same clouds too, and variants of a scenario share all of it. Strata drawn each by itself would pass
for independent,
and a scenario repeated would narrow the interval; drawn with their seed, a repeated one leaves it
as it is. Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 8 (the unit drawn
is the one that is independent) and 13 (percentile interval); a mean over scenarios that count
alike, and its interquartile mean, as in Agarwal et al., Deep Reinforcement Learning at the Edge of
the Statistical Precipice (NeurIPS 2021).

The interval is the *expanded percentile interval* of Hesterberg, What Teachers Should Know About
the Bootstrap (The American Statistician 69, 2015). The plain percentile interval of n
values is too narrow twice: the bootstrap's variance is that of n values about their own mean,
(n − 1)/n of what it should be, and its quantiles are a normal distribution's where Student's t is
due. With ten seeds it holds the truth in 90 of 100 cases instead of 95; BCa, which mends bias and
skewness and neither of these, does no better. So the percentiles taken are not α/2 and 1 − α/2 but

    tail = Φ(−t·√(n/(n − 1))),   t = t quantile at 1 − α/2 of n − 1 degrees of freedom,

with n the number of seeds; where pairs are lacking, the fewest that a stratum has.

Draws come from a generator of their own, seeded by the number of seeds alone: every policy, metric
and scenario sees the same draws, rows may come in any order, and equal data gives equal intervals.
Results have twelve significant digits, so that the order in which a machine adds does not show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from .resampling import (
    FEWEST,
    Data,
    Samples,
    Values,
    data_of,
    pairs_needed,
    pairs_of,
    tail_of,
    widening,
)  # fmt: skip

_DIGITS: Final = 12
_NOTHING: Final = 1e-12
"""Spread that is none, relative to the values."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval, NaN where there is none.

    Attributes:
        estimate: the statistic of the data.
        low: lower end.
        high: upper end.
        level: confidence level, such as 0.95.
        pairs: how many paired runs stand behind it.
        strata: how many scenarios they stem from.
        standard_error: of the estimate, from the bootstrap; NaN where there is no interval.
        reason: why there is no interval; empty if there is one.

    """

    estimate: float
    low: float
    high: float
    level: float
    pairs: int
    strata: int
    standard_error: float = math.nan
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether it has both ends."""
        return not (math.isnan(self.low) or math.isnan(self.high))


def mean_interval(samples: Samples, level: float = 0.95) -> Interval:
    """Return the mean over the strata of each stratum's mean, with its interval."""
    data = data_of(samples)
    with np.errstate(invalid="ignore"):
        means = _filled(data.table) @ data.counts / data.seen
    return _of_strata(data, means, level)


def reduction_interval(policy: Samples, baseline: Samples, level: float = 0.95) -> Interval:
    """Return how far a policy lies below a baseline, as a share of it, with its interval.

    In each stratum (ΣB − Σx)/|ΣB| over its pairs, which for positive values is 1 − Σx/ΣB; then the
    mean over the strata. The ratio of sums is what a site gains over many days: the mean of the
    pairs' own ratios would give a day with next to no export the weight of a full one. Strata count
    alike, so that a large site does not decide for the others. Only the baseline's sum 0: −∞ for a
    policy above it, ∞ for one below, as for single draws.

    Pairs in which both are 0 have no share and are left out, and with them strata that have no
    other (`shares`): a night without export would else stand for a reduction of 0, and dilute what
    the other scenarios show. If nothing is left, there is no estimate.

    Where the baseline's sum is not 0, the statistic is `compare.reduction` of the sums.
    """
    own, other = shares(policy, baseline)
    data = data_of(own)
    if not data.keys and any(pairs_of(values) for values in policy.values()):
        return _without(data, level, "both are 0 in every pair, of which there is no share")
    reference = data_of(other)
    found = reductions(
        _filled(data.table) @ data.counts, _filled(reference.table) @ reference.counts
    )
    interval = _of_strata(data, found, level)
    if interval.reason and sum(data.pairs) < sum(map(pairs_of, policy.values())):
        return replace(interval, reason=f"{interval.reason}, without those where both are 0")
    return interval


def shares(policy: Samples, baseline: Samples) -> tuple[Samples, Samples]:
    """Return the samples without the pairs of which there is no share, as both values are 0."""
    own, other = {}, {}
    for key, values in policy.items():
        nothing = (values == 0) & (baseline[key] == 0) | np.isnan(values + baseline[key])
        own[key] = np.where(nothing, math.nan, values)
        other[key] = np.where(nothing, math.nan, baseline[key])
    return own, other


def improvement_interval(policy: Samples, baseline: Samples, level: float = 0.95) -> Interval:
    """Return the probability that a policy is below its baseline in a pair, with its interval.

    P = mean over strata of mean over pairs of [x < B] + ½·[x = B]. Agarwal et al. (2021) compare
    every run of one algorithm with every run of the other (the Mann-Whitney statistic); here both
    met the same seed, so only the runs of a pair are compared.

    Where in each stratum every pair agrees, no draw differs from another, and the interval would be
    a point that says more than n seeds can show. It is then that of the exact binomial interval
    (Clopper and Pearson 1934): that all strata do what they did has on n seeds the chance qⁿ, and q
    is at least e = (α/2)^(1/n), with n the fewest pairs of a stratum. However the strata depend on
    one another, each one's chance of doing so is at least q, so that a mean c lies between c·e and
    c·e + 1 − e: above e where every pair is a gain, below 1 − e where none is.
    """
    wins = {}
    for key, values in policy.items():
        share = (values < baseline[key]) + 0.5 * (values == baseline[key])
        wins[key] = np.where(np.isnan(values) | np.isnan(baseline[key]), math.nan, share)
    found = mean_interval(wins, level)
    fewest = min((pairs_of(values) for values in wins.values() if pairs_of(values)), default=0)
    constant = all(pairs_of(v) == 0 or np.nanmin(v) == np.nanmax(v) for v in wins.values())
    if not constant or fewest < FEWEST:
        return found
    least = ((1 - level) / 2) ** (1 / fewest)
    low = least * found.estimate
    return _rounded(replace(found, standard_error=0.0, reason=""), low, low + 1 - least)


def interquartile_mean_interval(samples: Samples, level: float = 0.95) -> Interval:
    """Return the mean of the middle half of all values, with its interval.

    IQM = mean of the sorted values without the lowest and the highest quarter of all N, pooled over
    the strata; a value at a quartile counts in part, so that repeated values change nothing. The
    25 % trimmed mean, Agarwal et al. (2021). One hopeless or one lucky run
    does not move it as it moves the mean, and it uses more of the data than the median. A value of
    −∞ (worse than a baseline of 0) is the lowest.
    """
    data = data_of(samples)
    with np.errstate(invalid="ignore"):
        return _interval(data, _interquartile(data.table, data.counts), level)


def reductions(values: Values, reference: Values) -> Values:
    """Return (B − x)/|B| elementwise; 0/0 is 0 and x/0 infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Values = (reference - values) / np.abs(reference)
    found[(reference == 0) & (values == 0)] = 0.0
    return found


def _interquartile(table: Values, counts: Values) -> Values:
    """Return the 25 % trimmed means of all values of a table, seed k taken ``counts[k]`` times.

    Row by row: arrays of one row stay in the processor's cache.
    """
    strata, seeds = np.nonzero(~np.isnan(table))
    order = np.argsort(table[strata, seeds], kind="stable")
    sorted_values, seeds = table[strata, seeds][order], seeds[order]
    total = np.bincount(seeds, minlength=table.shape[1]).astype(np.float64) @ counts
    cut = total / 4
    upto, before = np.zeros_like(total), cut
    sums = np.zeros_like(total)
    for value, seed in zip(sorted_values, seeds, strict=True):
        upto += counts[seed]
        taken = np.clip(upto, cut, total - cut)
        if math.isfinite(value):
            sums += value * (taken - before)
        else:
            sums[taken > before] += value
        before = taken
    return sums / (total - 2 * cut)


def _filled(table: Values) -> Values:
    return np.where(np.isnan(table), 0.0, table)


def _of_strata(data: Data, found: Values, level: float) -> Interval:
    """Return the interval of the mean over the strata, of those that a draw has seen."""
    seen = data.seen > 0
    with np.errstate(invalid="ignore"):
        total = np.where(seen, found, 0.0).sum(axis=0) / seen.sum(axis=0)
    return _interval(data, total, level)


def _interval(data: Data, found: Values, level: float) -> Interval:
    """Return the interval of a statistic, given of the data first and then of every draw."""
    if not data.keys:
        return _without(data, level, "there is no pair")
    estimate, draws = float(found[0]), found[1:]
    if np.isnan(found).any():
        return _without(data, level, "shares of ∞ and −∞ have no mean", estimate)
    fewest, needed = min(data.pairs), pairs_needed(level)
    if fewest < needed:
        least = data.keys[data.pairs.index(fewest)]
        where = f" in {least}" if fewest < max(data.pairs) else ""
        why = f"an interval at {100 * level:g} % needs {needed} seeds, there are {fewest}{where}"
        return _without(data, level, why, estimate)
    finite = bool(np.isfinite(draws).all())
    error = float(np.std(draws)) * widening(fewest) if finite else math.inf
    bare = _bare(data, level, estimate, error)
    if finite and np.ptp(draws) <= _NOTHING * max(abs(estimate), float(np.abs(draws).max())):
        return _rounded(bare, estimate, estimate)  # no pair differs from another
    tail = tail_of(level, fewest)
    low = float(np.quantile(draws, tail, method="lower"))
    high = float(np.quantile(draws, 1 - tail, method="higher"))
    return _rounded(bare, low, high)


def _bare(data: Data, level: float, estimate: float, error: float, reason: str = "") -> Interval:
    pairs = sum(data.pairs)
    return Interval(estimate, math.nan, math.nan, level, pairs, len(data.keys), error, reason)


def _without(data: Data, level: float, reason: str, estimate: float = math.nan) -> Interval:
    bare = _bare(data, level, estimate, math.nan, reason)
    return _rounded(bare, math.nan, math.nan)


def _rounded(interval: Interval, low: float, high: float) -> Interval:
    return replace(
        interval,
        estimate=_round(interval.estimate),
        low=_round(low),
        high=_round(high),
        standard_error=_round(interval.standard_error),
    )


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
