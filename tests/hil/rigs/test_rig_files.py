"""Rig files: mistakes with their places, environment variables, what belongs together."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.rigs.model import Rig
from wattbench.scenarios import rigs
from wattbench.scenarios.errors import ScenarioErrors

GOOD = """\
station: bench 3
operator: Ada
buses:
  - {id: lan, kind: modbus-tcp, host: "${ELWA_HOST}", port: "${ELWA_PORT:-502}"}
  - {id: line, kind: modbus-rtu, path: /dev/ttyUSB0, parity: even}
  - {id: mesh, kind: znp}
devices:
  - id: heater
    profile: mypv_ac_elwa_2
    bus: lan
    serves: [load.a1]
    safe: {high_w: 50 W, waived: {name: Grace, reason: somebody stands by}}
    calibration: [{point: power_w, gain: 1.01, date: 2026-01-01, expires: 2027-01-01}]
  - {id: meter, profile: eastron_sdm630, bus: line, unit: 2, serves: [grid, witness]}
  - {id: others, profile: zigbee_heater, bus: mesh, serves: ["load.*"], emulated: true}
quantities: {load.*: simulated, pv: uncontrolled}
preconditions:
  - {kind: range, device: heater, point: temperature_c, high: 60, remedy: draw some water}
"""
ENVIRONMENT = {"ELWA_HOST": "192.0.2.7"}


def load(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Rig:
    path = tmp_path / "lab.yaml"
    path.write_text(text)
    return rigs.load_rig(path, ENVIRONMENT if environment is None else environment)


def mistakes(tmp_path: Path, old: str, new: str) -> list[str]:
    assert old in GOOD
    with pytest.raises(ScenarioErrors) as found:
        load(tmp_path, GOOD.replace(old, new))
    return [str(error).removeprefix(f"{tmp_path}/lab.yaml:") for error in found.value.errors]


def test_a_good_file(tmp_path: Path) -> None:
    rig = load(tmp_path, GOOD)
    assert rig.name == "lab"
    lan = rig.bus("lan")
    assert lan.kind == "modbus-tcp"
    assert (lan.host, lan.port) == ("192.0.2.7", 502)
    heater = rig.serving("load.a1")
    assert heater is not None
    assert heater.safe is not None
    assert heater.safe.high_w == 50.0
    others = rig.serving("load.b2")
    assert others is not None
    assert others.id == "others"
    assert rig.witness is rig.serving("grid")
    assert rig.real
    assert rig.origin("load.c3") == "simulated"
    assert rig.origin("grid") == "uncontrolled"
    assert rig.origin("household") == "simulated"
    assert rig.unpaired
    assert Rig.model_validate_json(rig.model_dump_json()) == rig


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("bus: lan", "bus: lam", "10:10: devices[0].bus: there is no bus 'lam'; allowed: "),
        (
            "profile: mypv_ac_elwa_2",
            "profile: mypv_ac_elwa",
            "9:14: devices[0].profile: no device profile 'mypv_ac_elwa'; did you mean",
        ),
        (
            "bus: line, unit: 2",
            "bus: mesh, unit: 2",
            "14:",
        ),
        ("parity: even", "parity: evn", "5:62: buses[1].parity: got 'evn'; allowed: none, even"),
        ("high_w: 50 W", "high_w: 50 kWh", "12:20: devices[0].safe.high_w: wrong unit 'kWh'"),
        ("high_w: 50 W", "high_w: 5, low_w: 9", "12:30: devices[0].safe.low_w: must not exceed"),
        ("waived:", "waved:", "12:26: devices[0].safe.waved: unknown key"),
        ("[grid, witness]", "[gird]", "14:71: devices[1].serves[0]: a site has no 'gird'; allowed"),
        (
            "point: power_w",
            "point: powr_w",
            "13:27: devices[0].calibration[0].point: profile 'mypv_ac_elwa_2' of device 'heater' "
            "has no point 'powr_w'; did you mean 'power_w'?",
        ),
        (
            "point: temperature_c",
            "point: temprature_c",
            "18:42: preconditions[0].point: profile 'mypv_ac_elwa_2' of device 'heater' has no "
            "point 'temprature_c'; did you mean 'temperature_c'?",
        ),
        ("[grid, witness]", "[grid, grid]", "'grid' is served by 'meter' already"),
        ("[grid, witness]", "['load.*']", "one real device serves one load"),
        ("path: /dev/ttyUSB0, ", "", "bus 'line' has no address, and device 'meter'"),
        ("load.*: simulated", "lod.*: simulated", "there is no quantity 'lod.*'"),
        ("device: heater, point", "device: heatr, point", "there is no device 'heatr'"),
        ("expires: 2027", "expires: 2025", "must not lie before date"),
        ("id: meter", "id: heater", "id 'heater' is used twice"),
        ("unit: 2", "unit: 256", "14:"),
        ("bus: mesh, serves", "bus: lan, serves", "speaks zigbee, and bus 'lan' is modbus-tcp"),
        (
            "bus: lan\n",
            "bus: line\n",
            "'mypv_ac_elwa_2' speaks Modbus over tcp, and bus 'line' is a line",
        ),
    ],
)
def test_mistakes_have_a_place_and_say_what_is_allowed(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    lines = mistakes(tmp_path, old, new)
    assert any(expected in line for line in lines), lines
    assert all(line[0].isdigit() for line in lines)


def test_the_path_of_an_emulated_bus_is_a_link_to_be_made(tmp_path: Path) -> None:
    rig = load(
        tmp_path,
        f"""\
buses:
  - {{id: line, kind: modbus-rtu, path: {tmp_path}/line}}
  - {{id: mesh, kind: znp, path: {tmp_path}/mesh}}
devices:
  - {{id: meter, profile: eastron_sdm630, bus: line, emulated: true}}
  - {{id: heater, profile: zigbee_heater, bus: mesh, emulated: true}}
""",
    )
    assert [getattr(bus, "path", None) for bus in rig.buses] == [
        f"{tmp_path}/line",
        f"{tmp_path}/mesh",
    ]


def test_an_unset_variable_is_an_error_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioErrors) as found:
        load(tmp_path, GOOD, {})
    (error,) = found.value.errors
    assert (error.line, error.column) == (4, 39)
    assert "environment variable ELWA_HOST is not set" in error.message
    assert "${ELWA_HOST:-…}" in error.message


def test_a_variable_that_is_no_number_where_one_belongs(tmp_path: Path) -> None:
    with pytest.raises(ScenarioErrors) as found:
        load(tmp_path, GOOD, ENVIRONMENT | {"ELWA_PORT": "five"})
    assert found.value.errors[0].line == 4
    assert load(tmp_path, GOOD, ENVIRONMENT | {"ELWA_PORT": "1502"}).buses[0].port == 1502


@pytest.mark.parametrize("text", ["${}", "${1A}", "${A B}", "${A-b}"])
def test_what_names_no_variable(text: str) -> None:
    with pytest.raises(ValueError, match="names no environment variable"):
        rigs.expand(text, {"A": "a"})


def test_expansion() -> None:
    environment = {"A": "1", "EMPTY": ""}
    assert rigs.expand("x${A}y${B:-2}z", environment) == "x1y2z"
    assert rigs.expand("${EMPTY:-full}", environment) == "full"
    assert rigs.expand("$A {B} $", environment) == "$A {B} $"
    assert rigs.expand("${B:-a:-b}", environment) == "a:-b"


@given(st.text(), st.dictionaries(st.sampled_from("ABC"), st.text()))
def test_expansion_ends_in_a_text_or_a_message(text: str, environment: dict[str, str]) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(rigs.expand(text, environment), str)


def test_a_value_is_not_expanded_again() -> None:
    assert rigs.expand("${A}", {"A": "${B}", "B": "x"}) == "${B}"


@pytest.mark.parametrize("name", rigs.rig_names())
def test_shipped_rigs_are_valid(name: str) -> None:
    from wattbench.hil.rigs.check import problems

    rig = rigs.load_rig(name)
    assert not rig.real
    assert problems(rig, rigs.load_profiles(rig)) == []


def test_unknown_names_say_the_nearest() -> None:
    with pytest.raises(rigs.UnknownRigError, match="did you mean 'export'"):
        rigs.load_rig("exprt")


@given(st.text(max_size=200))
def test_garbage_is_a_list_of_errors(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rig.yaml"
        path.write_text(text, errors="ignore")
        with pytest.raises(ScenarioErrors):
            rigs.load_rig(path, {})
