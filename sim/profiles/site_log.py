"""A site's own log: what its meter said and what its controller commanded, as it was stored.

Up to three files, told apart by their columns:

- meter, about once a second: ``grid_power_{a,b,c}``, and where they exist ``grid_power_total``,
  ``grid_voltage_{a,b,c}``, ``grid_current_{a,b,c}``, ``pv_power``, ``import_kwh_{a,b,c}``,
  ``export_kwh_{a,b,c}``,
- commands, when they were sent: ``command``, watts as a JSON array of a list a phase, and where it
  exists ``ack_received``,
- the controller's state: ``reference_power``.

Every row has a time stamp (``timestamp``). Rows stay as irregular as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..config import Model
from ..edge import meter
from ..edge.meter import METER_FIELDS
from .config import LogFormat, TimeZone
from .findings import Finding, ProfileError
from .stamps import utc_us
from .table import Table, column_names, read_table

Floats = NDArray[np.float64]

_PHASES: Final = "abc"
_POWER: Final = tuple(f"grid_power_{phase}" for phase in _PHASES)
_OPTIONAL: Final = (
    "grid_power_total",
    *(f"grid_voltage_{phase}" for phase in _PHASES),
    *(f"grid_current_{phase}" for phase in _PHASES),
    "pv_power",
)
_IMPORT, _EXPORT = (
    tuple(f"{direction}_kwh_{phase}" for phase in _PHASES) for direction in ("import", "export")
)
_COMMAND, _ACK, _REFERENCE = "command", "ack_received", "reference_power"
_SUFFIXES: Final = {".csv", ".txt", ".gz", ".parquet", ".pq"}
_MOST_W: Final = 100_000.0
_LOW_V, _HIGH_V = 200.0, 260.0
_ODD_SHARE: Final = 0.01
"""Rows outside these bounds are left out; if they are more than this share, the unit is wrong."""
_LONG_GAP_US: Final = 300_000_000
_LEAST_KWH: Final = 0.05
"""Counters that moved by less say nothing about the sign."""


class SiteLogFormat(Model):
    """How a site's log is written; the file of `wattbench replay --format`."""

    time_column: str = "timestamp"
    time_format: str | None = None
    """strptime pattern of stamps that are not ISO 8601 or seconds since 1970."""
    time_zone: TimeZone | None = None
    """Of stamps that carry no offset; default: the site's."""
    separator: Literal[",", ";", "\t", "|"] = ","
    decimal: Literal[".", ","] = "."
    power_unit: Literal["W", "kW"] = "W"
    """Of grid, PV and reference power, and of commands."""
    sign: Literal["auto", "import_positive", "export_positive"] = "auto"
    """Of grid power; auto: as the counters say, import positive without counters."""
    columns: dict[str, str] = Field(default_factory=dict)
    """What the log calls a column, by the name that it has here."""

    def name(self, column: str) -> str:
        """Return what the log calls a column."""
        return self.columns.get(column, column)

    def log(self) -> LogFormat:
        """Return how stamps and numbers are written."""
        keys = "time_column", "time_format", "time_zone", "separator", "decimal"
        return LogFormat(**{key: getattr(self, key) for key in keys})


@dataclass(frozen=True, slots=True)
class Command:
    """One command as it was logged: for each phase a list of W."""

    at_us: int
    power_w: tuple[tuple[float, ...], ...]
    file: Path
    row: int
    stamp: str

    def error(self, what: str, mend: str) -> ProfileError:
        """Return an error that names the command's row."""
        return ProfileError(self.file, what, mend, self.row, self.stamp)


@dataclass(frozen=True)
class SiteLog:
    """What a log holds.

    Attributes:
        at_us: [N] stamps of the meter's rows, µs since 1970, rising.
        values: [N, 19] samples, fields as in `edge.meter`, + import.
        commands: in the order of time; empty without such a file.
        reference_w: set-points of grid power that the controller had; empty without such a file.
        notes: what was found and what was taken for granted, a line each.

    """

    at_us: NDArray[np.int64]
    values: Floats
    commands: tuple[Command, ...]
    reference_w: Floats
    notes: list[str] = field(default_factory=list)


def read_site_log(places: Sequence[Path], form: SiteLogFormat, site_zone: str) -> SiteLog:
    """Read a log from its files, or from the folders that they lie in.

    Args:
        places: files, or folders of files.
        form: how it is written.
        site_zone: zone of stamps without offset, unless the format says another.

    Raises:
        ProfileError: a file cannot be used: where, why, how to mend it.
    """
    notes: list[str] = []
    files = _by_kind(places, form, notes)
    meter_file = files.get("meter")
    if meter_file is None:
        raise ProfileError(
            places[0],
            f"no file has the meter's columns {', '.join(form.name(name) for name in _POWER)}",
            "give the meter's log, or say what its `columns` are called (--format)",
        )
    at_us, values, sign = _meter(meter_file, form, site_zone, notes)
    commands: tuple[Command, ...] = ()
    if "commands" in files:
        commands = tuple(_commands(files["commands"], form, site_zone, notes))
    reference_w = np.zeros(0)
    if "controller" in files:
        reference_w = sign * _reference(files["controller"], form, site_zone)
    return SiteLog(at_us, values, commands, reference_w, notes)


def _by_kind(
    places: Sequence[Path], form: SiteLogFormat, notes: list[str]
) -> dict[str, Path]:
    """Return the file of each kind."""
    found: dict[str, Path] = {}
    for path in _files(places):
        present = column_names(path, form.log())
        if all(form.name(name) in present for name in _POWER):
            kind = "meter"
        elif form.name(_COMMAND) in present:
            kind = "commands"
        elif form.name(_REFERENCE) in present:
            kind = "controller"
        else:
            notes.append(f"{path}: has no columns that are known here; left out")
            continue
        if kind in found:
            raise ProfileError(path, f"is a second log of the {kind}, beside {found[kind]}",
                               "give one of them, or join them")  # fmt: skip
        found[kind] = path
    return found


def _files(places: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = sorted(path for path in place.iterdir() if path.suffix.lower() in _SUFFIXES)
            if not inside:
                raise ProfileError(place, "holds no log", "use .csv, .txt (also .gz) or .parquet")
            files += inside
        else:
            files.append(place)
    return files


def _meter(
    path: Path, form: SiteLogFormat, site_zone: str, notes: list[str]
) -> tuple[NDArray[np.int64], Floats, float]:
    """Return stamps, samples and the factor that makes import positive."""
    log = form.log()
    present = column_names(path, log)
    counters = [name for name in (*_IMPORT, *_EXPORT) if form.name(name) in present]
    names = [*_POWER, *(name for name in _OPTIONAL if form.name(name) in present), *counters]
    table = read_table(path, [form.name(name) for name in names], log)
    at_us, index, findings = utc_us(table, log, site_zone)
    column = {name: table.values[form.name(name)][index] for name in names}
    scale = 1000.0 if form.power_unit == "kW" else 1.0
    for name in (*_POWER, "grid_power_total", "pv_power"):
        if name in column:
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
    _note_gaps(table, at_us, index, findings)
    sign, why = _sign(form, at_us, column)
    samples, assumed = _samples(column, sign)
    notes += [f"{path}: {why}", *(f"{path}: {text}" for text in assumed)]
    notes += [f"{path}: {finding}" for finding in findings]
    return at_us, samples, sign


def _usable(
    table: Table, index: NDArray[np.int64], column: Mapping[str, Floats], findings: list[Finding]
) -> NDArray[np.bool_]:
    """Return which rows have a whole sample within bounds; raise where the unit must be wrong."""
    read = [name for name in column if "_kwh_" not in name]
    missing = ~np.all([np.isfinite(column[name]) for name in read], axis=0)
    if missing.any():
        text = "no whole sample: row left out"
        findings.append(_finding(table, index, np.flatnonzero(missing), "no_value", text))
    keep = ~missing
    for name in read:
        values = column[name]
        if "power" in name:
            odd, bounds, unit = np.abs(values) >= _MOST_W, "|P| < 100 kW", "W"
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
    if not all(name in column for name in (*_IMPORT, *_EXPORT)):
        return 1.0, "grid power is taken as import positive (no counters; `sign` says otherwise)"
    hours = np.diff(at_us, append=at_us[-1]) / 3.6e9
    hours = np.minimum(hours, 60.0 / 3600.0)
    misfit = {1.0: 0.0, -1.0: 0.0}
    moved_kwh = 0.0
    for k, name in enumerate(_POWER):
        counted = [float(column[c][-1] - column[c][0]) for c in (_IMPORT[k], _EXPORT[k])]
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
    values = np.zeros((len(column[_POWER[0]]), METER_FIELDS))
    assumed = []
    for k, name in enumerate(_POWER):
        values[:, meter.POWER_A + k] = sign * column[name] + 0.0
    phases = values[:, meter.POWER_A : meter.POWER_A + 3]
    if "grid_power_total" in column:
        values[:, meter.POWER_TOTAL] = sign * column["grid_power_total"] + 0.0
    else:
        values[:, meter.POWER_TOTAL] = phases.sum(axis=1)
    for k, phase in enumerate(_PHASES):
        volt = column.get(f"grid_voltage_{phase}")
        values[:, meter.VOLTAGE_A + k] = 230.0 if volt is None else volt
        ampere = column.get(f"grid_current_{phase}")
        derived = np.abs(phases[:, k]) / values[:, meter.VOLTAGE_A + k]
        values[:, meter.CURRENT_A + k] = derived if ampere is None else ampere
    if not all(f"grid_voltage_{phase}" in column for phase in _PHASES):
        assumed.append("no voltages: taken as 230 V")
    if not all(f"grid_current_{phase}" in column for phase in _PHASES):
        assumed.append("no currents: taken as power over voltage")
    if "pv_power" in column:
        values[:, meter.PV_POWER] = column["pv_power"]
    else:
        assumed.append("no PV power: taken as 0")
    return values, assumed


def _commands(
    path: Path, form: SiteLogFormat, site_zone: str, notes: list[str]
) -> list[Command]:
    log, name, ack = form.log(), form.name(_COMMAND), form.name(_ACK)
    texts = [name, *([ack] if ack in column_names(path, log) else [])]
    table = read_table(path, [], log, texts)
    at_us, index, findings = utc_us(table, log, site_zone)
    scale = 1000.0 if form.power_unit == "kW" else 1.0
    found = []
    for stamp_us, row in zip(at_us.tolist(), index.tolist(), strict=True):
        power_w = _ragged(table, row, table.texts[name].iloc[row], scale)
        found.append(Command(stamp_us, power_w, path, table.row(row), table.stamp(row)))
    notes += [f"{path}: {finding}" for finding in findings]
    if ack in table.texts:
        said = table.texts[ack].astype("string").str.strip().str.lower()
        lost = int((said.isin(["false", "0", "0.0", "no"])).sum())
        if lost:
            notes.append(f"{path}: {lost} of {len(found)} commands were not acknowledged; all "
                         "count as sent")  # fmt: skip
    return found


def _ragged(table: Table, row: int, text: Any, scale: float) -> tuple[tuple[float, ...], ...]:
    """Return a command's lists of watts, one a phase."""
    mend = "a command is a JSON array of three lists of watts, such as [[1500, 0], [2000], []]"
    try:
        content = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        content = None
    if not isinstance(content, list) or len(content) != 3:
        raise table.error(row, f"'{text}' is no command", mend)
    for phase in content:
        numbers = isinstance(phase, list) and all(
            isinstance(power, int | float) and not isinstance(power, bool) for power in phase
        )
        if not numbers or not all(math.isfinite(power) for power in phase):
            raise table.error(row, f"'{text}' is no command", mend)
        if any(power < 0 for power in phase):
            raise table.error(row, f"a negative command ({min(phase):g})",
                              "loads consume 0 W or more; was it corrupted?")  # fmt: skip
    return tuple(tuple(scale * power for power in phase) for phase in content)


def _reference(path: Path, form: SiteLogFormat, site_zone: str) -> Floats:
    """Return the controller's set-points of grid power in W, as they are signed in the log."""
    log, name = form.log(), form.name(_REFERENCE)
    table = read_table(path, [name], log)
    _, index, _ = utc_us(table, log, site_zone)
    scale = 1000.0 if form.power_unit == "kW" else 1.0
    values = table.values[name][index]
    return values[np.isfinite(values)] * scale
