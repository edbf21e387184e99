"""Emulated devices in a process of their own: told what to be, asked what became of it, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattbench.hil.emulation.build import (
    FOLDER,
    faults_from,
    plain_faults,
    plain_setup,
    setup_from,
)
from wattbench.hil.emulation.process import EmulatorProcess
from wattbench.hil.emulation.remote import RemotePlant
from wattbench.hil.rig import RigError
from wattbench.hil.rigs.concrete import RigSetup
from wattbench.scenarios.rigs import load_profiles, load_rig
from wattbench.sim.clock import VirtualClock
from wattbench.sim.edge.config import EdgeConfig
from wattbench.sim.faults import BusDrop, LoadStuckOn

PATIENCE_S = 60.0
METER = {"id": "meter", "profile": "eastron_sdm630", "bus": "lan", "serves": ["grid"]}
LAN = {"id": "lan", "kind": "modbus-tcp", "port": 0}


def content(setup: RigSetup, plant: Any, **more: Any) -> dict[str, Any]:
    return {
        **plain_setup(setup),
        "plant": plant.config.model_dump(mode="json"),
        "edge": EdgeConfig().model_dump(mode="json"),
        "faults": [],
        "seed": 1,
        "duration_us": 600_000_000,
        "real_loads": [],
        **more,
    }


def rows(plant: Any) -> np.ndarray:
    made = np.zeros((601, 7 + len(plant.config.loads)), np.float32)
    made[:, 0], made[:, 1:4] = 0.5, 300.0
    return made


def gone(pid: int) -> None:
    """Wait until a process has ended."""
    until_s = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}").exists():
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            return
        assert time.monotonic() < until_s, "it lives on"
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["export", "zoo"])
def test_a_rig_as_plain_values(name: str) -> None:
    rig = load_rig(name)
    setup = RigSetup(rig, load_profiles(rig))
    again = setup_from(plain_setup(setup))
    assert again.rig == setup.rig
    assert dict(again.profiles) == dict(setup.profiles)


def test_faults_as_plain_values() -> None:
    faults = (
        BusDrop(start_s=1, duration_s=2, target="lan", probability=0.25),
        LoadStuckOn(start_s=3, duration_s=4, load="a1"),
    )
    assert faults_from(plain_faults(faults)) == faults


@pytest.mark.slow
def test_a_life(bench: Any) -> None:
    plant = bench.plant()
    with EmulatorProcess(content(bench.setup([LAN], [METER]), plant), rows(plant)) as process:
        assert process.built() == {"built": True}
        process.start(0.0, 10.0)
        (endpoint,) = process.endpoints
        assert endpoint["device"] == "meter"
        assert endpoint["port"] > 0
        time.sleep(0.5)
        with VirtualClock() as clock:
            remote = RemotePlant(process, clock, plant, 600_000_000)
            assert remote.within_safe_band() is True
            assert remote.effects().wired == []
            columns, units = remote.truth()
        assert len(columns["t_sim_us"]) >= 3
        assert units["grid.a.power_w"] == "W"
        twin, _ = plant_at(plant, len(columns["t_sim_us"]))
        np.testing.assert_array_equal(columns["grid.a.power_w"], twin["grid.a.power_w"])
        process.check()
        with pytest.raises(RigError, match="dance: AttributeError"):
            process.ask("dance")
        pid = process._process.pid
        folder = Path(process._folder.name)
    gone(pid)
    assert not folder.exists()


def plant_at(plant: Any, seconds: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    plant.advance(seconds * 1_000_000)
    columns, units = plant.truth()
    return columns, units


@pytest.mark.slow
def test_what_cannot_be_built_is_said(bench: Any) -> None:
    plant = bench.plant()
    setup = bench.setup([LAN], [METER | {"serves": ["household"]}])
    with EmulatorProcess(content(setup, plant), rows(plant)) as process:
        process.built()
        with pytest.raises(RigError, match="serves 'household'") as told:
            process.start(0.0, 1.0)
    assert "\n" not in str(told.value)
    assert "RigError" not in str(told.value)


@pytest.mark.slow
def test_a_fault_on_nothing_is_said(bench: Any) -> None:
    plant = bench.plant()
    faults = plain_faults([BusDrop(start_s=1, duration_s=2, target="lam")])
    made = content(bench.setup([LAN], [METER]), plant, faults=faults)
    with EmulatorProcess(made, rows(plant)) as process:
        process.built()
        with pytest.raises(RigError, match="no target 'lam'"):
            process.start(0.0, 1.0)


@pytest.mark.slow
def test_a_process_that_was_killed_is_noticed(bench: Any) -> None:
    plant = bench.plant()
    with EmulatorProcess(content(bench.setup([LAN], [METER]), plant), rows(plant)) as process:
        process.built()
        process.start(0.0, 1.0)
        process._process.kill()
        # All of its threads, not only the first; it is left for `check` to ask about.
        os.waitid(os.P_PID, process._process.pid, os.WEXITED | os.WNOWAIT)
        said = "the process of the emulated devices has ended by SIGKILL"
        with pytest.raises(RigError, match=said):
            process.check()
        with pytest.raises(RigError, match=said):
            process.ask("safe")
        process.tell("measured", load=0, power_w=1.0)
        with VirtualClock() as clock:
            remote = RemotePlant(process, clock, plant, 600_000_000)
            with pytest.raises(RigError, match=said):
                remote.advance(1)
            with pytest.raises(RigError, match=said):
                remote.within_safe_band()
            columns, _ = remote.truth()
            assert len(columns["t_sim_us"]) == 0, "nobody knows what happened"
            assert remote.effects().broadcasts == []


STARTER = """
import sys, json, numpy as np
from wattbench.hil.emulation.process import EmulatorProcess
process = EmulatorProcess(json.loads(sys.argv[1]), np.zeros((601, 9), np.float32))
process.built()
if sys.argv[2] == "started":
    process.start(0.0, 1.0)
print(process._process.pid, process._folder.name, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["built", "started"])
def test_it_never_outlives_who_started_it(bench: Any, phase: str) -> None:
    """Killed, nobody can end it but itself; what lay on the disk goes with it."""
    import json

    made = json.dumps(content(bench.setup([LAN], [METER]), bench.plant()))
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, made, phase],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        pid, folder = starter.stdout.readline().split()
        assert Path(folder).name.startswith(FOLDER)
        assert Path(folder).exists()
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        gone(int(pid))
        until_s = time.monotonic() + PATIENCE_S
        while Path(folder).exists():
            assert time.monotonic() < until_s
            time.sleep(0.05)


@pytest.mark.slow
def test_signals_for_the_run_are_not_for_its_devices(bench: Any) -> None:
    """Devices are needed to make the site safe after a Ctrl-C, which goes to a whole group."""
    plant = bench.plant()
    with EmulatorProcess(content(bench.setup([LAN], [METER]), plant), rows(plant)) as process:
        process.built()
        process.start(0.0, 1.0)
        pid = process._process.pid
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, signal.SIGINT)
        assert process.ask("safe") == {"safe": True}
