"""An emulated device as a server sees it: latches, writes, limits, resets, faults."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.devices import fields
from wattbench.hil.devices.codec import CodecError
from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.source import ConstantSource, FunctionSource
from wattbench.hil.modbus.unit import ModbusRefusal
from wattbench.scenarios.devices import load_device_profile

from .conftest import Bench, S, float32, profile_of, refusal


def code_of(action: Any, *arguments: Any) -> int:
    """Return the exception code that an action is refused with, 0 if it is not."""
    try:
        action(*arguments)
    except ModbusRefusal as refused:
        return refused.code
    return 0


def clockwork() -> FunctionSource:
    """A source whose power is the time in ms."""
    return FunctionSource({"power_w": lambda t: t / 1000, "voltage_a_v": lambda t: t / 1000})


POWER = {"quantity": "power_w", "table": "input", "address": 0, "type": "float32"}
VOLTAGE = {"quantity": "voltage_a_v", "table": "input", "address": 2, "type": "float32"}


def test_values_change_at_the_device_s_own_refresh() -> None:
    bench = Bench(profile_of(points=[POWER], timing={"refresh_s": 0.5}), clockwork())
    seen = [bench.at(t).read("power_w") for t in (1.0, 1.1, 1.49, 1.5, 1.99, 2.3)]
    assert seen == [1000, 1000, 1000, 1500, 1500, 2000]


def test_refresh_can_be_out_of_step_with_the_seconds() -> None:
    profile = profile_of(points=[POWER], timing={"refresh_s": 1.0})
    bench = Bench(profile, clockwork(), phase_us=300_000)
    assert [bench.at(t).read("power_w") for t in (1.2, 1.31, 2.2)] == [300, 1300, 1300]


def test_without_a_refresh_every_request_sees_now() -> None:
    bench = Bench(profile_of(points=[POWER], timing={"refresh_s": 0}), clockwork())
    assert [bench.at(t).read("power_w") for t in (1.0, 1.001)] == [1000, 1001]


@given(st.lists(st.integers(0, 60 * S), min_size=1, max_size=30).map(sorted))
def test_all_values_of_a_read_are_of_one_latch(times: list[int]) -> None:
    bench = Bench(profile_of(points=[POWER, VOLTAGE], timing={"refresh_s": 0.7}), clockwork())
    for t_us in times:
        power, voltage = struct.unpack(">ff", bench.device.read_registers("input", 0, 4, t_us))
        assert power == voltage
        assert power == pytest.approx((t_us - t_us % 700_000) / 1000)


def test_a_device_says_only_what_it_has() -> None:
    spans = [{"table": "input", "first": 2, "last": 9}]
    bench = Bench(profile_of(points=[POWER], spans=spans), ConstantSource({"power_w": 7.0}))
    read = bench.device.read_registers
    assert read("input", 0, 10, 0) == float32(7.0) + bytes(16)
    assert refusal(read, "input", 0, 11, 0) == 2
    assert refusal(read, "input", 65535, 1, 0) == 2
    assert refusal(read, "holding", 0, 1, 0) == 2


def test_half_a_value_can_be_read_but_not_written() -> None:
    points = [{"quantity": "power_setpoint_w", "address": 4, "type": "float32", "access": "rw"}]
    bench = Bench(profile_of(points=points), ConstantSource())
    bench.write("power_setpoint_w", 100.0)
    assert bench.device.read_registers("holding", 5, 1, 0) == float32(100.0)[2:]
    assert refusal(bench.device.write_registers, 4, b"\0\0", 0, 6) == 2
    assert refusal(bench.device.write_registers, 5, b"\0\0", 0, 6) == 2


def writable(**more: object) -> Bench:
    points = [
        {"quantity": "power_setpoint_w", "address": 10, "access": "rw", "low": 0, "high": 3000},
        {"quantity": "enabled", "address": 11, "access": "rw", "low": 0, "high": 1},
    ]
    registers = [{"name": "limit", "address": 12, "value": 5, "access": "rw", "nonvolatile": True}]
    return Bench(profile_of(points=points, registers=registers, **more))


def test_writes_are_all_or_nothing() -> None:
    bench = writable()
    data = struct.pack(">HHH", 500, 2, 1)
    assert refusal(bench.device.write_registers, 10, data, 0, 16) == 3
    assert refusal(bench.device.write_registers, 11, data, 0, 16) == 2
    assert bench.commands == []
    assert bench.read("power_setpoint_w") == 0.0
    bench.device.write_registers(10, struct.pack(">HHH", 500, 1, 1), 0, 16)
    assert [command[:2] for command in bench.commands] == [
        ("power_setpoint_w", 500.0),
        ("enabled", 1.0),
    ]
    assert bench.read("limit") == 1.0


def test_out_of_range_is_refused_or_clamped() -> None:
    refusing, clamping = writable(), writable(out_of_range="clamp")
    assert refusal(refusing.write, "power_setpoint_w", 3001) == 3
    clamping.write("power_setpoint_w", 3001)
    assert clamping.last == ("power_setpoint_w", 3000.0)
    assert clamping.read("power_setpoint_w") == 3000.0


def test_the_actuator_s_limits_count_where_the_point_has_none() -> None:
    points = [{"quantity": "power_setpoint_w", "address": 0, "type": "int16", "access": "rw"}]
    actuators = [{"quantity": "power_setpoint_w", "low": -100, "high": 100}]
    bench = Bench(profile_of(points=points, actuators=actuators))
    assert refusal(bench.write, "power_setpoint_w", -101) == 3
    bench.write("power_setpoint_w", -100)
    assert bench.last == ("power_setpoint_w", -100.0)


def test_a_value_that_is_none_is_refused() -> None:
    points = [
        {"quantity": "power_setpoint_w", "address": 0, "type": "float32", "access": "rw"},
        {"quantity": "car_state", "address": 2, "access": "rw", "labels": {1: "a", 2: "b"}},
    ]
    bench = Bench(profile_of(points=points))
    for data in ("7fc00000", "7f800000", "ff800000"):
        assert refusal(bench.device.write_registers, 0, bytes.fromhex(data), 0, 16) == 3
    assert refusal(bench.device.write_registers, 2, b"\0\3", 0, 6) == 3
    bench.device.write_registers(2, b"\0\2", 0, 6)
    assert bench.last == ("car_state", 2.0)
    assert bench.read("car_state") == "b"


def test_limits_of_requests() -> None:
    bench = writable(max_read_registers=2, max_write_registers=2)
    assert refusal(bench.device.read_registers, "holding", 10, 3, 0) == 3
    assert refusal(bench.device.write_registers, 10, bytes(6), 0, 16) == 3


def test_bits() -> None:
    points = [
        {"quantity": "connected", "table": "discrete", "address": 3, "type": "bool"},
        {"quantity": "enabled", "table": "coil", "address": 5, "type": "bool", "access": "rw"},
    ]
    spans = [{"table": "coil", "first": 4, "last": 7}]
    source = ConstantSource({"connected": 1.0})
    bench = Bench(profile_of(points=points, spans=spans, functions=[1, 2, 5, 15]), source)
    assert list(bench.device.read_bits("discrete", 3, 1, 0)) == [True]
    assert list(bench.device.read_bits("coil", 4, 4, 0)) == [False] * 4
    bench.device.write_bits(5, [True], 0, 5)
    assert bench.last == ("enabled", 1.0)
    assert list(bench.device.read_bits("coil", 4, 4, 0)) == [False, True, False, False]
    assert refusal(bench.device.read_bits, "discrete", 3, 2, 0) == 2
    assert refusal(bench.device.write_bits, 4, [True, True], 0, 15) == 2


def test_reset_loses_what_is_not_in_flash() -> None:
    bench = writable()
    bench.write("power_setpoint_w", 700)
    bench.write("limit", 9)
    bench.device.reset(10 * S)
    assert bench.device.hold_us(12 * S, 3) is None
    assert bench.device.hold_us(15 * S, 3) is not None
    assert bench.at(16).read("power_setpoint_w") == 0.0
    assert bench.read("limit") == 9.0
    bench.device.reset(20 * S, factory=True)
    assert bench.at(26).read("limit") == 5.0


def test_reset_takes_commands_back() -> None:
    bench = Bench("goe_charger")
    bench.write("current_setpoint_a", 6)
    bench.device.reset(S)
    assert ("current_setpoint_a", 16.0, S) in bench.commands


def test_flash_wears() -> None:
    bench = writable()
    for value in (1, 2, 3):
        bench.write("limit", value)
    bench.write("power_setpoint_w", 5)
    assert dict(bench.device.wear) == {"limit": 3}


def test_a_quantity_can_be_stuck() -> None:
    bench = Bench(profile_of(points=[POWER, VOLTAGE]), clockwork())
    assert bench.at(1).read("power_w") == 1000
    bench.device.stuck("power_w")
    assert bench.at(5).read("power_w") == 1000
    assert bench.read("voltage_a_v") == 5000
    bench.device.stuck("power_w", stuck=False)
    assert bench.at(7).read("power_w") == 7000


def test_identification() -> None:
    device = EmulatedDevice(load_device_profile("keba_p30"), ConstantSource(), firmware="9.9")
    assert device.identification() == {0: b"KEBA", 1: b"KC-P30", 2: b"9.9"}


def test_a_zigbee_device_is_none_of_modbus() -> None:
    with pytest.raises(ValueError, match="no Modbus device"):
        EmulatedDevice(load_device_profile("zigbee_plug"), ConstantSource())


@given(
    st.binary(min_size=2, max_size=12).filter(lambda data: len(data) % 2 == 0), st.integers(0, 20)
)
def test_no_write_breaks_a_device(data: bytes, address: int) -> None:
    """Whatever is written, the device refuses it or takes it, and can be read afterwards."""
    bench = writable()
    code = code_of(bench.device.write_registers, address, data, 0, 16)
    assert code in {0, 2, 3}
    assert not code or not bench.commands
    value = bench.read("power_setpoint_w")
    assert isinstance(value, float)
    assert 0 <= value <= 3000


@pytest.mark.parametrize(
    "name",
    ["sunspec_inverter", "sunspec_der", "mypv_ac_elwa_2", "goe_charger", "keba_p30"],
)
@given(data=st.data())
def test_no_request_breaks_a_shipped_device(name: str, data: st.DataObject) -> None:
    bench = Bench(name, ConstantSource({"power_w": 1.0, "soc": 0.5}))
    places = sorted({item.address for item in bench.map.fields if item.writable})
    t_us = 0
    for _ in range(data.draw(st.integers(1, 6))):
        t_us += data.draw(st.integers(0, 40 * S))
        address = data.draw(st.sampled_from(places)) + data.draw(st.integers(-1, 1))
        words = data.draw(st.lists(st.integers(0, 65535), min_size=1, max_size=4))
        sent = struct.pack(f">{len(words)}H", *words)
        assert code_of(bench.device.write_registers, address, sent, t_us, 16) in {0, 2, 3}
        code = code_of(bench.device.read_registers, "holding", address, len(words), t_us)
        assert code in {0, 2, 3}
    for quantity, value, _ in bench.commands:
        actuator = bench.profile.actuator(quantity)
        assert actuator is None or actuator.low <= value <= actuator.high


def test_one_value_that_does_not_fit_leaves_the_others_alone() -> None:
    source = ConstantSource({"power_w": 1e300, "voltage_a_v": 230.0})
    bench = Bench(profile_of(points=[POWER, VOLTAGE]), source)
    assert bench.device.read_registers("input", 0, 4, 0) == bytes(4) + float32(230.0)


def test_what_a_device_shows_can_be_asked_without_a_bus() -> None:
    bench = Bench("goe_charger", ConstantSource({"power_w": 3600.0}), serial="4711")
    assert bench.device.value("power_w", S) == 3600.0
    assert bench.device.value("serial") == "4711"
    assert bench.device.value("current_setpoint_a") == 16.0
    bench.write("current_setpoint_a", 8)
    assert bench.device.value("current_setpoint_a", 2 * S) == 8.0
    assert bench.device.value("humidity") is None


def test_commands_go_to_functions() -> None:
    got: list[tuple[float, int]] = []
    source = FunctionSource(
        {"power_setpoint_w": lambda _: 1.0},
        {"power_setpoint_w": lambda value, t_us: got.append((value, t_us))},
    )
    points = [
        {"quantity": "power_setpoint_w", "address": 0, "access": "rw"},
        {"quantity": "enabled", "address": 1, "access": "rw"},
    ]
    bench = Bench(profile_of(points=points), source).at(3)
    bench.write("power_setpoint_w", 42)
    bench.write("enabled", 1)
    assert got == [(42.0, 3 * S)]


def test_what_a_driver_writes_is_checked_before_it_is_sent() -> None:
    bench = Bench("goe_charger")
    with pytest.raises(CodecError, match=r"5 is outside of 6 … 32"):
        fields.writes(bench.map, "current_setpoint_a", 5.0, {})
    with pytest.raises(CodecError, match="cannot be written"):
        fields.writes(bench.map, "power_w", 5.0, {})
    inverter = Bench("sunspec_inverter")
    exponents = {"123.WMaxLimPct_SF": -2}
    steps = fields.writes(inverter.map, "power_limit_w", 2500.0, exponents)
    assert [(item.name, data.hex()) for item, data in steps] == [
        ("123.WMaxLimPct", "09c4"),
        ("123.WMaxLimPct_RvrtTms", "003c"),
        ("123.WMaxLim_Ena", "0001"),
    ]
