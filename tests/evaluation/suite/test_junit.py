"""JUnit of a suite: a test suite a run, a case a limit."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from wattbench.evaluation.suite.judge import judge_suite
from wattbench.evaluation.suite.junit import suite_junit_xml
from wattbench.evaluation.suite.results import read_identity

from .folders import energies, make_suite, plan_of

REDUCTION = {"metric": "export_energy", "vs": "pi", "min_reduction": "10 %"}


def suites(folder, **how):
    """Return the parsed document, and its test suites by name."""
    root = ET.fromstring(suite_junit_xml(judge_suite(make_suite(folder, **how))))
    return root, {suite.get("name"): suite for suite in root.iter("testsuite")}


def properties(element):
    return {entry.get("name"): entry.get("value") for entry in element.find("properties")}


def test_a_test_suite_a_run_and_one_for_intervals(tmp_path):
    root, found = suites(tmp_path, plan=plan_of(seeds=(1, 2, 3, 4, 5)), interval_limits=[REDUCTION])
    assert list(found) == [
        "interval limits",
        *(f"one smith seed {k}" for k in range(1, 6)),
        *(f"two smith seed {k}" for k in range(1, 6)),
    ]
    (case,) = found["one smith seed 2"].findall("testcase")
    assert case.get("name") == "export_energy ≤ 2 kWh"
    measured_wh = energies("smith", "one", 2)["export_energy@1"]
    assert properties(case) == {
        "metric": "export_energy@1", "measured": f"{measured_wh:.9g}",
        "bound": "2000", "unit": "Wh", "decision_rule": "guarded",
    }  # fmt: skip
    (case,) = found["interval limits"].findall("testcase")
    assert case.get("name") == "smith: export_energy: reduction vs pi ≥ 10 % (95 % interval)"
    shown = properties(case)
    assert float(shown["low"]) < float(shown["measured"]) < float(shown["high"])
    assert (shown["bound"], shown["unit"], shown["pairs"]) == ("0.1", "1", "10")
    assert case.find("failure") is None
    assert case.find("error") is None
    assert properties(root)["suite_hash"] == read_identity(tmp_path).suite_hash
    assert properties(root)["git_revision"] == "abc123"
    assert properties(root)["version.numpy"] == "2"


def test_what_did_not_pass_is_not_green(tmp_path):
    how = {
        2: {"verdict": "FAIL"},
        3: {"verdict": "ABORTED", "status": "aborted", "reason": "Ctrl-C", "limits": ()},
        4: {"verdict": "PASS", "exit_code": 7},
    }
    _, found = suites(
        tmp_path,
        plan=plan_of(scenarios=("one",)),
        interval_limits=[REDUCTION | {"min_reduction": "90 %"}],
        change=lambda cell: {} if cell.baseline else how.get(cell.seed, {}),
        skip=lambda cell: cell.seed == 5 and not cell.baseline,
    )
    measured_kwh = energies("smith", "one", 2)["export_energy@1"] / 1000
    assert found["one smith seed 2"].find("testcase/failure").get("message") == (
        f"measured {measured_kwh:.4g} kWh, allowed at most 2 kWh"
    )
    aborted = found["one smith seed 3"].find("testcase")
    assert (aborted.get("name"), aborted.find("error").get("message")) == ("run", "Ctrl-C")
    assert found["one smith seed 4"].find("testcase/failure").get("type") == "UNSAFE"
    interval = found["interval limits"].find("testcase/failure").get("message")
    assert interval.startswith("measured 18.")
    assert interval.endswith("], allowed at least 90 %")
    missing = found["suite"].find("testcase")
    assert missing.get("name") == "one smith seed 5"
    assert missing.find("error").get("type") == "INCONCLUSIVE"
    counts = {name: suite.get("failures") + suite.get("errors") for name, suite in found.items()}
    assert counts["one smith seed 1"] == "00"
    assert counts["one smith seed 2"] == "10"
    assert counts["suite"] == "01"


def test_a_baseline_that_broke_has_a_case(tmp_path):
    _, found = suites(
        tmp_path,
        change=lambda cell: {"status": "error"} if cell.baseline and cell.seed == 1 else {},
    )
    names = [case.get("name") for case in found["suite"].findall("testcase")]
    assert names == ["one (pi) seed 1", "two (pi) seed 1"]


def test_equal_suites_give_equal_text(tmp_path):
    texts = {
        suite_junit_xml(judge_suite(make_suite(tmp_path / name, backwards=name == "b")))
        for name in "ab"
    }
    assert len(texts) == 1
