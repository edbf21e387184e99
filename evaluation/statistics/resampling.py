"""Seeds drawn with replacement, each with all that happened on it; how many an interval needs."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.float64]
#: By stratum, one value a seed, the same seeds in the same order in each; NaN: there is no pair.
Samples: TypeAlias = Mapping[str, Values]

DRAWS: Final = 10_000
FEWEST: Final = 3
"""Seeds that say anything about a spread."""
_SEED: Final = "wattbench bootstrap 2"


@functools.lru_cache(maxsize=64)
def pairs_needed(level: float) -> int:
    """Return how many seeds an interval needs, ``level`` being at most 0.999: five at 95 %.

    Of fewer, the percentile lies beyond the most extreme draw, one and the same seed n times, which
    has a chance of n^−n; the interval would end at the extremes that were seen. Values that are all
    alike need as many: that a few seeds gave one value does not show that all do.
    """
    return next(
        n for n in itertools.count(FEWEST) if tail_of(level, n) >= max(1 / DRAWS, float(n) ** -n)
    )


@functools.lru_cache(maxsize=16)
def _drawn(seeds: int) -> Values:
    """Return how often each seed is in each draw, `[seeds, 1 + DRAWS]`; first, once each."""
    digest = hashlib.sha256(f"{_SEED}\0{seeds}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
    chosen = generator.integers(0, seeds, size=(DRAWS, seeds))
    flat = chosen + seeds * np.arange(DRAWS)[:, None]
    counts = np.bincount(flat.ravel(), minlength=DRAWS * seeds).reshape(DRAWS, seeds)
    counts = np.concatenate((np.ones((1, seeds), dtype=counts.dtype), counts))
    drawn: Values = np.ascontiguousarray(counts.T.astype(np.float64))
    drawn.flags.writeable = False
    return drawn


def pairs_of(values: Values) -> int:
    """Return how many values there are."""
    return int(np.count_nonzero(~np.isnan(values)))


@dataclass(frozen=True, slots=True)
class Data:
    """Strata and seeds that have pairs.

    Attributes:
        keys: the strata.
        table: their values, NaN without a pair: `[strata, seeds]`.
        counts: how often each seed is in each draw; see `_drawn`.

    """

    keys: tuple[str, ...]
    table: Values
    counts: Values

    @property
    def seen(self) -> Values:
        """How many pairs of each stratum each draw has: `[strata, 1 + DRAWS]`."""
        seen: Values = (~np.isnan(self.table)).astype(np.float64) @ self.counts
        return seen

    @property
    def pairs(self) -> list[int]:
        """How many pairs each stratum has."""
        return [pairs_of(row) for row in self.table]


def data_of(samples: Samples) -> Data:
    """Return what has pairs; raises ValueError where strata have unequal numbers of seeds."""
    keys = tuple(key for key, values in samples.items() if pairs_of(values))
    if not keys:
        return Data((), np.empty((0, 0)), np.empty((0, 1 + DRAWS)))
    table = np.stack([samples[key] for key in keys])
    table = table[:, ~np.isnan(table).all(axis=0)]
    return Data(keys, table, _drawn(table.shape[1]))


def widening(pairs: int) -> float:
    """Return by how much the bootstrap's spread of n pairs is too small."""
    return math.sqrt(pairs / (pairs - 1))


def tail_of(level: float, pairs: int) -> float:
    """Return which share of the draws lies beyond each end of the expanded interval."""
    from scipy.special import stdtrit  # late: it takes long to import

    quantile = float(stdtrit(pairs - 1, (1 + level) / 2))
    return NormalDist().cdf(-widening(pairs) * quantile)
