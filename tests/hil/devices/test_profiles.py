"""Every shipped profile: loads, makes a device, and reads it through its own decoding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wattbench.hil.devices import fields
from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.fields import Field
from wattbench.hil.devices.model import profile_names
from wattbench.hil.devices.source import ConstantSource
from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.devices.sunspec import discover
from wattbench.hil.modbus.unit import ModbusRefusal
from wattbench.scenarios.devices import load_device_profile

from .conftest import Bench, S

NAMES = profile_names()
MODBUS = [name for name in NAMES if load_device_profile(name).modbus is not None]

#: What issue 3 asks for at least.
WANTED = {
    *("eastron_sdm630", "carlo_gavazzi_em24", "shelly_pro_3em", "sunspec_inverter"),
    *("sunspec_meter", "sunspec_der", "mypv_ac_elwa_2", "goe_charger", "keba_p30"),
    *("zigbee_plug", "zigbee_heater", "zigbee_temperature_sensor"),
}


def test_what_ships() -> None:
    assert set(NAMES) >= WANTED


@pytest.mark.parametrize("name", NAMES)
def test_profile_loads(name: str) -> None:
    profile = load_device_profile(name)
    assert profile.name == name
    assert profile.title
    assert profile.bus == ("zigbee" if name.startswith("zigbee") else "modbus")


@pytest.mark.parametrize("name", NAMES)
def test_actuators_that_are_dangerous_say_what_is_safe(name: str) -> None:
    for actuator in load_device_profile(name).actuators:
        assert (actuator.safe is None) == (actuator.danger == "")
        if actuator.quantity in {"power_setpoint_w", "current_setpoint_a"}:
            assert actuator.safe is not None


def readable(profile_name: str) -> Iterator[Field]:
    for item in fields.resolve(load_device_profile(profile_name)).fields:
        if item.quantity is not None and item.readable:
            yield item


@pytest.mark.parametrize("name", MODBUS)
def test_values_come_out_as_they_went_in(name: str) -> None:
    """Constant values: what is decoded is what was measured, within a step of the register."""
    values = {
        item.quantity: 0.5 if item.high == 1 else (item.low or 0.0) + 40.0 * abs(item.factor)
        for item in readable(name)
        if item.quantity and item.type != "string" and not item.labels
    }
    bench = Bench(name, ConstantSource(values))
    for item in readable(name):
        if item.writable or item.shows or item.quantity not in values or item.quantity == "serial":
            continue
        exponent = bench.exponent(item)
        assert exponent is not None, item.name
        step = abs(item.factor) * 10.0**exponent if item.type != "float32" else 1e-3
        assert bench.read(item.name) == pytest.approx(values[item.quantity], abs=step), item.name


@pytest.mark.parametrize("name", MODBUS)
def test_every_quantity_is_there_with_power_flowing(name: str) -> None:
    profile = load_device_profile(name)
    bench = Bench(profile, StandaloneSource(profile, 3)).at(30)
    for item in readable(name):
        value = bench.read(item.name)
        assert value is not None, item.name
        if isinstance(value, float):
            low, high = item.low, item.high
            assert low is None or value >= low, item.name
            assert high is None or value <= high, item.name


@pytest.mark.parametrize("name", MODBUS)
def test_identity_is_readable_and_the_device_s_own(name: str) -> None:
    profile = load_device_profile(name)
    device = Bench(profile, StandaloneSource(profile), serial="87654321")
    assert device.read("serial") == "87654321"


@pytest.mark.parametrize("name", MODBUS)
def test_all_that_is_there_can_be_read_in_blocks(name: str) -> None:
    """The registers between the first and the last of a stretch, as many at once as allowed."""
    profile = load_device_profile(name)
    assert profile.modbus is not None
    device = EmulatedDevice(profile, StandaloneSource(profile))
    most = profile.modbus.max_read_registers
    for item in fields.resolve(profile).fields:
        if not item.readable:
            continue
        assert len(device.read_registers(item.table, item.address, item.width, S)) == 2 * item.width  # type: ignore[arg-type]
    with pytest.raises(ModbusRefusal) as refused:
        device.read_registers("holding", 0, most + 1, S)
    assert refused.value.code == 3


@pytest.mark.parametrize("name", [name for name in MODBUS if name.startswith("sunspec")])
def test_sunspec_models_are_found_by_walking(name: str) -> None:
    profile = load_device_profile(name)
    assert profile.modbus is not None
    assert profile.modbus.sunspec is not None
    device = EmulatedDevice(profile, StandaloneSource(profile))
    walk = discover()
    place = next(walk)
    while True:
        try:
            answer: bytes | None = device.read_registers("holding", *place, S)
        except ModbusRefusal:
            answer = None
        try:
            place = walk.send(answer)
        except StopIteration as done:
            found = done.value
            break
    assert [model.id for model in found] == [model.id for model in profile.modbus.sunspec.models]
    known = fields.resolve(profile)
    assert {model.id: model.address for model in found} == known.models
    # A driver that has walked sees the same fields, without what stands around the models.
    seen = fields.resolve(profile, known.models).fields
    assert seen == tuple(f for f in known.fields if not f.name.startswith("sunspec."))


@pytest.mark.parametrize("name", MODBUS)
def test_every_command_arrives(name: str) -> None:
    bench = Bench(name)
    for actuator in bench.profile.actuators:
        item = bench.map.writing(actuator.quantity)
        if item is None:
            continue
        low = actuator.low if item.low is None else max(item.low, actuator.low)
        value = low + (actuator.high - low) * 0.5 if actuator.high > 1 else 1.0
        exponents = {f.scale_name: bench.exponent(f) or 0 for f in bench.map.fields if f.scale_name}
        for target, data in fields.writes(bench.map, actuator.quantity, value, exponents):
            bench.device.write_registers(target.address, data, bench.t_us, 16)
        arrived = [number for name, number, _ in bench.commands if name == actuator.quantity][-1]
        assert arrived == pytest.approx(value, abs=max(1.0, actuator.resolution))
