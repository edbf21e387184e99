"""What few paired runs show: bootstrap intervals, rates of events, seeds that are still needed."""

from __future__ import annotations

from .bootstrap import (
    MIN_PAIRS,
    Interval,
    Samples,
    improvement_interval,
    interquartile_mean_interval,
    mean_interval,
    reduction_interval,
    reductions,
)
from .events import MOST_SEEDS, further_seeds, upper_rate

__all__ = [
    "MIN_PAIRS",
    "MOST_SEEDS",
    "Interval",
    "Samples",
    "further_seeds",
    "improvement_interval",
    "interquartile_mean_interval",
    "mean_interval",
    "reduction_interval",
    "reductions",
    "upper_rate",
]
