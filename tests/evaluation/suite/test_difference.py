"""Two suites against each other: pairing, intervals, verdicts, what counts as a regression."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from wattbench.cli import app
from wattbench.evaluation.record import RecordError
from wattbench.evaluation.regression import Allowance, default_allowances, parse_allowances
from wattbench.evaluation.suite.difference import MetricChange, SuiteComparison, compare_suites
from wattbench.evaluation.suite.results import Cell, read_rows

from .folders import energies, make_suite, plan_of, write_record

EXPORT, VIOLATIONS = "export_energy@1", "safety_violations@1"


def shifted(metric: str, by: Callable[[int], float], label: str = "smith"):
    """Return made-up measurements in which one metric of one policy is moved, seed by seed."""

    def values(policy: str, stratum: str, seed: int):
        found = energies(policy, stratum, seed)
        if policy == label:
            found[metric] = (found[metric] or 0.0) + by(seed)
        return found

    return values


def compared(tmp_path: Path, allowances=None, **after) -> SuiteComparison:
    a = make_suite(tmp_path / "a")
    b = make_suite(tmp_path / "b", **after)
    return compare_suites(a, b, default_allowances() if allowances is None else allowances)


def change(found: SuiteComparison, metric: str = EXPORT, policy: str = "smith") -> MetricChange:
    (one,) = [m for m in found.metrics if (m.metric, m.policy) == (metric, policy)]
    return one


def test_the_same_suite_has_no_regression(tmp_path) -> None:
    found = compared(tmp_path, backwards=True)
    assert (found.pairs, found.verdicts, found.regressions) == (40, (), [])
    assert found.unlike == ()
    one = change(found)
    assert (one.interval.estimate, one.interval.low, one.interval.high) == (0.0, 0.0, 0.0)
    assert {m.policy for m in found.metrics} == {"smith", "(pi)"}


def test_differences_are_paired_and_the_interval_holds_their_mean(tmp_path) -> None:
    # the runs themselves vary by 400 Wh; paired, only the shift and its own spread remain
    found = compared(tmp_path, values=shifted(EXPORT, lambda seed: 100.0 + seed))
    one = change(found)
    assert one.interval.estimate == pytest.approx(105.5)
    assert one.interval.low < 105.5 < one.interval.high
    assert one.interval.high - one.interval.low < 8.0
    assert (one.interval.pairs, one.interval.strata) == (20, 2)
    assert one.regression
    assert found.regressions == [
        f"smith, export_energy@1: worse by at least {one.interval.low:.4g} Wh, allowed: "
        f"{one.allowed:.4g} Wh"
    ]


def test_an_interval_that_reaches_into_what_is_tolerated_is_no_regression(tmp_path) -> None:
    wild = [-400.0, 500.0, -300.0, 600.0, 100.0, 300.0, -350.0, 420.0, 380.0, -100.0]
    found = compared(tmp_path, values=shifted(EXPORT, lambda seed: wild[seed - 1]))
    one = change(found)
    assert one.interval.estimate == pytest.approx(np.mean(wild))
    assert one.interval.estimate > (one.allowed or 0), "the mean alone is beyond the tolerance"
    assert not one.regression
    assert found.regressions == []


def test_better_is_no_regression_whatever_the_size(tmp_path) -> None:
    found = compared(tmp_path, values=shifted(EXPORT, lambda seed: -500.0))
    assert change(found).worse_by == pytest.approx(-500.0)
    assert found.regressions == []


def test_tolerances_are_those_declared(tmp_path) -> None:
    values = shifted(EXPORT, lambda seed: 100.0)
    assert compared(tmp_path, {EXPORT: Allowance(absolute=101.0)}, values=values).regressions == []
    (tmp_path / "b" / "results.jsonl").unlink()
    found = compare_suites(
        tmp_path / "a",
        make_suite(tmp_path / "b", values=values),
        {EXPORT: Allowance(absolute=99.0)},
    )
    assert [m.metric for m in found.metrics if m.regression] == [EXPORT]
    assert change(found, "objective@1").allowed is None


def test_a_baseline_that_moved_is_shown_and_no_regression(tmp_path) -> None:
    found = compared(tmp_path, values=shifted(EXPORT, lambda seed: 500.0, label="pi"))
    assert change(found, policy="(pi)").interval.estimate == pytest.approx(500.0)
    assert change(found, policy="(pi)").allowed is None
    assert found.regressions == []


def test_one_violation_that_never_was_is_a_regression(tmp_path) -> None:
    found = compared(tmp_path, values=shifted(VIOLATIONS, lambda seed: 1.0))
    assert found.regressions == [
        "smith, safety_violations@1: worse by at least 1, allowed: 0",
    ]


def verdict_of(cell: Cell, where: tuple[str, int], verdict: str) -> dict[str, str]:
    hit = (cell.scenario, cell.seed) == where and not cell.baseline
    return {"verdict": verdict, "reason": "too much"} if hit else {}


@pytest.mark.parametrize("verdict", ["INCONCLUSIVE", "FAIL", "ERROR"])
def test_a_verdict_that_got_worse_is_a_regression(tmp_path, verdict) -> None:
    found = compared(tmp_path, change=lambda cell: verdict_of(cell, ("one", 3), verdict))
    (one,) = found.verdicts
    assert (one.cell.seed, one.a, one.b, one.reason) == (3, "PASS", verdict, "too much")
    assert found.regressions == [f"verdict of one, smith, seed 3: PASS became {verdict}"]


def test_a_verdict_that_got_better_is_told_and_no_regression(tmp_path) -> None:
    a = make_suite(tmp_path / "a", change=lambda cell: verdict_of(cell, ("two", 1), "FAIL"))
    found = compare_suites(a, make_suite(tmp_path / "b"), {})
    assert [(v.a, v.b, v.regression) for v in found.verdicts] == [("FAIL", "PASS", False)]
    assert found.regressions == []


def test_runs_of_one_suite_only_are_told(tmp_path) -> None:
    found = compared(tmp_path, plan=plan_of(["one", "three"]))
    assert {cell.scenario for cell in found.only_in_a} == {"two"}
    assert {cell.scenario for cell in found.only_in_b} == {"three"}
    assert found.pairs == 20
    assert found.regressions == []


def test_a_planned_run_that_did_not_finish_is_a_regression(tmp_path) -> None:
    found = compared(tmp_path, skip=lambda cell: cell.seed == 4 and not cell.baseline)
    assert [cell.folder for cell in found.unfinished] == [
        "runs/one/smith-seed4", "runs/two/smith-seed4",
    ]  # fmt: skip
    assert found.regressions == ["not finished in B: runs/one/smith-seed4 and 1 more"]


def test_runs_that_broke_off_measure_nothing(tmp_path) -> None:
    def values(policy: str, stratum: str, seed: int):
        cut_short = policy == "smith" and seed < 3
        return {EXPORT: 0.0} if cut_short else energies(policy, stratum, seed)

    broken = {"status": "aborted", "verdict": "ABORTED"}
    found = compared(
        tmp_path,
        values=values,
        change=lambda cell: broken if cell.seed < 3 and not cell.baseline else {},
    )
    assert change(found).interval.pairs == 16
    assert change(found).interval.estimate == 0.0
    assert len(found.verdicts) == 4


def test_a_limit_on_an_interval_that_no_longer_passes_is_a_regression(tmp_path) -> None:
    limit = {"metric": "export_energy", "vs": "pi", "min_reduction": 0.1}
    a = make_suite(tmp_path / "a", interval_limits=[limit])
    b = make_suite(
        tmp_path / "b", interval_limits=[limit], values=shifted(EXPORT, lambda seed: 100.0)
    )
    lenient = parse_allowances([("export_energy", "1 kWh")])
    (regression,) = compare_suites(a, b, lenient).regressions
    assert regression.startswith("limit 'export_energy: reduction vs pi ≥ 10 % (95 % interval)' of")
    assert " of smith: PASS became " in regression
    assert compare_suites(b, a, lenient).regressions == []
    assert call("compare", a, b, "--tolerance", "export_energy=1 kWh")[0] == 1


def test_b_that_is_no_evidence_is_a_regression(tmp_path) -> None:
    a = make_suite(tmp_path / "a")
    broken = {"status": "error", "reason": "NaN from a policy"}
    is_first = Cell("one", "", "pi", 1, baseline=True)
    b = make_suite(tmp_path / "b", change=lambda cell: broken if cell == is_first else {})
    (regression,) = compare_suites(a, b, {}).regressions
    assert regression.startswith("B is an ERROR: a baseline did not complete: runs/one/baseline-pi")
    assert compare_suites(b, b, {}).regressions == []
    c = make_suite(tmp_path / "c")
    row = read_rows(c)[0]
    write_record(c, row)
    (c / row.cell.folder / "measurements.json").write_text("{}")
    (regression,) = compare_suites(a, c, {}).regressions
    assert regression.startswith(f"B is an ERROR: {row.cell.folder}: measurements.json")


def test_variants_are_scenarios_of_their_own(tmp_path) -> None:
    a = make_suite(tmp_path / "a", plan=plan_of(["one", "one@cold"]))
    b = make_suite(tmp_path / "b", plan=plan_of(["one"]))
    found = compare_suites(a, b, {})
    assert {cell.variant for cell in found.only_in_a} == {"cold"}


def test_without_an_interval_it_is_worse_if_every_seed_is(tmp_path) -> None:
    plan = plan_of(["one"], seeds=[1, 2])
    a = make_suite(tmp_path / "a", plan=plan)
    b = make_suite(tmp_path / "b", plan=plan, values=shifted(EXPORT, lambda seed: 300.0))
    found = compare_suites(a, b, default_allowances())
    assert np.isnan(change(found).interval.low)
    assert found.regressions == [
        f"smith, export_energy@1: worse on every seed, by at least 300 Wh, allowed: "
        f"{change(found).allowed:.4g} Wh"
    ]


def test_one_run_of_few_seeds_shows_nothing(tmp_path) -> None:
    """Twelve pairs of three seeds, one of them worse: the mean is, and nothing is shown."""
    plan = plan_of(["one", "two", "three", "four"], seeds=[1, 2, 3])
    changed = "command_changes_per_min_worst@1"

    def values(policy: str, stratum: str, seed: int):
        more = 20.0 if (policy, stratum, seed) == ("smith", "two", 3) else 0.0
        found = energies(policy, stratum, seed)
        return found | {changed: (found[changed] or 0.0) + more}

    a = make_suite(tmp_path / "a", plan=plan)
    b = make_suite(tmp_path / "b", plan=plan, values=values)
    found = compare_suites(a, b, default_allowances())
    one = change(found, changed)
    assert one.interval.estimate == pytest.approx(20 / 12)
    assert one.interval.estimate > (one.allowed or 0.0)
    assert one.by_seed == pytest.approx((0, 0, 5))
    assert (one.worse_by, one.regression, found.regressions) == (0.0, False, [])
    out = call("compare", a, b)[1]
    assert "no interval: an interval at 95 % needs 5 seeds, there are 3" in out
    every = make_suite(tmp_path / "c", plan=plan, values=shifted(changed, lambda seed: 1.0 + seed))
    found = compare_suites(a, every, default_allowances())
    assert change(found, changed).worse_by == pytest.approx(2.0)
    assert change(found, changed).regression


@pytest.mark.parametrize("lacking", [range(1, 11), [4]])
def test_values_that_are_gone_are_a_regression(tmp_path, lacking) -> None:
    """B measures less: what cannot be held is not kept."""

    def values(policy: str, stratum: str, seed: int):
        found = energies(policy, stratum, seed)
        return found | ({EXPORT: None} if policy == "smith" and seed in lacking else {})

    found = compared(tmp_path, values=values)
    gone = 2 * len(lacking)
    assert (change(found).gone, change(found).regression) == (gone, True)
    assert found.regressions == [
        f"smith, export_energy@1: no value in B in {gone} runs that had one"
    ]
    code, out, _ = call("compare", tmp_path / "a", tmp_path / "b")
    assert (code, f"no value in B in {gone} runs" in out) == (1, True)
    found = compare_suites(tmp_path / "b", tmp_path / "a", default_allowances())
    assert found.regressions == [], "what is new is no regression"


def test_it_is_said_in_which_keys_suites_differ(tmp_path) -> None:
    def made(
        name: str, digest: str, seeds: list[int], scenarios: list[object], other: str = "smith"
    ) -> Path:
        names = {"policies": [*dict.fromkeys(["smith", other])], "baselines": ["pi"]}
        stratum = {"scenario": "one", "variant": "far", "hash": digest, **names}
        stratum["duration_s"] = 3600.0
        plan = tuple(
            Cell("one", "far", label, seed, label == "pi")
            for seed in seeds
            for label in ("pi", *names["policies"])
        )
        content = {"scenarios": scenarios, "seeds": seeds, "strata": [stratum]}
        return make_suite(tmp_path / name, plan=plan, **content)

    scenarios = [{"scenario": "one", "set": {"clock": {"duration_s": 60}}}]
    longer = [{"scenario": "one", "set": {"clock": {"duration_s": 90}}}]
    a = made("a", "x", [1], scenarios)
    keys = made("b", "y", [1, 2], longer)
    assert compare_suites(a, keys, {}).unlike == (
        "suite (scenarios[0].set.clock.duration_s, seeds)",
    )
    files = made("c", "z", [1], scenarios)
    assert compare_suites(a, files, {}).unlike == ("files of the scenarios (one@far)",)
    policies = made("d", "z", [1], scenarios, "threshold")
    assert compare_suites(a, policies, {}).unlike == ("suite (policies)",)


def test_suites_without_a_common_run_are_refused(tmp_path) -> None:
    a = make_suite(tmp_path / "a")
    b = make_suite(tmp_path / "b", plan=plan_of(policies=["mine"], baselines=[]))
    with pytest.raises(RecordError, match="has a partner"):
        compare_suites(a, b, {})


def test_a_damaged_suite_is_one_line(tmp_path) -> None:
    a, b = make_suite(tmp_path / "a"), make_suite(tmp_path / "b")
    lines = (b / "results.jsonl").read_text().splitlines()
    (b / "results.jsonl").write_text("\n".join(["{", *lines[1:], ""]))
    with pytest.raises(RecordError, match=r"results\.jsonl:1 is damaged"):
        compare_suites(a, b, {})


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_tells_what_changed_and_ends_with_1(tmp_path) -> None:
    a = make_suite(tmp_path / "a")
    values = shifted(EXPORT, lambda seed: 100.0 + seed)
    b = make_suite(
        tmp_path / "b", values=values, change=lambda cell: verdict_of(cell, ("one", 3), "FAIL")
    )
    assert call("compare", a, a)[0] == 0
    code, out, err = call("compare", a, b)
    assert (code, err) == (1, "")
    assert "40 paired runs" in out
    assert "  one, smith, seed 3: PASS → FAIL: too much  ←" in out
    (line,) = [line for line in out.splitlines() if line.startswith("export_energy ")][:1]
    assert "105.5 Wh" in line
    assert line.endswith("←")
    assert "2 regressions:" in out
    code, out, _ = call("compare", a, b, "--json", "--tolerance", "export_energy=1 kWh")
    shown = json.loads(out)
    assert (code, shown["exit_code"], shown["kind"], shown["pairs"]) == (1, 1, "suites", 40)
    assert [v["seed"] for v in shown["verdicts"]] == [3]
    by_metric = {(m["policy"], m["metric"]): m for m in shown["metrics"]}
    assert by_metric["smith", EXPORT]["interval"]["estimate"] == pytest.approx(105.5)
    assert by_metric["smith", EXPORT]["regression"] is False


def test_the_command_refuses_what_cannot_be_compared(tmp_path) -> None:
    a = make_suite(tmp_path / "a")
    b = make_suite(tmp_path / "b", plan=plan_of(policies=["mine"], baselines=[]))
    code, out, err = call("compare", a, b)
    assert (code, out) == (2, "")
    assert "has a partner" in err
    assert "for traces of runs" in call("compare", a, a, "--trace-tolerance", "0.1")[2]
