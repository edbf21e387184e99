"""`wattbench rig …`: what is printed, where, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wattbench.commands.apps.rig import app
from wattbench.hil.rigs.state import RigState

RIG = """\
station: bench 3
buses:
  - {id: lan, kind: modbus-tcp, host: 192.0.2.7}
  - {id: meter_lan, kind: modbus-tcp, host: 192.0.2.8}
devices:
  - {id: heater, profile: mypv_ac_elwa_2, bus: lan, serves: [load.a1], serial: A-1}
  - {id: meter, profile: eastron_sdm630, bus: meter_lan, serves: [grid]}
quantities: {load.a1: played, grid: played}
"""
SCENARIO = """\
plant:
  kind: export
  loads: [{id: a1, phase: a, rated_power_w: 3 kW}]
clock: {start: 2025-06-21T10:00:00, duration_s: 1 h}
policies: [{kind: pi}]
limits: [{metric: export_energy, max: 1 kWh}]
"""


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WATTBENCH_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("WATTBENCH_USER", "ada")
    path = tmp_path / "lab.yaml"
    path.write_text(RIG)
    return path


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_check_says_ok(rig: Path, scenario: Path) -> None:
    code, out, err = run("check", rig)
    assert code == 0
    assert err.splitlines() == [
        f"{rig}: warning: device 'heater': its power_setpoint_w cannot be read back, so that "
        "somebody else's writes to it would not be noticed"
    ]
    assert out == f"{rig}: ok (lab, 2 devices, 2 of them real)\n"
    code, out, _ = run("check", rig, scenario, "--clock", "wall")
    assert code == 0
    assert "can run s" in out


def test_check_refuses_line_by_line(rig: Path, scenario: Path) -> None:
    scenario.write_text(SCENARIO.replace("3 kW", "4 kW").replace("id: a1", "id: b1"))
    code, out, err = run("check", rig, scenario)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert f"{rig}: the clock is virtual, and the rig has real devices" in lines[0]
    assert "nothing in the rig serves load 'b1'" in lines[1]
    assert "warning: device 'heater' serves load.a1, which the scenario lacks" in lines[-1]


def test_check_as_json(rig: Path, scenario: Path) -> None:
    code, out, _ = run("check", rig, scenario, "--json")
    content = json.loads(out)
    assert code == content["exit_code"] == 2
    assert not content["ok"]
    assert len(content["problems"]) == 1
    rig.write_text("buses: 1\n")
    code, out, err = run("check", rig, "--json")
    content = json.loads(out)
    assert code == content["exit_code"] == 2
    assert content["errors"][0]["line"] == 1
    assert err.startswith(f"{rig}:1:")


def test_a_shipped_rig_by_name() -> None:
    code, out, _ = run("check", "export", "export/demo")
    assert code == 0
    assert "can run demo" in out


def test_emulated_is_the_shipped_rig_export() -> None:
    for arguments in (("check",), ("status",)):
        code, out, _ = run(*arguments, "emulated", "--json")
        assert code == 0
        assert json.loads(out)["rig"].startswith("export")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("check", "exprt"), "did you mean 'export'"),
        (("check", "/nowhere/lab.yaml"), "no such file"),
        (("check", "export", "export/dmo"), "did you mean"),
        (("check", "export", "export/demo", "--clock", "sun"), "allowed: virtual, wall"),
        (("lock", "export", "--for", "soon"), "--for is 'soon'"),
        (("lock", "export", "--for", "900 d"), "to 31 d"),
        (("clear", "export", "--by", " ", "--reason", "because"), "--by"),
        (("clear", "export", "--by", "Ada", "--reason", " "), "--reason"),
        (("steal", "export", "--reason", " "), "--reason"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(rig: Path, arguments: tuple[str, ...], text: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1


def test_locking_and_unlocking(rig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run("lock", rig, "--reason", "new pump", "--for", "2 h")
    assert code == 0
    assert "reserved for ada until" in out
    code, out, _ = run("status", rig)
    assert code == 0
    assert "reserved: ada on" in out
    assert "new pump" in out
    monkeypatch.setenv("WATTBENCH_USER", "bob")
    code, out, err = run("lock", rig)
    assert (code, out) == (6, "")
    assert "is reserved by ada" in err
    assert err.count("\n") == 1
    assert run("unlock", rig)[0] == 6
    code, out, _ = run("steal", rig, "--reason", "demonstration", "--json")
    assert code == 0
    assert "ada" in json.loads(out)["had"]
    assert run("unlock", rig)[1].endswith(": unlocked\n")
    assert run("unlock", rig)[1].endswith(": was not reserved\n")


def test_a_broken_rig_stays_so_until_cleared(rig: Path) -> None:
    RigState.of("lab", "bench 3").mark_broken("smoke")
    code, _, err = run("check", rig)
    assert code == 6
    assert "broken: smoke" in err
    assert "broken since" in run("status", rig)[1]
    assert json.loads(run("status", rig, "--json")[1])["state"] == "broken"
    assert run("clear", rig, "--by", "Grace", "--reason", "new fuse")[1].endswith(": cleared\n")
    assert run("clear", rig, "--by", "Grace", "--reason", "new fuse")[1].endswith("not broken\n")
    assert run("check", rig)[0] == 0


def test_a_state_folder_that_cannot_be_used(
    rig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WATTBENCH_STATE", str(tmp_path / "file"))
    code, _, err = run("lock", rig)
    assert code == 6
    assert "WATTBENCH_STATE" in err
    assert err.count("\n") == 1
