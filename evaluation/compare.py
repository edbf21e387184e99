"""Policies side by side: key measurements, the objective, and reductions against baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from .header import RecordHeader
from .metrics import METRICS, find_metric
from .units import format_quantity

Measurements: TypeAlias = Mapping[str, float | None]

#: Metrics of the short table, by id.
KEY_METRICS: tuple[str, ...] = tuple(key for key, entry in METRICS.items() if entry.headline)


@dataclass(frozen=True, slots=True)
class Row:
    """One policy or baseline.

    Attributes:
        name: the policy's.
        judged: whether it is judged, or a baseline.
        measurements: by metric id; None and NaN where there is no value.
        reductions: by baseline, then metric id: how far below the baseline, as a share of it;
            negative where above.
        objective_to_zero: J over J of the baseline `zero`; NaN without one, or if that is not
            positive.

    """

    name: str
    judged: bool
    measurements: Measurements
    reductions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    objective_to_zero: float = math.nan


def reduction(value: float | None, baseline: float | None) -> float:
    """Return how far a value lies below a baseline's, as a share of the baseline's size.

    (B − x) / |B|; 0 if both are 0; NaN if either is missing, or only the baseline is 0.
    """
    if value is None or baseline is None or math.isnan(value) or math.isnan(baseline):
        return math.nan
    if baseline == 0:
        return 0.0 if value == 0 else math.nan
    return (baseline - value) / abs(baseline)


def compare(
    policies: Mapping[str, Measurements], baselines: Mapping[str, Measurements]
) -> tuple[Row, ...]:
    """Return a row for each policy and then each baseline, all compared with every baseline.

    Measurements must stem from the same scenario and seed: same weather, same faults.
    """
    rows = []
    for judged, group in ((True, policies), (False, baselines)):
        for name, measurements in group.items():
            if not judged and name in policies:
                continue  # a policy that is its own baseline is one row
            rows.append(_row(name, judged, measurements, baselines))
    return tuple(rows)


def compare_record(header: RecordHeader, measurements: Measurements) -> tuple[Row, ...]:
    """Return the rows of one record: its policy and its stored baselines."""
    return compare({header.policy_name: measurements}, header.baselines)


def text_table(
    rows: Sequence[Row], metrics: Sequence[str] = KEY_METRICS
) -> tuple[list[str], list[list[str]]]:
    """Return headings and lines of a table for people; ``metrics`` are names or ids."""
    entries = [find_metric(name) for name in metrics]
    headings = ["policy", *(entry.name.replace("_", " ") for entry in entries), "J / J zero"]
    lines = []
    for row in rows:
        values = [format_quantity(row.measurements.get(entry.id), entry.unit) for entry in entries]
        ratio = format_quantity(row.objective_to_zero, "1")
        lines.append([row.name if row.judged else f"({row.name})", *values, ratio])
    return headings, lines


def _row(
    name: str, judged: bool, measurements: Measurements, baselines: Mapping[str, Measurements]
) -> Row:
    reductions = {
        other: {
            key: reduction(measurements.get(key), reference.get(key))
            for key, entry in METRICS.items()
            if entry.better is not None
        }
        for other, reference in baselines.items()
    }
    return Row(name, judged, measurements, reductions, _to_zero(measurements, baselines))


def _to_zero(measurements: Measurements, baselines: Mapping[str, Measurements]) -> float:
    own = measurements.get("objective@1")
    zero = baselines.get("zero", {}).get("objective@1")
    if own is None or zero is None or not zero > 0:
        return math.nan
    return own / zero
