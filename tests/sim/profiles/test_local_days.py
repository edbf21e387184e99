"""Local days on the run's axis."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from wattbench.sim.profiles.days import local_days


def test_an_ordinary_run_touches_its_days() -> None:
    start = datetime(2025, 6, 21, 10, tzinfo=UTC)
    days = local_days(start, 86_400, "Europe/Berlin")
    assert [day.name for day in days] == ["2025-06-21", "2025-06-22"]
    assert days[0].start_s == -12 * 3600
    assert days[1].start_s == days[0].start_s + days[0].length_s
    assert [day.shift_s for day in days] == [0, 0]


def test_days_before_the_start_can_be_asked_for() -> None:
    start = datetime(2025, 6, 20, 23, tzinfo=UTC)  # 01:00 local
    assert len(local_days(start, 60, "Europe/Berlin")) == 1
    assert len(local_days(start, 60, "Europe/Berlin", before_s=7200)) == 2


@pytest.mark.parametrize(
    ("zone", "day", "length_s", "shift_s"),
    [
        ("Europe/Berlin", "2025-03-30", 82_800, 3600),
        ("Europe/Berlin", "2025-10-26", 90_000, -3600),
        ("America/New_York", "2025-03-09", 82_800, 3600),
        ("Australia/Lord_Howe", "2025-04-06", 88_200, -1800),
        ("Africa/Cairo", "2025-04-25", 82_800, 3600),  # the clock changes at midnight
    ],
)
def test_clock_changes(zone: str, day: str, length_s: int, shift_s: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    (found,) = local_days(noon, 1, zone)
    assert (found.name, found.length_s) == (day, length_s)
    midnight = noon + timedelta(seconds=found.start_s)
    for hour in (5, 9, 20):
        wall = datetime.fromisoformat(f"{day}T{hour:02d}:00").replace(tzinfo=ZoneInfo(zone))
        elapsed = float(found.elapsed_s(np.array([hour * 3600.0]))[0])
        assert midnight + timedelta(seconds=elapsed) == wall.astimezone(UTC)
        assert found.wall_s(np.array([elapsed]))[0] == hour * 3600.0
    assert found.shift_s == shift_s
