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
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .findings import ProfileError
from .site_format import ACK, COMMAND, MOST_W, POWER, REFERENCE, SiteLogFormat
from .site_meter import read_meter
from .stamps import utc_us
from .table import Table, column_names, read_table

Floats = NDArray[np.float64]

_SUFFIXES: Final = {".csv", ".txt", ".gz", ".parquet", ".pq"}


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
            f"no file has the meter's columns {', '.join(form.name(name) for name in POWER)}",
            "give the meter's log, or say what its `columns` are called (--format)",
        )
    at_us, values, sign = read_meter(meter_file, form, site_zone, notes)
    commands: tuple[Command, ...] = ()
    if "commands" in files:
        commands = tuple(_commands(files["commands"], form, site_zone, notes))
    reference_w = np.zeros(0)
    if "controller" in files:
        reference_w = sign * _reference(files["controller"], form, site_zone)
    return SiteLog(at_us, values, commands, reference_w, notes)


def _by_kind(places: Sequence[Path], form: SiteLogFormat, notes: list[str]) -> dict[str, Path]:
    """Return the file of each kind."""
    found: dict[str, Path] = {}
    for path in _files(places):
        present = column_names(path, form.log())
        if all(form.name(name) in present for name in POWER):
            kind = "meter"
        elif form.name(COMMAND) in present:
            kind = "commands"
        elif form.name(REFERENCE) in present:
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


def _commands(path: Path, form: SiteLogFormat, site_zone: str, notes: list[str]) -> list[Command]:
    log, name, ack = form.log(), form.name(COMMAND), form.name(ACK)
    texts = [name, *([ack] if ack in column_names(path, log) else [])]
    table = read_table(path, [], log, texts)
    at_us, index, findings = utc_us(table, log, site_zone)
    scale = 1000.0 if form.command_unit == "kW" else 1.0
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
        if any(scale * power >= MOST_W for power in phase):
            raise table.error(row, f"a command of {scale * max(phase) / 1000:g} kW for one load",
                              "allowed: less than 100 kW; correct `command_unit`")  # fmt: skip
        if any(power < 0 for power in phase):
            raise table.error(row, f"a negative command ({min(phase):g})",
                              "loads consume 0 W or more; was it corrupted?")  # fmt: skip
    return tuple(tuple(scale * power for power in phase) for phase in content)


def _reference(path: Path, form: SiteLogFormat, site_zone: str) -> Floats:
    """Return the controller's set-points of grid power in W, as they are signed in the log."""
    log, name = form.log(), form.name(REFERENCE)
    table = read_table(path, [name], log)
    _, index, _ = utc_us(table, log, site_zone)
    scale = 1000.0 if form.power_unit == "kW" else 1.0
    values = table.values[name][index]
    return values[np.isfinite(values)] * scale
