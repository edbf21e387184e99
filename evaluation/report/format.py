"""Numbers for people: units scaled, digits limited, signs and gaps visible."""

from __future__ import annotations

import datetime as dt
import math
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NONE = "–"
_THIN = "\u202f"
_SCALES = {
    "W": ((1e6, "MW"), (1e3, "kW"), (1.0, "W")),
    "Wh": ((1e6, "MWh"), (1e2, "kWh"), (1.0, "Wh")),
    "var": ((1e3, "kvar"), (1.0, "var")),
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
}
_PLAIN = {"1": (0.01, "%"), "count": (1.0, ""), "1/min": (1.0, "/min")}
_MOST_DECIMALS = 6
_FACTORS = {"MW": 1e6, "kW": 1e3, "MWh": 1e6, "kWh": 1e3, "kvar": 1e3, "ms": 1e-3, "µs": 1e-6}


def scale_for(unit: str, largest: float) -> tuple[float, str]:
    """Return the factor and the unit in which values up to ``largest`` read well."""
    steps = _SCALES.get(unit)
    if steps is None:
        return _PLAIN.get(unit, (1.0, unit))
    for threshold, name in steps:
        if largest >= threshold:
            return _FACTORS.get(name, 1.0), name
    name = steps[-1][1] if largest > 0 else unit
    return _FACTORS.get(name, 1.0), name


def number(value: float) -> str:
    """Return a value with about three significant digits, grouped, minus as a minus sign."""
    size = abs(value)
    if value == round(value) and size < 1e6:
        text = f"{value:,.0f}"
    else:
        decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
        text = f"{value:,.{decimals}f}" if size >= 5e-4 else f"{value:.1e}"
    return text.replace(",", _THIN).replace("-", "\u2212")


def quantity(value: float | None, unit: str, like: float | None = None) -> str:
    """Return a value with its unit, ``1.52 kWh``; a dash if there is none.

    ``like``: the size that decides between Wh and kWh, where several values are to compare.
    """
    if value is None or not math.isfinite(value):
        return NONE
    factor, name = scale_for(unit, abs(value) if like is None else like)
    return f"{number(value / factor)}{_THIN}{name}".rstrip(_THIN)


def significant(value: float | None, unit: str, like: float | None = None) -> str:
    """Return a value as `quantity` does, with three significant digits however small it is.

    In a column with one unit small values that differ look different: ``0.0291 kWh``.
    """
    if value is None or not math.isfinite(value):
        return NONE
    factor, name = scale_for(unit, abs(value) if like is None else like)
    shown = value / factor
    text = number(shown)
    if 0 < abs(shown) < 1:
        decimals = 2 - math.floor(math.log10(abs(shown)))
        few = decimals <= _MOST_DECIMALS
        text = (f"{shown:.{decimals}f}" if few else f"{shown:.2e}").replace("-", "\u2212")
    return f"{text}{_THIN}{name}".rstrip(_THIN)


def exact(value: float | None, unit: str, like: float | None = None) -> str:
    """Return a value as `quantity` does, with as many digits as it takes to tell neighbours."""
    if value is None or not math.isfinite(value):
        return NONE
    factor, name = scale_for(unit, abs(value) if like is None else like)
    return f"{value / factor:.8g}{_THIN}{name}".replace("-", "\u2212").rstrip(_THIN)


def percent(ratio: float) -> str:
    """Return a ratio's distance from 1 as a signed percentage: 0.58 is ``−42 %``."""
    change = 100 * (ratio - 1)
    if abs(change) < 0.05:
        return f"±0{_THIN}%"
    digits = 1 if abs(change) < 10 else 0
    text = f"{change:+.{digits}f}".replace("-", "\u2212")
    return f"{text}{_THIN}%"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: ``4 h``, ``1 h 30 min``, ``12.5 s``."""
    if seconds < 60:
        return f"{seconds:g}{_THIN}s"
    whole = round(seconds)
    parts = []
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{_THIN}{name}")
    return " ".join(parts[:2])


def metric_title(key: str, title: str = "") -> str:
    """Return a metric's human name: its own, or its key without version and underscores."""
    return title or key.split("@", maxsplit=1)[0].replace("_", " ").replace(".", " ")


def utc_offset_s(start_utc: dt.datetime, time_zone: str) -> int:
    """Return the zone's offset from UTC at the start of the run; 0 for an unknown zone."""
    try:
        offset = start_utc.astimezone(ZoneInfo(time_zone)).utcoffset()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return 0
    return int(offset.total_seconds()) if offset else 0


def zone_label(start_utc: dt.datetime, time_zone: str) -> str:
    """Return the time zone with its offset at the start: ``Europe/Berlin (UTC+02:00)``."""
    minutes = utc_offset_s(start_utc, time_zone) // 60
    sign = "\u2212" if minutes < 0 else "+"
    return f"{time_zone} (UTC{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d})"


def local_time(start_utc: dt.datetime, time_zone: str, seconds: float = 0.0) -> dt.datetime:
    """Return local time ``seconds`` into the run, with the offset that held at its start."""
    shift = dt.timedelta(seconds=utc_offset_s(start_utc, time_zone) + seconds)
    return start_utc.astimezone(dt.UTC).replace(tzinfo=None) + shift
