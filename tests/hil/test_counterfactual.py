"""A recorded run shown to policies: its own decides the same in every bit, another one does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from wattbench.agents.agent import Agent
from wattbench.agents.feature_names import FEATURE_NAMES
from wattbench.agents.policy import PolicyConfig
from wattbench.evaluation.metrics import measure
from wattbench.evaluation.record import Record, read_record
from wattbench.hil.assembly import site_info
from wattbench.hil.bench import Bench
from wattbench.hil.counterfactual import (
    Decisions,
    Observed,
    decide_open_loop,
    observed_by,
    stale_steps,
)
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.model import Scenario
from wattbench.sim import plant as plants

#: Everything that comes between a policy and its site: stale and missing readings, refused
#: commands, reports of loads, a charger, loads that must rest.
SITE = """
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 2 kW, min_on_s: 10, min_off_s: 10}
    - {id: b1, phase: b, rated_power_w: 1.5 kW, tank: {initial_c: 69, initial_spread_k: 0.5}}
    - {id: c1, phase: c, rated_power_w: 1 kW, resolution_w: 1 kW, tank: null}
  chargers:
    - {id: car, phases: a, sessions: [{plug_in_s: 60, unplug_s: 220, energy_wh: 400 Wh}]}
edge: {device: {report_period_s: 10}}
profiles: {pv: {kind: generated, sky: cloud_edges}}
clock: {start: 2025-06-21T11:58:00, duration_s: 4 min}
policies:
  - {kind: pi}
  - {kind: smith}
  - {kind: threshold}
  - {kind: random}
  - {kind: onnx, name: watts, path: watts.onnx, encoder: encoder.json}
  - {kind: onnx, name: deltas, path: watts.onnx, encoder: deltas.json}
faults:
  - {kind: meter_freeze, start_s: 100, duration_s: 20}
  - {kind: meter_missing, start_s: 130, duration_s: 30, probability: 0.5}
  - {kind: broadcast_loss, start_s: 150, duration_s: 30, probability: 0.5}
  - {kind: coordinator_restart, start_s: 200, duration_s: 15}
limits: [{metric: safety_violations, max: 0}]
seeds: [7]
"""
OWN = ("pi", "smith", "threshold", "random", "watts", "deltas")


def write_network(folder: Path) -> None:
    """Write a network that reads every feature, and two encoders: of watts and of changes."""
    generator = np.random.default_rng(1)
    weights = generator.normal(0.0, 0.2, (len(FEATURE_NAMES), 3)).astype(np.float32)
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "policy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, len(FEATURE_NAMES)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "watts.onnx")
    inputs = [{"feature": name, "scale": 1000.0} for name in FEATURE_NAMES]
    output: dict[str, Any] = {"action": "phase_targets", "scale_w": 500.0, "offset_w": 500.0}
    (folder / "encoder.json").write_text(json.dumps({"inputs": inputs, "output": output}))
    output = {"action": "phase_deltas", "scale_w": 100.0}
    (folder / "deltas.json").write_text(json.dumps({"inputs": inputs, "output": output}))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, dict[str, Record]]:
    """Return the scenario and a record of each of its policies."""
    folder = tmp_path_factory.mktemp("counterfactual")
    write_network(folder)
    (folder / "site.yaml").write_text(SITE)
    scenario = load_scenario(folder / "site.yaml")
    results = Bench(scenario, folder / "runs", measure=measure).run()
    return scenario, {result.policy: read_record(result.folder) for result in results}


def shown(
    scenario: Scenario, record: Record, policy: PolicyConfig
) -> tuple[Observed, Decisions, Decisions]:
    """Show a record to a policy; return what was met, what was decided then, and what now."""
    actuators = plants.PLANTS["export"].actuators(scenario.plant, scenario.edge)
    observed, recorded = observed_by(record, [actuator.id for actuator in actuators])
    agent = Agent(policy, site_info(scenario, actuators))
    agent.reset(record.header.seed)
    stale = stale_steps(record, observed, recorded, policy.max_age_s)
    return observed, recorded, decide_open_loop(agent, observed, stale)


def policy_of(scenario: Scenario, name: str) -> PolicyConfig:
    (found,) = [policy for policy in scenario.policies if policy.label == name]
    return found


@pytest.mark.parametrize("name", OWN)
def test_the_runs_own_policy_decides_the_same_in_every_bit(runs, name) -> None:
    scenario, records = runs
    observed, recorded, again = shown(scenario, records[name], policy_of(scenario, name))
    assert len(observed.t_us) == 240
    np.testing.assert_array_equal(again.decided_w, recorded.decided_w)
    np.testing.assert_array_equal(again.guarded_w, recorded.guarded_w)
    np.testing.assert_array_equal(again.asked, recorded.asked)
    assert 0 < (~again.asked).sum() < 60, "some readings were stale, and only some"
    assert len(np.unique(recorded.decided_w, axis=0)) > 5, "there was something to get wrong"


def test_it_needs_the_commands_that_were_sent_and_those_only(runs) -> None:
    scenario, records = runs
    policy, record = policy_of(scenario, "watts"), records["watts"]
    observed, recorded, _ = shown(scenario, record, policy)
    actuators = plants.PLANTS["export"].actuators(scenario.plant, scenario.edge)
    commands = record.stream("commands")
    refused = np.flatnonzero(commands["status"] > 0)
    assert len(refused), "the coordinator was down: some commands were refused"
    assert not set(refused) & set(observed.sends.after_step.tolist())
    # without the commands, the model of the own power and what stands are other ones
    agent = Agent(policy, site_info(scenario, actuators))
    agent.reset(7)
    none = observed.sends.after_step[:0]
    bare = type(observed.sends)(none, none, observed.sends.power_w[:0])
    deaf = type(observed)(
        observed.t_us, observed.values, observed.sampled_us, observed.present, observed.age_s,
        observed.reports_w, bare,
    )  # fmt: skip
    found = decide_open_loop(agent, deaf, observed.stale(policy.max_age_s))
    assert not np.array_equal(found.decided_w, recorded.decided_w)


def test_another_policy_sees_what_it_would_have_seen_and_sends_nothing(runs) -> None:
    scenario, records = runs
    _, recorded, other = shown(scenario, records["pi"], policy_of(scenario, "smith"))
    differs = (recorded.guarded_w != other.guarded_w).any(axis=1)
    assert 0 < differs.sum() < len(differs)
    # both were asked at the same steps: they have the same limit of age
    np.testing.assert_array_equal(recorded.asked, other.asked)


def test_a_stricter_limit_of_age_asks_less_often(runs) -> None:
    scenario, records = runs
    strict = policy_of(scenario, "pi").model_copy(update={"max_age_s": 2.0})
    patient = policy_of(scenario, "pi").model_copy(update={"max_age_s": None})
    observed, recorded, often = shown(scenario, records["pi"], patient)
    _, _, seldom = shown(scenario, records["pi"], strict)
    assert seldom.asked.sum() < recorded.asked.sum() < often.asked.sum()
    assert often.asked.sum() == observed.present.sum()
    age_s = records["pi"].stream("readings")["meter.age_s"]
    np.testing.assert_array_equal(seldom.asked, age_s <= 2.0)


def test_staleness_computed_and_staleness_recorded_agree(runs) -> None:
    _, records = runs
    for record in records.values():
        observed, recorded = observed_by(record, ["a1", "b1", "c1", "car"])
        np.testing.assert_array_equal(
            observed.stale(5.0), stale_steps(record, observed, recorded, 5.0)
        )
