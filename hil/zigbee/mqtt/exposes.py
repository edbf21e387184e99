"""What a device of zigbee2mqtt offers, and how its values become quantities in SI units.

zigbee2mqtt publishes a definition with each device: a tree of *exposes*, each with the property of
the device's JSON state that holds it, its unit, range, and access bits (1 published, 2 can be set,
4 can be asked for). See "Exposes" in zigbee2mqtt's documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_PUBLISHED, _SET, _GET = 1, 2, 4
_WRAPPERS: Final = frozenset({"switch", "light", "climate", "cover", "fan", "lock"})

#: zigbee2mqtt's property → quantity, unit of the quantity, smallest and largest plausible value.
_NUMERIC: Final[Mapping[str, tuple[str, str, float, float]]] = {
    "power": ("power_w", "W", -1e6, 1e6),
    "power_phase_b": ("power_b_w", "W", -1e6, 1e6),
    "power_phase_c": ("power_c_w", "W", -1e6, 1e6),
    "energy": ("energy_wh", "Wh", -1e12, 1e12),
    "produced_energy": ("export_energy_wh", "Wh", -1e12, 1e12),
    "voltage": ("voltage_a_v", "V", 0.0, 1000.0),
    "voltage_phase_b": ("voltage_b_v", "V", 0.0, 1000.0),
    "voltage_phase_c": ("voltage_c_v", "V", 0.0, 1000.0),
    "current": ("current_a_a", "A", -1e4, 1e4),
    "current_phase_b": ("current_b_a", "A", -1e4, 1e4),
    "current_phase_c": ("current_c_a", "A", -1e4, 1e4),
    "ac_frequency": ("frequency_hz", "Hz", 0.0, 1000.0),
    "power_factor": ("power_factor", "", -1.0, 1.0),
    "temperature": ("temperature_c", "°C", -100.0, 500.0),
    "local_temperature": ("temperature_c", "°C", -100.0, 500.0),
    "device_temperature": ("device_temperature_c", "°C", -100.0, 500.0),
    "current_heating_setpoint": ("temperature_setpoint_c", "°C", 0.0, 150.0),
    "occupied_heating_setpoint": ("temperature_setpoint_c", "°C", 0.0, 150.0),
    "humidity": ("humidity", "%", 0.0, 100.0),
    "battery": ("battery_soc", "%", 0.0, 100.0),
    "linkquality": ("link_quality", "", 0.0, 255.0),
}
#: unit as published → (unit of the quantity, factor)
_UNITS: Final[Mapping[str, tuple[str, float]]] = {
    "W": ("W", 1.0),
    "kW": ("W", 1e3),
    "mW": ("W", 1e-3),
    "Wh": ("Wh", 1.0),
    "kWh": ("Wh", 1e3),
    "MWh": ("Wh", 1e6),
    "V": ("V", 1.0),
    "mV": ("V", 1e-3),
    "A": ("A", 1.0),
    "mA": ("A", 1e-3),
    "Hz": ("Hz", 1.0),
    "°C": ("°C", 1.0),
    "%": ("%", 0.01),
}


class ExposeError(ValueError):
    """A value does not suit the property that it is for."""


@dataclass(frozen=True, slots=True)
class Point:
    """A quantity of a device: which property of its JSON state, and how it is read and written."""

    quantity: str
    key: str
    """In the device's JSON state."""
    kind: str
    """``binary``, ``numeric`` or ``level`` (a number from 0 to `high`, as a share of it)."""
    published: bool
    settable: bool
    gettable: bool
    factor: float = 1.0
    """SI value = published number × factor."""
    low: float = -math.inf
    high: float = math.inf
    """Of the published number; outside, it is no value."""
    step: float = 0.0
    on: Any = "ON"
    off: Any = "OFF"

    def decode(self, value: Any) -> float | None:
        """Return the value in SI units, 1 and 0 for on and off; None if it is none."""
        if self.kind == "binary":
            if type(value) is type(self.on) and value == self.on:
                return 1.0
            return 0.0 if type(value) is type(self.off) and value == self.off else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not self.low <= value <= self.high:  # NaN is refused too
            return None
        return value * self.factor

    def encode(self, value: float) -> Any:
        """Return the JSON value to publish; raises `ExposeError` outside the device's range."""
        if self.kind == "binary":
            if value not in {0.0, 1.0}:
                raise ExposeError(f"{self.quantity} is {value:g}; allowed: 0 (off) or 1 (on)")
            return self.on if value else self.off
        raw = value / self.factor
        if self.step > 0:
            raw = round(raw / self.step) * self.step
        if not self.low <= raw <= self.high:
            low, high = self.low * self.factor, self.high * self.factor
            raise ExposeError(f"{self.quantity} is {value:g}; allowed: {low:g} to {high:g}")
        return int(raw) if float(raw).is_integer() else round(raw, 6)

    @property
    def tolerance(self) -> float:
        """Return by how much a confirmed number may differ from the one asked for, SI."""
        return max(self.step, 1e-9) * self.factor * 0.51


def points(definition: Any) -> dict[str, Point]:
    """Return a device's points by quantity, from ``definition`` in zigbee2mqtt's device list.

    A point of another endpoint than the first keeps its suffix: ``on_l2``, ``power_w_l2``. Where
    two properties mean one quantity the one that can be set wins, then the first.
    """
    found: dict[str, Point] = {}
    for expose in _leaves(definition):
        point = _point(expose)
        if point is None:
            continue
        known = found.get(point.quantity)
        if known is None or (point.settable and not known.settable):
            found[point.quantity] = point
    return found


def _leaves(definition: Any) -> Iterator[Mapping[str, Any]]:
    exposes = definition.get("exposes") if isinstance(definition, Mapping) else None
    pending = list(exposes) if isinstance(exposes, list) else []
    while pending:
        expose = pending.pop(0)
        if not isinstance(expose, Mapping):
            continue
        if str(expose.get("type")) in _WRAPPERS and isinstance(expose.get("features"), list):
            pending[:0] = expose["features"]
        elif isinstance(expose.get("property"), str) and isinstance(expose.get("name"), str):
            yield expose


def _point(expose: Mapping[str, Any]) -> Point | None:
    access = expose.get("access")
    bits = access if isinstance(access, int) else _PUBLISHED
    access_bits = (bool(bits & _PUBLISHED), bool(bits & _SET), bool(bits & _GET))
    name, suffix = str(expose["name"]), ""
    endpoint = expose.get("endpoint")
    if isinstance(endpoint, str) and endpoint and expose["property"] != name:
        suffix = f"_{endpoint}"
    if expose.get("type") == "binary" and name == "state":
        on, off = expose.get("value_on", "ON"), expose.get("value_off", "OFF")
        return Point("on" + suffix, expose["property"], "binary", *access_bits, on=on, off=off)
    if expose.get("type") != "numeric":
        return None
    low, high = _number(expose, "value_min", -math.inf), _number(expose, "value_max", math.inf)
    step = _number(expose, "value_step", 0.0)
    if name == "brightness":
        high = high if 1 <= high < math.inf else 254.0
        place = (expose["property"], "level", *access_bits, 1.0 / high)
        return Point("level" + suffix, *place, 0.0, high, step or 1.0)
    return _numeric_point(expose, suffix, access_bits, (low, high, step))


def _numeric_point(
    expose: Mapping[str, Any],
    suffix: str,
    access_bits: tuple[bool, bool, bool],
    span: tuple[float, float, float],
) -> Point | None:
    low, high, step = span
    unit, factor = _UNITS.get(str(expose.get("unit", "")), ("", 1.0))
    known = _NUMERIC.get(str(expose["name"]))
    if known is None:
        # Whatever can be set in watts is a power set-point, by whichever name.
        if unit != "W" or not access_bits[1]:
            return None
        known = ("power_setpoint_w", "W", -1e6, 1e6)
    quantity, wanted, least, most = known
    if unit != wanted:
        return None  # the number means something else on this device
    bounds = (least / factor, most / factor) if unit != "%" else (least, most)
    low, high = max(low, bounds[0]), min(high, bounds[1])
    return Point(
        quantity + suffix, expose["property"], "numeric", *access_bits, factor, low, high, step
    )


def _number(expose: Mapping[str, Any], key: str, default: float) -> float:
    value = expose.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return float(value)
