"""Device profiles from files: names, paths, mistakes with their places."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from wattbench.hil.devices import fields
from wattbench.hil.devices.modbus_model import Function
from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.devices.sunspec import SunspecError, discover, layout
from wattbench.hil.modbus.pdu import FUNCTIONS
from wattbench.scenarios.devices import (
    UnknownProfileError,
    load_device_profile,
    locate_profile,
)
from wattbench.scenarios.errors import ScenarioErrors

from .conftest import profile_of

HEAD = "kind: meter\nidentity: {manufacturer: M, model: N}\n"


def load(folder: Path, text: str) -> DeviceProfile:
    path = folder / "my meter.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return load_device_profile(path)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(ScenarioErrors) as wrong:
        load(folder, text)
    return [
        f"{error.line}:{error.column} {error.field}: {error.message}"
        for error in wrong.value.errors
    ]


def test_a_profile_is_named_after_its_file(tmp_path: Path) -> None:
    profile = load(tmp_path, HEAD + "modbus: {points: [{quantity: power_w, address: 1}]}\n")
    assert profile.name == "my_meter"
    assert profile.timing.refresh_s == 1.0


def test_shipped_profiles_go_by_name() -> None:
    assert locate_profile("keba_p30").name == "keba_p30.yaml"
    with pytest.raises(UnknownProfileError, match="did you mean 'eastron_sdm630'"):
        load_device_profile("eastron_sdm360")
    with pytest.raises(ScenarioErrors, match="no such file"):
        load_device_profile("./not/there.yaml")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    text = HEAD + "modbus: {points: [{quantity: power_w, address: ADDRESS}]}\n"
    for address in (1, 2):
        path.write_text(text.replace("ADDRESS", str(address)), encoding="utf-8")
        os.utime(path, ns=(address, address))
        profile = load_device_profile(path)
        assert profile.modbus is not None
        assert profile.modbus.points[0].address == address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modbus: {points: [{quantity: power_w, adress: 1}]}", "unknown key; allowed: table, "),
        ("modbus: {points: [{quantity: power_w, address: 70000}]}", "70000 is out of range"),
        ("modbus: {points: [{quantity: Power, address: 1}]}", "text matching"),
        ("modbus: {points: [{quantity: a, address: 1, type: u16}]}", "did you mean"),
        ("modbus: {points: [{quantity: a, address: 1, scale: 0}]}", "scale: must not be 0"),
        (
            "modbus: {points: [{quantity: a, address: 1, low: 2, high: 1}]}",
            "low: must not be above high",
        ),
        (
            "modbus: {points: [{quantity: a, address: 1, type: bool}]}",
            "belongs to the tables coil and discrete",
        ),
        (
            "modbus: {points: [{quantity: a, address: 65535, type: int32}]}",
            "ends behind 65535",
        ),
        (
            "modbus: {points: [{quantity: a, address: 1, type: int32}, {quantity: b, address: 2}]}",
            "'b' lies on top of 'a'",
        ),
        (
            "modbus: {points: [{quantity: a, address: 1}, {quantity: a, address: 2}]}",
            "is there twice",
        ),
        (
            "modbus: {points: [{quantity: a, address: 1, scale_register: sf}]}",
            "there is no register 'sf'",
        ),
        (
            "modbus: {sunspec: {models: [{id: 103}]}}",
            "must begin with model 1",
        ),
        (
            "modbus: {sunspec: {models: [{id: 1}, {id: 103, points: {Wh: {quantity: a}}}]}}",
            "modbus.sunspec.models[1].points.Wh: SunSpec model 103 has no such point; "
            "did you mean 'WH'?",
        ),
        ("modbus: {sunspec: {models: [{id: 1}, {id: 9999}]}}", "no layout of SunSpec model 9999"),
        (
            "modbus: {points: [{quantity: a, address: 1, percent_of: power_w}]}",
            "ratings lacks power_w",
        ),
        ("modbus: {spans: [{first: 5, last: 1}]}", "first: must not be above last"),
        (
            "actuators: [{quantity: a, high: 1, watchdog: {timeout_s: 1, timeout_register: x}}]\n"
            "modbus: {points: [{quantity: a, address: 1, access: rw}]}",
            "there is no register 'x'",
        ),
        (
            "actuators: [{quantity: a, low: 2, high: 1}]\n"
            "modbus: {points: [{quantity: a, address: 1, access: rw}]}",
            "low: must be below high",
        ),
        (
            "actuators: [{quantity: power_setpont_w, high: 1}]\n"
            "modbus: {points: [{quantity: power_setpoint_w, address: 1, access: w}]}",
            "actuators[0].quantity: no point writes 'power_setpont_w'; "
            "did you mean 'power_setpoint_w'?",
        ),
        (
            "actuators: [{quantity: a, high: 1}]\nmodbus: {points: [{quantity: a, address: 1}]}",
            "actuators[0].quantity: no point writes 'a'; allowed: none",
        ),
        (
            "actuators: [{quantity: a, high: 1, safe: {quantity: power_w, low: 0, high: 1}}]\n"
            "modbus: {points: [{quantity: a, address: 1, access: w}, "
            "{quantity: powr_w, address: 2}]}",
            "actuators[0].safe.quantity: no point reads 'power_w'; did you mean 'powr_w'?",
        ),
        (
            "modbus: {functions: [3, 99], points: []}",
            "modbus.functions[1]: got 99; allowed: 1, 2, 3, 4, 5, 6, 15, 16, 22, 23, 43",
        ),
        ("timing: {refresh_s: 5 W}\nmodbus: {points: []}", "wrong unit 'W'"),
        ("timing: {refresh: 5}\nmodbus: {points: []}", "did you mean 'refresh_s'"),
        ("title: x", "exactly one of modbus and zigbee"),
        (
            "zigbee: {manufacturer_code: 1, endpoints: [{device_id: 1}], "
            "attributes: [{cluster: 6, id: 0, type: bool}]}",
            "in a cluster that its endpoint lacks",
        ),
        (
            "zigbee: {manufacturer_code: 1, sleepy: true, endpoints: [{device_id: 1}]}",
            "sleepy: devices cannot be routers",
        ),
    ],
)
def test_mistakes_say_where_and_what(tmp_path: Path, text: str, expected: str) -> None:
    found = mistakes(tmp_path, HEAD + text + "\n")
    assert len(found) == 1, found
    assert expected in found[0]
    assert int(found[0].split(":")[0]) in {1, 3, 4}


def test_many_mistakes_at_once(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        """\
        kind: metre
        identity: {manufacturer: X}
        modbus:
          points:
            - {quantity: power_w, address: 70000}
            - {quantity: voltage_a_v, adress: 3}
        """,
    )
    assert [line.split(" ")[0] for line in found] == ["1:7", "2:1", "5:36", "6:31"]


def test_two_readings_may_not_share_a_register_but_read_and_write_may() -> None:
    def profile(*access: str) -> DeviceProfile:
        points = [
            {"quantity": f"q{k}", "address": 0, "access": way} for k, way in enumerate(access)
        ]
        return DeviceProfile.model_validate(
            {
                "name": "x",
                "kind": "meter",
                "identity": {"manufacturer": "m", "model": "n"},
                "modbus": {"points": points},
            }
        )

    profile("r", "w")
    with pytest.raises(ValidationError, match="lies on top"):
        profile("r", "r")
    with pytest.raises(ValidationError, match="lies on top"):
        profile("rw", "w")


def test_sunspec_points_must_be_in_their_model() -> None:
    profile = DeviceProfile.model_validate(
        {
            "name": "x",
            "kind": "meter",
            "identity": {"manufacturer": "m", "model": "n"},
            "modbus": {"sunspec": {"models": [{"id": 1}, {"id": 203, "values": {"Nope": 1}}]}},
        }
    )
    with pytest.raises(SunspecError, match="model 203 has no point 'Nope'"):
        fields.resolve(profile)


#: Offsets from a model's ID register, from the facts that were proven on real clients.
OFFSETS = {
    103: {"A": 2, "A_SF": 6, "PhVphA": 10, "W": 14, "Hz": 16, "WH": 24, "St": 38, "Evt1": 40},
    123: {"Conn": 4, "WMaxLimPct": 5, "WMaxLim_Ena": 9, "WMaxLimPct_SF": 23},
    124: {"WChaMax": 2, "StorCtl_Mod": 5, "OutWRte": 12, "InWRte": 13, "ChaGriSet": 17},
    203: {"PhV": 7, "W": 18, "WphA": 19, "TotWhExp": 38, "TotWhImp": 46, "Evt": 105},
    701: {"W": 10, "Hz": 17, "TotWhInj": 19, "TotWhAbs": 23, "WL1": 41, "WL2": 64, "WL3": 87},
    704: {"WMaxLimPctEna": 14, "WMaxLimPct": 15, "WSetEna": 22, "WSet": 24, "WSet_SF": 55},
    713: {"WHRtg": 2, "SoC": 4, "Pct_SF": 8},
    802: {"WHRtg": 3, "SoC": 11, "ChaSt": 16, "State": 22, "V": 34, "A": 44, "W": 47},
}
LENGTHS = {1: 66, 103: 50, 123: 24, 124: 24, 203: 105, 701: 153, 704: 65, 713: 7, 802: 62}


def test_layouts_have_the_known_offsets() -> None:
    for model, points in OFFSETS.items():
        found = layout(model).points
        assert {name: found[name].offset for name in points} == points, model
    assert {model: layout(model).length for model in LENGTHS} == LENGTHS


def test_groups_repeat() -> None:
    found = layout(705, (("NCrv", 2), ("NPt", 3)))
    assert found.points["Crv[1].Pt[2].V"].scale_point == "V_SF"
    assert found.length == 13 + 2 * (10 + 3 * 2)


def test_unknown_models_are_named() -> None:
    with pytest.raises(SunspecError, match="no layout of SunSpec model 4711; allowed: 1, 101"):
        layout(4711)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([None, None, None], "no SunSpec models at 0, 40000, 50000"),
        ([b"SunS", None], "breaks off at register 2"),
        ([b"SunS", b"\0\1"], "breaks off at register 2"),
        ([b"SunS", *[b"\0\1\xff\0"] * 2], "past register 65535"),
        ([b"SunS", *[b"\0\1\0\0"] * 200], "no end within 100 models"),
    ],
)
def test_broken_chains_end(answers: list[bytes | None], expected: str) -> None:
    def visit() -> None:
        walk = discover()
        next(walk)
        for answer in answers:
            walk.send(answer)

    with pytest.raises(SunspecError, match=expected):
        visit()


def test_a_register_overrides_only_what_can_be_written() -> None:
    forced = {"name": "x", "address": 1, "overrides": {"quantity": "enabled", "values": {1: 0}}}
    with pytest.raises(ValidationError, match="'enabled' is no point that is written"):
        profile_of(registers=[forced])


def test_a_profile_may_name_the_functions_that_the_server_has() -> None:
    assert set(get_args(Function)) == FUNCTIONS
