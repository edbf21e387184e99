"""`wattbench run` on a rig of devices in another process, killed in every phase."""

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

import pytest

from wattbench.hil.rigs import lock
from wattbench.hil.rigs.driver_links import DriverLinks
from wattbench.hil.rigs.state import RigState
from wattbench.scenarios.rigs import load_profiles, load_rig
from wattbench.sim.clock import WallClock

pytestmark = pytest.mark.slow

EMULATED = """\
buses:
  - {id: lan, kind: modbus-tcp, port: 0}
  - {id: meter_lan, kind: modbus-tcp, port: 0}
devices:
  - {id: heater, profile: mypv_ac_elwa_2, bus: lan, serves: [load.a1], emulated: true}
  - {id: meter, profile: eastron_sdm630, bus: meter_lan, serves: [grid], emulated: true}
"""
RIG = """\
name: lab
buses:
  - {id: lan, kind: modbus-tcp, port: "${HEATER_PORT}"}
  - {id: meter_lan, kind: modbus-tcp, port: "${METER_PORT}"}
devices:
  - {id: heater, profile: mypv_ac_elwa_2, bus: lan, serves: [load.a1]}
  - {id: meter, profile: eastron_sdm630, bus: meter_lan, serves: [grid]}
quantities: {load.a1: played, grid: played}
"""
SCENARIO = """\
plant:
  kind: export
  loads: [{id: a1, phase: a, rated_power_w: 3 kW}]
clock: {start: 2025-06-21T12:00:00, duration_s: 120, mode: wall}
profiles: {household: {kind: constant, power_a_w: 100}}
policies: [{kind: always_on}]
limits: [{metric: export_energy, max: 1 kWh}]
"""


class Bench:
    """Devices, a rig of them, and one run."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.state = RigState.of("lab", "", folder / "state")
        self.run: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "wattbench", "run", "s.yaml", "--rig", "lab.yaml"]
        self.run = subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | self.environment,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "stderr").open("wb"),
        )
        return self.run

    def wait_for(self, what: Callable[[], Any], patience_s: float = 60.0) -> Any:
        end_s = time.monotonic() + patience_s
        while not (found := what()):
            ended = self.run is not None and self.run.poll() not in {None, -signal.SIGKILL}
            if ended or time.monotonic() > end_s:
                raise AssertionError((self.folder / "stderr").read_text())
            time.sleep(0.02)
        return found

    def armed(self) -> bool:
        return bool(list(self.state.folder.glob("armed-*")))

    def heater_w(self) -> float:
        rig = load_rig(self.folder / "lab.yaml", self.environment)

        async def read(clock: WallClock) -> float:
            link = DriverLinks(rig, load_profiles(rig), clock).reach("heater", ("power_w",))
            await link.connect()
            value = await link.read("power_w")
            await link.close()
            assert isinstance(value, float)
            return value

        with WallClock() as clock:
            return clock.run(read(clock))

    def outcome(self) -> dict[str, Any]:
        """Return what lies beside the run's record."""
        (path,) = self.wait_for(lambda: list(self.folder.glob("runs/*/*/safe_state.json")))
        found: dict[str, Any] = json.loads(path.read_text())
        return found


@pytest.fixture
def bench(tmp_path: Path, unguarded: Any) -> Iterator[Bench]:
    files = {"emulated.yaml": EMULATED, "lab.yaml": RIG, "s.yaml": SCENARIO}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "wattbench", "emulate", str(tmp_path / "emulated.yaml")]
    devices = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert devices.stdout is not None
    ports = [json.loads(devices.stdout.readline())["port"] for _ in range(2)]
    environment = {
        "HEATER_PORT": str(ports[0]),
        "METER_PORT": str(ports[1]),
        "WATTBENCH_STATE": str(tmp_path / "state"),
    }
    bench = Bench(tmp_path, environment)
    yield bench
    if bench.run is not None:
        bench.run.kill()
        bench.run.wait()
    unguarded(bench.state.folder)
    devices.terminate()
    devices.communicate()


def locked(bench: Bench) -> None:
    bench.wait_for(lambda: bench.state.read("lease.json"))
    bench.wait_for(lambda: lock.is_locked(bench.state.folder / lock.GUARDIAN_LOCK))
    time.sleep(0.5)


def armed(bench: Bench) -> None:
    bench.wait_for(bench.armed)


def heating(bench: Bench) -> None:
    bench.wait_for(bench.armed)
    bench.wait_for(lambda: bench.heater_w() > 1000.0)


def making_safe(bench: Bench) -> None:
    heating(bench)
    assert bench.run is not None
    bench.run.send_signal(signal.SIGINT)
    time.sleep(0.3)


@pytest.mark.parametrize("phase", [locked, armed, heating, making_safe])
def test_killed_in_every_phase(bench: Bench, phase: Callable[[Bench], None]) -> None:
    run = bench.start()
    phase(bench)
    run.kill()
    outcome = bench.outcome()
    assert outcome["confirmed"], outcome
    assert outcome["in_time"], outcome
    assert outcome["actuators"][0]["measured_w"] <= 20.0
    assert bench.heater_w() <= 20.0
    bench.wait_for(lambda: lock.status(bench.state)["state"] == "free")
    records = list(bench.folder.glob("runs/*/*/record.json"))
    assert len(records) == 1
    assert json.loads(records[0].read_text())["status"] == "interrupted"


def test_stopped_by_a_signal(bench: Bench) -> None:
    run = bench.start()
    heating(bench)
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) == 4
    assert bench.outcome()["confirmed"]
    assert bench.heater_w() <= 20.0
    (record,) = bench.folder.glob("runs/*/*/record.json")
    assert json.loads(record.read_text())["safe_state"]["confirmed"]


def test_a_second_run_is_refused_with_exit_code_6(bench: Bench) -> None:
    bench.start()
    armed(bench)
    command = [sys.executable, "-m", "wattbench", "run", "s.yaml", "--rig", "lab.yaml"]
    second = subprocess.run(
        [*command, "--out", "others"],
        cwd=bench.folder,
        env=os.environ | bench.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 6, second.stderr
    assert "is in use by" in second.stdout + second.stderr
