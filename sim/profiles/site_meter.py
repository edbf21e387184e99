"""A grid meter's log: samples as a control loop knows them, checked row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..edge import meter
from ..edge.meter import METER_FIELDS
from .findings import Finding, ProfileError
from .site_format import EXPORTED, IMPORTED, MOST_W, OPTIONAL, PHASES, POWER, SiteLogFormat
from .stamps import utc_us
from .table import Table, column_names, read_table

Floats = NDArray[np.float64]

_LOW_V, _HIGH_V = 200.0, 260.0
_ODD_SHARE: Final = 0.01
"""Rows outside these bounds are left out; if they are more than this share, the unit is wrong."""
_LONG_GAP_US: Final = 300_000_000
_DAY_US: Final = 86_400_000_000
_MOST_DAYS: Final = 31
_LEAST_KWH: Final = 0.05
"""Counters that moved by less say nothing about the sign."""


def read_meter(
    path: Path, form: SiteLogFormat, site_zone: str, notes: list[str]
) -> tuple[NDArray[np.int64], Floats, float]:
    """Return stamps [N], samples [N, 19], and the factor that makes import positive.

    Args:
        path: the log.
        form: how it is written.
        site_zone: zone of stamps without offset, unless the format says another.
        notes: what was found is added to it.

    Raises:
        ProfileError: the log cannot be used.
    """
    log = form.log()
    present = column_names(path, log)
    counters = [name for name in (*IMPORTED, *EXPORTED) if form.name(name) in present]
    names = [*POWER, *(name for name in OPTIONAL if form.name(name) in present), *counters]
    table = read_table(path, [form.name(name) for name in names], log)
    at_us, index, findings = utc_us(table, log, site_zone)
    column = {name: table.values[form.name(name)][index] for name in names}
    scale = 1000.0 if form.power_unit == "kW" else 1.0
    for name in (*POWER, "grid_power_total", "pv_power"):
        if name in column:
            with np.errstate(over="ignore"):  # ∞ is no usable power
                column[name] = column[name] * scale
    keep = _usable(table, index, column, findings)
    # Of rows with one stamp the last one counts: it is the newest.
    kept = np.flatnonzero(keep)
    newest = np.append(np.diff(at_us[kept]) > 0, True) if len(kept) else np.zeros(0, bool)
    if not newest.all():
        twice = kept[:-1][~newest[:-1]]
        findings.append(_finding(table, index, twice, "duplicate", "same stamp: the last counts"))
    rows = kept[newest]
    if len(rows) < 2:
        raise ProfileError(path, f"has {len(rows)} usable rows", "export it again")
    at_us, index = at_us[rows], index[rows]
    column = {name: values[rows] for name, values in column.items()}
    _check_span(table, at_us, index)
    _note_gaps(table, at_us, index, findings)
    sign, why = _sign(form, at_us, column)
    samples, assumed = _samples(column, sign)
    notes += [f"{path}: {why}", *(f"{path}: {text}" for text in assumed)]
    notes += [f"{path}: {finding}" for finding in findings]
    return at_us, samples, sign


def _check_span(table: Table, at_us: NDArray[np.int64], index: NDArray[np.int64]) -> None:
    """Refuse a log that spans more than anybody replays at once: a stamp in it is wrong."""
    span_days = (int(at_us[-1]) - int(at_us[0])) / _DAY_US
    if span_days > _MOST_DAYS:
        widest = int(np.argmax(np.diff(at_us))) + 1
        gap_days = (int(at_us[widest]) - int(at_us[widest - 1])) / _DAY_US
        raise table.error(
            int(index[widest]),
            f"the log spans {span_days:.0f} days, {gap_days:.0f} of them right before this row",
            f"correct the time stamps, or give at most {_MOST_DAYS} days at once",
        )


def _usable(
    table: Table, index: NDArray[np.int64], column: Mapping[str, Floats], findings: list[Finding]
) -> NDArray[np.bool_]:
    """Return which rows have a whole sample within bounds; raise where the unit must be wrong."""
    read = [name for name in column if "_kwh_" not in name]
    missing = ~np.all([np.isfinite(column[name]) for name in read], axis=0)
    if missing.any():
        text = "no whole sample: row left out"
        findings.append(_finding(table, index, np.flatnonzero(missing), "no_value", text))
    keep: NDArray[np.bool_] = ~missing
    for name in read:
        values = column[name]
        if "power" in name:
            odd, bounds, unit = np.abs(values) >= MOST_W, "|P| < 100 kW", "W"
        elif "voltage" in name:
            odd = (values < _LOW_V) | (values > _HIGH_V)
            bounds, unit = f"{_LOW_V:g} … {_HIGH_V:g} V", "V"
        else:
            continue
        odd = odd & ~missing
        if not odd.any():
            continue
        first = int(np.flatnonzero(odd)[0])
        what = f"'{name}' is {values[first]:g} {unit}, not within {bounds}"
        if odd.sum() > _ODD_SHARE * len(odd):
            raise table.error(
                int(index[first]), f"{what} ({int(odd.sum())} of {len(odd)} rows)",
                "correct the unit or the column (--format)",
            )  # fmt: skip
        text = f"{what}: row left out"
        findings.append(_finding(table, index, np.flatnonzero(odd), "bounds", text))
        keep &= ~odd
    return keep


def _finding(
    table: Table, index: NDArray[np.int64], rows: NDArray[np.int64], kind: str, text: str
) -> Finding:
    row = int(index[rows[0]])
    return Finding(kind, len(rows), table.row(row), table.stamp(row), text)


def _note_gaps(
    table: Table, at_us: NDArray[np.int64], index: NDArray[np.int64], findings: list[Finding]
) -> None:
    spacing = np.diff(at_us)
    long = np.flatnonzero(spacing > _LONG_GAP_US)
    if len(long):
        longest_s = float(spacing.max()) / 1e6
        text = f"more than 5 min to the next row; the longest gap is {longest_s:g} s"
        findings.append(_finding(table, index, long, "gap", text))


def _sign(
    form: SiteLogFormat, at_us: NDArray[np.int64], column: Mapping[str, Floats]
) -> tuple[float, str]:
    """Return the factor that makes import positive, and why."""
    if form.sign != "auto":
        return (1.0 if form.sign == "import_positive" else -1.0), f"grid power is {form.sign}"
    if not all(name in column for name in (*IMPORTED, *EXPORTED)):
        return 1.0, "grid power is taken as import positive (no counters; `sign` says otherwise)"
    hours = np.diff(at_us, append=at_us[-1]) / 3.6e9
    hours = np.minimum(hours, 60.0 / 3600.0)
    misfit = {1.0: 0.0, -1.0: 0.0}
    moved_kwh = 0.0
    for k, name in enumerate(POWER):
        counted = [float(column[c][-1] - column[c][0]) for c in (IMPORTED[k], EXPORTED[k])]
        moved_kwh += sum(abs(kwh) for kwh in counted if math.isfinite(kwh))
        for sign in misfit:
            power_kw = sign * column[name] / 1000.0
            energies = [float(np.sum(np.maximum(way * power_kw, 0.0) * hours)) for way in (1, -1)]
            misfit[sign] += sum(abs(e - c) for e, c in zip(energies, counted, strict=True))
    if not (moved_kwh >= _LEAST_KWH and misfit[1.0] != misfit[-1.0]):
        return 1.0, "grid power is taken as import positive (its counters hardly move)"
    sign = min(misfit, key=lambda way: misfit[way])
    word = "import" if sign > 0 else "export"
    return sign, f"grid power is {word} positive, as its counters show"


def _samples(column: Mapping[str, Floats], sign: float) -> tuple[Floats, list[str]]:
    """Return samples [N, 19] with import positive, and what was taken for granted."""
    values = np.zeros((len(column[POWER[0]]), METER_FIELDS))
    assumed = []
    for k, name in enumerate(POWER):
        values[:, meter.POWER_A + k] = sign * column[name] + 0.0
    phases = values[:, meter.POWER_A : meter.POWER_A + 3]
    if "grid_power_total" in column:
        values[:, meter.POWER_TOTAL] = sign * column["grid_power_total"] + 0.0
    else:
        values[:, meter.POWER_TOTAL] = phases.sum(axis=1)
    for k, phase in enumerate(PHASES):
        volt = column.get(f"grid_voltage_{phase}")
        values[:, meter.VOLTAGE_A + k] = 230.0 if volt is None else volt
        ampere = column.get(f"grid_current_{phase}")
        derived = np.abs(phases[:, k]) / values[:, meter.VOLTAGE_A + k]
        values[:, meter.CURRENT_A + k] = derived if ampere is None else ampere
    if not all(f"grid_voltage_{phase}" in column for phase in PHASES):
        assumed.append("no voltages: taken as 230 V")
    if not all(f"grid_current_{phase}" in column for phase in PHASES):
        assumed.append("no currents: taken as power over voltage")
    if "pv_power" in column:
        values[:, meter.PV_POWER] = column["pv_power"]
    else:
        assumed.append("no PV power: taken as 0")
    return values, assumed
