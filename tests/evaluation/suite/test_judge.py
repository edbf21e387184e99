"""A suite's verdict, from its folder alone."""

from __future__ import annotations

import json
import math

import pytest

from wattbench.evaluation.bracket import Bracket, write_bracket
from wattbench.evaluation.files import RecordError
from wattbench.evaluation.suite.judge import judge_suite, store_suite
from wattbench.evaluation.suite.limits import IntervalLimitConfig
from wattbench.evaluation.suite.results import RESULTS_FILE, read_rows
from wattbench.evaluation.suite.text import suite_lines
from wattbench.evaluation.verdict import ExitCode, Verdict

from .folders import energies, make_suite, note_row, plan_of, row_of

REDUCTION = {"metric": "export_energy", "vs": "pi", "min_reduction": "10 %"}


def judged(folder, limit=REDUCTION, **how):
    """Return the judgement of a suite with one interval limit, and that limit's result."""
    judgement = judge_suite(make_suite(folder, interval_limits=[limit], **how))
    return judgement, judgement.interval_limits[0]


def exporting(of_smith):
    """Return measurements in which smith exports that multiple of pi, by seed."""

    def values(label, stratum, seed):
        found = energies(label, stratum, seed)
        if label == "smith":
            pi_wh = energies("pi", stratum, seed)["export_energy@1"]
            found["export_energy@1"] = of_smith(seed) * pi_wh
        return found

    return values


def test_an_interval_that_keeps_the_bound_passes(tmp_path):
    judgement, result = judged(tmp_path)
    assert (result.verdict, result.reason, result.further_seeds) == (Verdict.PASS, "", None)
    assert result.text == "export_energy: reduction vs pi ≥ 10 % (95 % interval)"
    assert 0.1 < result.interval.low < result.interval.estimate < result.interval.high
    assert (result.interval.pairs, result.interval.strata) == (20, 2)
    assert (judgement.verdict, judgement.exit_code) == (Verdict.PASS, ExitCode.PASS)
    assert not judgement.problems
    assert not judgement.warnings


def test_an_interval_beyond_the_bound_fails(tmp_path):
    judgement, result = judged(tmp_path, values=exporting(lambda seed: 0.93 + 0.002 * seed))
    assert result.verdict is Verdict.FAIL
    assert (judgement.verdict, judgement.exit_code) == (Verdict.FAIL, ExitCode.FAIL)


def test_an_interval_across_the_bound_says_how_many_seeds_it_lacks(tmp_path):
    judgement, result = judged(tmp_path, values=exporting(lambda seed: 0.8 + 0.02 * (seed % 9)))
    assert result.interval.low < 0.1 < result.interval.high
    assert (result.verdict, judgement.verdict) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    assert judgement.exit_code is ExitCode.INCONCLUSIVE
    assert result.further_seeds is not None
    assert 1 <= result.further_seeds <= 1000
    assert result.reason == (
        "the interval straddles the bound; about "
        f"{result.further_seeds} further seeds a scenario would probably settle it"
    )


def test_nobody_waits_for_ten_thousand_seeds(tmp_path):
    spread = exporting(lambda seed: 0.9 + 0.1 * (-1) ** seed * (1 + 0.05 * (seed > 8)))
    _, result = judged(tmp_path, values=spread)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "more than 1000 further seeds" in result.reason


@pytest.mark.parametrize(
    ("limit", "verdict", "unit"),
    [
        ({"vs": "pi", "max_ratio": 0.9}, Verdict.PASS, "1"),
        ({"vs": "pi", "max_ratio": 0.7}, Verdict.FAIL, "1"),
        ({"vs": "pi", "min_ratio": 0.5}, Verdict.PASS, "1"),
        ({"vs": "pi", "max_increase": "-10 Wh"}, Verdict.PASS, "Wh"),
        ({"vs": "pi", "max_increase": "-1 kWh"}, Verdict.FAIL, "Wh"),
        ({"max": "2 kWh"}, Verdict.PASS, "Wh"),
        ({"min": "2 kWh"}, Verdict.FAIL, "Wh"),
        ({"max": "0.98 kWh", "level": "80 %"}, Verdict.INCONCLUSIVE, "Wh"),
    ],
)
def test_every_bound(tmp_path, limit, verdict, unit):
    _, result = judged(tmp_path, {"metric": "export_energy", **limit})
    assert (result.verdict, result.unit) == (verdict, unit), result
    assert result.interval.low <= result.interval.estimate <= result.interval.high


def test_the_ratio_is_one_less_the_reduction(tmp_path):
    _, reduced = judged(tmp_path / "a")
    _, ratio = judged(tmp_path / "b", {"metric": "export_energy", "vs": "pi", "max_ratio": 0.9})
    assert ratio.interval.low == pytest.approx(1 - reduced.interval.high)
    assert ratio.interval.high == pytest.approx(1 - reduced.interval.low)


def test_a_metric_without_spread_is_decided(tmp_path):
    changes = "command_changes_per_min_worst"
    judgement, result = judged(tmp_path / "a", {"metric": changes, "max": "8/min"})
    assert (result.interval.low, result.interval.high) == (8, 8)
    assert judgement.verdict is Verdict.PASS
    judgement, _ = judged(tmp_path / "b", {"metric": changes, "max": "7.9/min"})
    assert judgement.verdict is Verdict.FAIL


def exporting_in(wh):
    """Return measurements in which the export is `wh[label]` in scenario one, else 0."""

    def values(label, stratum, seed):
        own = wh[label] if stratum == "one" else 0.0
        return energies(label, stratum, seed) | {"export_energy@1": own}

    return values


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [({"max_ratio": 1.4}, Verdict.FAIL), ({"max_ratio": 1.7}, Verdict.PASS)],
)
def test_a_scenario_in_which_nothing_happens_dilutes_no_share(tmp_path, limit, verdict):
    worse = exporting_in({"smith": 160.0, "pi": 100.0})
    judgement, result = judged(
        tmp_path, {"metric": "export_energy", "vs": "pi", **limit}, values=worse
    )
    assert (result.verdict, result.interval.estimate) == (verdict, pytest.approx(1.6))
    assert result.reason == "left out, as both are 0 there: two"
    assert (result.interval.pairs, result.interval.strata) == (10, 1)
    (export,) = [c for c in judgement.comparisons if c.metric == "export_energy@1"]
    assert export.interquartile_mean.estimate == pytest.approx(-0.6)
    assert "both are 0 in every pair" in export.by_stratum["two"].reason


@pytest.mark.parametrize("bound", [{"max_ratio": 0.9}, {"max_ratio": 0}, {"min_reduction": 0.1}])
def test_where_both_are_0_every_share_is_kept_as_in_a_run(tmp_path, bound):
    limit = {"metric": "unserved_energy", "vs": "pi", **bound}
    judgement, result = judged(tmp_path / "a", limit)
    assert (result.verdict, judgement.verdict) == (Verdict.PASS, Verdict.PASS)
    assert result.reason.endswith("of which there is no share: 0 keeps every bound on one")
    assert IntervalLimitConfig.model_validate(limit).bound(0.0) >= 0, "as a limit of a run does"
    _, few = judged(tmp_path / "b", limit, plan=plan_of(seeds=(1, 2, 3, 4)))
    assert few.reason == "an interval at 95 % needs 5 seeds, there are 4"
    assert few.verdict is Verdict.INCONCLUSIVE


def test_a_rare_event_that_did_not_happen_is_not_shown_to_be_rarer_than_seeds_can(tmp_path):
    """No event on n seeds leaves −ln(0.05)/n a run: 0.5 takes six seeds, 0.05 takes sixty."""
    limit = {"metric": "safety_violations", "max": 0.05}
    _, result = judged(tmp_path / "a", limit, plan=plan_of(seeds=range(10)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert (result.interval.low, result.interval.estimate) == (0, 0)
    assert result.interval.high == pytest.approx(-math.log(0.05) / 10)
    assert result.further_seeds == 50
    assert "about 50 further seeds a scenario would probably settle it" in result.reason
    for seeds, bound, verdict in ((59, 0.05, "INCONCLUSIVE"), (60, 0.05, "PASS"), (6, 0.5, "PASS"),
                                  (5, 0.5, "INCONCLUSIVE")):  # fmt: skip
        folder = tmp_path / f"{seeds}-{bound}"
        _, result = judged(
            folder, limit | {"max": bound}, plan=plan_of(["one"], seeds=range(seeds))
        )
        assert result.verdict.name == verdict


@pytest.mark.parametrize(
    ("seeds", "level", "verdict"),
    [(3, 0.95, "INCONCLUSIVE"), (5, 0.95, "PASS"), (10, 0.95, "PASS"), (10, 0.999, "INCONCLUSIVE"),
     (31, 0.999, "PASS")],
)  # fmt: skip
def test_seeds_that_all_agree_show_no_more_than_so_many_can(tmp_path, seeds, level, verdict):
    limit = {"metric": "safety_violations", "max": 0, "level": level}
    _, result = judged(tmp_path, limit, plan=plan_of(["one"], seeds=range(seeds)))
    assert result.verdict.name == verdict
    assert result.interval.estimate == 0


def test_a_repeated_scenario_shows_nothing_more(tmp_path):
    """Identical variants: the same estimate, interval and verdict, and no more hours."""
    limit = {"metric": "export_energy", "vs": "pi", "max_ratio": 0.812, "level": 0.8}
    strata = [
        ["one", "two"],
        [f"{s}@{v}" for s in ("one", "two") for v in "abcdef"],
        ["one", "two", "one@again"],  # the favourable one more often than the other
    ]

    def values(label, stratum, seed):
        return energies(label, stratum.partition("@")[0], seed)

    def copied(cell):
        return {"trace_sha256": f"{cell.scenario} {cell.policy} {cell.seed}"}

    found = [
        judged(tmp_path / str(k), limit, plan=plan_of(names), values=values, change=copied)
        for k, names in enumerate(strata)
    ]
    (plain, one), (repeated, other), (_, uneven) = found
    assert uneven.interval == one.interval
    assert uneven.reason == f"{one.reason}; left out, as they repeat another: one@again"
    for name in ("estimate", "low", "high", "standard_error"):
        assert getattr(one.interval, name) == getattr(other.interval, name)
    assert one.verdict == other.verdict
    assert other.reason.startswith(f"{one.reason}; left out, as they repeat another: one@b, one@c")
    assert one.verdict is Verdict.INCONCLUSIVE
    for of, beside in zip(plain.comparisons, repeated.comparisons, strict=True):
        for name in ("reduction", "interquartile_mean", "probability_of_improvement"):
            pair = [getattr(c, name) for c in (of, beside)]
            assert pair[0].low == pytest.approx(pair[1].low, rel=1e-11, nan_ok=True)
            assert pair[0].high == pytest.approx(pair[1].high, rel=1e-11, nan_ok=True)
    (of,), (beside,) = plain.rates, repeated.rates
    assert (of.hours, of.upper_per_h) == (beside.hours, beside.upper_per_h) == (20, of.upper_per_h)
    assert beside.text.endswith("; 100 runs that repeat another byte for byte are not counted")


def test_two_seeds_show_nothing(tmp_path):
    judgement, result = judged(tmp_path, plan=plan_of(seeds=(1, 2)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason == "an interval at 95 % needs 5 seeds, there are 2"
    assert judgement.exit_code is ExitCode.INCONCLUSIVE


def test_a_run_that_failed_outweighs_every_interval(tmp_path):
    judgement, result = judged(
        tmp_path,
        change=lambda cell: {"verdict": "FAIL"} if cell.seed == 3 and not cell.baseline else {},
    )
    assert result.verdict is Verdict.PASS
    assert (judgement.verdict, judgement.exit_code) == (Verdict.FAIL, ExitCode.FAIL)
    assert judgement.counts() == {"PASS": 18, "FAIL": 2}
    assert judgement.counts("one", "smith") == {"PASS": 9, "FAIL": 1}


def test_runs_that_are_lacking_leave_it_open(tmp_path):
    judgement, result = judged(
        tmp_path, skip=lambda cell: cell.seed == 10 and cell.scenario == "two"
    )
    assert [cell.folder for cell in judgement.missing] == [
        "runs/two/smith-seed10",
        "runs/two/baseline-pi-seed10",
    ]
    assert (judgement.verdict, judgement.exit_code) == (Verdict.INCONCLUSIVE, ExitCode.INCONCLUSIVE)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason == "1 of 20 pairs are left out: 1 not completed"
    assert judgement.warnings[0] == (
        "2 of 40 planned runs are not finished: runs/two/baseline-pi-seed10, runs/two/smith-seed10"
    )


def test_an_interrupted_suite_still_fails_for_what_failed(tmp_path):
    judgement, _ = judged(
        tmp_path,
        skip=lambda cell: cell.scenario == "two",
        change=lambda cell: {} if cell.baseline else {"verdict": "FAIL"},
    )
    assert judgement.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("status", "verdict", "code"),
    [("aborted", Verdict.ABORTED, 4), ("error", Verdict.ERROR, 5)],
)
@pytest.mark.parametrize("baseline", [False, True])
def test_runs_that_did_not_complete_enter_no_pair(tmp_path, status, verdict, code, baseline):
    def change(cell):
        if cell.seed != 4 or cell.baseline is not baseline:
            return {}
        return {"status": status} | ({} if baseline else {"verdict": verdict.name})

    judgement, result = judged(tmp_path, change=change)
    assert (judgement.verdict, int(judgement.exit_code)) == (verdict, code)
    assert result.interval.pairs == 18
    assert result.reason == "2 of 20 pairs are left out: 2 not completed"
    assert judgement.warnings == (
        *(
            f"{verdict.name}, since a baseline did not complete: runs/{name}/baseline-pi-seed4"
            for name in ("one", "two")
            if baseline
        ),
        "smith against pi: 2 pairs are left out of comparisons (not run, not completed or without "
        "a value)",
    )


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_measurements_without_a_value_leave_it_open(tmp_path, nothing):
    def values(label, stratum, seed):
        lack = {"export_energy@1": nothing} if (label, seed) == ("pi", 1) else {}
        return energies(label, stratum, seed) | lack

    judgement, result = judged(tmp_path, values=values)
    assert result.reason == "2 of 20 pairs are left out: 2 without a value"
    assert judgement.verdict is Verdict.INCONCLUSIVE
    by_metric = {c.metric: c.left_out for c in judgement.comparisons}
    assert by_metric["export_energy@1"] == 2
    assert by_metric["objective@1"] == 0


def test_nothing_to_compare_is_an_error_never_a_pass(tmp_path):
    judgement, result = judged(tmp_path / "a", REDUCTION | {"vs": "zero"})
    assert result.verdict is Verdict.ERROR
    assert result.reason == "no baseline 'zero' in one, two"
    assert judgement.exit_code is ExitCode.ERROR
    _, result = judged(tmp_path / "b", {"metric": "self_consumption", "min": 0.5})
    assert result.reason == "there is no completed run; 20 have no value"
    _, result = judged(tmp_path / "c", REDUCTION, skip=lambda cell: cell.baseline)
    assert result.verdict is Verdict.ERROR
    assert result.reason == "there is no completed pair"


def test_a_baseline_of_zero_has_no_share(tmp_path):
    def values(label, stratum, seed):
        own = 1.0 if label == "smith" else 0.0
        return energies(label, stratum, seed) | {"unserved_energy@1": own}

    limit = {"metric": "unserved_energy", "vs": "pi"}
    _, result = judged(tmp_path / "a", limit | {"max_ratio": 1.1}, values=values)
    assert result.verdict is Verdict.FAIL
    assert result.interval.estimate == math.inf
    assert "bound max_increase" in result.reason
    _, result = judged(tmp_path / "b", limit | {"max_increase": 2}, values=values)
    assert result.verdict is Verdict.PASS

    def once(label, stratum, seed):
        own = 1.0 if (label, seed) == ("smith", 1) else 0.0
        return energies(label, stratum, seed) | {"unserved_energy@1": own}

    _, result = judged(tmp_path / "c", limit | {"max_ratio": 1.1}, values=once)
    assert (result.verdict, result.further_seeds) == (Verdict.INCONCLUSIVE, None)
    assert "bound max_increase" in result.reason


def test_a_negative_baseline_asks_for_more_not_less(tmp_path):
    def values(label, stratum, seed):
        j_wh = -105.0 if label == "smith" else -100.0
        return energies(label, stratum, seed) | {"objective@1": j_wh}

    limit = {"metric": "objective", "vs": "pi", "min_reduction": 0.1}
    _, result = judged(tmp_path / "a", limit, values=values)
    assert result.interval.estimate == pytest.approx(0.05)
    assert result.verdict is Verdict.FAIL
    _, result = judged(tmp_path / "b", limit | {"min_reduction": 0.04}, values=values)
    assert result.verdict is Verdict.PASS


def test_a_judged_policy_may_stand_for_the_baseline_of_its_name(tmp_path):
    plan = plan_of(policies=("smith", "pi"), baselines=())
    judgement, result = judged(tmp_path, plan=plan)
    own = judgement.interval_limits[1]
    assert (result.policy, result.verdict) == ("smith", Verdict.PASS)
    assert (own.policy, own.verdict) == ("pi", Verdict.FAIL)  # it does not beat itself
    assert own.interval.high == 0


def test_the_safe_state_and_the_rig_win(tmp_path):
    def change(cell):
        first = cell.seed == 1 and not cell.baseline
        return {"verdict": "ABORTED", "status": "aborted", "exit_code": 6} if first else {}

    judgement, _ = judged(tmp_path / "a", change=change)
    assert (judgement.verdict, judgement.exit_code) == (Verdict.ABORTED, ExitCode.RIG)


def test_results_that_contradict_one_another_are_an_error(tmp_path):
    make_suite(tmp_path)
    cell = plan_of()[0]
    note_row(tmp_path, row_of(cell, energies("smith", "one", 1)))
    judgement = judge_suite(tmp_path)
    assert judgement.verdict is Verdict.PASS
    assert judgement.warnings == (
        "runs/one/smith-seed1 is in results.jsonl twice, with the same result",
    )
    note_row(tmp_path, row_of(cell, energies("smith", "one", 2)))
    judgement = judge_suite(tmp_path)
    assert (judgement.verdict, judgement.exit_code) == (Verdict.ERROR, ExitCode.ERROR)
    assert judgement.problems[0] == (
        "runs/one/smith-seed1 has two results in results.jsonl that differ"
    )
    assert len(judgement.rows) == 40


def test_runs_that_nobody_planned_are_left_out(tmp_path):
    make_suite(tmp_path)
    stranger = plan_of(scenarios=("three",))[0]
    note_row(tmp_path, row_of(stranger, energies("smith", "three", 1), verdict="FAIL"))
    judgement = judge_suite(tmp_path)
    assert judgement.verdict is Verdict.PASS
    assert judgement.warnings == (
        "results.jsonl has runs that are not planned, left out: runs/three/smith-seed1",
    )


def test_a_plan_with_a_run_twice_is_an_error(tmp_path):
    plan = plan_of()
    judgement = judge_suite(make_suite(tmp_path, plan=(*plan, plan[0]), skip=lambda cell: True))
    assert judgement.problems == ("suite.json plans a run twice: runs/one/smith-seed1",)


def test_a_limit_that_cannot_be_read_is_an_error(tmp_path):
    folder = make_suite(tmp_path, interval_limits=[{"metric": "export_enery", "max": 1}])
    judgement = judge_suite(folder)
    assert judgement.exit_code is ExitCode.ERROR
    assert (
        "interval limit 1 cannot be read: metric: no metric 'export_enery'"
        in (judgement.problems[0])
    )


def test_the_order_in_which_runs_finished_does_not_matter(tmp_path):
    folders = [
        make_suite(tmp_path / name, interval_limits=[REDUCTION], backwards=name == "b")
        for name in "ab"
    ]
    texts = [store_suite(judge_suite(folder)).read_bytes() for folder in folders]
    assert texts[0] == texts[1]
    shown = json.loads(texts[0])
    assert (shown["verdict"], shown["exit_code"], shown["suite"]) == ("PASS", 0, "small")
    assert shown["runs"][0]["folder"] == "runs/one/smith-seed1"
    assert shown["interval_limits"][0]["interval"]["low"] > 0.1


def test_comparisons_and_what_they_consist_of(tmp_path):
    judgement, result = judged(tmp_path, plan=plan_of(baselines=("zero", "pi")))
    found = {(c.baseline, c.metric): c for c in judgement.comparisons}
    assert {baseline for baseline, _ in found} == {"zero", "pi"}
    export = found["pi", "export_energy@1"]
    assert export.reduction == result.interval
    assert set(export.by_stratum) == {"one", "two"}
    by_stratum = [interval.estimate for interval in export.by_stratum.values()]
    assert export.reduction.estimate == pytest.approx(sum(by_stratum) / 2)
    assert export.probability_of_improvement.estimate == 1
    assert found["pi", "import_energy@1"].probability_of_improvement.estimate == 0.5
    assert not any("decision_latency" in c.metric for c in judgement.comparisons)


def test_rates_of_what_never_happened(tmp_path):
    plan = plan_of(scenarios=[f"s{k}" for k in range(12)], seeds=range(20))
    judgement, _ = judged(tmp_path / "a", plan=plan)
    (rate,) = judgement.rates
    assert rate.text == "0 safety violations in 240 h: rate < 1 in 80 h at 95 %"
    assert (rate.events, rate.hours) == (0, 240)

    def values(label, stratum, seed):
        return energies(label, stratum, seed) | {"safety_violations@1": float(seed == 1)}

    judgement, _ = judged(tmp_path / "b", plan=plan, values=values)
    (rate,) = judgement.rates
    assert rate.events == 12
    assert "if each is an event of its own" in rate.text


def a_bracket(folder, stratum, seed, **changes):
    """Write a bracket into the folder of smith's run, which has the row's trace hash."""
    (row,) = (
        r for r in read_rows(folder)
        if (r.cell.stratum, r.cell.policy, r.cell.seed) == (stratum, "smith", seed)
    )  # fmt: skip
    place = folder / row.cell.folder
    place.mkdir(parents=True, exist_ok=True)
    given = {"zero": 900.0, "smith": 300.0, "bound": 200.0}
    content = {"trace_sha256": row.trace_sha256, "policy": "smith", "objective_wh": given}
    write_bracket(place, Bracket(**{**content, **changes}))
    return place


def test_brackets_are_those_of_the_first_seeds(tmp_path):
    folder = make_suite(tmp_path)
    a_bracket(folder, "one", 1)
    a_bracket(folder, "one", 2, objective_wh={"smith": 1.0})
    judgement = judge_suite(folder)
    (bracket,) = judgement.brackets["one"]
    assert bracket.score("smith") == pytest.approx(100 * 600 / 700)
    assert judgement.verdict is Verdict.PASS
    assert judgement.as_dict()["brackets"]["one"][0]["gap_wh"] is None
    assert "one  smith  score 85.7" in "\n".join(suite_lines(judgement))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective_wh": {"smith": 100.0, "bound": 200.0}}, "is below the bound"),
        ({"trace_sha256": "00" * 32}, "belongs to another run"),
    ],
)
def test_a_bracket_that_cannot_be_is_an_error(tmp_path, changes, said):
    folder = make_suite(tmp_path)
    a_bracket(folder, "one", 1, **changes)
    judgement = judge_suite(folder)
    assert said in judgement.problems[0]
    assert (judgement.verdict, judgement.exit_code) == (Verdict.ERROR, ExitCode.ERROR)


def test_a_bracket_that_was_changed_is_an_error(tmp_path):
    folder = make_suite(tmp_path)
    path = a_bracket(folder, "two", 1) / "bracket.json"
    path.write_text(path.read_text().replace("900", "901"))
    assert "was changed" in judge_suite(folder).problems[0]


def test_a_folder_that_is_no_suites(tmp_path):
    with pytest.raises(RecordError, match=r"suite.json is missing"):
        judge_suite(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "MAYBE"}, "'MAYBE' is no verdict"),
        ({"verdict": None}, "a judged run has no verdict"),
        ({"exit_code": 2}, "exit code 2"),
        ({"exit_code": 11}, "11 is not a valid ExitCode"),
        ({"limits": [{}]}, "a limit lacks bound, direction, limit"),
    ],
)
def test_a_line_that_no_run_can_have_written(tmp_path, change, message):
    make_suite(tmp_path)
    path = tmp_path / RESULTS_FILE
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = json.dumps(json.loads(lines[2]) | change) + "\n"
    path.write_text("".join(lines))
    with pytest.raises(RecordError, match=rf"results.jsonl:3 is damaged: .*{message}"):
        judge_suite(tmp_path)
