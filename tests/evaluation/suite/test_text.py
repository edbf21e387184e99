"""A suite on the terminal, and which of its runs come first."""

from __future__ import annotations

import math

from wattbench.evaluation.suite.judge import judge_suite
from wattbench.evaluation.suite.text import shown, suite_lines
from wattbench.evaluation.suite.worst import worst_runs

from .folders import energies, make_suite, plan_of

REDUCTION = {"metric": "export_energy", "vs": "pi", "min_reduction": "10 %"}


def test_a_suite_in_lines(tmp_path):
    plan = plan_of(scenarios=("one", "two@no_mesh"), policies=("smith", "late"))
    judgement = judge_suite(
        make_suite(
            tmp_path,
            plan=plan,
            interval_limits=[REDUCTION],
            change=lambda cell: (
                {"verdict": "FAIL", "reason": "export_energy ≤ 2 kWh"}
                if cell.policy == "late" and cell.seed < 3 and cell.variant
                else {}
            ),
        )
    )
    lines = suite_lines(judgement)
    assert lines[:4] == [
        "             smith    late",
        "one          10 PASS  10 PASS",
        "two@no_mesh  10 PASS  2 FAIL, 8 PASS",
        "",
    ]
    text = "\n".join(lines)
    assert "PASS  smith  export_energy: reduction vs pi ≥ 10 % (95 % interval)  18." in text
    assert "smith vs pi" in text
    assert "smith: 0 safety violations in 20 h: rate < 1 in 6.6 h at 95 %" in text
    worst = lines.index("Runs to look at first")
    assert lines[worst + 1].startswith("  FAIL  two@no_mesh, late, seed ")
    assert lines[worst + 1].endswith("below pi: export_energy ≤ 2 kWh")
    assert lines[worst + 2].startswith(f"    {tmp_path}/runs/two@no_mesh/late-seed")
    assert lines[-1] == "FAIL  small: 40 judged runs: 38 PASS, 2 FAIL; limits on intervals: 2 PASS"


def test_what_is_lacking_is_said(tmp_path):
    judgement = judge_suite(
        make_suite(tmp_path, interval_limits=[REDUCTION], skip=lambda cell: cell.seed > 2)
    )
    lines = suite_lines(judgement)
    assert lines[1] == "one  2 PASS, 8 MISSING"
    assert any("an interval at 95 % needs 5 seeds, there are 2" in line for line in lines)
    why = "an interval at 95 % needs 5 seeds, there are 2"
    assert [line for line in lines if "without interval" in line] == [
        f"  reductions without interval: {why}"
    ]
    assert any(line.startswith("note: 32 of 40 planned runs are not finished") for line in lines)
    assert lines[-1] == (
        "INCONCLUSIVE  small: 20 judged runs: 4 PASS, 16 MISSING; limits on intervals: "
        "1 INCONCLUSIVE"
    )


def test_the_worst_run_is_the_one_furthest_behind_the_best_baseline(tmp_path):
    def values(label, stratum, seed):
        late = 500.0 if (label, stratum, seed) == ("smith", "two", 7) else 0.0
        found = energies(label, stratum, seed)
        return found | {"objective@1": found["objective@1"] + late}

    plan = plan_of(baselines=("zero", "pi"))
    judgement = judge_suite(make_suite(tmp_path, plan=plan, values=values))
    first, second = worst_runs(judgement, 2)
    assert (first.row.cell.stratum, first.row.cell.seed, first.baseline) == ("two", 7, "pi")
    assert first.reduction < 0 < second.reduction


def test_the_last_line_says_which_limits_on_intervals_failed(tmp_path):
    missed = REDUCTION | {"min_reduction": "90 %"}
    judgement = judge_suite(make_suite(tmp_path, interval_limits=[REDUCTION, missed, REDUCTION]))
    assert suite_lines(judgement)[-1] == (
        "FAIL  small: 20 judged runs: 20 PASS; limits on intervals: 2 PASS, 1 FAIL"
    )


def test_the_last_line_says_that_baselines_broke(tmp_path):
    def change(cell):
        broken = cell.baseline and cell.seed == 2 and cell.scenario == "one"
        return {"status": "error", "reason": "the output is NaN"} if broken else {}

    lines = suite_lines(judge_suite(make_suite(tmp_path, change=change)))
    assert lines[-1] == (
        "ERROR  small: 20 judged runs: 20 PASS; baselines that did not complete: 1"
    )
    assert (
        "note: ERROR, since a baseline did not complete: runs/one/baseline-pi-seed2: the output "
        "is NaN"
    ) in lines


def test_what_broke_off_is_compared_with_nothing(tmp_path):
    def change(cell):
        if cell.seed == 2 and cell.baseline:
            return {"status": "error"}
        if cell.seed == 3 and not cell.baseline:
            return {"status": "error", "verdict": "ERROR"}
        return {}

    judgement = judge_suite(make_suite(tmp_path, plan=plan_of(("one",)), change=change))
    worst = {found.row.cell.seed: found for found in worst_runs(judgement, 10)}
    assert all(worst[seed].baseline == "" for seed in (2, 3))
    assert all(math.isnan(worst[seed].reduction) for seed in (2, 3))
    assert worst[1].baseline == "pi"
    first = next(line for line in suite_lines(judgement) if line.startswith("  ERROR"))
    assert "J " not in first


def test_numbers_for_people():
    assert [shown(value, "1") for value in (0.1234, -math.inf, math.nan)] == ["12.3 %", "−∞", "n/a"]
    assert shown(1234.0, "Wh") == "1.234 kWh"
