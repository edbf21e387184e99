"""`bracket.json` of real runs: what is run for it, on which weather, and what is kept."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattbench.agents.policy import POLICIES
from wattbench.commands import bounding, bracketing, measuring
from wattbench.commands.bracketing import bracket_of, write_bracket
from wattbench.commands.lifting import CannotLiftError, without_dead_time, without_rate_limit
from wattbench.commands.measuring import MeasureError, measure_policies
from wattbench.commands.run import RunOptions
from wattbench.commands.run import judge as judge_command
from wattbench.commands.run import run as run_command
from wattbench.evaluation.bracket import BOUND, REPLAY, ZERO, read_bracket
from wattbench.evaluation.judge import judge
from wattbench.evaluation.record import read_record
from wattbench.hil.bench import Bench
from wattbench.scenarios.errors import ScenarioErrors
from wattbench.scenarios.library import locate
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.model import Scenario
from wattbench.scenarios.parameters import has_shipped_values
from wattbench.sim.export.bound import BoundError

SCENARIO = """
name: site
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 2000}
    - {id: b1, phase: b, rated_power_w: 2000}
    - {id: c1, phase: c, rated_power_w: 2000}
profiles: {pv: {kind: generated, sky: cloud_edges}}
clock: {start: 2025-06-21T12:00:00, duration_s: 2 min}
policies: [{kind: smith}]
baselines: [{kind: zero}]
limits: [{metric: safety_violations, max: 0}]
faults: [{kind: extra_delay, delay_s: 1, start_s: 60, duration_s: 20}]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "site.yaml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture(scope="module")
def scenario(file) -> Scenario:
    return load_scenario(file)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch) -> Path:
    """Let every test begin with nothing measured."""
    place = tmp_path / "kept"
    monkeypatch.setattr(measuring, "_place", _placed_in(place, measuring._place))
    return place


def _placed_in(folder: Path, original: Any) -> Any:
    def place(*given: Any) -> Path:
        return folder / original(*given).name

    return place


@pytest.fixture
def runs(monkeypatch) -> list[str]:
    """Return the labels of the policies that a bench was asked to run, as they come."""
    labels: list[str] = []
    original = Bench.run

    def counted(self: Bench) -> Any:
        labels.extend(policy.label for policy in self.experiment.policies)
        return original(self)

    monkeypatch.setattr(Bench, "run", counted)
    return labels


@pytest.fixture(scope="module")
def run_of(file, tmp_path_factory):
    """Return a function that runs the scenario once for each set of options."""

    def run(*policies: str) -> Path:
        out = tmp_path_factory.mktemp("runs")
        options = RunOptions(str(file), out, policies, bracket=False)
        assert run_command(options, as_json=False) == 0
        return next((out / "site").glob("[!b]*-seed1"))

    return run


@pytest.fixture(scope="module")
def smith(run_of) -> Path:
    return run_of()


def test_everything_stands_on_one_axis_and_the_second_time_costs_no_run(
    smith, scenario, runs
) -> None:
    found = write_bracket(smith, scenario)
    assert found is not None
    pi = found.tuned_pi
    assert pi is not None
    assert set(found.objective_wh) >= {ZERO, pi, "smith", REPLAY, BOUND}
    assert found.warnings == ()
    assert found.breaches() == ()
    header = read_record(smith).header
    assert found.trace_sha256 == header.trace_sha256
    assert found.objective_wh[ZERO] == header.baselines["zero"]["objective@1"]
    assert found.objective_wh[BOUND] < found.objective_wh["smith"] < found.objective_wh[ZERO]
    assert 0.0 < found.lifted["dead_time"] < found.objective_wh["smith"]
    assert "zero" not in runs  # measured as a baseline of this run
    assert runs.count("smith") == 2
    runs.clear()
    (smith / "bracket.json").unlink()
    assert write_bracket(smith, scenario) == found
    assert runs == []
    assert judge(smith).bracket == found
    (smith / "bracket.json").unlink()


def test_damage_in_what_was_kept_costs_a_run_and_nothing_else(scenario, runs, empty_cache) -> None:
    zero = POLICIES["zero"].config()
    first = measure_policies(scenario, [zero], 1)
    (kept,) = empty_cache.glob("measured-*.json")
    assert measure_policies(scenario, [zero], 1) == first
    assert runs == ["zero"]
    for damage in ("", "{}", "[1]", '{"objective_wh": NaN, "changes_per_min_worst": 0.0}'):
        kept.write_text(damage)
        assert measure_policies(scenario, [zero], 1) == first
    assert runs == ["zero"] * 5


def test_what_decides_a_result_decides_where_it_is_kept(scenario) -> None:
    zero, pi = POLICIES["zero"].config(), POLICIES["pi"].config()

    def place(policy: Any = zero, seed: int = 1, **changes: Any) -> str:
        return measuring._place(scenario.model_copy(update=changes), (policy,), seed, None).name

    longer = scenario.clock.model_copy(update={"duration_s": 180.0})
    weights = scenario.objective.model_copy(update={"import_weight": 1.0})
    lifted, _ = without_dead_time(scenario)
    others = [
        place(pi),
        place(seed=2),
        place(clock=longer),
        place(objective=weights),
        place(edge=lifted.edge),
        place(faults=()),
    ]
    assert len({place(), *others}) == 1 + len(others)
    assert place(name="other", title="other", limits=(), seeds=(7,), audit=None) == place()


def test_results_of_a_policy_from_elsewhere_go_with_its_code(monkeypatch) -> None:
    zero = POLICIES["zero"].config()
    assert measuring._foreign_code(zero) == []

    def build(config: Any, site: Any) -> Any:
        raise NotImplementedError

    kind = dataclasses.replace(POLICIES["zero"], factory=build)
    monkeypatch.setitem(POLICIES, "zero", kind)
    mine = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert measuring._foreign_code(zero) == [mine]
    without_file = dataclasses.replace(kind, factory=functools.partial(build))
    monkeypatch.setitem(POLICIES, "zero", without_file)
    assert measuring._foreign_code(zero) != measuring._foreign_code(zero)


def test_lifted_runs_meet_the_same_weather_household_and_tanks(scenario, tmp_path) -> None:
    smith = scenario.policies[0]
    free, freed, _ = without_rate_limit(scenario, smith)
    variants = {"as it is": (scenario, smith), "free": (free, freed)}
    variants["at once"] = (without_dead_time(scenario)[0], smith)
    truths = {}
    for name, (experiment, policy) in variants.items():
        one = experiment.model_copy(update={"policies": (policy,), "baselines": ()})
        (result,) = Bench(one, tmp_path / name, measure=lambda record: {}).run()
        record = read_record(result.folder)
        truth = record.stream("truth")
        names = ["pv.available_power_w", *(f"household.{p}.power_w" for p in "abc")]
        truths[name] = (
            record.header.profiles_hash,
            {column: np.asarray(truth[column]) for column in names},
            record.header.site.stored_energy_initial_wh,
        )
    reference = truths.pop("as it is")
    for profiles_hash, columns, stored_wh in truths.values():
        assert profiles_hash == reference[0]
        assert stored_wh == reference[2]
        for column, values in columns.items():
            np.testing.assert_array_equal(values, reference[1][column])


def test_a_command_acts_at_once_without_dead_time(scenario, tmp_path) -> None:
    lifted, _ = without_dead_time(scenario)
    assert lifted.faults == ()
    Scenario.model_validate(lifted.resolved())  # still a valid scenario
    one = lifted.model_copy(update={"policies": (POLICIES["pi"].config(),), "baselines": ()})
    (result,) = Bench(one, tmp_path, measure=lambda record: {}).run()
    commands = read_record(result.folder).stream("commands")
    sent, acted = (np.asarray(commands[name]) for name in ("sent_us", "effective.a1_us"))
    arrived = acted >= 0
    assert arrived.any()
    np.testing.assert_array_equal(acted[arrived], sent[arrived])


def test_the_rate_limit_is_lifted_from_policy_and_coordinator(scenario) -> None:
    smith = scenario.policies[0]
    free, freed, how = without_rate_limit(scenario, smith)
    Scenario.model_validate(free.model_copy(update={"policies": (freed,)}).resolved())
    assert (freed.max_changes_per_min, freed.min_interval_s) == (600, 1.0)  # type: ignore[attr-defined]
    assert freed.label == smith.label
    assert "600 changes a minute" in how
    with pytest.raises(CannotLiftError, match="no key max_changes_per_min"):
        without_rate_limit(scenario, POLICIES["always_on"].config())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_pi_does_no_worse_without_dead_time(seed) -> None:
    scenario = load_scenario(locate("cloud_edges"))
    short = {"clock": scenario.clock.model_copy(update={"duration_s": 600.0})}
    scenario = scenario.model_copy(update=short)
    pi = POLICIES["pi"].config()
    lifted, _ = without_dead_time(scenario)
    before = measure_policies(scenario, [pi], seed)["pi"].objective_wh
    assert measure_policies(lifted, [pi], seed)["pi"].objective_wh <= before


def test_what_cannot_be_lifted_is_said(run_of, scenario) -> None:
    folder = run_of("always_on")
    record = read_record(folder)
    always_on = scenario.model_copy(update={"policies": (POLICIES["always_on"].config(),)})
    found = bracket_of(always_on, record)
    assert set(found.lifted) == {"dead_time"}
    assert found.lifted_how["command_rate"].startswith("not lifted: policy 'always_on' has no key")


def test_a_solver_that_fails_is_a_warning(smith, scenario, monkeypatch) -> None:
    def fail(scenario: Scenario, seed: int) -> Any:
        raise BoundError("the solver gave up")

    monkeypatch.setattr(bounding, "bound_of", fail)
    found = write_bracket(smith, scenario)
    assert found is not None
    assert BOUND not in found.objective_wh
    assert found.warnings == ("no bound: the solver gave up",)
    assert judge(smith).verdict.name == "PASS"
    (smith / "bracket.json").unlink()


def test_a_run_to_compare_with_that_fails_is_a_warning(smith, scenario, monkeypatch) -> None:
    def fail(*given: Any) -> Any:
        raise MeasureError("smith: it crashed")

    monkeypatch.setattr(bracketing, "measure_policies", fail)
    found = bracket_of(scenario, read_record(smith))
    assert found.lifted == {}
    assert "dead time was not lifted: smith: it crashed" in found.warnings
    assert found.score("smith") is not None  # zero is a baseline of the run


def test_other_weather_is_refused(smith, scenario) -> None:
    record = read_record(smith)
    other = record.header.model_copy(update={"profiles_hash": "0" * 64})
    found = bracket_of(scenario, type(record)(**{**vars(record), "header": other}))
    assert any("another weather" in warning for warning in found.warnings)
    assert found.lifted == {}


def test_run_writes_it_and_a_breach_ends_with_code_5(file, tmp_path, monkeypatch, capsys) -> None:
    original = bounding.bound_of

    def too_high(scenario: Scenario, seed: int) -> Any:
        return dataclasses.replace(original(scenario, seed), objective_wh=1e6)

    monkeypatch.setattr(bounding, "bound_of", too_high)
    assert run_command(RunOptions(str(file), tmp_path, bracket=True), as_json=False) == 5
    assert "is below the bound" in capsys.readouterr().out
    folder = tmp_path / "site" / "smith-seed1"
    assert judge_command([folder], as_json=False) == 5
    assert "Between doing nothing" in (folder / "report.html").read_text()


def test_run_shows_the_score(file, tmp_path, capsys) -> None:
    assert run_command(RunOptions(str(file), tmp_path, bracket=True), as_json=False) == 0
    assert "  score " in capsys.readouterr().out
    assert judge_command([tmp_path / "site"], as_json=True) == 0
    (shown,) = json.loads(capsys.readouterr().out)["runs"]
    assert 0.0 < shown["judgement"]["bracket"]["score"] <= 100.0


def test_no_bracket_where_nothing_can_be_run_again(file, tmp_path) -> None:
    options = RunOptions(str(file), tmp_path, clock="wall", factor=1000.0, bracket=True)
    run_command(options, as_json=False)
    found = read_bracket(tmp_path / "site" / "smith-seed1")
    assert found is not None
    assert found.no_bracket.startswith("under the clock wall")
    assert set(found.objective_wh) == {"smith"}


def test_the_tuned_pi_is_the_one_with_the_shipped_values(file: Path) -> None:
    pi = bracketing._tuned_pi()
    assert has_shipped_values(pi)
    assert pi.label == "pi-tuned"
    # Records of before the name was reserved may hold another one of that name.
    weak = POLICIES["pi"].config(name="pi-tuned", kp=0.001)
    assert bracketing._name_of(weak, pi) == "pi-tuned (policy)"
    assert bracketing._name_of(pi, pi) == "pi-tuned"
    file.with_name("weak.yaml").write_text(
        f"extends: {file}\npolicies: [{{kind: pi, name: pi-tuned, kp: 0.001}}]\n"
    )
    with pytest.raises(ScenarioErrors, match="'pi-tuned' is the name of kind pi with the values"):
        load_scenario(file.with_name("weak.yaml"))
