"""The scenario that comes out: hash, resolved form, start."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.model import utc_of
from wattbench.scenarios.report import resolved_yaml

Write = Callable[..., Path]


def test_defaults_and_units_are_resolved(write: Write, valid: str) -> None:
    resolved = load_scenario(write(valid)).resolved()
    assert resolved["name"] == "case"
    assert resolved["clock"]["duration_s"] == 14400.0
    assert resolved["clock"]["control_period_s"] == 1.0
    assert resolved["plant"]["loads"][0]["rated_power_w"] == 3000.0
    assert resolved["edge"]["meter"]["period_s"] == 1.0
    assert resolved["policies"][0]["kind"] == "smith"
    assert resolved["seeds"] == [1]


def test_resolved_yaml_loads_to_the_same_scenario(write: Write, valid: str) -> None:
    scenario = load_scenario(write(valid))
    again = load_scenario(write(resolved_yaml(scenario, "case.yaml"), "other.yaml"))
    assert again == scenario
    assert again.hash() == scenario.hash()


def test_hash_follows_content_not_spelling(write: Write, valid: str) -> None:
    scenario = load_scenario(write(valid))
    spelt = (
        valid.replace("3 kW", "3000")
        .replace("4 h", "14400.0")
        .replace("title: A test", "title: 'A test'")
    )
    assert load_scenario(write("# comment\n" + spelt)).hash() == scenario.hash()
    assert load_scenario(write(valid.replace("3 kW", "3001"))).hash() != scenario.hash()
    assert len(scenario.hash()) == 64


def test_hash_takes_files_by_their_content(write: Write, valid: str) -> None:
    text = valid.replace(
        "{kind: constant, power_a_w: 300}", "{kind: file, path: log.csv, column: p}"
    )
    hashes = []
    for folder, content in [
        ("one", "time,p\n1,2\n"),
        ("two", "time,p\n1,2\n"),
        ("three", "time,p\n1,3\n"),
    ]:
        write(content, f"{folder}/log.csv")
        hashes.append(load_scenario(write(text, f"{folder}/case.yaml")).hash())
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("start", "utc"),
    [
        ("2025-06-21T10:00:00", "2025-06-21T08:00:00+00:00"),
        ("2025-12-21T10:00:00", "2025-12-21T09:00:00+00:00"),
        ("2025-06-21T10:00:00+05:00", "2025-06-21T05:00:00+00:00"),
        ("2025-10-26T02:30:00+02:00", "2025-10-26T00:30:00+00:00"),
        ("2025-10-26T02:30:00+01:00", "2025-10-26T01:30:00+00:00"),
        ("2025-03-30T03:00:00", "2025-03-30T01:00:00+00:00"),
    ],
)
def test_start_is_local_time_of_the_site(write: Write, valid: str, start: str, utc: str) -> None:
    scenario = load_scenario(write(valid.replace("2025-06-21T10:00:00", start)))
    assert scenario.start_utc().isoformat() == utc


def test_clock_changes_leave_gap_and_overlap() -> None:
    with pytest.raises(ValueError, match="does not exist"):
        utc_of(dt.datetime(2025, 3, 30, 2, 0), "Europe/Berlin")
    with pytest.raises(ValueError, match="twice"):
        utc_of(dt.datetime(2025, 10, 26, 2, 0), "Europe/Berlin")
    assert utc_of(dt.datetime(2025, 10, 26, 3, 0), "Europe/Berlin").hour == 2
