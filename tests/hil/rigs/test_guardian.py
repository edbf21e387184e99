"""Two in the morning: the run is killed in every phase, and the rig stands safe, measured.

Heater, run and guardian are processes of their own; the test only listens, kills and looks.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wattbench.hil.rigs import lock
from wattbench.hil.rigs.state import RigState

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow


class Talker:
    """A process that says lines of JSON."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def hear(self, patience_s: float = 40.0) -> dict[str, Any]:
        said = self._lines.get(timeout=patience_s)
        assert said is not None, "it ended without saying anything"
        return said

    def until(self, at: str, patience_s: float = 40.0) -> dict[str, Any]:
        while True:
            said = self.hear(patience_s)
            if said.get("at") == at:
                return said
            assert said.get("at") != "failed", said

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line: str) -> dict[str, Any]:
        self.tell(line)
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def heater() -> Iterator[Talker]:
    talker = Talker(str(HERE / "heater_process.py"))
    yield talker
    talker.kill()


class Bench:
    """Starts runs on one heater."""

    def __init__(self, tmp_path: Path, rig: Any, profiles: dict[str, Any]) -> None:
        self.state = RigState(tmp_path / "state")
        self.folder = tmp_path / "run.partial"
        self.folder.mkdir()
        self.guardians: list[int] = []
        self.runs: list[Talker] = []
        self._orders = tmp_path / "orders.json"
        orders = {
            "rig": rig.model_dump(mode="json"),
            "profiles": {k: v.model_dump(mode="json") for k, v in profiles.items()},
            "state": str(self.state.folder),
            "folder": str(self.folder),
        }
        self._orders.write_text(json.dumps(orders))

    def start(self, phase: str, at: str | None = None) -> Talker:
        run = Talker(str(HERE / "fake_run.py"), str(self._orders), phase)
        self.runs.append(run)
        self.guardians.append(run.until("opened")["guardian"])
        if (at or phase) != "opened":
            run.until(at or phase)
        return run

    def outcome(self, patience_s: float = 40.0) -> dict[str, Any]:
        """Return what the guardian wrote into the run's folder."""
        path = self.folder / "safe_state.json"
        end_s = time.monotonic() + patience_s
        while not path.exists():
            assert time.monotonic() < end_s, (self.state.folder / "guardian.log").read_text()
            time.sleep(0.02)
        found: dict[str, Any] = json.loads(path.read_text())
        return found


@pytest.fixture
def bus() -> str:
    return "modbus-tcp"


@pytest.fixture
def bench(
    tmp_path: Path,
    heater: Talker,
    make_rig: Callable[..., Any],
    profiles: dict[str, Any],
    bus: str,
) -> Iterator[Bench]:
    place = heater.hear()
    address = {"path": place["path"]}
    if bus == "modbus-tcp":
        address = {"host": place["host"], "port": place["port"]}
    buses = [
        {"id": "lan", "kind": bus, **address},
        {"id": "meter_lan", "kind": "modbus-tcp", "host": "127.0.0.1", "port": 1},
    ]
    bench = Bench(tmp_path, make_rig(buses=buses), profiles)
    yield bench
    for run in bench.runs:
        run.kill()
    for pid in bench.guardians:
        wait_for_end(pid)


def wait_for_end(pid: int) -> None:
    end_s = time.monotonic() + 40.0
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end_s:
        if (Path(f"/proc/{pid}") / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.05)


def is_safe(outcome: dict[str, Any], heater: Talker, cause: str) -> None:
    assert outcome["cause"] == cause
    assert outcome["confirmed"], outcome
    assert outcome["in_time"], outcome
    (one,) = outcome["actuators"]
    assert one["measured_w"] == 0.0
    assert heater.ask("state")["power_w"] == 0


@pytest.mark.parametrize("phase", ["opened", "armed", "writing"])
def test_killed_in_every_phase(bench: Bench, heater: Talker, phase: str) -> None:
    heater.ask("power 3000")
    run = bench.start(phase)
    time.sleep(0.3)
    run.kill()
    is_safe(bench.outcome(), heater, "the run died")
    wait_for_end(bench.guardians[0])
    assert lock.status(bench.state)["state"] == "free"
    assert bench.state.broken is None


def test_killed_while_it_makes_safe(bench: Bench, heater: Talker) -> None:
    run = bench.start("writing")
    time.sleep(0.4)
    heater.ask("stick")
    run.tell("stop")
    run.until("ending")
    time.sleep(0.5)
    run.kill()
    heater.ask("free")
    outcome = bench.outcome()
    assert outcome["confirmed"]
    assert heater.ask("state")["power_w"] == 0


def test_the_folder_may_be_renamed_meanwhile(bench: Bench, heater: Talker) -> None:
    run = bench.start("writing")
    bench.folder = bench.folder.rename(bench.folder.with_name("run"))
    run.kill()
    is_safe(bench.outcome(), heater, "the run died")


@pytest.mark.parametrize("bus", ["modbus-rtu"])
@pytest.mark.parametrize("phase", ["armed", "writing"])
def test_killed_on_a_serial_line(bench: Bench, heater: Talker, phase: str) -> None:
    heater.ask("power 3000")
    run = bench.start(phase)
    time.sleep(0.3)
    run.kill()
    is_safe(bench.outcome(), heater, "the run died")


@pytest.mark.parametrize("bus", ["modbus-rtu"])
def test_stopped_on_a_serial_line_it_is_killed_for_the_port(bench: Bench, heater: Talker) -> None:
    run = bench.start("writing")
    run.process.send_signal(signal.SIGSTOP)
    is_safe(bench.outcome(), heater, "the lease expired")
    assert bench.outcome()["run_killed"]
    assert run.process.wait(5) == -signal.SIGKILL


def test_stopped_it_loses_its_lease_and_the_rig_is_kept_safe(bench: Bench, heater: Talker) -> None:
    run = bench.start("writing")
    run.process.send_signal(signal.SIGSTOP)
    is_safe(bench.outcome(), heater, "the lease expired")
    assert bench.outcome()["silent_s"] >= 5.0
    # Somebody else may not have it: the run could come back.
    assert lock.status(bench.state)["state"] == "being made safe"
    heater.ask("power 2500")
    end_s = time.monotonic() + 20.0
    while heater.ask("state")["power_w"] and time.monotonic() < end_s:
        time.sleep(0.1)
    assert heater.ask("state")["power_w"] == 0, "the guardian still looks after it"
    run.process.send_signal(signal.SIGCONT)
    said = run.hear()
    while said["at"] not in {"failed", "ending"}:
        said = run.hear()
    assert "lease" in str(said)
    assert run.until("ended")["outcome"]["confirmed"]
    assert heater.ask("state")["power_w"] == 0
    assert bench.state.broken is None


def test_a_loop_that_hangs_loses_its_lease(bench: Bench, heater: Talker) -> None:
    run = bench.start("hanging", at="writing")
    run.tell("hang")
    is_safe(bench.outcome(), heater, "the lease expired")
    run.kill()


def test_a_run_that_keeps_no_promise_loses_its_lease(bench: Bench, heater: Talker) -> None:
    heater.ask("power 3000")
    run = bench.start("silent", at="armed")
    said = run.until("ending")
    assert "hangs" in said["lost"]
    is_safe(run.until("ended")["outcome"], heater, "the run ended")


def test_an_orderly_end_is_confirmed_independently(bench: Bench, heater: Talker) -> None:
    run = bench.start("writing")
    run.tell("stop")
    outcome = run.until("ended")["outcome"]
    is_safe(outcome, heater, "the run ended")
    assert outcome["guardian_pid"] == bench.guardians[0]
    assert json.loads((bench.folder / "safe_state.json").read_text()) == outcome
    assert bench.state.read("safe_state.json") == outcome
    run.process.wait(20)
    assert lock.status(bench.state)["state"] == "free"


def test_interrupting_the_terminal_does_not_reach_the_guardian(
    bench: Bench, heater: Talker
) -> None:
    run = bench.start("writing")
    os.kill(bench.guardians[0], signal.SIGINT)
    os.kill(bench.guardians[0], signal.SIGHUP)
    assert os.getsid(bench.guardians[0]) != os.getsid(run.process.pid)
    run.kill()
    is_safe(bench.outcome(), heater, "the run died")


def test_a_guardian_that_is_told_to_stop_makes_safe_first(bench: Bench, heater: Talker) -> None:
    run = bench.start("armed")
    heater.ask("power 3000")
    os.kill(bench.guardians[0], signal.SIGTERM)
    is_safe(bench.outcome(), heater, "the guardian was told to stop")
    # Which of the two it notices first, its death or what it did, is a matter of milliseconds.
    lost = run.until("ending")["lost"]
    assert "guardian is gone" in lost or "guardian has made the rig safe" in lost


def test_a_guardian_that_stood_still_does_not_interfere(bench: Bench, heater: Talker) -> None:
    run = bench.start("writing")
    os.kill(bench.guardians[0], signal.SIGSTOP)
    time.sleep(6.0)
    os.kill(bench.guardians[0], signal.SIGCONT)
    time.sleep(1.0)
    assert not (bench.folder / "safe_state.json").exists()
    assert run.process.poll() is None
    run.tell("stop")
    is_safe(run.until("ended")["outcome"], heater, "the run ended")


def test_a_run_without_guardian_stops(bench: Bench, heater: Talker) -> None:
    run = bench.start("writing")
    os.kill(bench.guardians[0], signal.SIGKILL)
    said = run.hear()
    while said["at"] not in {"failed", "ending"}:
        said = run.hear()
    assert "guardian" in str(said)
    outcome = run.until("ended")["outcome"]
    assert not outcome["confirmed"]
    assert bench.state.broken is not None
    assert "safe state not confirmed" in bench.state.broken["reason"]


def test_both_killed_leave_a_broken_rig(bench: Bench, heater: Talker) -> None:
    run = bench.start("writing")
    os.kill(bench.guardians[0], signal.SIGKILL)
    run.kill()
    time.sleep(2.5)
    again = Talker(str(HERE / "fake_run.py"), str(bench._orders), "armed")
    bench.runs.append(again)
    said = again.hear()
    assert said["at"] == "failed"
    assert said["kind"] == "RigBrokenError"
    assert "without a safe state being confirmed" in said["error"]


def test_a_heater_that_stays_on_breaks_the_rig(
    bench: Bench, heater: Talker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.start("writing")
    time.sleep(0.4)
    heater.ask("stick")
    run.kill()
    outcome = bench.outcome(60.0)
    assert not outcome["confirmed"]
    assert outcome["actuators"][0]["measured_w"] == 3000.0
    wait_for_end(bench.guardians[0])
    broken = bench.state.broken
    assert broken is not None
    assert "measured 3000 W" in broken["reason"]


def test_another_device_at_the_address_breaks_the_rig(bench: Bench, heater: Talker) -> None:
    heater.ask("serial H-2")
    run = Talker(str(HERE / "fake_run.py"), str(bench._orders), "armed")
    bench.runs.append(run)
    bench.guardians.append(run.until("opened")["guardian"])
    said = run.hear()
    assert said["at"] == "failed"
    assert "H-2" in said["error"]
    assert heater.ask("state")["writes"] == 0
    assert bench.state.broken is not None


def test_two_runs_compete_and_a_thief_gets_it_safe(
    bench: Bench, heater: Talker, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.start("writing")
    second = Talker(str(HERE / "fake_run.py"), str(bench._orders), "armed")
    bench.runs.append(second)
    said = second.hear()
    assert said["kind"] == "RigLockedError"
    assert str(first.process.pid) in said["error"]
    lock.steal(bench.state, "urgent", 60.0)
    third = bench.start("armed")
    said = first.hear()
    while said["at"] not in {"failed", "ending"}:
        said = first.hear()
    assert "taken away" in str(said)
    is_safe(first.until("ended")["outcome"], heater, "the run ended")
    assert third.process.poll() is None
