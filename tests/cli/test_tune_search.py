"""The search: scores, front, order of points, journal; simulations are played by a formula."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.agents.policy import PolicyConfig
from wattbench.agents.tuning import Tunable
from wattbench.commands.tuning import tuning
from wattbench.commands.tuning.plan import plan_of
from wattbench.commands.tuning.score import Score, chosen_of, front_of, score_run
from wattbench.commands.tuning.search import BATCH, Search
from wattbench.commands.tuning.simulate import TuneError
from wattbench.commands.tuning.tuning import Plan, Tuned, tune
from wattbench.evaluation.limits import LimitConfig

TEN_MINUTES = str(Path(__file__).parent / "tuning" / "ten_minutes.yaml")
SPACE = {"kp": Tunable(0.0, 1.0), "gate_w": Tunable(10.0, 1000.0, log=True)}
SPACE["changes"] = Tunable(2, 9, integer=True)
START = {"kp": 0.5, "gate_w": 100.0, "changes": 5}

shares = st.integers(0, 3).map(float)
scores = st.none() | st.builds(
    Score, shares, shares, shares, objective_ratio=shares, excess=st.sampled_from([0.0, 0.0, 1.0])
)


def measured(export_wh: float, import_wh: float, j_wh: float, worst: float = 5.0) -> dict:
    return {
        "export_energy@1": export_wh,
        "import_energy@1": import_wh,
        "objective@1": j_wh,
        "command_changes_per_min_mean@1": 3.0,
        "command_changes_per_min_worst@1": worst,
        "safety_violations@1": 0.0,
    }


def test_a_score_counts_shares_of_the_surplus() -> None:
    limits = [
        LimitConfig(metric="command_changes_per_min_worst", max=10),
        LimitConfig(metric="export_energy", max=1.0),
    ]
    zero = measured(1000.0, 200.0, 1100.0)
    score = score_run(measured(50.0, 300.0, 220.0), zero, limits)
    assert score == Score(0.05, 0.1, 3.0, 0.2, 0.0)
    assert score.feasible  # other limits are for whole scenarios
    restless = score_run(measured(50.0, 300.0, 220.0, worst=12.0), zero, limits)
    assert restless.excess == 2.0
    assert not restless.feasible


@given(st.lists(scores, max_size=12))
def test_the_front_holds_what_nothing_feasible_dominates(points: list[Score | None]) -> None:
    feasible = [k for k, point in enumerate(points) if point is not None and point.excess == 0.0]

    def dominates(a: Score, b: Score) -> bool:
        pairs = list(zip(a.values, b.values, strict=True))
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    expected = [k for k in feasible if not any(dominates(points[i], points[k]) for i in feasible)]
    assert front_of(points) == expected
    chosen = chosen_of(points)
    assert (chosen is None) == (not feasible)
    if chosen is not None:
        assert points[chosen].objective_ratio == min(points[k].objective_ratio for k in expected)


def answers(points: Sequence[Mapping[str, float]]) -> list[Score]:
    return [
        Score(p["kp"], 1.0 - p["kp"], p["changes"], abs(p["kp"] - 0.3), max(0.0, p["changes"] - 7))
        for p in points
    ]


def searched(seed: int, points: int = 40) -> list[list[dict[str, float]]]:
    search = Search(SPACE, [START], points, seed)
    batches = []
    while batch := search.ask():
        batches.append(batch)
        search.tell(answers(batch))
    return batches


def test_points_lie_in_their_ranges_and_come_in_batches() -> None:
    batches = searched(1)
    assert [len(batch) for batch in batches] == [BATCH] * 5
    assert batches[0][0] == START
    for point in (point for batch in batches for point in batch):
        assert all(SPACE[key].low <= value <= SPACE[key].high for key, value in point.items())
        assert isinstance(point["changes"], int)
        assert point["gate_w"] == float(f"{point['gate_w']:.4g}")


def test_one_seed_one_search() -> None:
    assert searched(1) == searched(1)
    assert searched(1) != searched(2)


def test_the_second_half_looks_for_the_least_objective() -> None:
    batches = searched(3, points=80)
    ratios = [[score.objective_ratio for score in answers(batch)] for batch in batches]
    means = [sum(batch) / len(batch) for batch in ratios]
    assert sum(means[-3:]) < 0.5 * sum(means[:3])


def test_a_policy_that_fails_does_not_end_the_search() -> None:
    search = Search(SPACE, [START], 12, 1)
    search.ask()
    search.tell([None] * BATCH)
    assert len(search.ask()) == 4


@pytest.fixture
def simulations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Replace simulations by a formula; the list says which were asked for."""
    made: list[tuple[str, int]] = []

    def simulate(scenario: Any, seed: int, policy: PolicyConfig) -> dict[str, float]:
        made.append((policy.label, seed))
        values = policy.model_dump()
        if policy.label == "zero":
            return measured(1000.0, 100.0, 1000.0)
        j_wh = 100.0 + abs(values["step_w"] - 900.0) + seed % 10
        return measured(j_wh, 100.0 + values["up_above_w"] / 10, j_wh, values["min_interval_s"])

    monkeypatch.setattr(tuning, "simulate", simulate)
    return made


@pytest.fixture
def plan() -> Plan:
    return plan_of("threshold", [TEN_MINUTES], 60, 1)


def test_the_budget_counts_simulations(
    plan: Plan, tmp_path: Path, simulations: list[tuple[str, int]]
) -> None:
    tuned = tune(plan, tmp_path / "journal", jobs=1, resume=False)
    assert len(tuned.tried) == 30
    assert sum(label == "threshold" for label, _ in simulations) == 60
    assert [call for call in simulations if call[0] == "zero"] == [("zero", 1001), ("zero", 1002)]
    assert tuned.tried[0].origin == "defaults"
    assert tuned.tried[tuned.chosen].score.objective_ratio < tuned.tried[0].score.objective_ratio


def test_limits_on_changes_are_kept(
    plan: Plan, tmp_path: Path, simulations: list[tuple[str, int]]
) -> None:
    tuned = tune(plan, tmp_path / "journal", jobs=1, resume=False)
    broken = [k for k, tried in enumerate(tuned.tried) if tried.parameters["min_interval_s"] > 10]
    assert broken
    assert not set(broken) & {*tuned.front, tuned.chosen}


def stopped(plan: Plan, journal: Path, batches: int) -> None:
    """Tune until so many batches are done, and be interrupted."""

    def stop(tried: Sequence[Any], points: int) -> None:
        if len(tried) >= batches * BATCH:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(plan, journal, jobs=1, resume=False, on_batch=stop)


@pytest.mark.parametrize("damage", ["", '{"parameters": {"step_w'], ids=["whole", "cut short"])
def test_a_search_goes_on_where_it_was_stopped(
    plan: Plan, tmp_path: Path, simulations: list[tuple[str, int]], damage: str
) -> None:
    whole = tune(plan, tmp_path / "whole", jobs=1, resume=False)
    journal = tmp_path / "journal"
    stopped(plan, journal, 2)
    with journal.open("a") as file:
        file.write(damage)
    simulations.clear()
    assert tune(plan, journal, jobs=1, resume=True) == whole
    assert sum(label == "threshold" for label, _ in simulations) == 60 - 2 * BATCH * 2


def other_budget(plan: Plan) -> Plan:
    return Plan(plan.kind, plan.training, 80, plan.seed)


@pytest.mark.parametrize(
    ("resume", "change", "damage", "message"),
    [
        (False, None, "", "--resume continues it"),
        (True, other_budget, "", "of another search"),
        (True, None, "no json\n", "is damaged"),
    ],
)
def test_a_journal_that_cannot_be_used(
    plan: Plan,
    tmp_path: Path,
    simulations: list[tuple[str, int]],
    resume: bool,
    change: Callable[[Plan], Plan] | None,
    damage: str,
    message: str,
) -> None:
    journal = tmp_path / "journal"
    stopped(plan, journal, 1)
    with journal.open("a") as file:
        file.write(damage)
    before = journal.read_text()
    with pytest.raises(TuneError, match=message):
        tune(plan if change is None else change(plan), journal, jobs=1, resume=resume)
    assert journal.read_text() == before


def test_the_journal_is_lines_of_json(
    plan: Plan, tmp_path: Path, simulations: list[tuple[str, int]]
) -> None:
    stopped(plan, tmp_path / "journal", 1)
    head, *lines = map(json.loads, (tmp_path / "journal").read_text().splitlines())
    assert head["policy"] == "threshold"
    assert len(lines) == BATCH


SUITE = """\
scenarios:
  - export/clear_day
  - {scenario: export/overcast, set: {clock: {duration_s: 10 min}}}
policies: [{kind: smith}]
seeds: [1, 2]
"""


def test_a_suite_gives_its_training_seeds(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE + "training_seeds: {first: 501, count: 3}\n")
    training = plan_of("smith", [str(file)], 60, 1).training
    assert [part.scenario.name for part in training] == ["clear_day", "overcast"]
    assert {part.seeds for part in training} == {(501, 502, 503)}
    assert training[1].scenario.clock.duration_s == 600.0
    (alone,) = plan_of("smith", ["clear_day"], 60, 1).training
    assert training[0].scenario.plant == alone.scenario.plant
    assert [policy.label for policy in training[0].scenario.policies] == ["smith"]


def test_a_suite_without_training_seeds_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE)
    with pytest.raises(TuneError, match="has no training_seeds"):
        plan_of("smith", [str(file)], 60, 1)


def test_the_shipped_training_suite_tests_on_other_seeds() -> None:
    plan = plan_of("pi", ["training_export"], 60, 1)
    assert len(plan.training) == 8
    assert {seed for _, seed in plan.runs} == {1001, 1002}


def test_no_point_that_keeps_the_limits_is_an_error(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "simulate", lambda *_: measured(1000.0, 0.0, 1000.0, worst=11.0))
    with pytest.raises(TuneError, match="none of 30 points kept the limits"):
        tune(plan, tmp_path / "journal", jobs=1, resume=False)
    assert (tmp_path / "journal").exists()


def test_a_scenario_without_surplus_is_refused(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "simulate", lambda *_: measured(0.0, 500.0, 250.0))
    with pytest.raises(TuneError, match=r"'ten_minutes', seed 1001: .* nothing is exported"):
        tune(plan, tmp_path / "journal", jobs=1, resume=False)


def test_a_rule_gives_a_second_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "simulate", lambda *_: measured(10.0, 0.0, 10.0))
    plan = plan_of("pi", [TEN_MINUTES], 8, 1)
    tuned: Tuned = tune(plan, tmp_path / "journal", jobs=1, resume=False)
    assert [tried.origin for tried in tuned.tried] == ["defaults", "rule", "search", "search"]
    assert tuned.tried[1].parameters["kp"] == 0.0
    assert tuned.tried[1].parameters["deadband_w"] == tuned.tried[0].parameters["deadband_w"]
