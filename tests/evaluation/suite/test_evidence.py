"""What a suite keeps is held against itself and against its records: edits are found."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from wattbench.evaluation.files import DamagedError, RecordError
from wattbench.evaluation.model import content_hash, json_text
from wattbench.evaluation.suite.judge import judge_suite
from wattbench.evaluation.suite.results import (
    IDENTITY_FILE,
    RESULTS_FILE,
    append_row,
    hash_of,
    read_identity,
    read_rows,
    write_identity,
)
from wattbench.evaluation.suite.text import suite_lines
from wattbench.evaluation.verdict import ExitCode, Verdict

from .folders import energies, make_suite, note_row, plan_of, row_of, write_record

PLAN = plan_of(scenarios=("one",), seeds=(1, 2, 3))
STRATUM = {
    "scenario": "one",
    "variant": "",
    "hash": "0",
    "duration_s": 3600.0,
    "policies": ["smith"],
    "baselines": ["pi"],
}


def planned(folder, **how):
    """Return a suite that says its strata, from which its plan follows."""
    cells = [cell for seed in (1, 2, 3) for cell in PLAN if cell.seed == seed]
    plan = tuple(sorted(cells, key=lambda cell: (cell.seed, not cell.baseline)))
    return make_suite(folder, plan=plan, strata=[STRATUM], seeds=[1, 2, 3], **how)


def edit_line(folder, number, change, *, rehash=False):
    """Edit a line of results.jsonl, by hand or as one who computes its hash anew."""
    path = folder / RESULTS_FILE
    lines = path.read_text().splitlines()
    content = json.loads(lines[number - 1])
    change(content)
    if rehash:
        del content["content_sha256"]
        content["content_sha256"] = content_hash(content)
    lines[number - 1] = json_text(content, indent=None)
    path.write_text("".join(f"{line}\n" for line in lines))


def test_a_whole_suite_has_nothing_wrong(tmp_path):
    judgement = judge_suite(planned(tmp_path))
    assert (judgement.verdict, judgement.problems, judgement.gone) == (Verdict.PASS, (), ())
    assert not judgement.warnings


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row["measurements"].update({"objective@1": 0.0}),
        lambda row: row.update(reason="fine"),
        lambda row: row["cell"].update(seed=9),
        lambda row: row.pop("content_sha256"),
        lambda row: row.update(something="new"),
    ],
)
def test_an_edited_line_is_found(tmp_path, change):
    folder = planned(tmp_path)
    edit_line(folder, 2, change)
    message = r"results.jsonl:2 is damaged: it was changed after it was written; remove this line"
    with pytest.raises(DamagedError, match=message):
        judge_suite(folder)


def test_a_line_of_another_suite_is_found(tmp_path):
    folder = planned(tmp_path)
    row = read_rows(folder)[3]
    (folder / RESULTS_FILE).write_text("")
    append_row(folder, row, "e" * 64)
    with pytest.raises(DamagedError, match=r"results.jsonl:1 is damaged: it belongs to another"):
        read_rows(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measurements": None}, "measurements: input should be an object"),
        ({"measurements": {"objective@1": "much"}}, "measurements.objective@1"),
        ({"duration_s": "x"}, "duration_s: input should be a valid number"),
        ({"cell": {"scenario": "one"}}, "cell.variant: field required"),
        ({"status": "aborted"}, "its status is aborted, and its verdict PASS"),
        ({"exit_code": 1}, "its verdict is PASS, and its exit code 1"),
    ],
)
def test_values_that_no_run_can_have(tmp_path, change, message):
    folder = planned(tmp_path)
    edit_line(folder, 2, lambda row: row.update(change), rehash=True)
    with pytest.raises(DamagedError, match=rf"results.jsonl:2 is damaged: {message}"):
        judge_suite(folder)


def test_a_verdict_better_than_a_limit(tmp_path):
    folder = planned(tmp_path)
    edit_line(folder, 2, lambda row: row["limits"][0].update(verdict="FAIL"), rehash=True)
    with pytest.raises(DamagedError, match=r"it is PASS, and its limit 'export_energy ≤ 2 kWh'"):
        judge_suite(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["suite"].update(interval_limits=[]),
        lambda said: said["plan"].pop(),
        lambda said: said.update(git_revision="other"),
        lambda said: said.pop("content_sha256"),
    ],
)
def test_an_edited_suite_is_found(tmp_path, change):
    limit = {"metric": "export_energy", "vs": "pi", "min_reduction": "10 %"}
    folder = planned(tmp_path, interval_limits=[limit])
    said = json.loads((folder / IDENTITY_FILE).read_text())
    change(said)
    (folder / IDENTITY_FILE).write_text(json_text(said))
    with pytest.raises(DamagedError, match=r"suite.json was changed after it was written"):
        judge_suite(folder)


@pytest.mark.parametrize("change", [{"suite": []}, {"plan": [{"seed": [1]}]}, {"name": 3}])
def test_a_suite_of_the_wrong_shape_is_damaged(tmp_path, change):
    folder = planned(tmp_path)
    said = json.loads((folder / IDENTITY_FILE).read_text())
    (folder / IDENTITY_FILE).write_text(json_text(said | change))
    with pytest.raises(DamagedError, match=r"suite.json is damaged: (suite|plan|name)"):
        judge_suite(folder)


def test_hash_and_plan_follow_from_the_suite(tmp_path):
    folder = planned(tmp_path)
    said = read_identity(folder)
    fewer = {**said.suite, "seeds": [1, 2]}
    for wrong in (
        dataclasses.replace(said, suite=fewer),
        dataclasses.replace(said, suite=fewer, suite_hash=hash_of(fewer)),
        dataclasses.replace(said, plan=said.plan[:-1]),
    ):
        write_identity(folder, wrong)  # with a content hash that is right
        with pytest.raises(DamagedError, match=r"was changed"):
            read_identity(folder)


def test_what_is_missing_is_not_damaged(tmp_path):
    with pytest.raises(RecordError) as caught:
        read_identity(tmp_path)
    assert not isinstance(caught.value, DamagedError)


def record_of(folder, name, change):
    """Change a record's header, its hash computed anew."""
    path = folder / "runs" / "one" / name / "record.json"
    header = json.loads(path.read_text())
    del header["content_sha256"]
    header.update(change)
    header["content_sha256"] = content_hash(header)
    path.write_text(json_text(header))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": 7}, "seed"),
        ({"policy": {"kind": "pi", "name": "pi"}}, "policy"),
        ({"trace_sha256": "ab"}, "trace_sha256"),
        ({"status": "error"}, "status"),
    ],
)
def test_a_record_that_is_not_the_rows(tmp_path, change, word):
    folder = planned(tmp_path)
    record_of(folder, "smith-seed2", change)
    judgement = judge_suite(folder)
    assert judgement.problems == (
        f"runs/one/smith-seed2: record.json has another {word} than its row in results.jsonl. To "
        "mend it, remove the folder and its line in results.jsonl, and go on with --resume",
    )
    assert (judgement.verdict, judgement.exit_code) == (Verdict.ERROR, ExitCode.ERROR)


def test_a_record_in_the_place_of_another(tmp_path):
    folder = planned(tmp_path)
    place = folder / "runs" / "one"
    shutil.rmtree(place / "smith-seed2")
    shutil.copytree(place / "smith-seed1", place / "smith-seed2")
    (problem,) = judge_suite(folder).problems
    assert "another seed, trace_sha256 than its row" in problem
    assert "measurements.json has another export_energy@1 and 3 more than its row" in problem


def test_an_edited_record(tmp_path):
    folder = planned(tmp_path)
    place = folder / "runs" / "one"
    header = place / "smith-seed1" / "record.json"
    header.write_text(header.read_text().replace('"seed": 1', '"seed": 1, "note": "mine"'))
    (place / "smith-seed2" / "record.json").write_text("{")
    stored = place / "smith-seed3" / "measurements.json"
    stored.write_text(
        stored.read_text().replace('"import_energy@1": 303.0', '"import_energy@1": 0')
    )
    (place / "baseline-pi-seed1" / "measurements.json").unlink()
    (place / "baseline-pi-seed2" / "measurements.json").write_text('{"measurements": []}')
    found = {problem.partition(". To mend")[0] for problem in judge_suite(folder).problems}
    row = "than its row in results.jsonl"
    assert found == {
        "runs/one/smith-seed1: record.json was changed after the run",
        "runs/one/smith-seed2: record.json is damaged: Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1)",
        f"runs/one/smith-seed3: measurements.json has another import_energy@1 {row}",
        "runs/one/baseline-pi-seed1: measurements.json is missing",
        f"runs/one/baseline-pi-seed2: measurements.json has another 'measurements' {row}",
    }


def test_a_row_of_another_duration(tmp_path):
    folder = planned(tmp_path, change=lambda cell: {"duration_s": 60.0} if cell.seed == 1 else {})
    problems = judge_suite(folder).problems
    assert len(problems) == 2
    assert "its row has another duration_s than the suite" in problems[0]


def test_records_that_are_gone_are_said_and_the_rows_count(tmp_path):
    folder = planned(tmp_path)
    shutil.rmtree(folder / "runs")
    judgement = judge_suite(folder)
    assert (judgement.verdict, judgement.problems) == (Verdict.PASS, ())
    assert len(judgement.gone) == 6
    assert judgement.warnings[0].startswith("6 of 6 finished runs have no record any more")
    assert suite_lines(judgement)[-1] == (
        "PASS  small: 3 judged runs: 3 PASS; records that are gone: 6"
    )


def test_a_run_that_was_made_twice_is_held_by_its_last_row(tmp_path):
    folder = planned(tmp_path)
    row = row_of(PLAN[0], energies("smith", "one", 2))
    note_row(folder, row)
    write_record(folder, row)
    (problem,) = judge_suite(folder).problems
    assert problem == "runs/one/smith-seed1 has two results in results.jsonl that differ"
