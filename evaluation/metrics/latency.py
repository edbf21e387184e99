"""Measured times of the loop; limits on them are judged under clock `wall` only."""

from __future__ import annotations

import numpy as np

from ..files import MissingColumnError
from .registry import metric
from .run import Floats, Run

_NANOSECONDS = 1e9
_DECISION = ("observe", "decide", "guard")


@metric("s", source="measured time", wall_only=True)
def decision_latency_p50(run: Run) -> float:
    """Median time from a reading to the command it led to.

    50th percentile of the sum of the spans observe, decide and guard of each step.
    """
    return _decision_percentile(run, 50)


@metric("s", source="measured time", wall_only=True)
def decision_latency_p95(run: Run) -> float:
    """95th percentile of the time from a reading to the command it led to.

    Of the sum of the spans observe, decide and guard, interpolated linearly.
    """
    return _decision_percentile(run, 95)


@metric("s", source="measured time", wall_only=True, headline=True)
def decision_latency_p99(run: Run) -> float:
    """99th percentile of the time from a reading to the command it led to.

    Of the sum of the spans observe, decide and guard, interpolated linearly.
    """
    return _decision_percentile(run, 99)


@metric("s", source="measured time", wall_only=True)
def decision_latency_max(run: Run) -> float:
    """Longest time from a reading to the command it led to.

    Largest sum of the spans observe, decide and guard.
    """
    return _decision_percentile(run, 100)


@metric("count", source="measured time", wall_only=True)
def deadline_misses(run: Run) -> float:
    """Control steps that took longer than the control period.

    Steps whose spans together exceed control_period_s / factor on the machine's clock.
    """
    deadline_s = run.site.control_period_s / run.header.clock_factor
    return float(np.count_nonzero(_span_s(run, tuple(run.record.spans())) > deadline_s))


def _decision_percentile(run: Run, percent: float) -> float:
    return float(np.percentile(_span_s(run, _DECISION), percent))


def _span_s(run: Run, names: tuple[str, ...]) -> Floats:
    """Return the sum of some spans per step, s; raises `MissingColumnError` without any."""
    timing = run.record.timing
    if timing is None or timing.rows == 0 or not names:
        raise MissingColumnError("no timing was recorded")
    total = np.zeros(timing.rows)
    for name in names:
        total += timing[f"{name}_ns"]
    seconds: Floats = total / _NANOSECONDS
    return seconds
