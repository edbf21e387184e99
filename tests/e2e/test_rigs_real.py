"""`wattbench run` on a rig of devices in another process, which it takes for real ones.

How runs end that are killed is in `tests/hil/rigs/test_killed_run.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattbench.evaluation.record import Record, read_record

pytestmark = pytest.mark.slow

PATIENCE_S = 150.0
NAMES = ("grid", "inverter", "heater_a", "heater_b", "witness")
SITE = """\
name: site
buses:
  - {id: lan1, kind: modbus-tcp, port: 0}
  - {id: lan2, kind: modbus-tcp, port: 0}
  - {id: lan3, kind: modbus-tcp, port: 0}
  - {id: lan4, kind: modbus-tcp, port: 0}
  - {id: lan5, kind: modbus-tcp, port: 0}
devices:
  - {id: grid, profile: eastron_sdm630, bus: lan1, serves: [grid], emulated: true}
  - {id: inverter, profile: sunspec_inverter, bus: lan2, serves: [pv], emulated: true}
  - {id: heater_a, profile: mypv_ac_elwa_2, bus: lan3, serves: [load.a1], emulated: true}
  - {id: heater_b, profile: mypv_ac_elwa_2, bus: lan4, serves: [load.b1], emulated: true}
  - {id: witness, profile: shelly_pro_3em, bus: lan5, serves: [witness], emulated: true}
"""
SAFE = "safe: {low_w: 0, high_w: 30, danger: overheats}"
SUN_SAFE = "safe: {value: 10000, low_w: -10, high_w: 20000, danger: throws energy away}"
LAB = f"""\
name: lab
station: bench 3
operator: ada
buses:
  - {{id: lan1, kind: modbus-tcp, port: "${{GRID}}"}}
  - {{id: lan2, kind: modbus-tcp, port: "${{INVERTER}}"}}
  - {{id: lan3, kind: modbus-tcp, port: "${{HEATER_A}}"}}
  - {{id: lan4, kind: modbus-tcp, port: "${{HEATER_B}}"}}
  - {{id: lan5, kind: modbus-tcp, port: "${{WITNESS}}"}}
devices:
  - {{id: grid, profile: eastron_sdm630, bus: lan1, serves: [grid]}}
  - {{id: inverter, profile: sunspec_inverter, bus: lan2, serves: [pv], {SUN_SAFE}}}
  - {{id: heater_a, profile: mypv_ac_elwa_2, bus: lan3, serves: [load.a1], {SAFE}}}
  - {{id: heater_b, profile: mypv_ac_elwa_2, bus: lan4, serves: [load.b1], {SAFE}}}
  - {{id: witness, profile: shelly_pro_3em, bus: lan5, serves: [witness]}}
quantities: {{grid: uncontrolled, pv: uncontrolled, household: uncontrolled}}
"""
SCENARIO = """\
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 3500, tank: null}
    - {id: b1, phase: b, rated_power_w: 3500, tank: null}
clock: {start: 2025-06-21T12:00:00, duration_s: 20, mode: wall}
policies: [{kind: always_on}]
baselines: [{kind: zero}]
limits:
  - {metric: import_energy, max: 10 kWh}
  - {metric: export_energy, vs: zero, max_ratio: 0.9}
"""
LOOKED = ("--by", "ada", "--reason", "looked at it")


class Lab:
    """Devices in one process, runs on them in others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "site.yaml").write_text(SITE)
        (folder / "lab.yaml").write_text(LAB)
        self.scenario(SCENARIO)
        self.environment = os.environ | {"WATTBENCH_STATE": str(folder / "state")}
        self.devices: subprocess.Popen[str] | None = None
        self.runs: list[subprocess.Popen[str]] = []

    def scenario(self, text: str) -> None:
        (self.folder / "s.yaml").write_text(text)

    def emulate(self) -> None:
        self.devices = self.start("emulate", "site.yaml", "--scenario", "s.yaml", run=False)
        assert self.devices.stdout is not None
        for name in NAMES:
            row = json.loads(self.devices.stdout.readline())
            assert row["device"] == name
            self.environment[name.upper()] = str(row["port"])

    def start(self, *arguments: str, run: bool = True) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "wattbench", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        if run:
            self.runs.append(process)
        return process

    def run(self, *more: str) -> tuple[int, str, str]:
        """Run to the end."""
        return self.end(self.start("run", "s.yaml", "--rig", "lab.yaml", *more))

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in err, err[-3500:]
        return process.returncode, out, err

    def wait_for(self, what: Callable[[], Any]) -> Any:
        until_s = time.monotonic() + PATIENCE_S
        while not (found := what()):
            assert time.monotonic() < until_s
            for process in self.runs:
                assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        return found

    def armed(self) -> None:
        self.wait_for(lambda: list((self.folder / "state").glob("**/armed-*")))

    def events(self) -> str:
        files = self.folder.glob("runs/s/*.partial/events.jsonl")
        return "".join(path.read_text() for path in files)

    def record(self, policy: str = "always_on") -> Record:
        (folder,) = self.folder.glob(f"runs/s/{policy}-seed1*")
        return read_record(folder)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    made.emulate()
    yield made
    assert made.devices is not None
    for process in (made.devices, *made.runs):
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()


def test_a_run_from_beginning_to_end(lab: Lab) -> None:
    code, out, err = lab.run("--json")
    assert code == 3, err
    shown = json.loads(out)
    assert shown["verdict"] == "INCONCLUSIVE", "two runs under the real sun are no pair"
    record = lab.record()
    assert record.header.status == "completed"
    assert record.header.safe_state.confirmed is True
    rig = json.loads((record.folder / "record.json").read_text())["rig"]
    assert (rig["name"], rig["station"], rig["operator"]) == ("lab", "bench 3", "ada")
    assert rig["unpaired"] is True
    assert rig["truth"] == "witness"
    truth, readings = record.stream("truth"), record.stream("readings")
    assert len(truth["t_sim_us"]) == 20
    # Heaters of 3.5 kW each draw what was measured at them.
    for name in ("a1", "b1"):
        assert truth[f"load.{name}.power_w"][12:].min() > 2500.0
    # The truth of the connection is the witness's: the house and the sun are not the twin's.
    for phase in "abc":
        witness_w = truth[f"grid.{phase}.power_w"][12:]
        meter_w = readings[f"meter.{phase}.power_w"][12:]
        assert np.abs(np.median(witness_w) - np.median(meter_w)) < 150.0
        energy_wh = np.cumsum(np.maximum(truth[f"grid.{phase}.power_w"], 0.0)) / 3600.0
        np.testing.assert_allclose(truth[f"grid.{phase}.import_energy_wh"], energy_wh)
    (event,) = [event for event in record.events if event["kind"] == "safe_state"]
    assert event["confirmed"] is True
    assert {one["device"] for one in event["actuators"]} >= {"heater_a", "heater_b"}


def test_another_run_is_refused_in_one_line(lab: Lab) -> None:
    lab.scenario(SCENARIO.replace("duration_s: 20", "duration_s: 600"))
    first = lab.start("run", "s.yaml", "--rig", "lab.yaml")
    lab.armed()
    second = lab.start("run", "s.yaml", "--rig", "lab.yaml", "--out", "others")
    code, out, err = lab.end(second)
    assert code == 6
    assert "is in use by" in err + out
    first.send_signal(signal.SIGINT)
    code, _, err = lab.end(first)
    assert code == 4, err


def test_devices_that_hang_end_the_run(lab: Lab) -> None:
    """Nobody can say that they are safe: exit code 7, and the rig is broken."""
    alone = SCENARIO.partition("baselines")[0] + "limits: [{metric: import_energy, max: 1 MWh}]"
    lab.scenario(alone.replace("duration_s: 20", "duration_s: 600"))
    run = lab.start("run", "s.yaml", "--rig", "lab.yaml")
    lab.armed()
    time.sleep(5.0)
    assert lab.devices is not None
    lab.devices.send_signal(signal.SIGSTOP)
    code, out, err = lab.end(run)
    assert code == 7, err + out
    record = lab.record()
    assert record.header.status == "aborted"
    assert record.header.safe_state.confirmed is False
    lab.devices.send_signal(signal.SIGCONT)
    status = json.loads(lab.end(lab.start("rig", "status", "lab.yaml", "--json"))[1])
    assert status["state"] == "broken"
    code, out, _ = lab.run("--out", "others")
    assert code == 6
    assert "broken" in out
    assert lab.end(lab.start("rig", "clear", "lab.yaml", *LOOKED))[0] == 0
    status = json.loads(lab.end(lab.start("rig", "status", "lab.yaml", "--json"))[1])
    assert status["state"] == "free"


def test_devices_that_are_gone_at_the_end_prove_nothing(lab: Lab) -> None:
    """Less than the half minute after which they are given up: the run ends, and no limit holds."""
    alone = SCENARIO.partition("baselines")[0] + "limits: [{metric: import_energy, max: 1 MWh}]"
    lab.scenario(alone)
    run = lab.start("run", "s.yaml", "--rig", "lab.yaml", "--json")
    lab.wait_for(lambda: "device_identity" in lab.events())
    time.sleep(6.0)
    assert lab.devices is not None
    lab.devices.kill()
    code, out, err = lab.end(run)
    assert code == 7, err + out
    shown = json.loads(out)
    assert shown["verdict"] == "INCONCLUSIVE", shown
    assert lab.record().header.status == "completed"
    assert lab.end(lab.start("judge", str(lab.record().folder)))[0] == 7
    unseen_s = lab.record().header.unseen_s
    assert all(unseen_s[name] > 2.0 for name in ("witness", "heater_a", "heater_b")), unseen_s
    junit = "".join(path.read_text() for path in lab.folder.rglob("junit.xml"))
    assert "which the truth comes from, showed nothing for" in junit
    assert 'name="safe state"' in junit


def test_another_device_than_expected_breaks_the_rig(lab: Lab) -> None:
    wrong = LAB.replace("bus: lan3, serves: [load.a1]", "bus: lan3, serves: [load.a1], serial: X-1")
    (lab.folder / "lab.yaml").write_text(wrong)
    code, out, err = lab.run()
    assert code == 6, err + out
    assert "X-1" in err + out
    status = json.loads(lab.end(lab.start("rig", "status", "lab.yaml", "--json"))[1])
    assert status["state"] == "broken"
    (lab.folder / "lab.yaml").write_text(LAB)
    assert lab.run("--out", "others")[0] == 6
    assert lab.end(lab.start("rig", "clear", "lab.yaml", *LOOKED))[0] == 0
    assert lab.run("--out", "more")[0] == 3


def test_a_rig_in_virtual_time_is_refused(lab: Lab) -> None:
    code, _, err = lab.run("--clock", "virtual")
    assert code == 2
    assert "real devices" in err
    assert err.count("\n") == 1


def test_a_device_that_is_not_there_ends_everything(lab: Lab) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        lab.environment["HEATER_B"] = str(other.getsockname()[1])
    code, out, _ = lab.run()
    assert code == 6, out
    (line,) = [line for line in out.splitlines() if line.startswith("ABORTED")]
    assert "heater_b is not available" in line
    status = json.loads(lab.end(lab.start("rig", "status", "lab.yaml", "--json"))[1])
    assert status["state"] == "free", "it was only switched off"
    assert "Not run: always_on, seed 1" in out
