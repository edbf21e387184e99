"""Judging from the folder alone: repeatability, status, tampering."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from wattbench.evaluation.judge import judge, store_judgement
from wattbench.evaluation.record import RecordWriter
from wattbench.evaluation.streams import open_parquet, write_parquet
from wattbench.evaluation.verdict import ExitCode, Verdict

GOLDEN = Path(__file__).parents[1] / "fixtures" / "records" / "v1"


@pytest.fixture
def folder_of(make_record, builders):
    """Return the folder of a record with these limits; it exports 10 Wh."""

    def of(*limits, baselines=None, decision_rule=None, **how):
        header = builders.header(baselines=baselines or {})
        header["scenario"]["limits"] = list(limits)
        if decision_rule is not None:
            header["scenario"]["decision_rule"] = decision_rule
        truth = builders.truth(3, grid__net__export_energy_wh=[1.0, 5.0, 10.0])
        return make_record(header=header, truth=truth, **how).folder

    return of


EXPORT = {"metric": "export_energy", "max": 10.0}


def test_all_limits_kept_is_a_pass(folder_of):
    judgement = judge(folder_of(EXPORT, {"metric": "import_energy", "max": 0}))
    assert judgement.verdict is Verdict.PASS
    assert judgement.exit_code is ExitCode.PASS
    assert judgement.reason == ""
    assert [result.measured for result in judgement.limits] == [10.0, 0.0]
    assert judgement.warnings == ()


@pytest.mark.parametrize(
    ("limit", "verdict", "reason"),
    [
        ({"metric": "export_energy", "max": 9}, "FAIL", "export_energy ≤ 9 Wh"),
        ({"metric": "export_energy", "max": 9, "uncertainty": 2}, "INCONCLUSIVE",
         "export_energy ≤ 9 Wh: within the uncertainty of 2 Wh"),
        ({"metric": "self_consumption", "min": 0}, "ERROR",
         "self_consumption ≥ 0: there is no measured value"),
        ({"metric": "export_energy", "vs": "pi", "max_ratio": 1}, "ERROR",
         "export_energy ≤ 1 × pi: the record has no baseline 'pi' "
         "(it has: none, as a baseline's own record)"),
    ],
)  # fmt: skip
def test_the_worst_limit_decides_and_is_the_reason(folder_of, limit, verdict, reason):
    judgement = judge(folder_of(EXPORT, limit))
    assert judgement.verdict.name == verdict
    assert judgement.reason == reason


def test_an_unknown_decision_rule_is_an_error_and_a_known_one_is_applied(folder_of):
    near = {"metric": "export_energy", "max": 10.5, "uncertainty": 1}
    judgement = judge(folder_of(near, decision_rule="simple"))
    assert (judgement.verdict, judgement.limits[0].rule) == (Verdict.PASS, "± 1 Wh, simple")
    judgement = judge(folder_of(near, decision_rule="lenient"))
    assert judgement.verdict is Verdict.ERROR
    assert judgement.reason == "decision_rule is 'lenient', which is none; allowed: simple, guarded"


def test_baselines_are_judged_from_the_record(folder_of):
    limit = {"metric": "export_energy", "vs": "pi", "min_reduction": "10 %"}
    baselines = {"pi": {"export_energy@1": 11.0}}
    assert judge(folder_of(limit, baselines=baselines)).verdict is Verdict.FAIL
    baselines = {"pi": {"export_energy@1": 12.0}}
    assert judge(folder_of(limit, baselines=baselines)).verdict is Verdict.PASS


def test_a_run_of_which_nothing_is_judged_does_not_pass(folder_of):
    for limits in ((), ({"metric": "deadline_misses", "max": 0},)):
        judgement = judge(folder_of(*limits))
        assert judgement.verdict is Verdict.INCONCLUSIVE
        assert judgement.reason == "no limit was judged"


@pytest.mark.parametrize(
    ("status", "verdict", "code"),
    [("interrupted", "ABORTED", 4), ("aborted", "ABORTED", 4), ("error", "ERROR", 5)],
)
def test_a_run_that_was_cut_short_is_not_judged_by_its_limits(folder_of, status, verdict, code):
    judgement = judge(folder_of(EXPORT, {"metric": "objective", "max": -1e9}, status=status))
    assert (judgement.verdict.name, judgement.exit_code) == (verdict, code)
    assert [result.verdict for result in judgement.limits] == [None, None]
    assert judgement.limits[0].measured == 10.0
    assert "a test says so" in judgement.reason


def test_a_killed_run_is_aborted(tmp_path, builders):
    writer = RecordWriter(tmp_path / "run", builders.header())
    judgement = judge(writer.partial)
    assert judgement.verdict is Verdict.ABORTED
    assert "before it could close the record" in judgement.reason


def test_a_safe_state_that_was_not_reached_outweighs_everything(folder_of):
    judgement = judge(folder_of(EXPORT, safe_state={"confirmed": False}))
    assert judgement.verdict is Verdict.PASS
    assert judgement.exit_code is ExitCode.UNSAFE


def edit_json(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def bend_truth(folder):
    path = folder / "trace" / "truth.parquet"
    stream = open_parquet("truth", path)
    columns = {name: np.array(values) for name, values in stream.items()}
    columns["grid.net.export_energy_wh"] *= 0.5
    write_parquet(path, columns, stream.units)


def loosen_limit(folder):
    def edit(content):
        content["scenario"]["limits"][0]["max"] = 1e9

    edit_json(folder / "record.json", edit)


def raise_baseline(folder):
    def edit(content):
        content["baselines"]["pi"]["export_energy@1"] = 1e9

    edit_json(folder / "record.json", edit)


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (bend_truth, "trace/ was changed after the run"),
        (lambda f: (f / "trace/truth.parquet").unlink(), "trace/ was changed after the run"),
        (lambda f: (f / "trace/truth.parquet").rename(f / "trace/other.parquet"), "trace/ was"),
        (lambda f: (f / "events.jsonl").write_text('{"kind": "x"}\n'), "events.jsonl was changed"),
        (lambda f: (f / "timing.parquet").unlink(), "timing.parquet is missing"),
        (loosen_limit, "record.json was changed after the run"),
        (raise_baseline, "record.json was changed after the run"),
    ],
)
def test_tampering_is_an_error(folder_of, tamper, problem):
    steps = np.arange(3)
    folder = folder_of(
        EXPORT, {"metric": "export_energy", "vs": "pi", "max_ratio": 2},
        baselines={"pi": {"export_energy@1": 9.0}},
        timing={"step": steps, "t_mono_ns": steps, "decide_ns": steps},
    )  # fmt: skip
    assert judge(folder).verdict is Verdict.PASS
    tamper(folder)
    judgement = judge(folder)
    assert judgement.verdict is Verdict.ERROR
    assert judgement.exit_code is ExitCode.ERROR
    assert judgement.reason.startswith(problem)
    assert all(result.verdict is None for result in judgement.limits)


def test_stored_measurements_do_not_count_but_a_difference_is_told(folder_of):
    folder = folder_of({"metric": "export_energy", "max": 9.0})
    edit_json(
        folder / "measurements.json",
        lambda content: content["measurements"].update({"export_energy@1": 1.0, "gone@1": 3.0}),
    )
    judgement = judge(folder)
    assert judgement.verdict is Verdict.FAIL
    assert judgement.warnings == ("export_energy@1 was stored as 1 and is 10 computed again",)


def test_a_limit_of_an_unknown_metric_is_an_error(folder_of):
    judgement = judge(folder_of({"metric": "fuel", "max": 1}))
    assert judgement.verdict is Verdict.ERROR
    assert judgement.reason.startswith("limit 1 cannot be read: metric: no metric 'fuel'")


def test_judging_again_gives_the_same(folder_of):
    folder = folder_of(EXPORT)
    first = judge(folder)
    store_judgement(first)
    again = judge(folder)
    assert again.as_dict() == first.as_dict()
    stored = json.loads((folder / "measurements.json").read_text())
    assert stored["judgement"]["verdict"] == "PASS"
    assert stored["judgement"]["limits"][0]["metric"] == "export_energy@1"


def test_the_golden_record_keeps_its_verdict():
    judgement = judge(GOLDEN)
    assert judgement.verdict is Verdict.PASS
    assert judgement.warnings == ()
    assert [result.word for result in judgement.limits] == ["PASS", "PASS", "PASS", "not judged"]
    assert judgement.limits[0].measured == pytest.approx(14.0277777)
    assert judgement.limits[1].bound == pytest.approx(18.0)
