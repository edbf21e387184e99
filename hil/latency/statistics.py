"""Percentiles of response times, without what a stalled loop leaves out.

**Coordinated omission.** A loop that is stalled does not start the steps that fall into the stall,
so they are missing among its measurements, and a percentile over what was measured says that all
was well. (Gil Tene's example: 100 requests a second of 1 ms each for 100 s, then nothing for 100 s:
measured naively the median is 1 ms, the 99.99th percentile is 1 ms too, and the mean 10.9 ms; what
somebody who asks in time with the clock sees is 1 ms, 99.98 s and 25 s.)

Here every tick counts from its *intended* start, the tick of the clock, whether the loop was there
or not. The response time of a step that ran is its end minus the intended start; that of a tick
which was skipped is the end of the next step that ran, or, where none did, the end of the stall,
minus the intended start. For a loop that is otherwise idle this equals what HdrHistogram's
``recordValueWithExpectedInterval`` adds: a value *v* longer than the interval *i* stands for
v − i, v − 2i, … as well.

Percentiles are nearest-rank: the least value that at least p % of all values do not exceed. It is
always a value that was measured, and the same one that a histogram of unlimited resolution gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

RESAMPLES: Final = 2000
_LEVEL: Final = 95.0
_SLICE: Final = 200
"""Resamples that are in memory at a time."""


def percentile(values: ArrayLike, percent: float) -> float:
    """Return the nearest-rank percentile; NaN of nothing.

    The least of the values that at least `percent` % of them do not exceed.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return float("nan")
    return float(np.percentile(array, percent, method="inverted_cdf"))


def with_expected_interval(values: ArrayLike, interval: float) -> Floats:
    """Return the values and those that a stalled observer left out, as HdrHistogram adds them.

    Each value v above `interval` stands for v − interval, v − 2·interval, … down to the last that
    is not less than the interval.
    """
    array = np.asarray(values, dtype=np.float64)
    if not interval > 0:
        raise ValueError(f"interval is {interval}; allowed: more than 0")
    added = [array]
    for value in array[array > interval]:
        # Half a billionth more: 0.3 - 2 * 0.1 is not less than 0.1.
        count = int(np.floor(value / interval + 5e-10))
        added.append(value - interval * np.arange(1, count))
    return np.concatenate(added)


@dataclass(frozen=True, slots=True)
class Responses:
    """Response times of every tick of a run, those the loop skipped included."""

    response_ns: NDArray[np.int64]
    """[T] from the intended start to the end of the step that served the tick."""
    late_ns: NDArray[np.int64]
    """[S] start of each step that ran, after its intended start."""
    skipped: int
    """Ticks for which no step ran."""
    missed: int
    """Ticks whose response came after the deadline, skipped ones included."""


def responses(
    start_ns: ArrayLike,
    duration_ns: ArrayLike,
    period_ns: int,
    *,
    ticks: int | None = None,
    deadline_ns: int | None = None,
) -> Responses:
    """Return the response time of every tick of a loop that keeps to a grid.

    Args:
        start_ns: when each step that ran was really begun, since tick 0; increasing.
        duration_ns: what each of them took.
        period_ns: distance of ticks; a step belongs to the last tick that is not after its start.
        ticks: how many ticks there were; default: up to the end of the last step.
        deadline_ns: after the intended start; default: the period.
    """
    start = np.asarray(start_ns, dtype=np.int64)
    end = start + np.asarray(duration_ns, dtype=np.int64)
    tick = start // period_ns
    if tick.size and np.any(np.diff(tick) <= 0):
        raise ValueError("two steps belong to the same tick: start_ns must rise by the period")
    if ticks is None:
        ticks = int(-(-end[-1] // period_ns)) if end.size else 0
        ticks = max(ticks, int(tick[-1]) + 1 if tick.size else 0)
    first = int(tick[0]) if tick.size else 0
    wanted = np.arange(first, max(ticks, first), dtype=np.int64)
    if end.size == 0:
        empty = np.zeros(0, np.int64)
        return Responses(empty, empty, 0, 0)
    # The first step that ran at this tick or later; after the last one, what it left behind.
    server = np.minimum(np.searchsorted(tick, wanted), len(end) - 1)
    response = end[server] - wanted * period_ns
    response = response[response > 0]
    deadline = period_ns if deadline_ns is None else deadline_ns
    return Responses(
        response_ns=response,
        late_ns=start - tick * period_ns,
        skipped=int(len(response) - len(tick)),
        missed=int(np.count_nonzero(response > deadline)),
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def _blocks(length: int, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Return indices [count, length] of resampled blocks; neighbours stay together.

    What disturbs a machine lasts for a while, so single values are not independent of each other;
    blocks of about the square root of the length (circular moving-block bootstrap) keep that.
    """
    size = max(1, round(length**0.5))
    starts = rng.integers(0, length, (count, -(-length // size)))
    indices = (starts[:, :, None] + np.arange(size)) % length
    return indices.reshape(count, -1)[:, :length]


def bootstrap(
    statistic: Callable[..., Floats], rng: np.random.Generator, *groups: tuple[Floats, ...]
) -> Interval:
    """Return a statistic of several series and its interval by a block bootstrap.

    Series of one group were measured side by side and are resampled together; groups (runs) are
    resampled each on its own. `statistic` gets every series of every group in order, each
    [resamples, length], and returns one value a resample.
    """
    value = float(statistic(*(series[None, :] for group in groups for series in group))[0])
    found: list[Floats] = []
    for _ in range(0, RESAMPLES, _SLICE):
        drawn: list[Floats] = []
        for group in groups:
            indices = _blocks(len(group[0]), rng, _SLICE)
            drawn += [series[indices] for series in group]
        found.append(statistic(*drawn))
    tail = (100.0 - _LEVEL) / 2
    low, high = np.percentile(np.concatenate(found), [tail, 100.0 - tail])
    return Interval(value, float(low), float(high))


def medians(series: Floats) -> Floats:
    """Return the nearest-rank median of each row."""
    middle = (series.shape[1] - 1) // 2
    return np.partition(series, middle, axis=1)[:, middle]


def spread(values: ArrayLike, blocks: int = 8, least: int = 10) -> float:
    """Return by what factor the median wanders: largest over least of equal parts of the series.

    1 is a machine that never changes. The series is cut into up to `blocks` parts of at least
    `least` values; NaN if that makes fewer than two.
    """
    array = np.asarray(values, dtype=np.float64)
    blocks = min(blocks, array.size // least)
    if blocks < 2:
        return float("nan")
    levels = [float(np.median(part)) for part in np.array_split(array, blocks)]
    return max(levels) / max(min(levels), 1e-300)
