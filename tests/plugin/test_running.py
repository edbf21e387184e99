"""Scenarios as tests: verdicts, properties, side by side, stopped; the fixture."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from wattbench.evaluation.judge import judge
from wattbench.evaluation.suite.judge import judge_suite

from .conftest import Pytest, alone

pytestmark = pytest.mark.slow

STRICT = "extends: ./roof.yaml\npolicies: [{kind: smith}]\nseeds: [1]\n"
FAILING = {
    "fails.yaml": "limits: [{metric: export_energy, max: 1 Wh}, {metric: import_energy, max: 1}]\n",
    "near.yaml": "limits: [{metric: export_energy, max: 24 Wh, uncertainty: 9 Wh}]\n",
    "crashes.yaml": "policies: [{kind: crash_early, steps: 20}]\n",
}


def cases(path: Path) -> dict[str, tuple[dict[str, str], str]]:
    """Return properties and failure text of each test case of a JUnit file, by file and name."""
    found = {}
    for case in ET.parse(path).getroot().iter("testcase"):
        named = {p.get("name", ""): p.get("value", "") for p in case.iter("property")}
        failure = case.find("failure")
        text = "" if failure is None else failure.text or ""
        found[f"{case.get('classname')}::{case.get('name')}"] = named, text
    return found


def write_failing(project: Path) -> None:
    for name, changes in FAILING.items():
        text = (
            STRICT
            if "policies" not in changes
            else STRICT.replace("policies: [{kind: smith}]\n", "")
        )
        (project / "scenarios" / name).write_text(text + changes)


def test_verdicts_and_properties_alone_and_side_by_side(project: Path, run_pytest: Pytest) -> None:
    write_failing(project)
    alone = run_pytest("scenarios", "--junitxml=alone.xml", "--wattbench-out", "runs")
    alone.assert_outcomes(passed=4, failed=3)
    assert "Traceback" not in alone.stdout.str()
    alone.stdout.fnmatch_lines(
        [
            "ERROR: *crashed on purpose*(crashes · crash_early · seed 1)",
            "  not judged    safety_violations ≤ 0  (measured 0)",
            "safe state: *",
            "FAIL: export_energy ≤ 1 Wh  (fails · smith · seed 1)",
            "  FAIL          export_energy ≤ 1 Wh  (measured * Wh)",
            "  PASS          import_energy ≤ 1 Wh  (measured 0 Wh)",
            "record: */runs/session-*/fails-*/smith-seed1/report.html",
            "INCONCLUSIVE: export_energy ≤ 24 Wh: within the uncertainty of 9 Wh  (near *",
            "INCONCLUSIVE fails a test: neither passing nor failing was shown",
        ]
    )
    found = cases(project / "alone.xml")
    assert len(found) == 7
    for named, failure in found.values():
        judgement = judge(Path(named["record"]))
        assert named["verdict"] == judgement.verdict.name
        assert (failure == "") == (named["verdict"] == "PASS")
        limits = {key: json.loads(text) for key, text in named.items() if key.startswith("limit: ")}
        assert list(limits) == [f"limit: {result.limit.text()}" for result in judgement.limits]
        for value, result in zip(limits.values(), judgement.limits, strict=True):
            assert value["measured"] == result.measured
            assert value["bound"] == result.bound
            assert (value["unit"], value["verdict"]) == (result.unit, result.word)
    both = run_pytest(
        "scenarios", "-p", "xdist", "-n", "2", "--junitxml=both.xml", "--wattbench-out", "both"
    )
    both.assert_outcomes(passed=4, failed=3)
    assert {
        name: {**named, "record": ""} for name, (named, _) in cases(project / "both.xml").items()
    } == {name: {**named, "record": ""} for name, (named, _) in found.items()}
    # One session, whichever process ran what; a baseline runs once a seed, for both policies.
    (session,) = (project / "both").iterdir()
    records = sorted(path.parent.name for path in session.glob("roof-*/*/record.json"))
    assert records == sorted(
        f"{name}-seed{k}" for name in ("baseline-zero", "pi", "smith") for k in (1, 2)
    )


def test_the_first_failure_can_end_it(project: Path, run_pytest: Pytest) -> None:
    write_failing(project)
    done = run_pytest("-x", "scenarios/fails.yaml", "scenarios/roof.yaml")
    done.assert_outcomes(failed=1)
    assert len(list(project.glob(".pytest_cache/d/wattbench/session-*/*/*/record.json"))) == 2


@pytest.mark.parametrize("words", [[], ["-p", "xdist", "-n", "2"]])
def test_ctrl_c_closes_the_records(
    words: list[str],
    project: Path,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    run_pytest: Pytest,
) -> None:
    # So that no kernel is left to compile: xdist ends workers that take more than ten seconds.
    run_pytest("-k", "smith and 1", "scenarios").assert_outcomes(passed=1)
    (project / "scenarios" / "roof.yaml").rename(project / "_roof.yaml")
    (project / "scenarios" / "day.yaml").write_text(
        "extends: ../_roof.yaml\nclock: {duration_s: 20 h}\nbaselines: []\n"
        "limits: [{metric: safety_violations, max: 0}]\npolicies: [{kind: smith}]\n"
    )
    alone(monkeypatch)
    python, *rest = pytester._getpytestargs()
    plugin = ("-p", "wattbench.pytest_plugin", "--wattbench-out", "out")
    process = pytester.popen(
        [python, *rest, *plugin, *words, "scenarios"],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    deadline = time.monotonic() + 240
    while not list(project.glob("out/*/*/*.partial")):
        assert process.poll() is None
        assert time.monotonic() < deadline, "no run began"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does on a terminal
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, shown
    assert "KeyboardInterrupt" in shown
    deadline = time.monotonic() + 60
    while list(project.glob("out/*/*/*.partial")):
        assert time.monotonic() < deadline, "a record was not closed"
        time.sleep(0.05)
    closed = list(project.glob("out/*/*/*/record.json"))
    assert closed
    assert all(judge(path.parent).verdict.name == "ABORTED" for path in closed)


USERS_TEST = """
import pytest
from wattbench.commands.testing.store import ScenarioTestError
from wattbench.pytest_plugin import WattbenchRun

ROOF = "../scenarios/roof.yaml"

def test_result(wattbench_run: WattbenchRun) -> None:
    run = wattbench_run(ROOF, policy="smith")
    assert run.passed, run.text()
    assert (run.policy, run.seed, run.reason) == ("smith", 1, "")
    assert 0 < run.measurements["export_energy"] == run.measurements["export_energy@1"]
    assert [limit.verdict.name for limit in run.limits] == ["PASS", "PASS"]
    assert len(run.stream("commands")["t_sim_us"]) == 60
    assert run.record.header.baselines["zero"]["export_energy@1"] > 0

def test_the_same_run_is_made_once(wattbench_run):
    before = wattbench_run(ROOF, "smith")
    assert (before.folder / "record.json").stat().st_mtime_ns == (
        wattbench_run(ROOF, "smith").folder / "record.json"
    ).stat().st_mtime_ns
    assert wattbench_run(ROOF, "smith", seed=5).folder != before.folder

def test_overrides(wattbench_run):
    run = wattbench_run(
        ROOF, "always_on", 7, clock={"duration_s": 30},
        limits=[{"metric": "import_energy", "max": 0}],
    )
    assert run.verdict.name == "FAIL"
    assert run.record.header.duration_s == 30
    assert "import_energy" in run.reason

@pytest.mark.parametrize(
    ("scenario", "words", "message"),
    [
        (ROOF, {"policy": "smth"}, "no policy 'smth'; did you mean 'smith'?"),
        (ROOF, {}, "several policies; give policy=, one of: smith, pi"),
        (ROOF, {"policy": "pi", "clok": {}}, "clok: unknown key"),
        ("gone.yaml", {}, "gone.yaml:1:1: no such file"),
        ("cloudy_edgs", {}, "no scenario 'cloudy_edgs' in the library"),
    ],
)
def test_mistakes(wattbench_run, scenario, words, message):
    with pytest.raises(ScenarioTestError, match=message.replace("?", ".")):
        wattbench_run(scenario, **words)

def test_message(wattbench_run):
    wattbench_run(ROOF, "smth")
"""


def test_a_baseline_that_breaks_fails_the_test(project: Path, run_pytest: Pytest) -> None:
    (project / "scenarios" / "broken.yaml").write_text(
        STRICT + "baselines: [{kind: crash_early, steps: 20}]\n"
        "limits: [{metric: safety_violations, max: 0}]\n"
    )
    done = run_pytest("scenarios/broken.yaml", "--junitxml=j.xml")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["ERROR: baseline 'crash_early' did not complete: see */baseline-crash_early-seed1 *"]
    )
    ((named, _),) = cases(project / "j.xml").values()
    assert named["verdict"] == "ERROR"


def test_fixture_in_a_users_own_test(project: Path, run_pytest: Pytest) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_mine.py").write_text(USERS_TEST)
    done = run_pytest("tests")
    done.assert_outcomes(passed=8, failed=1)
    text = done.stdout.str()
    assert "no policy 'smth'; did you mean 'smith'?" in text
    assert "tests/test_mine.py:" in text
    assert "store.py" not in text  # how it was found is of no use to a user


SUITE = """\
scenarios: [../scenarios/roof.yaml]
variants: [{name: plain}, {name: brief, set: {clock: {duration_s: 40}}}]
policies: [{kind: smith}]
baselines: [{kind: zero}, {kind: pi}]
seeds: {first: 1, count: 8}
interval_limits:
  - {metric: export_energy, vs: zero, min_reduction: 0.3}
  - {metric: export_energy, vs: pi, min_reduction: 0.9}
"""


def test_suite_is_a_test_a_run_and_a_test_an_interval_limit(
    project: Path, run_pytest: Pytest
) -> None:
    (project / "suites").mkdir()
    (project / "suites" / "small.yaml").write_text(SUITE)
    done = run_pytest("suites", "-p", "xdist", "-n", "2", "--junitxml=j.xml", "-rA")
    done.assert_outcomes(passed=17, failed=1)
    found = cases(project / "j.xml")
    runs = {f"roof@{name}::smith[seed {k}]" for name in ("plain", "brief") for k in range(1, 9)}
    assert {name.partition("small.yaml.")[2] for name in found} >= runs
    kept, missed = (v for name, v in found.items() if "interval_limits" in name)
    judgement = judge_suite(Path(kept[0]["suite"]))
    assert [r.verdict.name for r in judgement.interval_limits] == ["PASS", "FAIL"]
    assert not judgement.missing
    for (named, _), result in zip((kept, missed), judgement.interval_limits, strict=True):
        value = json.loads(named[f"limit: {result.text}"])
        interval = result.interval
        assert (value["low"], value["measured"], value["high"]) == (
            interval.low, interval.estimate, interval.high,
        )  # fmt: skip
    assert "FAIL: export_energy: reduction vs pi ≥ 90 %" in missed[1]
