"""What few paired runs show: bootstrap intervals, rates of events, seeds that are still needed."""

from __future__ import annotations

from .bootstrap import (
    Interval,
    improvement_interval,
    interquartile_mean_interval,
    mean_interval,
    reduction_interval,
    reductions,
    shares,
)
from .events import MOST_SEEDS, further_seeds, upper_rate
from .resampling import Samples, Values, pairs_needed

__all__ = [
    "MOST_SEEDS",
    "Interval",
    "Samples",
    "Values",
    "further_seeds",
    "improvement_interval",
    "interquartile_mean_interval",
    "mean_interval",
    "pairs_needed",
    "reduction_interval",
    "reductions",
    "shares",
    "upper_rate",
]
