"""Known registers of known devices, byte by byte: places, types, word orders, units, signs."""

from __future__ import annotations

import struct

import pytest

from wattbench.hil.devices.source import ConstantSource

from .conftest import Bench, profile_of, refusal


def s32l(value: int) -> bytes:
    """Return a signed number of 32 bits, low word first."""
    data = struct.pack(">i", value)
    return data[2:] + data[:2]


def f32l(value: float) -> bytes:
    data = struct.pack(">f", value)
    return data[2:] + data[:2]


def holding(bench: Bench, address: int, count: int) -> bytes:
    return bench.device.read_registers("holding", address, count, bench.t_us)


def inputs(bench: Bench, address: int, count: int) -> bytes:
    return bench.device.read_registers("input", address, count, bench.t_us)


VALUES = {
    "voltage_a_v": 230.5,
    "current_b_a": 4.321,
    "power_c_w": -812.5,
    "power_w": -2345.5,
    "frequency_hz": 50.1,
    "import_energy_wh": 123_456.0,
    "export_energy_wh": 7_000.0,
    "import_energy_b_wh": 1_500.0,
    "export_energy_c_wh": 2_500.0,
}


def test_sdm630() -> None:
    bench = Bench("eastron_sdm630", ConstantSource(VALUES))
    for address, value in {
        0: 230.5,
        8: 4.321,
        16: -812.5,
        52: -2345.5,
        70: 50.1,
        72: 123.456,
        74: 7.0,
        348: 1.5,
        356: 2.5,
    }.items():
        assert inputs(bench, address, 2) == struct.pack(">f", value), address
    assert len(inputs(bench, 0, 60)) == 120
    assert refusal(inputs, bench, 0, 61) == 3
    assert refusal(inputs, bench, 377, 2) == 2
    assert holding(bench, 0xFC00, 2) == (17481234).to_bytes(4, "big")


def test_em24() -> None:
    bench = Bench("carlo_gavazzi_em24", ConstantSource(VALUES))
    for address, data in {
        0x00: s32l(2305),
        0x0E: s32l(4321),
        0x16: s32l(-8125),
        0x28: s32l(-23455),
        0x34: s32l(1235),
        0x4E: s32l(70),
        0x42: s32l(15),
    }.items():
        assert holding(bench, address, 2) == data, hex(address)
        assert inputs(bench, address, 2) == data, hex(address)
    assert holding(bench, 0x33, 1) == (501).to_bytes(2, "big")
    assert 1648 <= int.from_bytes(holding(bench, 0x0B, 1), "big") <= 1653
    assert holding(bench, 0xA000, 1) == b"\0\7"
    assert holding(bench, 0x5000, 7) == b"BP3580120017J\0"


def test_shelly() -> None:
    bench = Bench("shelly_pro_3em", ConstantSource(VALUES), serial="A8032AB12345")
    for address, value in {
        1013: -2345.5,
        1020: 230.5,
        1042: 4.321,
        1064: -812.5,
        1162: 123456.0,
        1164: 7000.0,
        1202: 1500.0,
        1224: 2500.0,
    }.items():
        assert inputs(bench, address, 2) == f32l(value), address
    # Texts have their second character in the high byte.
    assert inputs(bench, 0, 6) == b"8A30A21B3254"
    assert refusal(holding, bench, 1013, 2) == 2


def test_my_pv() -> None:
    bench = Bench(
        "mypv_ac_elwa_2",
        ConstantSource(
            {"power_w": 1234.0, "temperature_c": 56.7, "state": "heating", "max_power_w": 3500.0}
        ),
    )
    assert holding(bench, 1000, 2) == struct.pack(">HH", 1234, 567)
    assert holding(bench, 1003, 1) == b"\0\2"
    assert holding(bench, 1014, 1) == struct.pack(">H", 3500)
    bench.device.write_registers(1000, struct.pack(">H", 2000), 0, 6)
    assert bench.last == ("power_setpoint_w", 2000.0)
    # What was written is not what is read there: that is the power it takes.
    assert holding(bench, 1000, 1) == struct.pack(">H", 1234)


def test_go_e() -> None:
    bench = Bench(
        "goe_charger",
        ConstantSource(
            {
                "power_w": 3600.0,
                "car_state": "charging",
                "voltage_b_v": 231.0,
                "current_c_a": 12.3,
                "energy_wh": 45_600.0,
            }
        ),
    )
    assert bench.device.functions == {3, 4, 16}
    assert inputs(bench, 100, 1) == b"\0\2"
    assert inputs(bench, 110, 2) == struct.pack(">I", 231)
    assert inputs(bench, 118, 2) == struct.pack(">I", 123)
    assert inputs(bench, 120, 2) == struct.pack(">I", 360)
    assert inputs(bench, 128, 2) == struct.pack(">I", 456)
    bench.device.write_registers(299, struct.pack(">H", 10), 0, 16)
    assert bench.last == ("current_setpoint_a", 10.0)
    assert holding(bench, 299, 1) == b"\0\x0a"
    assert refusal(bench.device.write_registers, 299, struct.pack(">H", 5), 0, 16) == 3
    assert refusal(bench.device.write_registers, 299, struct.pack(">H", 33), 0, 16) == 3
    bench.device.write_registers(200, b"\0\0", 0, 16)
    assert bench.last == ("enabled", 0.0)


def test_keba() -> None:
    bench = Bench(
        "keba_p30",
        ConstantSource(
            {
                "power_w": 3600.0,
                "car_state": "charging",
                "current_a_a": 12.345,
                "energy_wh": 45_600.0,
                "voltage_c_v": 229.0,
            }
        ),
    )
    assert bench.profile.modbus is not None
    assert bench.profile.modbus.unit == 255
    assert holding(bench, 1000, 2) == struct.pack(">I", 3)
    assert holding(bench, 1008, 2) == struct.pack(">I", 12345)
    assert holding(bench, 1020, 2) == struct.pack(">I", 3_600_000)
    assert holding(bench, 1036, 2) == struct.pack(">I", 456_000)
    assert holding(bench, 1044, 2) == struct.pack(">I", 229)
    assert refusal(holding, bench, 1008, 4) == 3
    bench.device.write_registers(5004, struct.pack(">H", 8000), 0, 6)
    assert bench.last == ("current_setpoint_a", 8.0)
    for milliamperes in (5999, 63001):
        data = struct.pack(">H", milliamperes)
        assert refusal(bench.device.write_registers, 5004, data, 0, 6) == 3
    assert refusal(holding, bench, 5004, 1) == 2


def test_sunspec_inverter() -> None:
    bench = Bench(
        "sunspec_inverter",
        ConstantSource(
            {"power_w": 7654.0, "frequency_hz": 49.98, "energy_wh": 1e6, "state": "producing"}
        ),
    )
    assert holding(bench, 40000, 2) == b"SunS"
    assert holding(bench, 40002, 2) == struct.pack(">HH", 1, 66)
    model = 40002 + 68
    assert holding(bench, model, 2) == struct.pack(">HH", 103, 50)
    assert holding(bench, model + 14, 2) == struct.pack(">hh", 7654, 0)
    assert holding(bench, model + 16, 2) == struct.pack(">hh", 4998, -2)
    assert holding(bench, model + 24, 2) == struct.pack(">I", 1_000_000)
    assert holding(bench, model + 38, 1) == b"\0\4"
    assert holding(bench, model + 20, 1) == b"\x80\0"  # reactive power: not implemented
    end = model + 52 + 28 + 26 + 26
    assert holding(bench, end, 2) == b"\xff\xff\0\0"
    assert refusal(holding, bench, end + 2, 1) == 2
    assert refusal(holding, bench, 0, 2) == 2


@pytest.mark.parametrize(
    "name", ["eastron_sdm630", "carlo_gavazzi_em24", "shelly_pro_3em", "sunspec_meter"]
)
def test_nothing_measured_yet_is_no_zero(name: str) -> None:
    bench = Bench(name)
    item = bench.map.reading("power_w")
    assert item is not None
    if item.missing is None:
        assert refusal(bench.raw, item) == 6
    else:
        assert bench.read("power_w") is None
    # Who it is can be read all the same.
    assert bench.read("serial")


def test_a_meter_that_counts_the_other_way() -> None:
    points = [
        {"quantity": "power_w", "address": 0, "type": "int16", "sign": -1, "scale": 10},
        {"quantity": "power_setpoint_w", "address": 1, "type": "int16", "sign": -1, "access": "rw"},
    ]
    bench = Bench(profile_of(points=points), ConstantSource({"power_w": 1230.0}))
    assert holding(bench, 0, 1) == (-123).to_bytes(2, "big", signed=True)
    assert bench.read("power_w") == 1230.0
    bench.device.write_registers(1, (-500).to_bytes(2, "big", signed=True), 0, 6)
    assert bench.last == ("power_setpoint_w", 500.0)


def test_a_scale_register() -> None:
    points = [{"quantity": "power_w", "address": 0, "type": "int16", "scale_register": "power_sf"}]
    registers = [{"name": "power_sf", "address": 1, "type": "sunssf", "value": 1}]
    profile = profile_of(points=points, registers=registers)
    bench = Bench(profile, ConstantSource({"power_w": 123_450.0}))
    assert holding(bench, 0, 2) == struct.pack(">hh", 12345, 1)
    assert bench.read("power_w") == 123_450.0


def test_text_that_is_no_utf_8_is_refused() -> None:
    """It would not fit when it comes back; a device must not fail of it."""
    points = [{"quantity": "label", "address": 0, "type": "string", "length": 2, "access": "rw"}]
    bench = Bench(profile_of(points=points))
    bench.device.write_registers(0, b"abcd", 0, 16)
    assert refusal(lambda: bench.device.write_registers(0, b"\xff\xfe\xfd\xfc", 0, 16)) == 3
    assert holding(bench, 0, 2) == b"abcd"


def test_the_em24_shows_what_it_works_out() -> None:
    volts = {f"voltage_{p}_v": 230.0 for p in "abc"}
    amps = {f"current_{p}_a": 10.0 for p in "abc"}
    watts = {f"power_{p}_w": -1840.0 for p in "abc"} | {"power_w": -5520.0}
    bench = Bench("carlo_gavazzi_em24", ConstantSource(volts | amps | watts))
    assert inputs(bench, 0x06, 2) == s32l(3984)
    assert inputs(bench, 0x18, 2) == s32l(23000)
    assert inputs(bench, 0x1E, 2) == s32l(13800)
    assert inputs(bench, 0x2A, 4) == s32l(69000) + s32l(41400)
    assert inputs(bench, 0x2E, 4) == struct.pack(">4h", -800, -800, -800, -800)
    assert holding(bench, 0x0B, 1) == struct.pack(">H", 1648)
