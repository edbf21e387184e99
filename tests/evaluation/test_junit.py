"""JUnit: one case a limit, values and hashes as properties, any text survives."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from wattbench.evaluation.judge import judge
from wattbench.evaluation.junit import junit_xml

LIMITS = [
    {"metric": "export_energy", "max": 10.0},
    {"metric": "export_energy", "max": "9 Wh"},
    {"metric": "export_energy", "max": 10.5, "uncertainty": 1},
    {"metric": "self_consumption", "min": 0.5},
    {"metric": "decision_latency_p99", "max": "10 ms"},
]


@pytest.fixture
def judged(make_record, builders):
    def of(limits=LIMITS, **how):
        header = builders.header(git_revision="abc123")
        header["scenario"] |= {"limits": limits} | how.pop("scenario", {})
        truth = builders.truth(2, grid__net__export_energy_wh=[1.0, 10.0])
        return judge(make_record(header=header, truth=truth, **how).folder)

    return of


def properties(element):
    found = element.find("properties")
    return {entry.get("name"): entry.get("value") for entry in found}


def test_one_case_a_limit(judged):
    judgement = judged()
    (suite,) = ET.fromstring(junit_xml([judgement]))
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [r.limit.text() for r in judgement.limits]
    outcomes = [[child.tag for child in case if child.tag != "properties"] for case in cases]
    assert outcomes == [[], ["failure"], ["error"], ["error"], ["skipped"]]
    assert cases[1].find("failure").get("message") == (
        "export_energy: measured 10 Wh, allowed at most 9 Wh"
    )
    assert cases[2].find("error").get("type") == "INCONCLUSIVE"
    assert properties(cases[1]) == {
        "metric": "export_energy@1", "measured": "10", "bound": "9", "unit": "Wh"
    }  # fmt: skip
    assert properties(cases[2])["uncertainty"] == "± 1 Wh, guarded"
    assert properties(suite)["decision_rule"] == "guarded"
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "5", "failures": "1", "errors": "2", "skipped": "1"}


def test_the_suite_says_what_took_part(judged):
    judgement = judged()
    (suite,) = ET.fromstring(junit_xml([judgement]))
    found = properties(suite)
    assert found["verdict"] == "ERROR"
    assert found["scenario_hash"] == judgement.header.scenario_hash
    assert found["policy_hash"] == judgement.header.policy_hash
    assert found["rig_hash"] == judgement.header.rig_hash
    assert found["git_revision"] == "abc123"
    assert len(found["scenario_hash"]) == 64


def test_an_aborted_run_has_a_case_of_its_own(judged):
    (suite,) = ET.fromstring(junit_xml([judged(status="aborted")]))
    cases = suite.findall("testcase")
    assert all(case.find("skipped") is not None for case in cases[:-1])
    assert cases[-1].get("name") == "run"
    assert cases[-1].find("error").get("message") == "the run was aborted: a test says so"


def test_a_safe_state_that_was_not_confirmed_is_not_green(judged):
    """Whoever reads only the cases must not take exit code 7 for a success."""
    limits = [{"metric": "export_energy", "max": "11 Wh"}]
    note = "boiler: no connection"
    (suite,) = ET.fromstring(
        junit_xml([judged(limits, safe_state={"confirmed": False, "note": note})])
    )
    cases = suite.findall("testcase")
    assert cases[-1].get("name") == "safe state"
    assert note in cases[-1].find("failure").get("message")
    assert (suite.get("failures"), suite.get("errors"), suite.get("tests")) == ("1", "0", "2")
    (suite,) = ET.fromstring(junit_xml([judged(limits, safe_state={"confirmed": True})]))
    assert (suite.get("failures"), suite.get("tests")) == ("0", "1")


def test_any_text_survives(judged):
    judgement = judged(scenario={"name": 'a<b & "c" \x00\x1b ü 🔌'})
    (suite,) = ET.fromstring(junit_xml([judgement]))
    assert properties(suite)["scenario"] == 'a<b & "c" \ufffd\ufffd ü 🔌'


def test_equal_judgements_give_equal_text(judged):
    assert junit_xml([judged(), judged()]) == junit_xml([judged(), judged()])
