"""`wattbench report`: a page for a record, with the library inside or shared within a suite."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from wattbench.commands.report import report


@pytest.fixture
def record(make_record: Any, builders: Any) -> Path:
    folder: Path = make_record(truth=builders.truth(60), commands=builders.commands(60)).folder
    return folder


def within_suite(record: Path, tmp_path: Path, name: str) -> Path:
    folder = tmp_path / "acceptance" / "runs" / "cloudy @1" / name
    shutil.copytree(record, folder)
    (tmp_path / "acceptance" / "suite.json").write_text("{}")
    return folder


def test_alone_it_holds_its_library(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report([record]) == 0
    page = record / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    assert 'id="wb-plotly"' in page.read_text(encoding="utf-8")
    assert not (record / "assets").exists()


def test_runs_of_a_suite_share_one_library(record: Path, tmp_path: Path) -> None:
    runs = [within_suite(record, tmp_path, name) for name in ("pi-seed1", "pi-seed2")]
    assert report(runs) == 0
    (library,) = (tmp_path / "acceptance" / "assets").iterdir()
    for run in runs:
        text = (run / "report.html").read_text(encoding="utf-8")
        assert f'<script src="../../../assets/{library.name}"></script>' in text
        assert 'id="wb-plotly"' not in text


def test_folder_of_a_scenario_makes_all_its_pages(record: Path, tmp_path: Path) -> None:
    run = within_suite(record, tmp_path, "pi-seed1")
    within_suite(record, tmp_path, "baseline-zero-seed1")
    assert report([run.parent]) == 0
    assert [p.parent.name for p in run.parent.glob("*/report.html")] == ["pi-seed1"]


def test_what_is_no_record_is_told_and_the_others_are_written(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([tmp_path / "nowhere", record]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert (record / "report.html").exists()


def test_a_suites_folder_means_the_judged_runs_in_it(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [within_suite(record, tmp_path, name) for name in ("pi-seed1", "pi-seed2")]
    within_suite(record, tmp_path, "baseline-zero-seed1")
    assert report([tmp_path / "acceptance"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(run / "report.html") for run in runs]
