"""Quantities in files: a number, or a text of number and unit; anything else is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from wattbench.sim.config import (
    UNITS,
    AngleDeg,
    DurationS,
    EnergyWh,
    Fraction,
    Model,
    PowerW,
    SpeedMPerS,
    TemperatureC,
    VolumeL,
)


class Sample(Model):
    power_w: PowerW = 0.0
    energy_wh: EnergyWh = 0.0
    duration_s: DurationS = 0.0
    temperature_c: TemperatureC = 0.0
    volume_l: VolumeL = 0.0
    share: Fraction = 0.0
    tilt_deg: AngleDeg = 0.0
    wind_m_per_s: SpeedMPerS = 0.0
    bounded_w: PowerW = Field(10.0, ge=0, le=2000)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("power_w", "1500 W", 1500.0),
        ("power_w", "1.5 kW", 1500.0),
        ("power_w", "1.5kW", 1500.0),
        ("power_w", "  -2e-3 MW ", -2000.0),
        ("power_w", ".5 kW", 500.0),
        ("power_w", "+5. W", 5.0),
        ("energy_wh", "1.2 kWh", 1200.0),
        ("duration_s", "4 h", 14_400.0),
        ("duration_s", "20 ms", 0.02),
        ("duration_s", "300 µs", 3e-4),
        ("duration_s", "1 d", 86_400.0),
        ("temperature_c", "-5.5 °C", -5.5),
        ("volume_l", "0.2 m3", 200.0),
        ("volume_l", "0.2 m^3", 200.0),
        ("share", "35 %", 0.35),
        ("tilt_deg", "30°", 30.0),
        ("wind_m_per_s", "36 km/h", 10.0),
    ],
)
def test_text_with_a_unit_is_converted(key: str, text: str, value: float) -> None:
    assert getattr(Sample(**{key: text}), key) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("power_w", "1.5 kWh", "wrong unit 'kWh': this is in W; allowed: W, kW, MW, mW"),
        ("energy_wh", "3 kW", "wrong unit 'kW': this is in Wh"),
        ("power_w", "1.5 KW", "wrong unit 'KW'"),
        ("duration_s", "5 minutes", "wrong unit 'minutes'"),
        ("power_w", "fast", "expected a number in W"),
        ("power_w", "1500", "a number and a unit"),
        ("power_w", "1_500 W", "expected a number in W"),
        ("power_w", "1,5 kW", "expected a number in W"),
        ("power_w", "nan W", "expected a number in W"),
        ("power_w", "1e999 W", "finite"),
        ("power_w", math.nan, "finite"),
        ("power_w", math.inf, "finite"),
        ("power_w", True, "got a truth value"),
        ("power_w", None, "valid number"),
        ("power_w", [1], "valid number"),
        ("bounded_w", "3 kW", "less than or equal to 2000"),
    ],
)
def test_what_is_no_such_quantity_is_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        Sample(**{key: value})
    assert caught.value.errors()[0]["loc"] == (key,)


def test_unknown_key_is_an_error() -> None:
    with pytest.raises(ValidationError, match="powr_w"):
        Sample(powr_w=3)


def test_configuration_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Sample().power_w = 3.0


@given(st.floats(-1e6, 1e6), st.sampled_from(sorted(UNITS["W"])))
def test_every_spelling_of_a_number_gives_its_value(number: float, unit: str) -> None:
    expected = float(repr(number)) * UNITS["W"][unit]
    assert Sample(power_w=f"{number!r} {unit}").power_w == expected


def test_schema_tells_the_unit_and_takes_both_forms() -> None:
    schema = Sample.model_json_schema()["properties"]["bounded_w"]
    assert schema["unit"] == "W"
    assert {option["type"] for option in schema["anyOf"]} == {"number", "string"}
