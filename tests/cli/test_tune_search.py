"""The search: scores, front, order of points, journal; simulations are played by a formula."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.agents.policy import PolicyConfig
from wattbench.agents.tuning import Tunable
from wattbench.commands.tuning import tuning
from wattbench.commands.tuning.final import chosen_of, finalists_of, reduction_of
from wattbench.commands.tuning.found import Tried, Tuned
from wattbench.commands.tuning.plan import SEARCH_SEEDS, Plan, Training, plan_of
from wattbench.commands.tuning.score import Score, front_of, mean_score, ranked, score_run
from wattbench.commands.tuning.search import BATCH, Search
from wattbench.commands.tuning.simulate import TuneError
from wattbench.commands.tuning.tuning import tune
from wattbench.evaluation.limits import LimitConfig
from wattbench.scenarios.load import load_scenario

TEN_MINUTES = str(Path(__file__).parent / "tuning" / "ten_minutes.yaml")
SPACE = {"kp": Tunable(0.0, 1.0), "gate_w": Tunable(10.0, 1000.0, log=True)}
SPACE["changes"] = Tunable(2, 9, integer=True)
START = {"kp": 0.5, "gate_w": 100.0, "changes": 5}

shares = st.integers(1, 3).map(float)
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
    order = ranked(points)
    assert sorted(order) == feasible
    assert order == sorted(feasible, key=lambda k: points[k].objective_ratio)


def test_a_mean_takes_j_by_its_logarithm() -> None:
    scores = [Score(0.1, 0.0, 1.0, 0.02, 0.0), Score(0.3, 0.2, 3.0, 0.5, 1.5)]
    mean = mean_score(scores)
    assert (mean.export_share, mean.changes_per_min, mean.excess) == (0.2, 2.0, 1.5)
    assert mean.objective_ratio == pytest.approx(0.1)


def test_a_run_that_gains_more_than_everything_still_has_a_logarithm() -> None:
    zero = measured(1000.0, 200.0, 1100.0)
    assert score_run(measured(0.0, 0.0, -5.0), zero, []).objective_ratio == 1e-3


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


SEARCHED, DECIDED = (1001, 1002), (1003, 1004, 1005, 1006, 1007)


def test_the_budget_counts_the_simulations_of_search_and_final(
    plan: Plan, tmp_path: Path, simulations: list[tuple[str, int]]
) -> None:
    tuned = tune(plan, tmp_path / "journal", jobs=1, resume=False)
    made = [seed for label, seed in simulations if label == "threshold"]
    assert [seed for label, seed in simulations if label == "zero"] == [*SEARCHED, *DECIDED]
    assert (len(tuned.tried), made[:30]) == (15, 15 * list(SEARCHED))
    assert (len(tuned.finals), made[30:]) == (6, 6 * list(DECIDED))
    assert tuned.simulations == len(made) == 60
    assert tuned.tried[0].origin == "defaults"
    assert tuned.finals[tuned.chosen].score.objective_ratio < tuned.finals[0].score.objective_ratio


@given(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 30), st.integers(0, 3000), st.integers(1)
)
def test_the_budget_is_kept_and_used(
    scenarios: int, starts: int, further: int, more: int, first: int
) -> None:
    least = (SEARCH_SEEDS + 1) * scenarios * (starts + 1)
    seeds = tuple(range(first, first + SEARCH_SEEDS + further))
    training = (Training(load_scenario(Path(TEN_MINUTES)), seeds),) * scenarios
    plan = Plan("threshold", training, least + more, 1, ({},) * starts)
    assert starts < plan.finalists <= min(plan.points, starts + 8)
    in_final = plan.finalists * len(plan.final_runs)
    used = plan.points * len(plan.search_runs) + in_final
    assert 0 <= plan.budget - used < len(plan.search_runs)
    assert 0 < in_final <= plan.budget // 2
    assert not {seed for _, seed in plan.search_runs} & {seed for _, seed in plan.final_runs}


def test_luck_in_the_search_is_not_chosen(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simulate(scenario: Any, seed: int, policy: PolicyConfig) -> dict[str, float]:
        step_w = policy.model_dump().get("step_w", 0.0)
        lucky_wh = step_w / 10 if seed in SEARCHED else 0.0
        j_wh = 1000.0 if policy.label == "zero" else 500.0 + step_w / 100 - lucky_wh
        return measured(j_wh, 100.0, j_wh)

    monkeypatch.setattr(tuning, "simulate", simulate)
    tuned = tune(plan, tmp_path / "journal", jobs=1, resume=False)
    steps_w = {k: tuned.tried[k].parameters["step_w"] for k in tuned.finals}
    assert tuned.chosen == min(steps_w, key=lambda k: steps_w[k])
    best = min(range(len(tuned.tried)), key=lambda k: tuned.tried[k].score.objective_ratio)
    assert best in tuned.finals
    assert best != tuned.chosen


def point(kp: float, ratios: Sequence[float], excess: float = 0.0, origin: Any = "search") -> Tried:
    mean = mean_score([Score(0.1, 0.1, 1.0, ratio, excess) for ratio in ratios])
    return Tried({"kp": kp}, origin, (), tuple(ratios), mean)


def test_the_final_has_the_starts_and_the_best_each_once() -> None:
    plan = plan_of("pi", [TEN_MINUTES], 9, 1)
    assert (len(plan.starts), plan.finalists) == (2, 3)
    tried = [
        point(0.5, [0.4], excess=1.0, origin="defaults"),
        point(0.4, [0.1], origin="rule"),
        point(0.3, [0.3]),
        point(0.2, [0.05], excess=1.0),
        point(0.4, [0.1]),
        point(0.1, [0.2]),
    ]
    assert finalists_of(tried, plan) == [0, 1, 5]


def test_the_least_j_of_the_final_among_those_that_kept_the_limits() -> None:
    tried = [point(0.1, [0.1], excess=1.0), point(0.2, [0.2]), point(0.3, [0.3]), point(0.4, [0.4])]
    finals = [
        point(0.1, [0.1, 0.1]),
        point(0.2, [0.1, 0.1], excess=1.0),
        point(0.3, [0.32, 0.2]),  # 0.253 by its logarithm, as a plain mean the worse one
        point(0.4, [0.26, 0.25]),
    ]
    assert chosen_of(tried, dict(enumerate(finals))) == 2
    assert chosen_of(tried[:2], dict(enumerate(finals[:2]))) is None
    failed = Tried({}, "search", (), (), None)
    assert chosen_of([failed], {0: failed}) is None


def test_the_gain_is_that_of_pairs(plan: Plan) -> None:
    defaults, chosen = [0.2, 0.8, 0.4, 0.1, 0.3], [0.1, 0.2, 0.2, 0.05, 0.15]
    finals = {0: point(0.1, defaults), 1: point(0.2, chosen)}
    found = reduction_of(Tuned(plan, tuple(finals.values()), finals, (1,), 1))
    assert found is not None
    assert found.estimate == pytest.approx(1 - 2 ** (-6 / 5))  # halved four times, once a quarter
    assert (found.low, found.pairs, found.strata) == (pytest.approx(0.5), 5, 1)
    assert found.estimate < found.high <= 0.75
    failed = Tried({}, "defaults", (), (), None)
    assert reduction_of(Tuned(plan, (), {0: failed, 1: finals[1]}, (1,), 1)) is None


def test_limits_on_changes_are_kept(
    plan: Plan, tmp_path: Path, simulations: list[tuple[str, int]]
) -> None:
    tuned = tune(plan, tmp_path / "journal", jobs=1, resume=False)
    broken = [k for k, tried in enumerate(tuned.tried) if tried.parameters["min_interval_s"] > 10]
    assert broken
    assert not set(broken) & {*tuned.front, tuned.chosen}


def stopped(plan: Plan, journal: Path, points: int) -> None:
    """Tune until so many points and finalists are done, and be interrupted."""

    def stop(tried: Sequence[Any], finals: Sequence[Any]) -> None:
        if len(tried) + len(finals) >= points:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(plan, journal, jobs=1, resume=False, on_step=stop)


@pytest.mark.parametrize("damage", ["", '{"parameters": {"step_w'], ids=["whole", "cut short"])
@pytest.mark.parametrize(("points", "left"), [(10, 40), (15, 30), (18, 15)])
def test_a_search_goes_on_where_it_was_stopped(
    plan: Plan,
    tmp_path: Path,
    simulations: list[tuple[str, int]],
    points: int,
    left: int,
    damage: str,
) -> None:
    whole = tune(plan, tmp_path / "whole", jobs=1, resume=False)
    journal = tmp_path / "journal"
    stopped(plan, journal, points)
    with journal.open("a") as file:
        file.write(damage)
    simulations.clear()
    assert tune(plan, journal, jobs=1, resume=True) == whole
    assert sum(label == "threshold" for label, _ in simulations) == left


def other_budget(plan: Plan) -> Plan:
    return replace(plan, budget=80)


def other_seeds(plan: Plan) -> Plan:
    (part,) = plan.training
    return replace(plan, training=(replace(part, seeds=tuple(range(1, 9))),))


@pytest.mark.parametrize(
    ("resume", "change", "damage", "message"),
    [
        (False, None, "", "--resume continues it"),
        (True, other_budget, "", r"of another search \(budget 60, now 80\)"),
        (True, other_seeds, "", r"of another search \(other scenarios or training seeds\)"),
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
    stopped(plan, journal, 3)
    with journal.open("a") as file:
        file.write(damage)
    before = journal.read_text()
    with pytest.raises(TuneError, match=message):
        tune(plan if change is None else change(plan), journal, jobs=1, resume=resume)
    assert journal.read_text() == before


def test_the_journal_is_lines_of_json(
    plan: Plan, tmp_path: Path, simulations: list[tuple[str, int]]
) -> None:
    stopped(plan, tmp_path / "journal", 17)
    head, *lines = map(json.loads, (tmp_path / "journal").read_text().splitlines())
    assert head["policy"] == "threshold"
    assert [len(line["runs"]) for line in lines] == 15 * [2] + 2 * [5]


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


@pytest.mark.parametrize(("seeds", "count"), [("[]", 0), ("[7, 8]", 2)])
def test_a_suite_with_too_few_training_seeds_is_refused(
    tmp_path: Path, seeds: str, count: int
) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(f"{SUITE}training_seeds: {seeds}\n")
    with pytest.raises(TuneError, match=f"has {count} training_seeds; allowed: at least 3"):
        plan_of("smith", [str(file)], 60, 1)


def test_the_shipped_training_suite_tests_on_other_seeds() -> None:
    plan = plan_of("pi", ["training_export"], 2400, 1)
    assert len(plan.training) == 8
    assert {seed for _, seed in plan.search_runs} == {1001, 1002}
    seeds = {seed for _, seed in plan.final_runs}
    assert len(seeds) >= 10
    assert seeds <= set(range(1003, 1031))


def test_no_point_that_keeps_the_limits_is_an_error(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "simulate", lambda *_: measured(1000.0, 0.0, 1000.0, worst=11.0))
    with pytest.raises(TuneError, match="none of 15 points kept the limits"):
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
    plan = plan_of("pi", [TEN_MINUTES], 12, 1)
    tuned: Tuned = tune(plan, tmp_path / "journal", jobs=1, resume=False)
    assert [tried.origin for tried in tuned.tried] == ["defaults", "rule", "search"]
    assert list(tuned.finals) == [0, 1, 2]
    assert tuned.chosen == 0  # all alike
    assert tuned.tried[1].parameters["kp"] == 0.0
    assert tuned.tried[1].parameters["deadband_w"] == tuned.tried[0].parameters["deadband_w"]
