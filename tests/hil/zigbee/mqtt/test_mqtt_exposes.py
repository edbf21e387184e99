import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.zigbee.mqtt.exposes import ExposeError, points

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def test_units_become_si(z2m) -> None:
    found = points({"exposes": [*z2m.PLUG, *z2m.SENSOR, z2m.numeric("voltage", unit="mV")]})
    assert found["energy_wh"].decode(1.5) == 1500.0
    assert found["battery_soc"].decode(50) == 0.5
    assert found["voltage_a_v"].decode(230_000) == 230.0
    assert found["on"].decode("ON") == 1.0
    assert found["on"].decode("OFF") == 0.0


def test_power_in_kilowatts_and_a_set_point_by_any_name(z2m) -> None:
    found = points({"exposes": z2m.HEATER})
    assert found["power_w"].decode(1.25) == 1250.0
    assert found["power_setpoint_w"].encode(1234.0) == 1230
    with pytest.raises(ExposeError, match="0 to 3500"):
        found["power_setpoint_w"].encode(3600.0)


def test_brightness_is_a_share_of_its_greatest_value(z2m) -> None:
    level = points({"exposes": z2m.DIMMER})["level"]
    assert level.decode(127) == 0.5
    assert level.encode(0.5) == 127
    assert level.decode(255) is None


def test_endpoints_keep_their_suffix(z2m) -> None:
    two = [
        z2m.binary("state", property="state_l1", endpoint="l1"),
        z2m.binary("state", property="state_l2", endpoint="l2"),
        z2m.numeric("power", unit="W", property="power_l2", endpoint="l2"),
    ]
    assert set(points({"exposes": two})) == {"on_l1", "on_l2", "power_w_l2"}


@pytest.mark.parametrize("value", [None, True, "12", math.nan, math.inf, [], {}, 1e9])
def test_what_is_no_power_is_refused(z2m, value) -> None:
    assert points({"exposes": z2m.PLUG})["power_w"].decode(value) is None


@pytest.mark.parametrize("value", [None, True, 1, "on", "TOGGLE", {}])
def test_what_is_neither_on_nor_off_is_refused(z2m, value) -> None:
    assert points({"exposes": z2m.PLUG})["on"].decode(value) is None


def test_a_number_in_another_unit_is_another_quantity(z2m) -> None:
    assert "temperature_c" not in points({"exposes": [z2m.numeric("temperature", unit="°F")]})


keys = st.sampled_from(
    [
        *("type", "features", "name", "property", "access", "unit", "endpoint"),
        *("value_min", "value_max", "value_step", "value_on", "value_off"),
    ]
)
leaves = json_values | st.sampled_from(
    ["switch", "numeric", "binary", "state", "power", "brightness", "W", "kW", "%", 1, 3, 7]
)
exposes = st.recursive(
    st.dictionaries(keys, leaves),
    lambda inner: st.fixed_dictionaries({"type": leaves, "features": st.lists(inner, max_size=3)}),
    max_leaves=6,
)


@given(st.lists(exposes, max_size=4), json_values)
def test_points_are_sound_whatever_they_are_made_of(definition, value) -> None:
    for quantity, point in points({"exposes": definition}).items():
        assert point.quantity == quantity
        decoded = point.decode(value)
        assert decoded is None or math.isfinite(decoded)


@given(json_values)
def test_no_definition_is_too_strange(definition) -> None:
    points(definition)
    points({"exposes": definition})
    points({"exposes": [definition, {"type": "switch", "features": definition}]})


@given(st.floats(0, 1))
def test_levels_survive_the_way_there_and_back(level) -> None:
    light = {
        "type": "light",
        "features": [
            {
                "type": "numeric",
                "name": "brightness",
                "property": "brightness",
                "access": 7,
                "value_max": 254,
            }
        ],
    }
    point = points({"exposes": [light]})["level"]
    back = point.decode(point.encode(level))
    assert back is not None
    assert abs(back - level) <= point.tolerance
