"""Bootstrap intervals over paired seeds, stratified by scenario.

Resampling: within each stratum (scenario), as many seeds as it has are drawn with replacement, and
a drawn seed brings its pair: policy and baseline met the same weather and the same faults. Efron
and Tibshirani, An Introduction to the Bootstrap (1993), chapters 8 (paired, one sample a stratum)
and 13 (percentile interval); stratified as in Agarwal et al., Deep Reinforcement Learning at the
Edge of the Statistical Precipice (NeurIPS 2021).

The interval is the *expanded percentile interval* of Hesterberg, What Teachers Should Know About
the Bootstrap (The American Statistician 69, 2015). The plain percentile interval of n
values is too narrow twice: the bootstrap's variance is that of n values about their own mean,
(n − 1)/n of what it should be, and its quantiles are a normal distribution's where Student's t is
due. With ten seeds it holds the truth in 90 of 100 cases instead of 95; BCa, which mends bias and
skewness and neither of these, does no better. So the percentiles taken are not α/2 and 1 − α/2 but

    tail = Φ(−w·t),   t = t quantile at 1 − α/2 of df degrees of freedom,
    w = √(Σ c / Σ v),  c = v·n/(n − 1),   df = (Σ c)² / Σ (c²/(n − 1)),

where v is the variance of a stratum's part of the statistic over the draws, n its pairs, and df
Welch and Satterthwaite's. One stratum gives Hesterberg's w = √(n/(n − 1)) and df = n − 1.

Draws come from generators of their own, seeded by the stratum's key and its number of pairs alone:
every policy and metric sees the same draws, rows may come in any order, and equal data gives equal
intervals. Results have twelve significant digits, so that the order in which a machine adds does
not show.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.float64]
#: By stratum, one value a pair, in the order of seeds.
Samples: TypeAlias = Mapping[str, Values]

#: Fewest pairs in a stratum that say anything about its spread.
MIN_PAIRS: Final = 3
DRAWS: Final = 10_000
_SEED: Final = "wattbench bootstrap 1"
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
    estimates = {key: float(np.mean(values)) for key, values in samples.items() if len(values)}
    draws = {
        key: samples[key] @ _counts(key, samples[key]) / len(samples[key]) for key in estimates
    }
    return _of_strata(samples, estimates, draws, level)


def reduction_interval(policy: Samples, baseline: Samples, level: float = 0.95) -> Interval:
    """Return how far a policy lies below a baseline, as a share of it, with its interval.

    In each stratum (ΣB − Σx)/|ΣB| over its pairs, which for positive values is 1 − Σx/ΣB; then the
    mean over the strata. The ratio of sums is what a site gains over many days: the mean of the
    pairs' own ratios would give a day with next to no export the weight of a full one. Strata count
    alike, so that a large site does not decide for the others. Both sums 0: 0. Only the baseline's
    0: −∞ for a policy above it, ∞ for one below, as for single draws.

    The statistic and `compare.reduction` of the sums are the same.
    """
    estimates, draws = {}, {}
    for key, values in policy.items():
        if not len(values):
            continue
        reference, counts = baseline[key], _counts(key, values)
        found = reductions(np.atleast_1d(values.sum()), np.atleast_1d(reference.sum()))
        estimates[key] = float(found[0])
        draws[key] = reductions(values @ counts, reference @ counts)
    return _of_strata(policy, estimates, draws, level)


def improvement_interval(policy: Samples, baseline: Samples, level: float = 0.95) -> Interval:
    """Return the probability that a policy is below its baseline in a pair, with its interval.

    P = mean over strata of mean over pairs of [x < B] + ½·[x = B]. Agarwal et al. (2021) compare
    every run of one algorithm with every run of the other (the Mann-Whitney statistic); here both
    met the same seed, so only the runs of a pair are compared.

    Where every pair agrees, no draw differs from another, and the interval would be a point that
    says more than n pairs can show. Its open end is then that of the exact binomial interval
    (Clopper and Pearson 1934): (α/2)^(1/N), with N = strata · fewest pairs of one, which holds
    whatever the strata's own probabilities, since Π p ≤ (mean p)^strata.
    """
    wins = {
        key: (values < baseline[key]) + 0.5 * (values == baseline[key])
        for key, values in policy.items()
    }
    found = mean_interval(wins, level)
    if not found.known or found.estimate not in {0.0, 1.0}:
        return found
    trials = found.strata * min(len(values) for values in wins.values() if len(values))
    end = ((1 - level) / 2) ** (1 / trials)
    low, high = (end, 1.0) if found.estimate == 1 else (0.0, 1 - end)
    return _rounded(found, low, high)


def interquartile_mean_interval(samples: Samples, level: float = 0.95) -> Interval:
    """Return the mean of the middle half of all values, with its interval.

    IQM = mean of the sorted values without the ⌊N/4⌋ lowest and highest of all N, pooled over the
    strata: the 25 % trimmed mean, Agarwal et al. (2021). One hopeless or one lucky run
    does not move it as it moves the mean, and it uses more of the data than the median. A value of
    −∞ (worse than a baseline of 0) is the lowest; NaN takes the whole estimate.
    """
    kept = {key: values for key, values in samples.items() if len(values)}
    total = sum(len(values) for values in kept.values())
    if not total:
        return _without(kept, math.nan, level, "there is no pair")
    values = np.concatenate(list(kept.values()))
    order = np.argsort(values, kind="stable")
    counts = np.concatenate([_drawn(key, len(v)) for key, v in kept.items()])[order]
    once = np.ones((total, 1), dtype=np.int16)
    estimate = float(_interquartile(values[order], once)[0])
    draws = _interquartile(values[order], counts)
    freedom = total - len(kept)
    spread = sum(len(v) ** 2 / max(len(v) - 1, 1) for v in kept.values()) / total
    varying = [len(v) for v in kept.values() if v.min() < v.max()]
    return _interval(kept, estimate, draws, level, math.sqrt(spread), freedom, varying)


def reductions(values: Values, reference: Values) -> Values:
    """Return (B − x)/|B| elementwise; 0/0 is 0 and x/0 infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Values = (reference - values) / np.abs(reference)
    found[(reference == 0) & (values == 0)] = 0.0
    return found


def _interquartile(values: Values, counts: NDArray[np.int16]) -> Values:
    """Return the 25 % trimmed means of sorted values, each taken ``counts[:, draw]`` times.

    Row by row: arrays of one row stay in the processor's cache.
    """
    total = int(counts[:, 0].sum())
    cut = total // 4
    upto = np.zeros(counts.shape[1], dtype=np.int32)
    before = np.full_like(upto, cut)
    sums = np.zeros(counts.shape[1])
    for value, count in zip(values, counts, strict=True):
        upto += count
        taken = np.clip(upto, cut, total - cut)
        if math.isfinite(value):
            sums += value * (taken - before)
        else:
            sums[taken > before] = value
        before = taken
    return sums / (total - 2 * cut)


@functools.lru_cache(maxsize=64)
def _drawn(key: str, pairs: int) -> NDArray[np.int16]:
    """Return how often each pair of a stratum is in each draw: `[pairs, DRAWS]`."""
    digest = hashlib.sha256(f"{_SEED}\0{key}\0{pairs}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
    chosen = generator.integers(0, pairs, size=(DRAWS, pairs))
    flat = chosen + pairs * np.arange(DRAWS)[:, None]
    counts = np.bincount(flat.ravel(), minlength=DRAWS * pairs).reshape(DRAWS, pairs)
    return np.ascontiguousarray(counts.T.astype(np.int16))


def _counts(key: str, values: Values) -> Values:
    return _drawn(key, len(values)).astype(np.float64)


def _of_strata(
    samples: Samples, estimates: Mapping[str, float], draws: Mapping[str, Values], level: float
) -> Interval:
    """Return the interval of a mean over strata."""
    kept = {key: samples[key] for key in estimates}
    if not kept:
        return _without(kept, math.nan, level, "there is no pair")
    estimate = sum(estimates.values()) / len(estimates)
    with np.errstate(invalid="ignore"):
        total: Values = np.sum(list(draws.values()), axis=0) / len(draws)
        parts = [float(np.var(draw)) for draw in draws.values()]
    pairs = [len(values) for values in kept.values()]
    widening, freedom = _small_sample(pairs, parts)
    varying = [count for count, part in zip(pairs, parts, strict=True) if part != 0]
    return _interval(kept, estimate, total, level, widening, freedom, varying)


def _small_sample(pairs: Sequence[int], variances: Sequence[float]) -> tuple[float, float]:
    """Return w and df (see the module); the most cautious ones where a variance is unknown."""
    freedom = np.maximum(np.array(pairs, dtype=float) - 1, 1)
    drawn = np.array(variances)
    mended = drawn * (freedom + 1) / freedom
    if not np.isfinite(mended).all() or not mended.sum() > 0:
        fewest = float(freedom.min())
        return math.sqrt((fewest + 1) / fewest), fewest
    welch = mended.sum() ** 2 / np.sum(mended**2 / freedom)
    return math.sqrt(mended.sum() / drawn.sum()), float(welch)


def _interval(
    samples: Samples,
    estimate: float,
    draws: Values,
    level: float,
    widening: float,
    freedom: float,
    varying: Sequence[int],
) -> Interval:
    """Return the interval; ``varying`` are the pairs of the strata in which pairs differ."""
    if math.isnan(estimate) or np.isnan(draws).any():
        return _without(samples, estimate, level, "shares of ∞ and −∞ have no mean")
    fewest = min(samples, key=lambda key: len(samples[key]))
    if len(samples[fewest]) < MIN_PAIRS:
        why = f"{fewest} has {len(samples[fewest])} pairs, fewer than {MIN_PAIRS}"
        return _without(samples, estimate, level, why)
    finite = bool(np.isfinite(draws).all())
    error = float(np.std(draws)) * widening if finite else math.inf
    bare = Interval(
        estimate, estimate, estimate, level, sum(map(len, samples.values())), len(samples), error
    )
    if finite and np.ptp(draws) <= _NOTHING * max(abs(estimate), float(np.abs(draws).max())):
        return _rounded(bare, estimate, estimate)  # no pair differs from another
    tail = _tail(level, widening, freedom)
    if tail < max(1 / DRAWS, _rarest(varying)):
        why = f"{bare.pairs} pairs are too few for an interval at {100 * level:g} %"
        return _without(samples, estimate, level, why)
    low = float(np.quantile(draws, tail, method="lower"))
    high = float(np.quantile(draws, 1 - tail, method="higher"))
    return _rounded(bare, low, high)


def _tail(level: float, widening: float, freedom: float) -> float:
    from scipy.special import stdtrit  # late: it takes long to import

    quantile = float(stdtrit(freedom, (1 + level) / 2))
    return NormalDist().cdf(-widening * quantile)


def _rarest(pairs: Sequence[int]) -> float:
    """Return how probable the most extreme draw is: one and the same pair, n times a stratum.

    Percentiles beyond it are those of no draw, and the interval would stop at the extremes that
    were seen: one stratum needs five pairs for 95 %.
    """
    return math.exp(-sum(count * math.log(count) for count in pairs))


def _without(samples: Samples, estimate: float, level: float, reason: str) -> Interval:
    pairs = sum(len(values) for values in samples.values())
    nothing = math.nan
    return _rounded(
        Interval(estimate, nothing, nothing, level, pairs, len(samples), nothing, reason),
        nothing,
        nothing,
    )


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
