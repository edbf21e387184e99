"""Speed, as rates and ratios: `make bench`. Nothing here passes or fails on a time.

Times on a shared machine wander; compare the ratios of one run, and runs of one machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import simpy

from wattbench.evaluation.metrics import measure
from wattbench.hil.bench import Bench
from wattbench.hil.selection import select_policies
from wattbench.scenarios.library import find
from wattbench.scenarios.load import load_scenario
from wattbench.sim.edge.config import EdgeConfig
from wattbench.sim.export.batch import SiteBatch
from wattbench.sim.export.config import ExportPlantConfig

DAY_S = 86_400
SITES = 4096
SECONDS = 30


def _everything() -> ExportPlantConfig:
    """Nine loads with tanks, a battery, a charger."""
    return ExportPlantConfig.model_validate(
        {
            "loads": [
                {"id": f"{phase}{j}", "phase": phase, "rated_power_w": 1500}
                for phase in "abc"
                for j in range(3)
            ],
            "battery": {"capacity_wh": 5000, "max_charge_w": 2500, "max_discharge_w": 2500},
            "chargers": [
                {"id": "car", "sessions": [{"plug_in_s": 0, "unplug_s": 3600, "energy_wh": 9000}]}
            ],
        }
    )


def _profiles(count: int, loads: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    profiles = np.zeros((count, 3601, 7 + loads), dtype=np.float32)
    profiles[..., 0] = 0.5 + 0.3 * rng.random((count, 3601))
    profiles[..., 1:4] = 400 * rng.random((count, 3601, 3))
    profiles[:, 300:600, 7:] = 6000
    return profiles


def test_simulated_day_of_pi(benchmark, tmp_path):
    """A day at 1 s control, nine loads, mesh and meter, `pi`, virtual clock, rig direct."""
    scenario = load_scenario(find("demo"))
    (pi,) = select_policies(["pi"], [*scenario.policies, *scenario.baselines])
    clock = scenario.clock.model_copy(update={"duration_s": float(DAY_S)})
    day = scenario.model_copy(update={"policies": (pi,), "baselines": (), "clock": clock})
    speeds: list[float] = []

    def run():
        out = Path(tempfile.mkdtemp(dir=tmp_path))
        (result,) = Bench(day, out, measure=measure).run()
        speeds.append(result.outcome.speed_x_realtime)

    benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    benchmark.extra_info["speed_x_realtime_median"] = float(np.median(speeds))
    benchmark.extra_info["speed_x_realtime_best"] = max(speeds)


def test_memory_of_a_day(benchmark, tmp_path):
    """The same day in a process of its own: its peak of resident memory."""
    file = tmp_path / "day.yaml"
    file.write_text(
        "extends: demo\nname: day\naudit: null\nclock: {duration_s: 24 h}\n"
        "policies: [{kind: pi}]\nbaselines: []\n"
        "limits: [{metric: export_energy, max: 1000 kWh}]\n"
    )
    command = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from wattbench.evaluation.metrics import measure\n"
        "from wattbench.hil.bench import Bench\n"
        "from wattbench.scenarios.load import load_scenario\n"
        "Bench(load_scenario(sys.argv[1]), Path(sys.argv[2]), measure=measure).run()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    words = [sys.executable, "-c", command, str(file), str(tmp_path)]
    peaks_kib: list[int] = []

    def run():
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600)
        peaks_kib.append(int(done.stdout))

    benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["peak_memory_mb"] = max(peaks_kib) * 1024 / 1e6


def test_bare_simpy_day(benchmark):
    """The floor: SimPy alone stepping once a second through a day."""

    def run():
        env = simpy.Environment()

        def ticking():
            while True:
                yield env.timeout(1_000_000)

        env.process(ticking())
        env.run(until=DAY_S * 1_000_000)

    benchmark.pedantic(run, rounds=5)
    benchmark.extra_info["speed_x_realtime"] = DAY_S / benchmark.stats["median"]


@pytest.mark.parametrize("sites", [1, 256, SITES])
def test_batched_kernel(benchmark, sites):
    """All physics and the edge: sub-steps, tanks, battery, charger, mesh, meter; 1 s of control.

    Every site is sent new random set-points every six seconds, as often as ten changes a minute
    allow, and its meter is read every second.
    """
    config = _everything()
    batch = SiteBatch(
        config,
        EdgeConfig(),
        _profiles(16, 9),
        [],
        list(range(sites)),
        profile_of=np.arange(sites) % 16,
        first_second=np.arange(sites) % 1800,
    )
    rng = np.random.default_rng(2)
    power_w = [rng.random((len(batch.actuators), sites)) * 1500 for _ in range(4)]

    def run():
        for _ in range(SECONDS):
            now_us = batch.now_us
            second = now_us // 1_000_000
            if second % 6 == 0:
                batch.send(now_us + 20_000, power_w[second // 6 % 4])
            batch.advance(now_us + 1_000_000)
            batch.readings(batch.now_us)

    benchmark.pedantic(run, rounds=10, warmup_rounds=2)
    rate = SECONDS * sites
    benchmark.extra_info["site_steps_per_s_median"] = rate / benchmark.stats["median"]
    benchmark.extra_info["site_steps_per_s_best"] = rate / benchmark.stats["min"]


def _wattbench(*words: str, **variables: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wattbench", *words],
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert done.returncode in {0, 1}, done.stderr.decode()


def test_help(benchmark):
    """The command line's help, process and all."""
    benchmark.pedantic(_wattbench, ("--help",), rounds=10, warmup_rounds=1)


def test_hour_all_told(benchmark, tmp_path):
    """A one-hour scenario with its baselines, records, report and process, compile cache warm."""
    benchmark.pedantic(
        _wattbench, ("run", "cloud_edges", "--out", str(tmp_path)), rounds=3, warmup_rounds=1
    )


def test_hour_all_told_cold(benchmark, tmp_path):
    """The same with an empty compile cache: what the very first run costs."""
    words = ("run", "cloud_edges", "--out", str(tmp_path / "out"))
    cache = str(tmp_path / "cache")
    benchmark.pedantic(_wattbench, words, {"NUMBA_CACHE_DIR": cache}, rounds=1)
