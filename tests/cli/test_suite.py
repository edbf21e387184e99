"""`wattbench suite` from a file to one verdict, and every way in which it ends early."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattbench.commands.suite import runner
from wattbench.commands.suite.command import SuiteOptions, suite
from wattbench.commands.suite.folder import in_use
from wattbench.commands.suite.judging import judge
from wattbench.evaluation.suite.results import (
    RunRow,
    append_row,
    read_identity,
    read_rows,
    write_identity,
)
from wattbench.hil import bench, execute
from wattbench.hil.errors import RigError

SUITE = """\
title: Small enough to be run again and again
scenarios:
  - {scenario: export/cloud_edges, name: edges, set: {clock: {duration_s: 3 min}, limits: []}}
variants:
  - {name: plain}
  - {name: far, set: {edge: {mesh: {hops: 4}}}}
policies: [{kind: smith}]
baselines: [{kind: zero}, {kind: pi}]
seeds: [1, 2, 3]
limits:
  - {metric: safety_violations, max: 0}
  - {metric: export_energy, vs: zero, max_ratio: 1}
interval_limits:
  - {metric: export_energy, vs: zero, min_reduction: 1 %, level: 70 %}
"""
RUNS = 18
#: Measured on the machine, so that they differ from run to run.
MEASURED = ("decision_latency", "deadline_misses")
#: Of a record's header, what differs from run to run.
PASSING = ("machine", "speed_x_realtime", "timing_sha256", "content_sha256")

Write = Callable[[str], Path]


def write_suite(folder: Path, text: str = SUITE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Return a suite's rows by the place of their records, without what was measured in time."""
    found = {}
    for row in read_rows(folder):
        known = {k: v for k, v in row.measurements.items() if not k.startswith(MEASURED)}
        limits = [dict(limit) for limit in row.limits]
        assert row.cell.folder not in found, "a run was made twice"
        found[row.cell.folder] = {
            "status": row.status,
            "verdict": row.verdict,
            "exit_code": row.exit_code,
            "limits": limits,
            "measurements": known,
            "trace": row.trace_sha256,
        }
    return found


def records(folder: Path) -> dict[str, Any]:
    """Return what is in the records of a suite, without what was measured in time."""
    found: dict[str, Any] = {}
    for path in sorted((folder / "runs").rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "record.json":
            header = json.loads(path.read_text())
            for measured in header["baselines"].values():
                for key in [key for key in measured if key.startswith(MEASURED)]:
                    del measured[key]
            found[name] = {key: value for key, value in header.items() if key not in PASSING}
        elif path.name not in {"timing.parquet", "measurements.json"} and path.is_file():
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the suite to its end in this process; return its folder."""
    folder = tmp_path_factory.mktemp("reference")
    assert (
        suite(SuiteOptions(str(write_suite(folder)), folder, jobs=1, bracket=False), as_json=False)
        == 0
    )
    return folder / "small"


def started(path: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """Start the command in a process group of its own."""
    words = ["-m", "wattbench", "suite", str(path), "--out", str(out), "--no-bracket", *more]
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_rows(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    """Wait until a suite has finished so many runs."""
    path = folder / "results.jsonl"
    for _ in range(12_000):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("no runs were finished")


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the worker processes of a command."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_text() for pid in children}
    return [pid for pid, line in lines.items() if "spawn_main" in line]


def finished_untouched(before: bytes, folder: Path) -> bool:
    """Return whether rows that were there are there still, each once."""
    whole = before[: before.rfind(b"\n") + 1]
    return (folder / "results.jsonl").read_bytes().startswith(whole)


def test_runs_are_made_in_the_plans_order(reference: Path) -> None:
    plan = [cell.folder for cell in read_identity(reference).plan]
    assert plan[:4] == [
        "runs/edges@plain/baseline-zero-seed1",
        "runs/edges@plain/baseline-pi-seed1",
        "runs/edges@plain/smith-seed1",
        "runs/edges@plain/baseline-zero-seed2",
    ]
    assert plan[-1] == "runs/edges@far/smith-seed3"
    assert len(plan) == RUNS
    assert list(rows(reference)) == plan


def test_rows_say_what_judging_the_records_says(
    reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge([reference / "runs" / "edges@far"], as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["runs"]) == 3
    found = rows(reference)
    for run in shown["runs"]:
        row = found[str(Path(run["path"]).relative_to(reference))]
        assert run["verdict"] == row["verdict"]
        assert run["judgement"]["limits"] == row["limits"]
        assert run["judgement"]["warnings"] == []  # measured again, nothing differs


def test_the_suites_files(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = json.loads((reference / "summary.json").read_text())
    assert summary["verdict"] == "PASS"
    assert "<testsuite " in (reference / "junit.xml").read_text()
    assert judge([reference], as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "PASS"
    assert not list((reference / "runs").rglob("report.html"))


def test_judging_a_damaged_suite(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(reference / "suite.json", tmp_path)
    (tmp_path / "results.jsonl").write_text("{}\n")
    assert judge([tmp_path], as_json=True) == 5
    shown = capsys.readouterr()
    assert json.loads(shown.out)["verdict"] == "ERROR"
    assert "results.jsonl:1 is damaged: cell: field required; remove this line" in shown.err


def test_resuming_a_finished_suite_runs_nothing(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(reference, tmp_path / "small")
    before = (folder / "results.jsonl").read_bytes()
    path = write_suite(tmp_path)
    options = SuiteOptions(str(path), tmp_path, jobs=1, resume=True, bracket=False)
    assert suite(options, as_json=True) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["verdict"] == "PASS"
    assert f"all {RUNS} runs are there" in shown.err
    assert (folder / "results.jsonl").read_bytes() == before


def test_each_policy_is_bracketed_on_every_first_seed(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(reference, tmp_path / "small")
    options = SuiteOptions(str(write_suite(tmp_path)), tmp_path, jobs=1, resume=True)
    assert suite(options, as_json=True) == 0
    found = {str(path.parent.relative_to(folder)) for path in folder.rglob("bracket.json")}
    assert found == {f"runs/edges@{variant}/smith-seed1" for variant in ("plain", "far")}
    told = json.loads(capsys.readouterr().out)["brackets"]
    assert all(told[name][0]["regret_wh"] > 0 for name in ("edges@plain", "edges@far"))
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("bracket.json")}
    assert suite(options, as_json=True) == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written
    capsys.readouterr()
    damaged = next(iter(written))
    damaged.write_text("{")
    assert suite(options, as_json=True) == 0  # a bad one is written again, the other is not
    assert "brackets of 1 run," in capsys.readouterr().err
    assert json.loads(damaged.read_text())["policy"] == "smith"


def test_without_resume_a_folder_is_kept(reference: Path, tmp_path: Path) -> None:
    shutil.copytree(reference, tmp_path / "small")
    path = write_suite(tmp_path / "files", SUITE.replace("[1, 2, 3]", "[1]"))
    options = SuiteOptions(str(path), tmp_path, jobs=1, bracket=False)
    assert suite(options, as_json=False) == 3  # one seed is too little for the interval
    assert len(rows(tmp_path / "small")) == RUNS
    assert len(rows(tmp_path / "small-2")) == RUNS // 3


@pytest.mark.slow
def test_two_jobs_find_what_one_finds(reference: Path, tmp_path: Path) -> None:
    process = started(write_suite(tmp_path), tmp_path, "--json", "--junit", str(tmp_path / "j.xml"))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert rows(tmp_path / "small") == rows(reference)
    assert records(tmp_path / "small") == records(reference)
    assert json.loads(out)["verdict"] == "PASS"
    assert (tmp_path / "j.xml").read_bytes() == (tmp_path / "small" / "junit.xml").read_bytes()
    plan = err.splitlines()
    assert plan[0] == f"suite small: 1 scenario × 2 variants × 3 seeds, {RUNS} runs with baselines"
    assert plan[1] == "each scenario is built once, and a first one tried out ..."
    assert plan[2].startswith("the runs take ")
    assert plan[2].endswith(" with 2 jobs")


@pytest.mark.slow
def test_a_suite_killed_midway_is_resumed(reference: Path, tmp_path: Path) -> None:
    path, folder = write_suite(tmp_path), tmp_path / "small"
    process = started(path, tmp_path)
    wait_for_rows(process, folder, 4)
    process.kill()
    process.communicate()
    before = (folder / "results.jsonl").read_bytes()
    assert before.count(b"\n") < RUNS
    traces = {str(p): p.stat().st_mtime_ns for p in folder.rglob("truth.parquet")}
    noted = [row.cell.folder for row in read_rows(folder)]

    resumed = started(path, tmp_path, "--resume")
    _, err = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, err
    assert finished_untouched(before, folder)
    for place in noted:  # finished runs were not made again
        trace = folder / place / "trace" / "truth.parquet"
        assert trace.stat().st_mtime_ns == traces[str(trace)]
    assert rows(folder) == rows(reference)
    assert records(folder) == records(reference)
    assert not list(folder.rglob("*.partial*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_says_how_to_go_on(
    reference: Path, tmp_path: Path, number: signal.Signals
) -> None:
    path, folder = write_suite(tmp_path), tmp_path / "small"
    process = started(path, tmp_path)
    wait_for_rows(process, folder, 2)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert f"stopped by {number.name}" in err
    assert "Traceback" not in err
    before = (folder / "results.jsonl").read_bytes()
    assert {row.status for row in read_rows(folder)} == {"completed"}

    words = shlex.split(err.splitlines()[-1].partition("to go on: wattbench ")[2])
    done = subprocess.run(
        [sys.executable, "-m", "wattbench", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert finished_untouched(before, folder)
    assert rows(folder) == rows(reference)


@pytest.mark.slow
def test_a_killed_worker_ends_it_in_one_line(reference: Path, tmp_path: Path) -> None:
    path, folder = write_suite(tmp_path), tmp_path / "small"
    process = started(path, tmp_path)
    wait_for_rows(process, folder, 2)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "a worker process was killed" in err
    assert "Traceback" not in err
    assert (
        suite(SuiteOptions(str(path), tmp_path, jobs=1, resume=True, bracket=False), as_json=False)
        == 0
    )
    assert rows(folder) == rows(reference)


def test_what_a_kill_leaves_is_mended(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A torn line, a record that was not noted, one that was stopped, one half written."""
    path, folder = write_suite(tmp_path), tmp_path / "small"
    shutil.copytree(reference, folder)
    lines = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    (folder / "results.jsonl").write_text("".join(lines[:14]) + lines[14][:100])
    half, stopped = (folder / "runs" / "edges@far" / name for name in HALF_AND_STOPPED)
    half.rename(half.with_name(half.name + ".partial"))
    header = json.loads((stopped / "record.json").read_text())
    header["status"] = "aborted"
    (stopped / "record.json").write_text(json.dumps(header))
    kept = folder / "runs" / "edges@far" / "smith-seed2" / "record.json"
    written_ns = kept.stat().st_mtime_ns

    assert (
        suite(SuiteOptions(str(path), tmp_path, jobs=1, resume=True, bracket=False), as_json=False)
        == 0
    )
    assert "16 of them finished" in capsys.readouterr().err
    assert rows(folder) == rows(reference)
    assert records(folder) == records(reference)
    assert kept.stat().st_mtime_ns == written_ns  # taken over, not run again
    assert not list(folder.rglob("*.partial*"))


HALF_AND_STOPPED = ("baseline-zero-seed3", "baseline-pi-seed3")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("hops: 4", "hops: 3"), "scenario 'edges@far'"),
        (("[1, 2, 3]", "[1, 2]"), "seeds"),
        (("max: 0", "max: 1"), "scenario 'edges@plain'; scenario 'edges@far'"),
        (("{name: far,", "{name: near,"), "scenario 'edges@far' is gone; scenario 'edges@near'"),
        (("1 %", "2 %"), "changed: interval_limits"),
        (("{kind: smith}", "{kind: threshold}"), "changed: policies (smith; now threshold)."),
    ],
)
def test_a_changed_suite_is_not_resumed(
    reference: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    what: str,
) -> None:
    path = write_suite(tmp_path, SUITE.replace(*change))
    before = (reference / "results.jsonl").read_bytes()
    options = SuiteOptions(str(path), reference.parent, jobs=1, resume=True, bracket=False)
    assert suite(options, as_json=False) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be resumed" in line
    assert what in line
    assert "leave out --resume" in line
    assert (reference / "results.jsonl").read_bytes() == before


def test_another_wattbench_does_not_resume(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = write_suite(tmp_path), tmp_path / "small"
    folder.mkdir()
    said = read_identity(reference)
    packages = {**said.packages, "numpy": "0.1"}
    write_identity(folder, replace(said, packages=packages, wattbench_version="0.0.1"))
    assert (
        suite(SuiteOptions(str(path), tmp_path, jobs=1, resume=True, bracket=False), as_json=False)
        == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert "wattbench 0.0.1 is" in line
    assert "numpy 0.1 is" in line


def test_one_process_at_a_time(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = write_suite(tmp_path), tmp_path / "small"
    shutil.copytree(reference, folder)
    with in_use(folder):
        assert (
            suite(
                SuiteOptions(str(path), tmp_path, jobs=1, resume=True, bracket=False), as_json=False
            )
            == 2
        )
    shown = capsys.readouterr().err
    assert "another process runs this suite" in shown
    assert "to go on" not in shown


def test_the_record_of_another_run_is_not_taken_over(reference: Path, tmp_path: Path) -> None:
    """Copied over: another seed's, another policy's, another variant's."""
    path, folder = write_suite(tmp_path), tmp_path / "small"
    shutil.copytree(reference, folder)
    for mine, other in (
        ("edges@plain/smith-seed2", "edges@plain/smith-seed1"),
        ("edges@plain/smith-seed3", "edges@plain/baseline-pi-seed3"),
        ("edges@far/smith-seed1", "edges@plain/smith-seed1"),
    ):
        shutil.rmtree(folder / "runs" / mine)
        shutil.copytree(folder / "runs" / other, folder / "runs" / mine)
    lines = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["cell"]["policy"] != "smith"]
    (folder / "results.jsonl").write_text("".join(kept))
    options = SuiteOptions(str(path), tmp_path, jobs=1, resume=True, bracket=False)
    assert suite(options, as_json=False) == 0
    assert {row["trace"] for row in rows(folder).values()} == {
        row["trace"] for row in rows(reference).values()
    }
    found, known = rows(folder), rows(reference)
    assert found == {place: known[place] for place in found}
    assert len(found) == RUNS


def test_a_line_that_was_edited_is_mended_by_removing_it(reference: Path, tmp_path: Path) -> None:
    path, folder = write_suite(tmp_path), tmp_path / "small"
    shutil.copytree(reference, folder)
    lines = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    lines[5] = lines[5].replace('"verdict":"PASS"', '"verdict":"FAIL"')
    (folder / "results.jsonl").write_text("".join(lines))
    options = SuiteOptions(str(path), tmp_path, jobs=1, resume=True, bracket=False)
    assert suite(options, as_json=False) == 5
    (folder / "results.jsonl").write_text("".join(lines[:5] + lines[6:]))
    assert suite(options, as_json=False) == 0
    known = rows(reference)
    assert {place: row["trace"] for place, row in rows(folder).items()} == {
        place: row["trace"] for place, row in known.items()
    }


def test_a_junit_file_that_cannot_be_written(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(reference, tmp_path / "small")
    (tmp_path / "file").touch()
    options = SuiteOptions(
        str(write_suite(tmp_path)), tmp_path, jobs=1, resume=True, bracket=False,
        junit=tmp_path / "file" / "j.xml",
    )  # fmt: skip
    assert suite(options, as_json=False) == 5
    assert f"cannot write {tmp_path / 'file' / 'j.xml'}: " in capsys.readouterr().err


def test_a_policys_error_does_not_end_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SUITE.replace("[{kind: smith}]", "[{kind: crash_early}, {kind: smith}]")
    path = write_suite(tmp_path, text.replace("[1, 2, 3]", "[1, 2]"))
    assert suite(SuiteOptions(str(path), tmp_path, jobs=1, bracket=False), as_json=False) == 5
    found = rows(tmp_path / "small")
    assert [row["verdict"] for place, row in found.items() if "crash" in place] == ["ERROR"] * 4
    assert [row["verdict"] for place, row in found.items() if "smith" in place] == ["PASS"] * 4
    shown = capsys.readouterr().err
    assert "edges@plain/crash_early-seed1: error: " in shown
    assert "policy 'crash_early', step 5" in shown
    before = (tmp_path / "small" / "results.jsonl").read_bytes()
    assert (
        suite(SuiteOptions(str(path), tmp_path, jobs=1, resume=True, bracket=False), as_json=False)
        == 5
    )
    assert (tmp_path / "small" / "results.jsonl").read_bytes() == before  # it is a result


def test_a_rig_that_is_gone_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened, real = [], bench.open_world

    def gone(*arguments: Any) -> Any:
        opened.append(arguments)
        if len(opened) > 6:  # three of them tried out how fast it goes
            raise RigError("the rig is gone")
        return real(*arguments)

    monkeypatch.setattr(bench, "open_world", gone)
    path = write_suite(tmp_path)
    assert suite(SuiteOptions(str(path), tmp_path, jobs=1, bracket=False), as_json=True) == 6
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"] == "the rig is gone"
    assert "to go on: wattbench suite" in shown.err
    assert len(opened) == 7
    assert 0 < len(rows(tmp_path / "small")) < RUNS


def test_a_run_that_a_broken_rig_cut_short_is_run_again(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, work = [], execute._work

    async def broken(*arguments: Any) -> None:
        begun.append(arguments)
        if len(begun) > 7:
            raise RigError("boiler does not answer")
        await work(*arguments)

    path = write_suite(tmp_path)
    options = SuiteOptions(str(path), tmp_path, jobs=1, bracket=False)
    with monkeypatch.context() as patch:
        patch.setattr(execute, "_work", broken)
        patch.setattr(bench.Bench, "is_over", lambda _, outcome: outcome.cause == "rig")
        assert suite(options, as_json=False) == 6
    assert {row["status"] for row in rows(tmp_path / "small").values()} == {"completed"}
    assert suite(replace(options, resume=True), as_json=False) == 0
    assert rows(tmp_path / "small") == rows(reference)


def test_seeds_of_the_training_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_suite(tmp_path, f"{SUITE}training_seeds: {{first: 1001, count: 20}}\n")
    options = SuiteOptions(str(path), tmp_path, seeds=(4, 1020))
    assert suite(options, as_json=False) == 2
    assert "--seed 1020: it is among the suite's training_seeds" in capsys.readouterr().err
    assert not (tmp_path / "small").exists()


def test_a_full_disk_ends_it_and_nothing_finished_is_lost(
    reference: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(folder: Path, row: RunRow, suite_hash: str) -> None:
        if len(read_rows(folder)) == 5:
            with (folder / "results.jsonl").open("a") as file:
                file.write('{"cell": {"pol')
            raise OSError(errno.ENOSPC, "No space left on device")
        append_row(folder, row, suite_hash)

    path = write_suite(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(runner, "append_row", full)
        assert suite(SuiteOptions(str(path), tmp_path, jobs=1, bracket=False), as_json=False) == 5
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert "No space left on device" in first
    assert "to go on" in second
    assert (
        suite(SuiteOptions(str(path), tmp_path, jobs=1, resume=True, bracket=False), as_json=False)
        == 0
    )
    assert rows(tmp_path / "small") == rows(reference)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suite": "smoke_exprt"}, "no suite 'smoke_exprt' in the library; did you mean"),
        ({"policies": ("pj",)}, "no policy 'pj'; did you mean 'pi'?"),
        ({"seeds": (-1,)}, "--seed: allowed"),
    ],
)
def test_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], message: str
) -> None:
    given = {"suite": str(write_suite(tmp_path)), "out": tmp_path / "runs", **options}
    assert suite(SuiteOptions(**given), as_json=True) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert json.loads(shown.out)["exit_code"] == 2
    assert not (tmp_path / "runs").exists()


def test_policies_and_seeds_of_the_command_line(tmp_path: Path) -> None:
    path = write_suite(tmp_path)
    options = SuiteOptions(str(path), tmp_path, jobs=1, policies=("threshold",), seeds=(9,))
    suite(options, as_json=False)
    assert list(rows(tmp_path / "small")) == [
        f"runs/edges@{variant}/{name}-seed9"
        for variant in ("plain", "far")
        for name in ("baseline-zero", "baseline-pi", "threshold")
    ]
