"""On scenarios of the library, cut short, no policy goes below the bound; nor does the plan."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from wattbench.cli import app
from wattbench.commands import bounding
from wattbench.commands.bounding import REPLAY, bound_of, changes_allowed, replay_of, run_alone
from wattbench.evaluation.metrics import measure
from wattbench.hil.bench import Bench
from wattbench.hil.selection import select_policies
from wattbench.scenarios.library import names
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.model import Scenario
from wattbench.sim.export.bound.model import BoundError

LIBRARY = names()
QUICK = {"export/cloud_edges", "export/hot_tanks"}
POLICIES = (
    "zero", "always_on", "random", "dither", "frozen", "threshold", "pi", "smith",
)  # fmt: skip
OBJECTIVE, CHANGES = "objective@1", "command_changes_per_min_worst@1"


def shortened(name: str, duration_s: float = 300.0) -> Scenario:
    scenario = load_scenario(LIBRARY[name])
    clock = scenario.clock.model_copy(update={"duration_s": duration_s})
    own = (*scenario.policies, *scenario.baselines)
    return scenario.model_copy(
        update={
            "clock": clock,
            "policies": select_policies(POLICIES, own),
            "baselines": (),
            "audit": None,
        }
    )


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in LIBRARY],
)
def test_no_policy_goes_below_the_bound(name: str, tmp_path: Path) -> None:
    scenario = shortened(name)
    bound = bound_of(scenario, 1)
    results = Bench(scenario, tmp_path, measure=measure).run()
    results.append(replay_of(scenario, 1, bound, tmp_path))
    reached = {result.policy: result.measurements for result in results}
    assert set(reached) >= {*POLICIES, REPLAY}
    for policy, measured in reached.items():
        assert math.isfinite(measured[OBJECTIVE]), policy
        assert bound.objective_wh <= measured[OBJECTIVE], policy
        if bound.with_budget_wh is not None and measured[CHANGES] <= bound.max_changes_per_min:
            assert bound.with_budget_wh <= measured[OBJECTIVE], policy
    assert reached[REPLAY][CHANGES] <= bound.max_changes_per_min
    assert bound.max_changes_per_min == changes_allowed(scenario)


@pytest.mark.slow
def test_the_plan_beats_those_who_see_nothing_coming(tmp_path: Path) -> None:
    scenario = load_scenario(LIBRARY["export/partly_cloudy"])
    bound = bound_of(scenario, 2)
    replayed = replay_of(scenario, 2, bound, tmp_path)
    (smith,) = select_policies(["smith"], ())
    causal = run_alone(scenario, 2, smith, tmp_path)
    assert replayed.measurements[OBJECTIVE] < 0.5 * causal.measurements[OBJECTIVE]


@pytest.fixture
def short_file(tmp_path: Path) -> Path:
    path = tmp_path / "short.yaml"
    path.write_text(
        "extends: export/cloud_edges\nclock: {duration_s: 120}\naudit: null\n"
        "limits: [{metric: command_changes_per_min_worst, max: 6}]\n"
        "policies: [{kind: smith}]\nbaselines: []\n"
    )
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = app([*arguments], standalone_mode=False)
    said = capsys.readouterr()
    return code or 0, said.out, said.err


def test_the_command_of_a_scenario_and_of_its_run(
    short_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "bound", str(short_file), "--seed", "3", "--json")
    assert code == 0
    (row,) = json.loads(out)["seeds"]
    assert row["seed"] == 3
    assert row["max_changes_per_min"] == 6
    assert row["bound_wh"] <= row["with_budget_wh"] <= row["replay_wh"] < row["zero_wh"]
    assert not row["nothing_to_win"]
    call(capsys, "run", str(short_file), "--seed", "3", "--out", str(tmp_path / "runs"))
    folder = tmp_path / "runs" / "short" / "smith-seed3"
    code, out, _ = call(capsys, "bound", str(folder), "--json")
    assert code == 0
    (again,) = json.loads(out)["seeds"]
    assert again == row
    code, out, _ = call(capsys, "bound", str(folder))
    assert code == 0
    assert "replayed optimum" in out
    assert "Budget: 6 changes" in out


def test_a_failing_solver_and_a_breach_are_errors(
    short_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bound_of(load_scenario(short_file), 1)

    def fail(*_: Any) -> Any:
        raise BoundError("the solver failed on the bound")

    monkeypatch.setattr(bounding, "bound_of", fail)
    code, out, err = call(capsys, "bound", str(short_file), "--json")
    assert code == 5
    assert "the solver failed" in err
    assert json.loads(out)["exit_code"] == 5
    import dataclasses

    for wrong, name in (
        (dataclasses.replace(found, objective_wh=1e6), "bound"),
        (dataclasses.replace(found, with_budget_wh=1e6), "bound within budget"),
    ):
        monkeypatch.setattr(bounding, "bound_of", lambda *_, wrong=wrong: wrong)
        code, _, err = call(capsys, "bound", str(short_file))
        assert code == 5
        assert "wattbench: seed 1: J of zero (" in err
        assert f" is below the {name} (" in err


def test_what_is_no_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "bound", "nowhere", "--json")
    assert code == 2
    assert "nowhere" in err
    assert json.loads(out)["exit_code"] == 2
    (tmp_path / "record.json").write_text("{")
    code, _, err = call(capsys, "bound", str(tmp_path))
    assert code == 5
    assert "record.json" in err
