"""Policies side by side."""

from __future__ import annotations

import math

import pytest

from wattbench.evaluation.compare import compare, compare_record, reduction, text_table
from wattbench.evaluation.record import RecordHeader
from wattbench.evaluation.units import format_quantity


def test_reductions_and_objective_against_baselines():
    policies = {"smith": {"export_energy@1": 60.0, "objective@1": 80.0}}
    baselines = {
        "zero": {"export_energy@1": 200.0, "objective@1": 160.0},
        "pi": {"export_energy@1": 80.0, "objective@1": 100.0},
    }
    smith, zero, pi = compare(policies, baselines)
    assert (smith.name, smith.judged) == ("smith", True)
    assert (zero.judged, pi.judged) == (False, False)
    assert smith.reductions["pi"]["export_energy@1"] == pytest.approx(0.25)
    assert smith.reductions["zero"]["objective@1"] == pytest.approx(0.5)
    assert math.isnan(smith.reductions["pi"]["import_energy@1"])
    assert "load_energy@1" not in smith.reductions["pi"]  # less of it is neither good nor bad
    assert smith.objective_to_zero == pytest.approx(0.5)
    assert pi.objective_to_zero == pytest.approx(0.625)
    assert zero.objective_to_zero == 1.0


def test_without_zero_or_with_a_zero_objective_there_is_no_ratio():
    (row,) = compare({"pi": {"objective@1": 1.0}}, {})
    assert math.isnan(row.objective_to_zero)
    row, _ = compare({"pi": {"objective@1": 1.0}}, {"zero": {"objective@1": 0.0}})
    assert math.isnan(row.objective_to_zero)


@pytest.mark.parametrize(
    ("value", "baseline", "expected"),
    [
        (90.0, 100.0, 0.1),
        (110.0, 100.0, -0.1),
        (-110.0, -100.0, 0.1),
        (0.0, 0.0, 0.0),
        (1.0, 0.0, math.nan),
        (None, 1.0, math.nan),
        (1.0, math.nan, math.nan),
    ],
)
def test_reduction(value, baseline, expected):
    assert reduction(value, baseline) == pytest.approx(expected, nan_ok=True)


def test_a_policy_that_is_its_own_baseline_is_one_row():
    values = {"objective@1": 5.0}
    (row,) = compare({"zero": values}, {"zero": values})
    assert row.judged
    assert row.objective_to_zero == 1.0


def test_table_of_a_record(builders):
    header = RecordHeader.model_validate(
        builders.header(baselines={"zero": {"export_energy@1": 2500.0, "objective@1": 2500.0}})
    )
    rows = compare_record(header, {"export_energy@1": 1250.0, "objective@1": 1500.0})
    headings, lines = text_table(rows, ["export_energy", "unserved_energy"])
    assert headings == ["policy", "export energy", "unserved energy", "J / J zero"]
    assert lines == [["pi", "1.25 kWh", "n/a", "0.6"], ["(zero)", "2.5 kWh", "n/a", "1"]]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1234567.0, "Wh", "1.235 MWh"),
        (999.0, "Wh", "999 Wh"),
        (-2500.0, "Wh", "-2.5 kWh"),
        (2500.0, "W", "2500 W"),
        (12500.0, "W", "12.5 kW"),
        (0.0123, "s", "12.3 ms"),
        (0.0000079, "s", "7.9 µs"),
        (75.0, "s", "75 s"),
        (0.81234, "1", "0.8123"),
        (123456.0, "count", "123456"),
        (12.0, "1/min", "12 1/min"),
        (math.nan, "W", "n/a"),
        (None, "W", "n/a"),
    ],
)
def test_values_for_people(value, unit, text):
    assert format_quantity(value, unit) == text
