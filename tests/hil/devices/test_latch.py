"""Values packed many at a time are those encoded one by one; what follows from others."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.devices import fields
from wattbench.hil.devices.derived import derive
from wattbench.hil.devices.image import RegisterImage
from wattbench.hil.devices.latch import Latch
from wattbench.hil.devices.model import profile_names
from wattbench.scenarios.devices import load_device_profile

MODBUS = [name for name in profile_names() if load_device_profile(name).modbus is not None]
VALUES = st.one_of(
    st.none(),
    st.floats(-1e5, 1e5),
    st.sampled_from([0.0, -0.0, 1e12, -1e12, math.inf, math.nan, 32767.0, -32768.0, 65535.0]),
    st.sampled_from(["producing", "charging", "no such word"]),
)


@pytest.mark.parametrize("name", MODBUS)
@given(data=st.data())
def test_packed_like_one_by_one(name: str, data: st.DataObject) -> None:
    profile = load_device_profile(name)
    assert profile.modbus is not None
    items = [
        item
        for item in fields.resolve(profile).fields
        if item.quantity
        and item.readable
        and not item.writable
        and item.type != "string"
        and item.quantity != "serial"
    ]
    image = RegisterImage(fields.resolve(profile).fields, profile.modbus)
    values = {str(item.quantity): data.draw(VALUES) for item in items}
    latch = Latch(items, {}, image)
    latch.take(values)
    for item in items:
        latch.settle(item.table, item.address, item.width)
        value = values[str(item.quantity)]
        try:
            if value is None or (isinstance(value, float) and not math.isfinite(value)):
                continue
            if isinstance(value, float) and item.resolution:
                value = round(value / item.resolution) * item.resolution
            expected = fields.encode(item, value, 0, saturate=True)
        except fields.codec.CodecError:
            expected = fields.missing_bytes(item)
        assert image.bytes_of(item) == expected, item.name


@pytest.mark.parametrize(
    ("quantity", "known", "value"),
    [
        ("voltage_v", {"voltage_a_v": 229.0, "voltage_b_v": 230.0, "voltage_c_v": 231.0}, 230.0),
        ("throughput_energy_wh", {"import_energy_wh": 5.0, "export_energy_wh": 7.0}, 12.0),
        ("apparent_power_a_va", {"voltage_a_v": 230.0, "current_a_a": 2.0}, 460.0),
        ("power_factor_a", {"voltage_a_v": 230.0, "current_a_a": 2.0, "power_a_w": -230.0}, -0.5),
        ("reactive_power_a_var", {"apparent_power_a_va": 5.0, "power_a_w": 3.0}, 4.0),
        ("available_energy_wh", {"soc": 0.5, "capacity_wh": 20_000.0}, 10_000.0),
        ("dc_current_a", {"power_w": 4000.0, "dc_voltage_v": 400.0}, 10.0),
        ("state", {"power_w": 0.0}, "standby"),
        ("state", {"power_w": 100.0}, "producing"),
        ("voltage_v", {"voltage_a_v": 229.0}, None),
        ("power_w", {}, None),
    ],
)
def test_derived(quantity: str, known: dict[str, float], value: float | str | None) -> None:
    assert derive(quantity, known.get) == (
        pytest.approx(value) if isinstance(value, float) else value
    )
