"""The report of a record on disk."""

import numpy as np
import pytest

from wattbench.evaluation.judge import judge
from wattbench.evaluation.report import report_input, write_report

LIMITS = [
    {"metric": "export_energy@1", "max": 100.0},
    {"metric": "export_energy@1", "vs": "zero", "max_ratio": 0.9},
    {"metric": "decision_latency_p99@1", "max": 0.1},
]


@pytest.fixture
def make_judged(make_record, builders):
    def make(**changes):
        header = builders.header(
            baselines={"zero": {"export_energy@1": 900.0, "objective@1": 950.0}}
        )
        header["scenario"] |= {
            "title": "A small site",
            "kind": "robustness",
            "profiles": {"site": {"time_zone": "Europe/Berlin"}},
            "limits": LIMITS,
        }
        header["scenario"]["clock"] |= {"duration_s": 120.0}
        truth = builders.truth(120, grid__a__power_w=-1000.0)
        truth["grid.net.export_energy_wh"] = np.arange(1, 121) / 3.6
        record = make_record(
            header=header,
            truth=truth,
            commands=builders.commands(120),
            readings=builders.readings(120),
            **changes,
        )
        return record, judge(record.folder)

    return make


def test_shows_what_was_judged(make_judged):
    record, judgement = make_judged()
    shown = report_input(judgement, record)
    assert (shown.title, shown.kind, shown.verdict) == ("A small site", "robustness", "PASS")
    assert shown.time_zone == "Europe/Berlin"
    assert [row.verdict for row in shown.limits] == ["PASS", "PASS", "not judged"]
    assert shown.limits[1].bound == pytest.approx(810.0)
    assert [(row.name, row.judged) for row in shown.policies] == [("pi", True), ("zero", False)]
    assert not shown.metrics["decision_latency_p99@1"].headline  # judged under clock wall only
    assert "0.500 · import" in shown.objective_formula
    assert {row.group for row in shown.identity} >= {"Hashes", "Versions", "Safe state"}


def test_reads_the_record_if_it_is_not_given(make_judged):
    record, judgement = make_judged()
    assert report_input(judgement).events == record.events


def test_page_of_a_record(make_judged, tmp_path):
    _, judgement = make_judged(safe_state={"confirmed": True, "confirmed_us": 125_000_000})
    write_report(tmp_path / "report.html", report_input(judgement))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "All 2 limits are met (1 not judged under clock virtual)" in page
    assert "wattbench judge run1" in page
    assert str(tmp_path) not in page


def test_aborted_run_says_why(make_judged, tmp_path):
    _, judgement = make_judged(status="aborted")
    write_report(tmp_path / "report.html", report_input(judgement))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "ABORTED" in page
    assert "a test says so" in page


def test_damaged_record_shows_no_traces(make_judged):
    record, _ = make_judged()
    (record.folder / "events.jsonl").write_text('{"t_sim_us": 0, "kind": "forged"}\n')
    shown = report_input(judge(record.folder))
    assert shown.verdict == "ERROR"
    assert shown.streams == {}
    assert any("events.jsonl" in note for note in shown.notes)
