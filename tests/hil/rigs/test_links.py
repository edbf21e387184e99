"""The guardian's own way to every kind of actuator, against emulated ones in another process."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wattbench.hil.rig import RigError
from wattbench.hil.rigs.actuators import plans
from wattbench.hil.rigs.driver_links import DriverLinks
from wattbench.hil.rigs.making_safe import SafeOutcome, make_safe
from wattbench.hil.rigs.model import Rig, ZnpBus
from wattbench.hil.zigbee.host import ports
from wattbench.hil.zigbee.host.host import ZigbeeHost
from wattbench.scenarios.rigs import load_profiles
from wattbench.sim.clock import WallClock

pytestmark = pytest.mark.slow

EMULATED = """\
buses:
  - {id: lan, kind: modbus-tcp, port: 0}
  - {id: car, kind: modbus-tcp, port: 0}
  - {id: mesh, kind: znp}
devices:
  - {id: elwa, profile: mypv_ac_elwa_2, bus: lan, serves: [load.a1], emulated: true}
  - {id: goe, profile: goe_charger, bus: car, serves: [charger.car], emulated: true}
  - {id: h1, profile: zigbee_heater, bus: mesh, serves: [load.b1], emulated: true}
  - {id: h2, profile: zigbee_heater, bus: mesh, serves: [load.b2], emulated: true}
  - {id: plug, profile: zigbee_plug, bus: mesh, serves: [load.b3], emulated: true}
"""
FULL = {
    "elwa": ("power_setpoint_w", 3000.0),
    "goe": ("current_setpoint_a", 16.0),
    "h1": ("power_setpoint_w", 2000.0),
    "h2": ("power_setpoint_w", 1000.0),
    "plug": ("on", 1.0),
}


@pytest.fixture
def endpoints(tmp_path: Path) -> Iterator[dict[str, Any]]:
    (tmp_path / "emulated.yaml").write_text(EMULATED)
    command = [sys.executable, "-m", "wattbench", "emulate", str(tmp_path / "emulated.yaml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in FULL]
    yield {line["device"]: line for line in lines}
    process.terminate()
    process.communicate()


@pytest.fixture
def state(endpoints: dict[str, Any], tmp_path: Path, unguarded: Any) -> Iterator[Path]:
    """The folder of the rig's state; the devices outlive who guards it."""
    yield tmp_path / "state"
    unguarded(tmp_path / "state")


@pytest.fixture
def rig(endpoints: dict[str, Any]) -> Rig:
    """The same devices, as real ones at their addresses."""
    buses: dict[str, Any] = {}
    devices = []
    safe = {"low_w": 0.0, "high_w": 20.0, "danger": "it stays on"}
    for place, (name, end) in enumerate(endpoints.items()):
        bus = f"bus-{end['port']}" if "port" in end else "mesh"
        address = {key: end[key] for key in ("host", "port", "path") if key in end}
        buses[bus] = {"id": bus, "kind": end["bus"], **address}
        device = {"id": name, "profile": end["profile"], "bus": bus, "serves": [f"load.l{place}"]}
        device |= {key: end[key] for key in ("unit", "ieee") if key in end}
        devices.append(device | ({"safe": safe} if name == "plug" else {}))
    return Rig.model_validate({"name": "lab", "buses": list(buses.values()), "devices": devices})


async def join(rig: Rig, clock: WallClock) -> None:
    """Form the network and let the devices join, as the run would have done long before."""
    bus = next(bus for bus in rig.buses if isinstance(bus, ZnpBus))
    wanted = sum(device.ieee is not None for device in rig.devices)
    host = ZigbeeHost(clock)
    await host.open(ports.serial(str(bus.path)))
    await host.network.permit_join(120)
    async with asyncio.timeout(60):
        while len(host.devices) < wanted:
            await asyncio.sleep(0.1)
    await host.close()


def test_every_kind_of_actuator_is_made_safe_and_measured(rig: Rig) -> None:
    profiles = load_profiles(rig)
    before: dict[str, float] = {}

    async def work(clock: WallClock) -> SafeOutcome:
        await join(rig, clock)
        links = DriverLinks(rig, profiles, clock)

        async def full_power(name: str) -> None:
            link = links.reach(name, ("power_w",))
            await link.connect()
            await link.write(*FULL[name])
            async with asyncio.timeout(30):
                while (power_w := await link.read("power_w")) is None or float(power_w) < 500.0:
                    await asyncio.sleep(0.1)
            before[name] = float(power_w)
            await link.close()

        await asyncio.gather(*(full_power(name) for name in FULL))
        return await make_safe(plans(rig, profiles), links.reach, "test")

    with WallClock() as clock:
        outcome = clock.run(work(clock))
    assert set(before) == set(FULL)
    assert outcome.confirmed, outcome.note
    for one in outcome.actuators:
        assert one.writes >= 1
        assert one.measured_w is not None
        assert 0.0 <= one.measured_w <= one.high_w


def test_power_cycling(rig: Rig, tmp_path: Path) -> None:
    from wattbench.hil.rigs.power_cycle import power_cycle
    from wattbench.hil.rigs.state import RigState

    outlets = [{"device": "plug", "powers": ["elwa"], "off_s": 1.0}]
    rig = Rig.model_validate({**rig.model_dump(), "outlets": outlets})
    profiles, state = load_profiles(rig), RigState(tmp_path / "state")

    async def work(clock: WallClock) -> float:
        await join(rig, clock)
        return await power_cycle(rig, profiles, clock, "elwa", state=state)

    with WallClock() as clock:
        assert clock.run(work(clock)) >= 0.0
        with pytest.raises(RigError, match="no outlet of rig lab feeds 'goe'"):
            clock.run(power_cycle(rig, profiles, clock, "goe", state=state))
        with pytest.raises(RigError, match="has no device 'nobody'"):
            clock.run(power_cycle(rig, profiles, clock, "nobody", state=state))
    actions = [entry["action"] for entry in state.audited()]
    assert actions == ["run", "power cycle", "release"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_heater_behind_a_coordinator_when_the_run_dies_or_hangs(
    rig: Rig, state: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The stick has one connection: a run that hangs on to it is ended."""
    content = rig.model_dump(mode="json")
    content["devices"] = [d | {"id": "heater"} for d in content["devices"] if d["id"] == "h1"]
    rig = Rig.model_validate(content)
    with WallClock() as clock:
        clock.run(join(rig, clock))
    folder = tmp_path / "run.partial"
    folder.mkdir()
    orders = {
        "rig": rig.model_dump(mode="json"),
        "profiles": {k: v.model_dump(mode="json") for k, v in load_profiles(rig).items()},
        "state": str(state),
        "folder": str(folder),
    }
    (tmp_path / "orders.json").write_text(json.dumps(orders))
    script = Path(__file__).with_name("fake_run.py")
    run = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "orders.json"), "writing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert run.stdout is not None
        for line in run.stdout:
            said = json.loads(line)
            assert said["at"] != "failed", said
            if said["at"] == "writing":
                break
        time.sleep(3.0)
        run.send_signal(number)
        outcome = folder / "safe_state.json"
        end_s = time.monotonic() + 40
        while not outcome.exists() and time.monotonic() < end_s:
            time.sleep(0.05)
        found = json.loads(outcome.read_text())
        assert found["confirmed"], found
        assert found["in_time"], found
        assert found["run_killed"] is (number == signal.SIGSTOP)
        assert run.wait(10) == -signal.SIGKILL
    finally:
        run.kill()
