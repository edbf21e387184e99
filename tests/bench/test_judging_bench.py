"""Speed of what judges with more than one run: `make bench`. Nothing passes or fails on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattbench.commands import bounding
from wattbench.commands.suite.command import SuiteOptions, suite
from wattbench.evaluation.suite.judge import judge_suite
from wattbench.evaluation.suite.results import IDENTITY_FILE, RESULTS_FILE, read_rows
from wattbench.scenarios.library import find
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.model import Scenario

HOUR_S = 3600.0
JOBS = 2
SEEDS = 30
SUITE = f"""\
scenarios:
  - {{scenario: export/cloud_edges, set: {{clock: {{duration_s: 1 h}}, limits: []}}}}
policies: [{{kind: smith}}]
baselines: [{{kind: zero}}, {{kind: pi}}]
seeds: {{first: 1, count: {SEEDS}}}
limits: [{{metric: export_energy, vs: zero, max_ratio: 1}}]
"""


@pytest.fixture
def hour() -> Scenario:
    """Return an hour at 1 s with nine loads under sharp clouds."""
    scenario = load_scenario(find("cloud_edges"))
    clock = scenario.clock.model_copy(update={"duration_s": HOUR_S})
    return scenario.model_copy(update={"clock": clock})


def test_bound_of_an_hour(benchmark, hour, monkeypatch):
    """Profiles, programme, budget and plan, nothing of it known before."""
    monkeypatch.setattr(bounding, "stored", lambda what, compute: compute())
    benchmark.pedantic(bounding.bound_of, (hour, 1), rounds=3, warmup_rounds=1)


def test_bound_that_is_known(benchmark, hour):
    """From disk."""
    bounding.bound_of(hour, 1)
    benchmark(bounding.bound_of, hour, 1)


def test_suite_of_hours(benchmark, tmp_path):
    """Ninety runs in two processes, from the file to the page; what is added to the runs' own time.

    While runs are under way that is a share of them; start (two fresh processes, every scenario
    built once, a trial) and judging are seconds, whatever the number of runs.
    """
    path = tmp_path / "hours.yaml"
    path.write_text(SUITE)
    options = SuiteOptions(str(path), tmp_path, jobs=JOBS, bracket=False)
    benchmark.pedantic(suite, (options,), {"as_json": True}, rounds=1)
    folder = tmp_path / "hours"
    rows = read_rows(folder)
    own_s = sum(row.elapsed_s for row in rows) / JOBS
    # The folder is begun before the first run; the last row is written after the last one.
    running_s = _written_s(folder / RESULTS_FILE) - _written_s(folder / IDENTITY_FILE)
    elapsed_s = benchmark.stats.stats.min
    benchmark.extra_info["runs_per_min"] = 60.0 * len(rows) / running_s
    benchmark.extra_info["overhead_percent"] = 100.0 * (running_s / own_s - 1.0)
    benchmark.extra_info["start_and_judging_s"] = elapsed_s - running_s


def _written_s(path: Path) -> float:
    return path.stat().st_mtime_ns / 1e9


def test_judging_of_a_suite(benchmark, tmp_path):
    """Bootstrap intervals of every headline metric against both baselines, from the folder."""
    path = tmp_path / "hours.yaml"
    path.write_text(SUITE.replace("1 h", "2 min"))
    suite(SuiteOptions(str(path), tmp_path, jobs=JOBS, bracket=False), as_json=True)
    benchmark(judge_suite, tmp_path / "hours")
