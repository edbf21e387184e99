"""Numbers as people read them."""

import datetime as dt

import pytest

from wattbench.evaluation.report import format as fmt

START = dt.datetime(2025, 6, 20, 22, 0, tzinfo=dt.UTC)


def plain(text):
    return text.replace("\u202f", " ")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1523.4, "Wh", "1.52 kWh"),
        (12.0, "Wh", "12 Wh"),
        (-2500.0, "W", "−2.50 kW"),
        (0.0, "W", "0 W"),
        (0.00021, "s", "210 µs"),
        (0.62, "1", "62 %"),
        (3.0, "count", "3"),
        (9.5, "1/min", "9.50 /min"),
        (None, "W", "–"),
        (float("nan"), "W", "–"),
        (float("inf"), "W", "–"),
    ],
)
def test_quantity(value, unit, text):
    assert plain(fmt.quantity(value, unit)) == text


def test_values_that_compare_share_a_unit():
    assert plain(fmt.quantity(40.0, "Wh", like=9000.0)) == "0.040 kWh"


def test_percent():
    assert [plain(fmt.percent(r)) for r in (0.58, 1.032, 1.0)] == ["−42 %", "+3.2 %", "±0 %"]


def test_duration():
    assert [plain(fmt.duration(s)) for s in (12.5, 5400, 86_400)] == ["12.5 s", "1 h 30 min", "1 d"]


def test_local_time_of_the_site():
    assert fmt.zone_label(START, "Europe/Berlin") == "Europe/Berlin (UTC+02:00)"
    assert fmt.zone_label(START, "America/New_York") == "America/New_York (UTC−04:00)"
    assert fmt.local_time(START, "Europe/Berlin", 90).isoformat() == "2025-06-21T00:01:30"


def test_unknown_zone_counts_as_utc():
    assert fmt.utc_offset_s(START, "Nowhere/Atall") == 0


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (29.1, 20_000.0, "0.0291 kWh"),
        (26.44, 20_000.0, "0.0264 kWh"),
        (-1.5, 20_000.0, "−0.00150 kWh"),
        (0.01, 20_000.0, "1.00e−05 kWh"),
        (1523.4, None, "1.52 kWh"),
        (0.0, 9000.0, "0 kWh"),
        (float("nan"), None, "–"),
    ],
)
def test_three_significant_digits_however_small(value, like, text):
    assert plain(fmt.significant(value, "Wh", like)) == text
