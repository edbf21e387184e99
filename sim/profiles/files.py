"""Profiles from a user's own log: CSV or Parquet to one value a second over a run.

A log is read whole, checked, and turned into power that holds from one row's start to the next;
then it is resampled to the run's seconds. Everything odd is reported with its place; what would
change a result silently is a :class:`ProfileError`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .config import FileHousehold, FilePv, LogFormat, PowerUnit
from .findings import FileReport, Finding, ProfileError
from .stamps import utc_us
from .table import Table, read_table

Floats = NDArray[np.float64]

#: Negative power that is measuring noise and is set to zero: up to this share of the energy, …
_NEGATIVE_SHARE = 0.02
#: … or up to this much (an inverter's stand-by is about 1 % of its rating).
_NEGATIVE_LOAD_W = 20.0
_NEGATIVE_PV_SHARE = 0.01
#: More than this of its rating no array yields: the unit is wrong.
_MOST_PER_PEAK = 2.0
_FACTORS = {"W": 1.0, "kW": 1e3, "Wh": 1.0, "kWh": 1e3, "Wh_counter": 1.0, "kWh_counter": 1e3}


@dataclass(frozen=True, slots=True)
class _Rows:
    """A log's usable rows."""

    table: Table
    at_us: NDArray[np.int64]
    """Strictly increasing stamps."""
    index: NDArray[np.int64]
    """Data row of each, for messages."""
    values: dict[str, Floats]
    usual_s: float
    report: FileReport


@dataclass(frozen=True, slots=True)
class _Held:
    """Power that holds from each start to the next; starts in seconds after the run's start."""

    start_s: Floats
    end_s: float
    """Where the last value ceases to hold."""
    power_w: dict[str, Floats]
    index: NDArray[np.int64]


def pv_per_peak(
    config: FilePv,
    peak_power_w: float,
    start_utc: datetime,
    duration_s: int,
    site_zone: str,
    folder: Path,
) -> tuple[Floats, FileReport]:
    """Return PV power per watt-peak from a log, T + 1 rows, and what was found in it.

    Args:
        config: file, column, unit, rating of the logged array.
        peak_power_w: the plant's rating, taken for the log's if that is not given.
        start_utc: start of the run, time-zone aware.
        duration_s: length of the run.
        site_zone: zone of naive stamps unless the log says another.
        folder: what a relative path is relative to.

    Raises:
        ProfileError: the log cannot be used.
    """
    rows = _usable(folder / config.path, [config.column], config.log, site_zone)
    held = _held(rows, [config.column], config.unit, config.log, start_utc)
    rating_w = config.peak_power_w or peak_power_w
    power_w = held.power_w[config.column]
    power_w = _without_negatives(
        rows, held, power_w, config.column, _NEGATIVE_PV_SHARE * rating_w,
        "PV power is ≥ 0 here; is it another column, or another unit?",
    )  # fmt: skip
    if rating_w > 0 and float(power_w.max()) > _MOST_PER_PEAK * rating_w:
        worst = int(np.argmax(power_w))
        raise rows.table.error(
            int(held.index[worst]),
            f"{power_w[worst] / 1000:g} kW from an array of {rating_w / 1000:g} kW",
            "correct `unit`, or give the logged array's `peak_power_w`",
        )
    series = _resample(rows, held, {config.column: power_w}, config.log, duration_s)
    scale = 1.0 / rating_w if rating_w > 0 else 0.0
    return series[config.column] * scale, rows.report


def household_power(
    config: FileHousehold,
    pv_shares: Sequence[float],
    start_utc: datetime,
    duration_s: int,
    site_zone: str,
    folder: Path,
) -> tuple[Floats, FileReport]:
    """Return the household's active power from a log, ``[phase, second]`` in W, and findings.

    Args:
        config: file, columns, unit, sign.
        pv_shares: share of PV power on phases a, b, c, for logs of the grid meter.
        start_utc: start of the run, time-zone aware.
        duration_s: length of the run.
        site_zone: zone of naive stamps unless the log says another.
        folder: what a relative path is relative to.

    Raises:
        ProfileError: the log cannot be used.
    """
    phased = {"a": config.column_a, "b": config.column_b, "c": config.column_c}
    names = [name for name in (config.column, *phased.values()) if name is not None]
    columns = [*names, *([config.pv_column] if config.pv_column else [])]
    rows = _usable(folder / config.path, columns, config.log, site_zone)
    held = _held(rows, columns, config.unit, config.log, start_utc)
    sign = 1.0 if config.sign == "import_positive" else -1.0
    pv_w = held.power_w[config.pv_column] if config.pv_column else np.zeros(len(held.start_s))
    mend = (
        "turn `sign`" if config.pv_column
        else "turn `sign`; if these are the grid meter's columns, give `pv_column`"
    )  # fmt: skip
    powers: dict[str, Floats] = {}
    if config.column is not None:
        total_w = sign * held.power_w[config.column] + pv_w
        total_w = _without_negatives(rows, held, total_w, config.column, _NEGATIVE_LOAD_W, mend)
        powers = {phase: total_w / len(config.phases) for phase in config.phases}
    else:
        for (phase, name), share in zip(phased.items(), pv_shares, strict=True):
            if name is not None:
                power_w = sign * held.power_w[name] + share * pv_w
                powers[phase] = _without_negatives(
                    rows, held, power_w, name, _NEGATIVE_LOAD_W, mend
                )
    series = _resample(rows, held, powers, config.log, duration_s)
    zero = np.zeros(duration_s + 1)
    return np.stack([series.get(phase, zero) for phase in "abc"]), rows.report


def _usable(path: Path, columns: Sequence[str], log: LogFormat, site_zone: str) -> _Rows:
    """Read a log and leave rows with a stamp and all values, stamps strictly increasing."""
    columns = list(dict.fromkeys(columns))
    table = read_table(path, columns, log)
    at_us, index, findings = utc_us(table, log, site_zone)
    values = {name: table.values[name][index] for name in columns}
    report = FileReport(str(path), tuple(columns), len(index), findings=findings)
    for name, column in values.items():
        if np.isinf(column).any():
            where = int(index[np.argmax(np.isinf(column))])
            raise table.error(where, f"column '{name}' is infinite", "leave the field empty")
    missing = np.any([np.isnan(column) for column in values.values()], axis=0)
    if missing.any():
        _find(report, table, "no_value", index[missing], "no value: row left out")
        at_us, index = at_us[~missing], index[~missing]
        values = {name: column[~missing] for name, column in values.items()}
    repeated = np.flatnonzero(np.diff(at_us) == 0) + 1
    if len(repeated):
        _find(report, table, "duplicate", index[repeated], "same stamp again: mean of its rows")
        at_us, first, counts = np.unique(at_us, return_index=True, return_counts=True)
        index = index[first]
        values = {name: np.add.reduceat(col, first) / counts for name, col in values.items()}
    if len(at_us) < 2:
        raise ProfileError(
            path,
            f"has {len(at_us)} rows with values in {', '.join(columns)}",
            "choose other columns",
        )
    report.usual_interval_s = float(np.median(np.diff(at_us))) / 1e6
    return _Rows(table, at_us, index, values, report.usual_interval_s, report)


def _find(report: FileReport, table: Table, kind: str, index: NDArray[np.int64], text: str) -> None:
    row = int(index[0])
    report.findings.append(Finding(kind, len(index), table.row(row), table.stamp(row), text))


def _held(
    rows: _Rows, columns: Sequence[str], unit: PowerUnit, log: LogFormat, start_utc: datetime
) -> _Held:
    """Turn rows into power that holds, starts relative to the run's start.

    A row describes the time to the next one (``stamp: start``) or since the last one (``end``);
    beside a silence, the usual interval. Counters give the mean power between two rows.
    """
    origin_us = round(start_utc.astimezone(UTC).timestamp() * 1e6)
    at_s = (rows.at_us - origin_us) / 1e6
    spacing = np.diff(at_s)
    span = np.where(spacing > 1.5 * rows.usual_s, rows.usual_s, spacing)
    factor = _FACTORS[unit]
    if unit in ("Wh_counter", "kWh_counter"):
        power_w = {}
        for name in columns:
            energy_wh = np.diff(rows.values[name]) * factor
            if (energy_wh < 0).any():
                where = int(np.argmax(energy_wh < 0)) + 1
                raise rows.table.error(
                    int(rows.index[where]),
                    f"counter '{name}' runs backwards",
                    "cut the log where the counter was reset, or use `unit: Wh` or `W`",
                )
            power_w[name] = energy_wh * 3600.0 / spacing
        return _Held(at_s[:-1], float(at_s[-1]), power_w, rows.index[:-1])
    if log.stamp == "end":
        lengths = np.concatenate((span[:1], span))
        start_s, end_s = at_s - lengths, float(at_s[-1])
    else:
        lengths = np.concatenate((span, [rows.usual_s]))
        start_s, end_s = at_s, float(at_s[-1] + lengths[-1])
    energy = unit in ("Wh", "kWh")
    power_w = {
        name: rows.values[name] * factor * (3600.0 / lengths if energy else 1.0) for name in columns
    }
    return _Held(start_s, end_s, power_w, rows.index)


def _without_negatives(
    rows: _Rows, held: _Held, power_w: Floats, name: str, tolerance_w: float, mend: str
) -> Floats:
    """Set small negative power to zero and say so; refuse what is more than noise."""
    below = power_w < 0
    if not below.any():
        return power_w
    length_s = np.diff(np.append(held.start_s, held.end_s))
    negative = -float(np.sum((power_w * length_s)[below]))
    positive = float(np.sum((power_w * length_s)[~below]))
    worst = int(np.argmin(power_w))
    share = 100.0 * negative / (negative + positive)
    if negative > _NEGATIVE_SHARE * positive and -power_w[worst] > tolerance_w:
        raise rows.table.error(
            int(held.index[worst]),
            f"column '{name}' gives {power_w[worst]:g} W; {share:.0f} % of the energy is negative",
            mend,
        )
    _find(
        rows.report, rows.table, "negative", held.index[below],
        f"column '{name}' gives less than 0 W, at least {power_w[worst]:g} W: taken as 0",
    )  # fmt: skip
    return np.maximum(power_w, 0.0)


def _resample(
    rows: _Rows, held: _Held, powers: dict[str, Floats], log: LogFormat, duration_s: int
) -> dict[str, Floats]:
    """Bring power to one row a second over the run, gaps filled as the scenario says."""
    max_gap_s = log.max_gap_s if log.max_gap_s is not None else 2.0 * rows.usual_s
    _check_cover(rows, held, duration_s, max_gap_s)
    row = np.arange(duration_s + 1, dtype=np.float64)
    edges = np.append(held.start_s, max(held.end_s, duration_s + 1.0))
    gaps = _gaps(rows, held, log, duration_s, max_gap_s)
    series = {}
    for name, power_w in powers.items():
        if log.resampling == "mean":
            energy = np.concatenate(([0.0], np.cumsum(power_w * np.diff(edges))))
            # Before the first row its own value holds (a gap at the edge that was let pass).
            first = power_w[0] * np.minimum(np.arange(duration_s + 2) - edges[0], 0.0)
            out = np.diff(np.interp(np.arange(duration_s + 2.0), edges, energy) + first)
        elif log.resampling == "linear":
            out = np.interp(row, held.start_s, power_w)
        else:
            at = np.searchsorted(held.start_s, row, side="right") - 1
            out = power_w[np.maximum(at, 0)]
        for before in gaps:
            after_s = held.start_s[before + 1]
            from_s = min(held.start_s[before] + rows.usual_s, after_s)
            inside = slice(max(math.ceil(from_s), 0), max(math.ceil(after_s), 0))
            if log.fill == "zero":
                out[inside] = 0.0
            elif log.fill == "linear":
                out[inside] = np.interp(
                    row[inside], [from_s, after_s], power_w[[before, before + 1]]
                )
            elif log.fill == "hold":
                out[inside] = power_w[before]
        series[name] = out
    return series


def _check_cover(rows: _Rows, held: _Held, duration_s: int, max_gap_s: float) -> None:
    late_s, early_s = float(held.start_s[0]), duration_s - held.end_s
    if late_s <= 0 and early_s <= 0:
        return
    if late_s > max_gap_s or early_s > max_gap_s:
        first = _utc_text(int(rows.at_us[0]))
        last = _utc_text(int(rows.at_us[-1]))
        start = _utc_text(int(rows.at_us[0]) - round(late_s * 1e6))
        end = _utc_text(int(rows.at_us[0]) - round((late_s - duration_s) * 1e6))
        raise ProfileError(
            rows.table.path,
            f"covers {first} to {last}, the run needs {start} to {end}",
            "set `clock.start` and `duration_s` within the log, or correct `time_zone`",
        )
    edge = 0 if late_s > 0 else len(held.index) - 1
    text = f"the log lacks {max(late_s, early_s):g} s of the run at its edge: this row's value held"
    _find(rows.report, rows.table, "edge", held.index[[edge]], text)


def _utc_text(at_us: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _gaps(rows: _Rows, held: _Held, log: LogFormat, duration_s: int, max_gap_s: float) -> list[int]:
    """Return the rows after which a gap reaches into the run; raise if it has to be filled."""
    spacing = np.diff(held.start_s)
    wide = np.flatnonzero(spacing > 1.5 * rows.usual_s)
    long = np.flatnonzero(spacing > max_gap_s)
    within = long[(held.start_s[long + 1] > 0) & (held.start_s[long] < duration_s)]
    if len(within) and log.fill == "error":
        before = int(within[0])
        raise rows.table.error(
            int(held.index[before]),
            f"nothing for {spacing[before]:g} s after this row (allowed: {max_gap_s:g} s)",
            "raise `max_gap_s`, or say how to `fill` it: hold, linear or zero",
        )
    if len(wide):
        longest = float(spacing[wide].max())
        text = f"gap before the next row; the longest is {longest:g} s"
        if len(within):
            text += f"; {len(within)} of them filled by {log.fill}"
        _find(rows.report, rows.table, "gap", held.index[wide], text)
    return [int(before) for before in within]
