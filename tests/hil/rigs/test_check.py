"""What a rig cannot realise, a line each; and what a person should know."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from wattbench.hil.rigs import check
from wattbench.hil.rigs.actuators import arming_problems, waivers
from wattbench.hil.rigs.model import Rig
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.model import Scenario

SCENARIO = """\
plant:
  kind: export
  loads: [{id: a1, phase: a, rated_power_w: 3 kW}]
clock: {start: 2025-06-21T10:00:00, duration_s: 1 h, mode: wall}
policies: [{kind: pi}]
limits: [{metric: export_energy, max: 1 kWh}]
"""


def scenario(tmp_path: Path, text: str = SCENARIO) -> Scenario:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return load_scenario(path)


def found(rig: Rig, profiles: dict[str, Any], tmp_path: Path, *edits: tuple[str, str]) -> list[str]:
    text = SCENARIO
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return check.problems(rig, profiles, scenario(tmp_path, text))


def test_a_rig_that_fits_has_no_problems(
    make_rig: Any, profiles: dict[str, Any], tmp_path: Path
) -> None:
    assert found(make_rig(), profiles, tmp_path) == []


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (("{id: a1,", "{id: b7,"), "nothing in the rig serves load 'b7'"),
        (("3 kW", "4 kW"), "load 'a1' has 4000 W in the scenario, and device 'heater' 3500 W"),
        (("mode: wall", "mode: virtual"), "the clock is virtual, and the rig has real devices"),
        (("mode: wall", "mode: wall, factor: 2"), "the clock runs at 2 ×"),
        (("mode: wall", "mode: wall, refresh_s: 90"), "its watchdog expires after 60 s"),
        (
            ("plant:\n  kind: export", "plant:\n  kind: export\n  pv: {curtailable: true}"),
            "the scenario curtails the PV",
        ),
        (
            (
                "plant:\n  kind: export",
                "plant:\n  kind: export\n  battery: {capacity_wh: 5 kWh, max_charge_w: 2 kW, "
                "max_discharge_w: 2 kW, mode: commanded}",
            ),
            "the scenario commands a battery",
        ),
        (
            ("plant:\n  kind: export", "plant:\n  kind: export\n  chargers: [{id: car}]"),
            "nothing in the rig serves charger 'car'",
        ),
        (
            ("clock:", "faults: [{kind: meter_freeze, start_s: 1, duration_s: 9}]\nclock:"),
            "fault 0 (meter_freeze) needs an emulated device, and grid is served by the real",
        ),
        (
            (
                "clock:",
                "faults: [{kind: load_vanished, load: a1, start_s: 1, duration_s: 9}]\nclock:",
            ),
            "fault 0 (load_vanished) needs an emulated device, and load.a1",
        ),
        (
            ("clock:", "faults: [{kind: broadcast_loss, start_s: 1, duration_s: 9}]\nclock:"),
            "fault 0 (broadcast_loss) is of the emulated mesh",
        ),
        (
            (
                "clock:",
                "faults: [{kind: bus_drop, target: lan, start_s: 1, duration_s: 9}]\nclock:",
            ),
            "fault 0 (bus_drop) needs emulated devices, and 'heater' is a real one",
        ),
        (
            (
                "clock:",
                "faults: [{kind: bus_drop, target: lam, start_s: 1, duration_s: 9}]\nclock:",
            ),
            "the rig has no bus or device 'lam'; allowed: heater, lan, meter, meter_lan",
        ),
    ],
)
def test_each_thing_that_cannot_be_realised_is_one_line(
    make_rig: Any,
    profiles: dict[str, Any],
    tmp_path: Path,
    edit: tuple[str, str],
    line: str,
) -> None:
    lines = found(make_rig(), profiles, tmp_path, edit)
    assert len(lines) == 1
    assert line in lines[0]
    assert "\n" not in lines[0]


def test_a_rig_without_a_meter(make_rig: Any, profiles: Any, tmp_path: Path) -> None:
    lines = found(make_rig(meter={"serves": []}), profiles, tmp_path)
    assert lines == ["the rig has no grid meter; allowed: a device with serves: [grid]"]


def test_what_a_scenario_drives_must_not_be_uncontrolled(
    make_rig: Any, profiles: Any, tmp_path: Path
) -> None:
    drives = ("clock:", "profiles: {pv: {kind: generated, sky: clear}}\nclock:")
    sun = make_rig(quantities={"pv": "uncontrolled"})
    assert found(sun, profiles, tmp_path) == []
    (line,) = found(sun, profiles, tmp_path, drives)
    assert "profiles.pv" in line
    assert found(make_rig(quantities={"pv": "played"}), profiles, tmp_path, drives) == []


@pytest.mark.parametrize(
    ("heater", "quantities", "expected"),
    [
        ({}, {}, True),
        ({}, {"load.a1": "played", "grid": "played"}, False),
        ({}, {"load.*": "played", "grid": "played"}, False),
        ({"emulated": True}, {"grid": "played"}, False),
        ({"emulated": True}, {"grid": "played", "pv": "uncontrolled"}, True),
    ],
)
def test_unpaired(
    make_rig: Any, heater: dict[str, Any], quantities: dict[str, str], expected: bool
) -> None:
    assert check.unpaired(make_rig(heater, quantities=quantities)) is expected


def test_an_actuator_without_watchdog_and_interlock_is_not_armed(
    make_rig: Any, profiles: dict[str, Any], without_watchdog: Any
) -> None:
    profiles["test_heater"] = without_watchdog
    (line,) = arming_problems(make_rig(), profiles)
    assert "device 'heater' has neither a watchdog nor an interlock relay" in line
    assert "overheats" in line
    assert arming_problems(make_rig({"safe": {"interlock": "relay K1"}}), profiles) == []
    waived = make_rig({"safe": {"waived": {"name": "Grace", "reason": "somebody stands by"}}})
    assert arming_problems(waived, profiles) == []
    assert waivers(waived, profiles) == [
        {"device": "heater", "name": "Grace", "reason": "somebody stands by"}
    ]
    assert arming_problems(make_rig({"emulated": True}), profiles) == []


def test_a_watchdog_that_is_not_trusted_is_none(make_rig: Any, profiles: dict[str, Any]) -> None:
    assert arming_problems(make_rig({"safe": {"watchdog": False}}), profiles)


def test_an_actuator_without_band_or_danger_is_not_armed(
    make_rig: Any, profiles: dict[str, Any], profile: Any
) -> None:
    bare = {"quantity": "power_setpoint_w", "high": 3500.0, "watchdog": {"timeout_s": 60.0}}
    profiles["test_heater"] = profile(actuators=[bare])
    assert "no safe band" in arming_problems(make_rig(), profiles)[0]
    band = {"safe": {"low_w": 0.0, "high_w": 10.0}}
    assert "what its danger is" in arming_problems(make_rig(band), profiles)[0]
    profiles["test_heater"] = profile(actuators=[])
    assert "nothing to command it by" in arming_problems(make_rig(), profiles)[0]


def test_points_that_a_profile_lacks(make_rig: Any, profiles: dict[str, Any]) -> None:
    rig = make_rig(
        {"calibration": [{"point": "colour"}]},
        {"serial": "M-1"},
        preconditions=[{"kind": "range", "device": "meter", "point": "temperature_c"}],
        outlets=[{"device": "meter", "powers": ["heater"]}],
    )
    lines = check.problems(rig, profiles)
    assert len(lines) == 4
    assert "no point colour" in lines[0]
    assert "no point temperature_c" in lines[1]
    assert "serial number M-1 cannot be verified" in lines[2]
    assert "no point on" in lines[3]


def test_two_devices_at_one_address(make_rig: Any, profiles: dict[str, Any]) -> None:
    (line,) = check.problems(make_rig(meter={"bus": "lan"}), profiles)
    assert "devices 'heater' and 'meter' are both at 1 on bus 'lan'" in line


def test_warnings(make_rig: Any, profiles: dict[str, Any], tmp_path: Path) -> None:
    today = dt.date(2026, 11, 21)
    calibration = [{"point": "power_w", "date": "2024-11-20", "expires": "2026-11-20"}]
    heater = {"calibration": calibration, "serial": None, "serves": ["load.a1", "load.c9"]}
    lines = check.warnings(make_rig(heater), profiles, today, scenario(tmp_path))
    assert "calibration of power_w expired on 2026-11-20" in lines[0]
    assert any("no serial number is expected" in line for line in lines)
    assert any("taken as uncontrolled" in line for line in lines)
    assert any("serves load.c9, which the scenario lacks" in line for line in lines)
    calm = make_rig(
        {"calibration": [{"point": "power_w", "expires": "2026-11-21"}]},
        quantities={"load.a1": "played", "grid": "played"},
    )
    assert check.warnings(calm, profiles, today) == []
    every = calm.model_copy(update={"quantities": {"load.*": "played", "grid": "played"}})
    assert check.warnings(every, profiles, today) == []


def test_calibration_corrects() -> None:
    from wattbench.hil.rigs.safety import Calibration

    assert Calibration(point="power_w", gain=1.02, offset=-3.0).corrected(100.0) == 99.0
