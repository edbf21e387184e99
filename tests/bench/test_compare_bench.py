"""Speed of comparing and replaying runs of a day: `make bench`. Nothing passes or fails on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattbench.agents.agent import Agent
from wattbench.evaluation.divergence import EXACT, find_divergence, trace_of
from wattbench.evaluation.metrics import measure
from wattbench.evaluation.record import read_record
from wattbench.evaluation.regression import default_allowances
from wattbench.evaluation.run_difference import compare_runs
from wattbench.hil.assembly import site_info
from wattbench.hil.bench import Bench
from wattbench.hil.counterfactual import decide_open_loop, observed_by
from wattbench.hil.selection import select_policies
from wattbench.scenarios.library import find
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.model import Scenario
from wattbench.sim import plant as plants

DAY_S = 86_400


@pytest.fixture(scope="module")
def day(tmp_path_factory) -> tuple[Scenario, list[Path]]:
    """Return the demo over a day, and its runs with `pi` and `smith`."""
    demo = load_scenario(find("demo"))
    policies = select_policies(["pi", "smith"], [*demo.policies, *demo.baselines])
    clock = demo.clock.model_copy(update={"duration_s": float(DAY_S)})
    changes = {"policies": policies, "baselines": (), "clock": clock, "audit": None}
    scenario = demo.model_copy(update=changes | {"seeds": (1,)})
    results = Bench(scenario, tmp_path_factory.mktemp("day"), measure=measure).run()
    return scenario, [result.folder for result in results]


def test_divergence_of_two_days(benchmark, day):
    """Two traces that differ in most columns, read from disk each time."""
    _, (a, b) = day
    found = benchmark(
        lambda: find_divergence(trace_of(read_record(a)), trace_of(read_record(b)), EXACT)
    )
    assert found.first is not None


def test_comparison_of_two_days(benchmark, day):
    """All of `wattbench compare A B` but its start: hashes, judging, measuring, divergence."""
    _, (a, b) = day
    benchmark.pedantic(compare_runs, (a, b, EXACT, default_allowances()), rounds=5, warmup_rounds=1)


def test_a_day_shown_to_another_policy(benchmark, day):
    """Open loop, step by step."""
    scenario, (a, _) = day
    actuators = plants.PLANTS["export"].actuators(scenario.plant, scenario.edge)
    observed, _ = observed_by(read_record(a), [actuator.id for actuator in actuators])
    smith = scenario.policies[1]

    def show():
        agent = Agent(smith, site_info(scenario, actuators))
        agent.reset(1)
        decide_open_loop(agent, observed, observed.stale(smith.max_age_s))

    benchmark.pedantic(show, rounds=3, warmup_rounds=1)
    benchmark.extra_info["speed_x_realtime"] = DAY_S / benchmark.stats.stats.min
