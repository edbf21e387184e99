"""Rig `emulated` under the wall clock: devices in their own process; every way to end a run."""

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

PATIENCE_S = 120.0
SITE = """
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 2000, tank: null, min_on_s: 0}
    - {id: b1, phase: b, rated_power_w: 2000, tank: null, min_on_s: 0}
  pv: {curtailable: true}
clock: {start: 2025-06-21T12:00:00, duration_s: 10}
policies: [{kind: always_on}]
limits: [{metric: export_energy, max: 100 kWh}]
"""


class Run:
    """`wattbench run` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.workers: list[int] = []

    def start(self, text: str, *more: str) -> None:
        (self.folder / "site.yaml").write_text(text)
        command = [sys.executable, "-m", "wattbench", "run", "site.yaml", "--rig", "emulated"]
        self.process = subprocess.Popen(
            [*command, "--out", "runs", *more],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )

    def wait_for(self, what: Callable[[], Any]) -> Any:
        until_s = time.monotonic() + PATIENCE_S
        while not (found := what()):
            assert time.monotonic() < until_s
            assert self.process is None or self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)
        return found

    def under_way(self) -> None:
        """Wait until devices have said who they are: the loop runs."""
        self.wait_for(lambda: "device_identity" in self.events())
        self.workers = self.wait_for(self._workers)
        time.sleep(10.0)  # devices are opened before time 0, then the loads have to act

    def events(self) -> str:
        found = list(self.folder.glob("runs/site/*.partial/events.jsonl"))
        return found[0].read_text() if found else ""

    def _workers(self) -> list[int]:
        assert self.process is not None
        me, found = self.process.pid, []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                command = (path.parent / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == me and b"wattbench.hil.emulation.worker" in command:
                found.append(int(path.parent.name))
        return found

    def end(self) -> tuple[int, str, str]:
        assert self.process is not None
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err

    def workers_end(self) -> None:
        """Wait until nobody plays devices any more."""
        until_s = time.monotonic() + PATIENCE_S
        for pid in self.workers:
            path = Path(f"/proc/{pid}/stat")
            while path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z":
                assert time.monotonic() < until_s, "an orphan"
                time.sleep(0.05)

    def record(self) -> Record:
        (folder,) = self.folder.glob("runs/site/*")
        return read_record(folder)


@pytest.fixture
def a_run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    if run.process is not None and run.process.poll() is None:
        run.process.kill()
        run.process.communicate()
    for pid in run.workers:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


def test_ten_seconds(a_run: Run) -> None:
    a_run.start(SITE, "--clock", "wall", "--json")
    code, out, err = a_run.end()
    assert code == 0, err
    assert json.loads(out)["verdict"] == "PASS"
    record = a_run.record()
    assert record.header.status == "completed"
    assert record.header.clock_mode == "wall"
    truth, commands = record.stream("truth"), record.stream("commands")
    readings = record.stream("readings")
    assert len(truth["t_sim_us"]) == 10
    assert truth["load.a1.power_w"][-1] == pytest.approx(2000.0, rel=0.1)
    first = np.flatnonzero(commands["seq"] >= 0)[0]
    for name in ("a1", "b1", "pv"):
        assert commands[f"effective.{name}_us"][first] > commands["sent_us"][first]
        assert commands[f"acked.{name}_us"][first] > commands["sent_us"][first]
    known = np.isfinite(readings["meter.total.power_w"])
    assert known.sum() >= 3
    seconds = (readings["t_sim_us"][known] // 1_000_000).astype(int)
    shown_w = readings["meter.total.power_w"][known]
    true_w = sum(truth[f"grid.{phase}.power_w"] for phase in "abc")
    assert true_w.min() - 200 < shown_w.min()
    assert shown_w.max() < true_w.max() + 200
    assert seconds[-1] >= 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_under_the_wall_clock(a_run: Run, number: signal.Signals) -> None:
    a_run.start(SITE.replace("duration_s: 10", "duration_s: 600"), "--clock", "wall", "--json")
    a_run.under_way()
    assert a_run.process is not None
    a_run.process.send_signal(number)
    code, out, err = a_run.end()
    assert code == 4, err
    assert "Traceback" not in err
    # Said at once, or whoever waits presses the keys again and cuts it short.
    assert err.count(f"stopped by {number.name}; waiting until safe values have taken effect") == 1
    assert json.loads(out)["verdict"] == "ABORTED"
    header = a_run.record().header
    assert (header.status, header.reason) == ("aborted", f"stopped by {number.name}")
    assert header.safe_state.confirmed is True
    truth = a_run.record().stream("truth")
    assert truth["load.a1.power_w"].max() > 100.0
    assert truth["load.a1.power_w"][-1] < 1.0
    a_run.workers_end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_virtual_time(a_run: Run, number: signal.Signals) -> None:
    a_run.start(SITE.replace("duration_s: 10", "duration_s: 86400"), "--json")
    a_run.wait_for(lambda: "device_identity" in a_run.events())
    time.sleep(1.0)
    assert a_run.process is not None
    a_run.process.send_signal(number)
    code, _, err = a_run.end()
    assert code == 4, err
    record = a_run.record()
    assert record.header.reason == f"stopped by {number.name}"
    assert record.header.safe_state.confirmed is True
    assert record.stream("truth")["load.b1.power_w"][-1] < 1.0


def test_devices_that_are_killed_end_the_run(a_run: Run) -> None:
    """Nobody is left to be made safe, or to say that it is: not confirmed."""
    a_run.start(SITE.replace("duration_s: 10", "duration_s: 600"), "--clock", "wall")
    a_run.under_way()
    (worker,) = a_run.workers
    os.kill(worker, signal.SIGKILL)
    code, out, err = a_run.end()
    assert code == 7, err
    assert "Traceback" not in err + out
    header = a_run.record().header
    assert header.status == "aborted"
    assert header.reason == "the process of the emulated devices has ended by SIGKILL"
    assert header.safe_state.confirmed is False
    assert "has ended by SIGKILL" in header.safe_state.note
    assert out.count("ABORTED  always_on, seed 1: the run was aborted: the process") == 1
    a_run.workers_end()


def test_devices_end_with_a_run_that_is_killed(a_run: Run) -> None:
    a_run.start(SITE.replace("duration_s: 10", "duration_s: 600"), "--clock", "wall")
    a_run.under_way()
    assert a_run.process is not None
    a_run.process.kill()
    a_run.end()
    a_run.workers_end()
    (folder,) = a_run.folder.glob("runs/site/*")
    assert read_record(folder).header.status == "interrupted"


def test_faster_than_the_wall(a_run: Run) -> None:
    a_run.start(SITE, "--clock", "wall", "--factor", "4", "--json")
    code, _, err = a_run.end()
    assert code == 0, err
    assert len(a_run.record().stream("truth")["t_sim_us"]) == 10


def test_a_port_that_is_taken_is_one_line(a_run: Run, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (tmp_path / "rig.yaml").write_text(
            f"name: taken\nbuses:\n  - {{id: lan, kind: modbus-tcp, port: {port}}}\n"
            "  - {id: sun, kind: modbus-tcp, port: 0}\n  - {id: mesh, kind: znp}\ndevices:\n"
            "  - {id: m, profile: eastron_sdm630, bus: lan, serves: [grid], emulated: true}\n"
            "  - {id: i, profile: sunspec_inverter, bus: sun, serves: [pv], emulated: true}\n"
            '  - {id: h, profile: zigbee_heater, bus: mesh, serves: ["load.*"], emulated: true}\n'
        )
        a_run.start(SITE, "--clock", "wall", "--rig", "rig.yaml")
        code, _, err = a_run.end()
    assert code == 6
    (line,) = [line for line in err.splitlines() if line.startswith("wattbench: ")]
    assert f"port {port}" in line
    assert "in use" in line
