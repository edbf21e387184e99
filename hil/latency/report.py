"""A latency measurement as a table, and as JSON that pytest-benchmark reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .measure import SPANS, LatencyRun
from .statistics import percentile, spread

VERSION: Final = "5.1.0"
"""Of pytest-benchmark's format."""
PERCENTS: Final = (50.0, 95.0, 99.0)


def rows(run: LatencyRun) -> list[dict[str, Any]]:
    """Return a row for each span and part of the reference: percentiles in s, ratio, count."""
    found = []
    for name in SPANS:
        series = run.spans.get(name)
        if series is None:
            continue
        values = series.values
        if name == "step" and run.responses is not None:
            # Of every tick, also of those that a late loop skipped.
            values = run.responses.response_ns
        ratio = percentile(series.values, 50) / percentile(series.reference, 50)
        found.append(_row(name, values, ratio))
    found += [
        _row("reference", run.reference_ns, 1.0),
        _row("reference_echo", run.echo_ns, None),
        _row("reference_work", run.work_ns, None),
    ]
    return found


def _row(name: str, values_ns: NDArray[np.int64], ratio: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "count": len(values_ns)}
    for percent in PERCENTS:
        row[f"p{percent:g}_s"] = percentile(values_ns, percent) / 1e9
    return row | {"max_s": float(np.max(values_ns)) / 1e9, "ratio": ratio}


def summary(run: LatencyRun) -> dict[str, Any]:
    """Return what the JSON says of a run besides its spans."""
    assert run.responses is not None
    return {
        "rig": run.rig,
        "policy": run.policy,
        "scenario": run.scenario,
        "seconds": run.seconds,
        "period_s": run.period_s,
        "deadline_s": run.deadline_s,
        "steps": run.steps,
        "skipped": run.responses.skipped,
        "deadline_misses": run.responses.missed,
        "reference_spread": spread(run.reference_ns),
        "reference_p50_s": percentile(run.reference_ns, 50) / 1e9,
    }


def document(run: LatencyRun, machine: Mapping[str, Any], revision: str | None) -> dict[str, Any]:
    """Return the JSON document: one benchmark a span, with all its values.

    ``pytest-benchmark compare FILE…`` reads it. Percentiles and ratio stand in ``extra_info``.
    """
    benchmarks = []
    shown = {row["name"]: row for row in rows(run)}
    for name, series in run.spans.items():
        extra = {key: value for key, value in shown[name].items() if key != "name"}
        extra["reference_s"] = (series.reference / 1e9).tolist()
        benchmarks.append(_benchmark(run, name, series.values, extra))
    benchmarks.append(_benchmark(run, "reference", run.reference_ns, {}))
    now = dt.datetime.now(dt.UTC)
    return {
        "machine_info": dict(machine),
        "commit_info": {
            "id": revision or "unknown",
            "time": now.isoformat(),
            "author_time": now.isoformat(),
            "dirty": bool(revision and revision.endswith("-dirty")),
            "project": "wattbench",
            "branch": "",
        },
        "benchmarks": benchmarks,
        "datetime": now.isoformat(),
        "version": VERSION,
        "wattbench_latency": summary(run),
    }


def _benchmark(
    run: LatencyRun, name: str, values_ns: NDArray[np.int64], extra: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "group": f"latency {run.rig} {run.policy}",
        "name": name,
        "fullname": f"latency/{run.rig}/{run.policy}/{name}",
        "params": None,
        "param": None,
        "extra_info": dict(extra),
        "options": {
            "disable_gc": False,
            "timer": "perf_counter",
            "min_rounds": 1,
            "max_time": run.seconds,
            "min_time": 0.0,
            "warmup": True,
        },
        "stats": stats(values_ns / 1e9),
    }


def stats(values: NDArray[np.float64]) -> dict[str, Any]:
    """Return the statistics that pytest-benchmark keeps, s."""
    q1, median, q3 = (float(q) for q in np.percentile(values, (25, 50, 75)))
    mean, deviation = float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0
    iqr = q3 - q1
    inside = values[(values >= q1 - 1.5 * iqr) & (values <= q3 + 1.5 * iqr)]
    far = int(np.count_nonzero(np.abs(values - mean) > deviation))
    return {
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": mean,
        "stddev": deviation,
        "rounds": len(values),
        "median": median,
        "iqr": iqr,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": int(len(values) - len(inside)),
        "stddev_outliers": far,
        "outliers": f"{far};{len(values) - len(inside)}",
        "ld15iqr": float(inside.min()),
        "hd15iqr": float(inside.max()),
        "ops": 1.0 / mean if mean > 0 else 0.0,
        "total": float(values.sum()),
        "data": values.tolist(),
        "iterations": 1,
    }
