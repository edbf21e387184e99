"""Quantities of metrics and limits: texts with units in, texts for people out."""

from __future__ import annotations

import math
import re

_NUMBER_UNIT = re.compile(
    r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-zµ%][A-Za-z/%]*|1?/[a-z]+)\s*$"
)

#: Units that metrics are measured in, and the spellings that limits may use, as factors.
UNITS: dict[str, dict[str, float]] = {
    "Wh": {"Wh": 1.0, "kWh": 1e3, "MWh": 1e6},
    "W": {"W": 1.0, "kW": 1e3, "MW": 1e6},
    "s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0},
    "1/min": {"1/min": 1.0, "/min": 1.0, "1/h": 1 / 60, "/h": 1 / 60},
    "1": {"%": 0.01},
    "count": {},
}

_SCALED: dict[str, tuple[tuple[float, float, str], ...]] = {
    "Wh": ((1e6, 1e6, "MWh"), (1e3, 1e3, "kWh")),
    "W": ((1e6, 1e6, "MW"), (1e4, 1e3, "kW")),
}


def parse_quantity(text: str, unit: str) -> float:
    """Return a text such as ``"1.2 kWh"`` as a number in ``unit``, one of `UNITS`.

    Raises:
        ValueError: the text is no quantity in this unit; the message says what is allowed.

    """
    match = _NUMBER_UNIT.match(text)
    spellings = ", ".join(UNITS[unit])
    allowed = f"a number, or a number and a unit out of {spellings}" if spellings else "a number"
    if match is None:
        raise ValueError(f"expected {allowed}")
    number, spelling = match.groups()
    if spelling not in UNITS[unit]:
        measured = "a plain number" if unit in {"1", "count"} else f"in {unit}"
        raise ValueError(f"wrong unit '{spelling}': this is {measured}; expected {allowed}")
    return float(number) * UNITS[unit][spelling]


def format_quantity(value: float | None, unit: str) -> str:
    """Return a value for people as text: ``1.23 kWh``, ``12 ms``; ``n/a`` without one."""
    if value is None or not math.isfinite(value):
        return "n/a"
    if unit == "1":
        return f"{value:.4g}"
    if unit == "count":
        return f"{value:g}"
    if unit == "s" and 0 < abs(value) < 1e-3:
        return f"{value * 1e6:.4g} µs"
    if unit == "s" and 0 < abs(value) < 0.1:
        return f"{value * 1e3:.4g} ms"
    for threshold, factor, name in _SCALED.get(unit, ()):
        if abs(value) >= threshold:
            return f"{value / factor:.4g} {name}"
    return f"{value:.4g} {unit}"
