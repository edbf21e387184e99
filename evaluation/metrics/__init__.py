"""Metrics with versions, computed from a record's streams alone; truth, never the meter.

`METRICS` lists them; `measure` computes all. Each states its unit, direction, metering rule (net
over the phases, or each phase by itself) and source (counter or integrated power).
"""

from __future__ import annotations

from ..files import MissingColumnError
from ..reading import Record

# Importing them registers their metrics.
from . import comfort, control, energy, latency, safety
from .registry import METRICS, Metric, find_metric
from .run import Run

__all__ = [
    "METRICS",
    "Metric",
    "comfort",
    "control",
    "energy",
    "find_metric",
    "latency",
    "measure",
    "safety",
]


def measure(record: Record) -> dict[str, float]:
    """Return every metric of a record by id, in its own unit.

    NaN where the record lacks what a metric needs: a stream after an early abort, a baseline, or
    anything to measure (no PV energy, no command sent).

    Raises:
        RecordError: a stream is damaged.

    """
    run = Run(record)
    return {key: _value(entry, run) for key, entry in METRICS.items()}


def _value(entry: Metric, run: Run) -> float:
    try:
        return entry.compute(run)
    except MissingColumnError:
        return float("nan")
