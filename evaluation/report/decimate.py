"""Decimation that keeps every peak.

A stream of n rows becomes buckets of k consecutive rows. Each bucket keeps its smallest and its
largest value, in the order in which they occurred. So over any range of whole buckets the extremes
are those of the original rows, exactly; what is lost is when within the bucket they occurred, and
all that lay between them. The page decimates further while zoomed out, by the same rule, and shows
the stored buckets when zoomed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Buckets:
    """Values by bucket. ``second`` is None where each row is its own bucket."""

    rows: int
    """Rows a bucket (the last one may hold fewer)."""
    first: NDArray[np.float64]
    """Whichever of minimum and maximum occurred first."""
    second: NDArray[np.float64] | None
    """The other one."""


def rows_per_bucket(rows: int, max_buckets: int) -> int:
    """Return how many rows go into a bucket so that there are at most ``max_buckets``.

    Raises ValueError if ``max_buckets`` is not positive.
    """
    if max_buckets <= 0:
        raise ValueError(f"max_buckets must be positive, got {max_buckets}")
    return max(1, -(-rows // max_buckets))


def bucket_starts(times_us: NDArray[np.int64], max_buckets: int) -> NDArray[np.int64]:
    """Return the time of the first row of each bucket."""
    return times_us[:: rows_per_bucket(len(times_us), max_buckets)]


def bucket_extremes(values: NDArray[np.float64], max_buckets: int) -> Buckets:
    """Return minimum and maximum of each bucket in their order of occurrence.

    NaN (no value) is skipped; a bucket of nothing but NaN is NaN.
    """
    rows = rows_per_bucket(len(values), max_buckets)
    values = np.asarray(values, dtype=np.float64)
    if rows == 1:
        return Buckets(1, values, None)
    count = -(-len(values) // rows)
    padded = np.full(count * rows, np.nan)
    padded[: len(values)] = values
    table = padded.reshape(count, rows)
    missing = np.isnan(table)
    low_at = np.where(missing, np.inf, table).argmin(axis=1)
    high_at = np.where(missing, -np.inf, table).argmax(axis=1)
    each = np.arange(count)
    low, high = table[each, low_at], table[each, high_at]
    empty = missing.all(axis=1)
    low[empty] = high[empty] = np.nan
    low_first = low_at <= high_at
    return Buckets(rows, np.where(low_first, low, high), np.where(low_first, high, low))
