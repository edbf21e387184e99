"""What the page's script draws: series of a run, packed, with their spans and distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .decimate import bucket_extremes, bucket_starts
from .format import utc_offset_s, zone_label
from .model import ActuatorInfo, Columns, ReportInput
from .packing import Packer
from .spans import Span, event_spans, safe_spans, stale_spans

PHASES = ("a", "b", "c")
_POWER_QUANTUM_W = 1.0
_TIME_QUANTUM_S = 1e-3
_MAX_SPANS = 400
"""A page with more boxes than this answers slowly; faults come first."""
_CURVE_POINTS = 400
_BINS_PER_DECADE = 10


@dataclass(frozen=True, slots=True)
class Detail:
    """How many buckets a series may keep."""

    site: int
    """Of the traces of the site as a whole."""
    actuator: int


def detail_for(runs: int) -> Detail:
    """Return the detail at which a page of so many runs stays below about 3 MB.

    A single run of a day keeps 5 s buckets for the site and 15 s for each device.
    """
    return Detail(site=max(1500, 36_000 // (runs + 1)), actuator=max(600, 12_000 // (runs + 1)))


def run_payload(run: ReportInput, packer: Packer, detail: Detail) -> dict[str, Any]:
    """Return one run as the script reads it; arrays go into ``packer``."""
    offset_s = utc_offset_s(run.start_utc, run.time_zone)
    truth = run.streams.get("truth", {})
    spans = _spans(run)
    return {
        "label": run.label,
        "start_ms": round((run.start_utc.timestamp() + offset_s) * 1000),
        "end_s": run.end_us / 1e6,
        "zone": zone_label(run.start_utc, run.time_zone),
        "virtual": run.clock == "virtual",
        "series": _site_series(run, packer, detail.site),
        "actuators": [_actuator(a, run, packer, detail.actuator) for a in run.actuators],
        "spans": [
            {"kind": s.kind, "label": s.label, "target": s.target,
             "from": s.start_us / 1e6, "to": s.end_us / 1e6}
            for s in spans
        ],
        "curve": export_curve(truth),
        "latency": latency_histogram(run.timing),
    }  # fmt: skip


def _spans(run: ReportInput) -> list[Span]:
    found = [
        *event_spans(run.events, run.end_us),
        *stale_spans(run.streams.get("readings", {}), run.end_us),
        *safe_spans(run.streams.get("commands", {}), run.end_us),
    ]
    return found[:_MAX_SPANS]


def _series(
    stream: Columns, values: NDArray[Any] | None, packer: Packer, buckets: int, quantum: float
) -> dict[str, Any] | None:
    """Decimate and pack one column; None if there is nothing to draw."""
    times = stream.get("t_sim_us")
    if values is None or times is None or not len(times) or np.isnan(values).all():
        return None
    reduced = bucket_extremes(values, buckets)
    starts = bucket_starts(np.asarray(times, dtype=np.int64), buckets)
    packed = {
        "t": packer.add(starts / 1e6, _TIME_QUANTUM_S),
        "first": packer.add(reduced.first, quantum),
        "rows": reduced.rows,
    }
    if reduced.second is not None:
        packed["second"] = packer.add(reduced.second, quantum)
    return packed


def total(stream: Columns, names: Sequence[str]) -> NDArray[Any] | None:
    """Return the sum of those columns that exist; None if none does."""
    found = [stream[name] for name in names if name in stream]
    return np.sum(found, axis=0) if found else None


def _site_series(run: ReportInput, packer: Packer, buckets: int) -> dict[str, Any]:
    """Pack the traces of the site. Truth rows are means over the second that ends at their time."""
    truth, readings = run.streams.get("truth", {}), run.streams.get("readings", {})
    controlled = [
        f"{'charger' if a.kind == 'charger' else 'load'}.{a.id}.power_w"
        for a in run.actuators
        if a.kind in {"load", "charger"}
    ]
    columns: dict[str, tuple[Columns, NDArray[Any] | None]] = {
        "grid": (truth, total(truth, [f"grid.{p}.power_w" for p in PHASES])),
        **{f"grid_{p}": (truth, truth.get(f"grid.{p}.power_w")) for p in PHASES},
        "pv": (truth, truth.get("pv.power_w")),
        "pv_available": (truth, _if_curtailed(truth)),
        "household": (truth, total(truth, [f"household.{p}.power_w" for p in PHASES])),
        "controlled": (truth, total(truth, controlled)),
        "battery": (truth, truth.get("battery.power_w")),
        "meter": (readings, readings.get("meter.total.power_w")),
    }
    packed = {
        name: _series(stream, values, packer, buckets, _POWER_QUANTUM_W)
        for name, (stream, values) in columns.items()
    }
    return {name: series for name, series in packed.items() if series is not None}


def _if_curtailed(truth: Columns) -> NDArray[Any] | None:
    """Return the available PV power if the inverter ever gave less than that."""
    available, power = truth.get("pv.available_power_w"), truth.get("pv.power_w")
    if available is None or power is None or not np.any(available - power > _POWER_QUANTUM_W):
        return None
    return available


def _actuator(
    actuator: ActuatorInfo, run: ReportInput, packer: Packer, buckets: int
) -> dict[str, Any]:
    """Pack power, command and state (tank temperature or state of charge) of one actuator."""
    truth, commands = run.streams.get("truth", {}), run.streams.get("commands", {})
    room = {"battery": "battery", "pv_limit": "pv"}.get(
        actuator.kind, f"{actuator.kind}.{actuator.id}"
    )
    state, unit, quantum = truth.get(f"{room}.temperature_c"), "°C", 0.1
    if actuator.kind == "battery" and "battery.soc" in truth:
        state, unit, quantum = 100.0 * truth["battery.soc"], "%", 0.1
    command = commands.get(f"guarded.{actuator.id}_w")
    return {
        "id": actuator.id,
        "kind": actuator.kind.replace("_", " "),
        "phases": actuator.phases,
        "low_w": actuator.low_w,
        "high_w": actuator.high_w,
        "unit": unit,
        "power": _series(truth, truth.get(f"{room}.power_w"), packer, buckets, _POWER_QUANTUM_W),
        "command": _series(commands, command, packer, buckets, _POWER_QUANTUM_W),
        "state": _series(truth, state, packer, buckets, quantum),
    }


def export_curve(truth: Columns) -> dict[str, list[float]] | None:
    """Return the duration curve of export: for how long it was at or above which power.

    Ranks are spaced geometrically, so that the rare peaks and the long tail both show; the first
    rank, the highest peak, is always among them. None without export.
    """
    power = total(truth, [f"grid.{p}.power_w" for p in PHASES])
    if power is None or len(power) == 0:
        return None
    export = np.sort(-power[power < 0])[::-1]
    if len(export) == 0:
        return None
    times = truth["t_sim_us"]
    step_s = float(times[-1] - times[0]) / 1e6 / (len(times) - 1) if len(times) > 1 else 1.0
    ranks = np.unique(np.geomspace(1, len(export), _CURVE_POINTS).round().astype(np.int64))
    return {
        "s": [round(float(s), 3) for s in ranks * step_s],
        "w": [round(float(w), 1) for w in export[ranks - 1]],
    }


def latency_histogram(timing: Mapping[str, NDArray[np.int64]]) -> dict[str, Any] | None:
    """Return counts in logarithmic bins, and percentiles, of deciding and of the whole step.

    Durations are in µs; those below 0.1 µs count in the first bin.
    """
    parts = {name: np.asarray(ns, dtype=np.float64) for name, ns in timing.items() if len(ns)}
    if not parts:
        return None
    shown = {"whole step": np.sum(list(parts.values()), axis=0)}
    if "decide" in parts:
        shown = {"decide": parts["decide"], **shown}
    us = {name: np.maximum(ns / 1e3, 0.1) for name, ns in shown.items()}
    low = np.floor(np.log10(min(v.min() for v in us.values())))
    high = np.floor(np.log10(max(v.max() for v in us.values()))) + 1
    edges = np.logspace(low, high, round((high - low) * _BINS_PER_DECADE) + 1)
    return {
        "edges": [float(f"{e:.4g}") for e in edges],
        "counts": {name: np.histogram(v, edges)[0].tolist() for name, v in us.items()},
        "percentiles": {
            name: [float(f"{q:.3g}") for q in np.percentile(v, (50, 95, 99, 100))]
            for name, v in us.items()
        },
    }
