"""Quantities that follow from others: shown when a device's source does not measure them itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from .source import Value

_PHASES: Final = "abc"


def derive(quantity: str, known: Callable[[str], Value | None]) -> Value | None:
    """Return a quantity from others, None where there is no way or something lacks.

    ``known`` returns the value of another quantity at the same time.
    """
    formula = _FORMULAS.get(quantity)
    if formula is None:
        return None

    def number(name: str) -> float | None:
        value = known(name)
        if value is None:
            value = derive(name, known)
        return value if isinstance(value, int | float) else None

    return formula(number)


class Snapshot(dict[str, Value | None]):
    """What a source measured at one time; what it lacks follows from the rest, when asked for."""

    def __missing__(self, quantity: str) -> Value | None:
        """Work out a quantity, once."""
        value = self[quantity] = derive(quantity, self.get)
        return value


_Number = Callable[[str], float | None]
_Formula = Callable[[_Number], Value | None]


def _sum(*names: str) -> _Formula:
    def formula(number: _Number) -> float | None:
        values = [value for name in names if (value := number(name)) is not None]
        return sum(values) if len(values) == len(names) else None

    return formula


def _product(first: str, second: str, factor: float = 1.0) -> _Formula:
    def formula(number: _Number) -> float | None:
        one, two = number(first), number(second)
        return factor * one * two if one is not None and two is not None else None

    return formula


def _scaled(name: str, factor: float = 1.0) -> _Formula:
    def formula(number: _Number) -> float | None:
        value = number(name)
        return factor * value if value is not None else None

    return formula


def _reactive(power: str, apparent: str) -> _Formula:
    def formula(number: _Number) -> float | None:
        watts, total = number(power), number(apparent)
        if watts is None or total is None:
            return None
        return math.sqrt(max(0.0, total * total - watts * watts))

    return formula


def _power_factor(power: str, apparent: str) -> _Formula:
    def formula(number: _Number) -> float | None:
        watts, total = number(power), number(apparent)
        if watts is None or total is None:
            return None
        return min(1.0, max(-1.0, watts / total)) if total > 0 else 1.0

    return formula


def _quotient(first: str, second: str) -> _Formula:
    def formula(number: _Number) -> float | None:
        one, two = number(first), number(second)
        return one / two if one is not None and two else None

    return formula


def _between(first: str, second: str) -> _Formula:
    """Return what lies between two phases a third of a turn apart."""

    def formula(number: _Number) -> float | None:
        one, two = number(f"voltage_{first}_v"), number(f"voltage_{second}_v")
        if one is None or two is None:
            return None
        return math.sqrt(one * one + two * two + one * two)

    return formula


def _mean_voltage(number: _Number) -> float | None:
    total = _sum(*(f"voltage_{phase}_v" for phase in _PHASES))(number)
    return float(total) / 3.0 if isinstance(total, float) else None


def _battery_state(number: _Number) -> str | None:
    """Return what a battery does; its power is that of the device unless it has one of its own."""
    soc, watts = number("soc"), number("battery_power_w")
    watts = number("power_w") if watts is None else watts
    if soc is None or watts is None:
        return None
    if abs(watts) > 1.0:
        return "discharging" if watts > 0 else "charging"
    return "empty" if soc <= 0.0 else "full" if soc >= 1.0 else "holding"


def _running(words: tuple[str, str]) -> _Formula:
    def formula(number: _Number) -> str | None:
        watts = number("power_w")
        return words[abs(watts) > 1.0] if watts is not None else None

    return formula


_FORMULAS: Final[dict[str, _Formula]] = {
    "voltage_v": _mean_voltage,
    "line_voltage_v": _scaled("voltage_v", math.sqrt(3.0)),
    **{f"line_voltage_{p}{q}_v": _between(p, q) for p, q in ("ab", "bc", "ca")},
    "current_sum_a": _sum(*(f"current_{phase}_a" for phase in _PHASES)),
    "throughput_energy_wh": _sum("import_energy_wh", "export_energy_wh"),
    **{f"apparent_power_{p}_va": _product(f"voltage_{p}_v", f"current_{p}_a") for p in _PHASES},
    "apparent_power_va": _sum(*(f"apparent_power_{phase}_va" for phase in _PHASES)),
    **{
        f"reactive_power_{p}_var": _reactive(f"power_{p}_w", f"apparent_power_{p}_va")
        for p in _PHASES
    },
    "reactive_power_var": _sum(*(f"reactive_power_{phase}_var" for phase in _PHASES)),
    **{
        f"power_factor_{p}": _power_factor(f"power_{p}_w", f"apparent_power_{p}_va")
        for p in _PHASES
    },
    "power_factor": _power_factor("power_w", "apparent_power_va"),
    "available_energy_wh": _product("soc", "capacity_wh"),
    "battery_soc": _scaled("soc"),
    "battery_state": _battery_state,
    "dc_power_w": _scaled("power_w"),
    "dc_current_a": _quotient("dc_power_w", "dc_voltage_v"),
    # Sensors further down the tank are colder.
    "temperature_2_c": _scaled("temperature_c", 0.92),
    "temperature_3_c": _scaled("temperature_c", 0.84),
    "operating_state": _running(("standby", "pv")),
    "state": _running(("standby", "producing")),
}
