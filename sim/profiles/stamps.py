"""A log's stamps to microseconds UTC, right across changes of the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from .config import LogFormat
from .findings import Finding, ProfileError
from .table import Table

_CUT_OFF = "the file is cut off: remove its last row"
_OFFSET = r"(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"


def utc_us(
    table: Table, log: LogFormat, site_zone: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Finding]]:
    """Return stamps in µs since the epoch, the data rows they belong to, and findings.

    Blank rows at any place are left out. Stamps never decrease.

    Raises:
        ProfileError: a stamp cannot be read, does not exist on the zone's clock, or goes back.
    """
    findings: list[Finding] = []
    blank = table.stamps.isna().to_numpy(dtype=bool)
    for values in table.values.values():
        blank = blank & np.isnan(values)
    rows = np.flatnonzero(~blank)
    if len(rows) < len(blank):
        first = int(np.argmax(blank))
        findings.append(
            Finding("blank", int(blank.sum()), table.row(first), "", "blank row left out")
        )
    if len(rows) == 0:
        raise ProfileError(table.path, "has no rows", "export it again")
    times = _parse(table, rows, log)
    if times.tz is not None:
        utc = _microseconds(times.tz_convert("UTC"))
    else:
        utc = _localise(table, rows, times, log.time_zone or site_zone, findings)
    back = np.flatnonzero(np.diff(utc) < 0)
    if len(back):
        index = int(back[0]) + 1
        step_s = float(utc[index] - utc[index - 1]) / 1e6
        raise table.error(
            int(rows[index]),
            f"the time goes back by {-step_s:g} s",
            "sort the log; if the logger's clock was changed, give its `time_zone`",
        )
    return utc, rows, findings


def _parse(table: Table, rows: NDArray[np.int64], log: LogFormat) -> Any:
    """Return a DatetimeIndex, naive or aware, of the given data rows."""
    import pandas as pd

    stamps = table.stamps.iloc[rows]
    if isinstance(stamps.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(stamps):
        return _checked(table, rows, pd.DatetimeIndex(stamps))
    if pd.api.types.is_numeric_dtype(stamps) and log.time_format is None:
        return _checked(table, rows, _from_epoch(stamps))
    texts = stamps.astype("string").str.strip()
    if log.time_format is not None:
        aware = "%z" in log.time_format
        return _checked(
            table,
            rows,
            pd.DatetimeIndex(
                pd.to_datetime(texts, format=log.time_format, errors="coerce", utc=aware)
            ),
        )
    numbers = pd.to_numeric(texts, errors="coerce")
    if numbers.notna().mean() > 0.5:  # numbers but for a damaged row, which is then named
        return _checked(table, rows, _from_epoch(numbers))
    offset = texts.str.contains(_OFFSET, regex=True).to_numpy(dtype=bool, na_value=False)
    offset &= (texts.str.len() > 10).to_numpy(dtype=bool, na_value=False)  # not a date's own dashes
    aware = bool(offset[0])
    times = pd.to_datetime(
        texts, format="ISO8601", errors="coerce", utc=aware or bool(offset.any())
    )
    _checked(table, rows, pd.DatetimeIndex(times))
    odd = np.flatnonzero(offset != aware)
    if len(odd):
        raise table.error(
            int(rows[odd[0]]),
            f"a stamp with{'out' if aware else ''} UTC offset among others",
            _CUT_OFF if rows[odd[0]] == rows[-1] else "write all stamps the same way",
        )
    return pd.DatetimeIndex(times)


def _from_epoch(stamps: Any) -> Any:
    """Convert numbers since the epoch; their magnitude tells s, ms, µs or ns."""
    import pandas as pd

    numbers = stamps.to_numpy(dtype=np.float64, na_value=np.nan)
    size = float(np.nanmedian(np.abs(numbers)))
    unit = next((u for limit, u in ((1e11, "s"), (1e14, "ms"), (1e17, "us")) if size < limit), "ns")
    scale = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}[unit]
    micros = np.where(np.isfinite(numbers), np.round(numbers * scale), np.nan)
    return pd.DatetimeIndex(pd.to_datetime(micros, unit="us", utc=True, errors="coerce"))


def _checked(table: Table, rows: NDArray[np.int64], times: Any) -> Any:
    missing = np.flatnonzero(times.isna())
    if len(missing):
        index = int(rows[missing[0]])
        last = index == int(rows[-1])
        raise table.error(
            index,
            "is not a time",
            _CUT_OFF if last
            else "stamps are ISO 8601 or seconds since 1970; for others give `time_format`",
        )  # fmt: skip
    return times


def _microseconds(times: Any) -> NDArray[np.int64]:
    micros: NDArray[np.int64] = times.as_unit("us").asi8
    return micros


def _localise(
    table: Table, rows: NDArray[np.int64], times: Any, zone: str, findings: list[Finding]
) -> NDArray[np.int64]:
    """Place naive stamps on a zone's clock; decide which pass of a repeated hour each row is in."""
    shape = len(times)
    first = times.tz_localize(zone, ambiguous=np.ones(shape, bool), nonexistent="NaT")
    second = times.tz_localize(zone, ambiguous=np.zeros(shape, bool), nonexistent="NaT")
    skipped = np.flatnonzero(first.isna())
    if len(skipped):
        raise table.error(
            int(rows[skipped[0]]),
            f"this time does not exist in {zone}: the clock was put forward",
            "if the logger does not change its clock, say so with `time_zone`"
            + _standard_time(zone, times[skipped[0]].to_pydatetime()),
        )
    early, late = _microseconds(first.tz_convert("UTC")), _microseconds(second.tz_convert("UTC"))
    utc = early.copy()
    for block in _blocks(np.flatnonzero(early != late)):
        back = np.flatnonzero(np.diff(early[block]) < 0)
        if len(back):
            utc[block[back[0] + 1 :]] = late[block[back[0] + 1 :]]
            text = f"the hour that occurs twice in {zone} told apart by its order"
        else:
            before = early[block[0]] - utc[block[0] - 1] if block[0] > 0 else 0
            after = early[block[-1] + 1] - late[block[-1]] if block[-1] + 1 < shape else 0
            if before > after:
                utc[block] = late[block]
            passes = "second" if before > after else "first"
            text = (
                f"the hour that occurs twice in {zone} is logged once: taken as its {passes} pass"
            )
        row = int(rows[block[0]])
        findings.append(
            Finding("repeated_hour", len(block), table.row(row), table.stamp(row), text)
        )
    return utc


def _standard_time(zone: str, moment: datetime) -> str:
    """Return a hint at the zone without clock changes that a logger in ``zone`` may keep."""
    local = moment.replace(tzinfo=ZoneInfo(zone))
    standard = (local.utcoffset() or timedelta()) - (local.dst() or timedelta())
    hours = standard.total_seconds() / 3600
    return f": UTC or Etc/GMT{-hours:+.0f}" if hours.is_integer() else ": UTC"


def _blocks(index: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
    """Split indices into runs of consecutive ones."""
    if len(index) == 0:
        return []
    return np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)
