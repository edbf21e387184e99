"""Configuration models' base and quantity types.

A quantity in a file is a plain number in the unit that its key ends in (``power_w: 1500``) or a
text of number and unit (``power_w: 1.5 kW``). The text form is converted, and refused when its
unit measures something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

_NUMBER_UNIT = re.compile(
    r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z°%µ/·²]+(?:\^?\d)?)\s*$"
)

#: Unit spellings accepted per quantity, as factors to the unit used in code.
UNITS: dict[str, dict[str, float]] = {
    "W": {"W": 1.0, "kW": 1e3, "MW": 1e6, "mW": 1e-3},
    "var": {"var": 1.0, "kvar": 1e3},
    "Wh": {"Wh": 1.0, "kWh": 1e3, "MWh": 1e6},
    "V": {"V": 1.0, "kV": 1e3, "mV": 1e-3},
    "A": {"A": 1.0, "mA": 1e-3, "kA": 1e3},
    "ohm": {"ohm": 1.0, "Ohm": 1.0, "mohm": 1e-3, "mOhm": 1e-3},
    "s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0, "d": 86400.0},
    "K": {"K": 1.0},
    "L": {"L": 1.0, "l": 1.0, "m3": 1000.0, "m^3": 1000.0},
    "W/K": {"W/K": 1.0},
    "m": {"m": 1.0, "km": 1e3},
    "m²": {"m²": 1.0, "m2": 1.0, "m^2": 1.0},
    "m/s": {"m/s": 1.0, "km/h": 1 / 3.6},
    "°": {"°": 1.0, "deg": 1.0},
    "1": {"%": 0.01},
    "°C": {"°C": 1.0, "C": 1.0, "degC": 1.0},
    "Hz": {"Hz": 1.0},
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """Annotation of a number that carries a unit: its base unit and how texts convert to it."""

    unit: str

    def convert(self, value: Any) -> Any:
        """Return ``value`` as a number in ``self.unit``; refuse texts in another unit."""
        if isinstance(value, bool):
            raise PydanticCustomError(
                "quantity", "expected a number in {unit}, got a truth value", {"unit": self.unit}
            )
        if not isinstance(value, str):
            return value
        match = _NUMBER_UNIT.match(value)
        known = UNITS[self.unit]
        spellings = ", ".join(known)
        if match is None:
            raise PydanticCustomError(
                "quantity",
                "expected a number in {unit}, or a number and a unit out of {spellings}",
                {"unit": self.unit, "spellings": spellings},
            )
        number, unit = match.groups()
        if unit not in known:
            raise PydanticCustomError(
                "quantity_unit",
                "wrong unit '{got}': this is in {unit}; allowed: {spellings}",
                {"got": unit, "unit": self.unit, "spellings": spellings},
            )
        return float(number) * known[unit]


def _meta(unit: str) -> tuple[Quantity, BeforeValidator, Any]:
    quantity = Quantity(unit)
    return (
        quantity,
        BeforeValidator(quantity.convert, json_schema_input_type=float | str),
        Field(allow_inf_nan=False, json_schema_extra={"unit": unit}),
    )


PowerW = Annotated[float, *_meta("W")]
ReactivePowerVar = Annotated[float, *_meta("var")]
EnergyWh = Annotated[float, *_meta("Wh")]
VoltageV = Annotated[float, *_meta("V")]
CurrentA = Annotated[float, *_meta("A")]
ResistanceOhm = Annotated[float, *_meta("ohm")]
DurationS = Annotated[float, *_meta("s")]
TemperatureC = Annotated[float, *_meta("°C")]
TemperatureK = Annotated[float, *_meta("K")]
VolumeL = Annotated[float, *_meta("L")]
HeatLossWPerK = Annotated[float, *_meta("W/K")]
LengthM = Annotated[float, *_meta("m")]
AreaM2 = Annotated[float, *_meta("m²")]
SpeedMPerS = Annotated[float, *_meta("m/s")]
AngleDeg = Annotated[float, *_meta("°")]
Fraction = Annotated[float, *_meta("1")]


class Model(BaseModel):
    """Base of configuration models: unknown keys and NaN are errors, instances are frozen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
