"""What a rig with devices costs: a day of it in virtual time, and 200 devices in one process.

The day is that of `test_speed.py`, on the shipped rig `emulated` and on `direct` in turn: look at
the ratio. The 200 devices are those of `wattbench emulate`, with power flowing; what polls them is
our own driver in another process, every quantity of every device as often as its profile says and
at most once a second. How fast a policy acts on a meter's answer is in `test_latency_bench.py`.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattbench.commands.setup import setup_of
from wattbench.evaluation.metrics import measure
from wattbench.hil.bench import Bench
from wattbench.hil.selection import select_policies
from wattbench.scenarios.library import find
from wattbench.scenarios.load import load_scenario

DAY_S = float(os.environ.get("WATTBENCH_DAY_SECONDS", "86400"))
ROUNDS = 3
DEVICES, GATEWAYS = 200, 50
SECONDS = 20
MODBUS = (
    "eastron_sdm630",
    "carlo_gavazzi_em24",
    "shelly_pro_3em",
    "sunspec_inverter",
    "sunspec_meter",
    "sunspec_der",
    "mypv_ac_elwa_2",
    "goe_charger",
    "keba_p30",
)

CLIENT = """
import asyncio, json, sys
from wattbench.hil.modbus.bus import ModbusBus
from wattbench.hil.modbus.client import ModbusClient
from wattbench.hil.modbus.driver import ModbusDevice
from wattbench.scenarios.rigs import load_profiles, load_rig
from wattbench.sim.clock import WallClock

clock = WallClock()
rig = load_rig(sys.argv[1])
profiles = load_profiles(rig)
seconds = int(sys.argv[2])

async def main():
    buses, devices = {}, []
    for line in sys.stdin:
        one = json.loads(line)
        place = one["host"], one["port"]
        if place not in buses:
            client = ModbusClient.tcp(clock, *place, name=str(one["port"]), timeout_s=1.0)
            buses[place] = ModbusBus(clock, client)
        profile = profiles[rig.device(one["device"]).profile]
        devices.append(ModbusDevice(profile, buses[place], one["unit"], name=one["device"]))
    await asyncio.gather(*(device.open() for device in devices))
    begin_us = (clock.now_us // 1_000_000 + 2) * 1_000_000

    async def poll(place, device):
        for second in range(seconds):
            own_us = begin_us + place * 1_000_000 // len(devices)
            await clock.sleep_until(own_us + second * 1_000_000)
            await device.poll(clock.now_us)

    await clock.sleep_until(begin_us)
    print("begin", flush=True)
    before = sum(device.counters.answers for device in devices)
    await asyncio.gather(*(poll(*each) for each in enumerate(devices)))
    await clock.sleep_until(begin_us + seconds * 1_000_000)
    answers = sum(device.counters.answers for device in devices) - before
    good = sum(r.quality == "good" for d in devices for r in d.readings.values())
    print(json.dumps({"answers": answers, "good": good}), flush=True)
    # Whoever counts its time on the processor still has to look.
    await asyncio.sleep(5)

clock.run(main())
"""


def _day(rig: str, folder: Path) -> float:
    """Run the day; return simulated seconds a second."""
    scenario = load_scenario(find("demo"))
    (pi,) = select_policies(["pi"], [*scenario.policies, *scenario.baselines])
    clock = scenario.clock.model_copy(update={"duration_s": DAY_S})
    changes = {"policies": (pi,), "baselines": (), "clock": clock, "rig": rig}
    day = scenario.model_copy(update=changes)
    out = Path(tempfile.mkdtemp(dir=folder))
    (result,) = Bench(day, out, measure=measure, rig=setup_of(rig, day)).run()
    assert result.outcome.cause == ""
    return result.outcome.speed_x_realtime


def test_simulated_day_with_devices(benchmark, tmp_path):
    """A day at 1 s control, nine loads, `pi`, virtual clock: bytes on every bus, in memory."""
    speeds: dict[str, list[float]] = {"emulated": [], "direct": []}

    def run():
        for rig, found in speeds.items():
            found.append(_day(rig, tmp_path))

    benchmark.pedantic(run, rounds=ROUNDS)
    info = benchmark.extra_info
    for rig, found in speeds.items():
        info[f"{rig}_x_realtime_median"] = float(np.median(found))
        info[f"{rig}_x_realtime_best"] = max(found)
    ratios = [d / e for e, d in zip(speeds["emulated"], speeds["direct"], strict=True)]
    info["direct_over_emulated_percent"] = 100 * float(np.median(ratios))


def _rig(folder: Path) -> Path:
    """Write a rig of many Modbus devices behind gateways; return its file."""
    lines = ["name: many", "station: bench", "buses:"]
    lines += [f"  - {{id: g{k}, kind: modbus-tcp, port: 0}}" for k in range(GATEWAYS)]
    lines.append("devices:")
    for k, profile in zip(range(DEVICES), itertools.cycle(MODBUS), strict=False):
        where = f"bus: g{k % GATEWAYS}, unit: {k // GATEWAYS + 1}"
        lines.append(f"  - {{id: d{k}, profile: {profile}, {where}, emulated: true}}")
    path = folder / "many.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _cpu_s(process: subprocess.Popen[Any]) -> float:
    """Return a process's time on the processor."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) * 1e-9


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="no /proc: no cost of others")
def test_many_emulated_devices(benchmark, tmp_path):
    """200 devices of nine profiles in one process, polled once a second from another."""
    path = _rig(tmp_path)
    info = benchmark.extra_info
    words = [sys.executable, "-m", "wattbench", "emulate", str(path)]

    def run():
        server = subprocess.Popen(words, stdout=subprocess.PIPE)
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(path), str(SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert server.stdout is not None
            assert client.stdin is not None
            assert client.stdout is not None
            for _ in range(DEVICES):
                client.stdin.write(server.stdout.readline())
            client.stdin.close()
            assert client.stdout.readline() == b"begin\n"
            begin_s, before_s = time.monotonic(), [_cpu_s(server), _cpu_s(client)]
            found = json.loads(client.stdout.readline())
            took_s = time.monotonic() - begin_s
            after_s = [_cpu_s(server), _cpu_s(client)]
        finally:
            for process in (client, server):
                process.kill()
                process.wait()
        shares = [(b - a) / took_s for a, b in zip(before_s, after_s, strict=True)]
        info["devices_core_permille"], info["driver_core_permille"] = (1000 * s for s in shares)
        info["answers_a_second"] = found["answers"] / took_s
        info["us_of_device_an_answer"] = 1e6 * shares[0] / info["answers_a_second"]
        info["good_readings"] = found["good"]

    benchmark.pedantic(run, rounds=1)
