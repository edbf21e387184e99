"""Local calendar days on the run's axis of seconds, right across changes of the clock.

Generated profiles are drawn day by day, each local day from generators of its own, and cut to the
run afterwards. So a day looks the same whenever a run begins and however long it lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

#: Seconds of the longest local day for which profiles are drawn (25 h: the autumn clock change).
LONGEST_DAY_S = 25 * 3600


@dataclass(frozen=True, slots=True)
class LocalDay:
    """One calendar day of a place, as seconds on the run's axis."""

    day: date
    start_s: int
    """Local midnight, in seconds after the run's start (negative: before it)."""
    length_s: int
    """82 800, 86 400 or 90 000 where the clock changes by an hour."""
    change_s: int
    """Elapsed seconds of the day at which the clock changes; `length_s` if it does not."""
    shift_s: int
    """By how much the clock is put forward then: 3600 in spring, −3600 in autumn, else 0."""

    @property
    def name(self) -> str:
        """Return the ISO date, under which the day's random generators are named."""
        return self.day.isoformat()

    def elapsed_s(self, wall_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert wall-clock seconds since midnight to elapsed seconds of the day.

        A wall time that the clock skips in spring maps to the same distance after the change, one
        that occurs twice in autumn to its first occurrence.
        """
        after = wall_s >= self.change_s + max(self.shift_s, 0)
        return np.where(after, wall_s - self.shift_s, wall_s)

    def wall_s(self, elapsed_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert elapsed seconds of the day to what the clock on the wall shows."""
        return np.where(elapsed_s >= self.change_s, elapsed_s + self.shift_s, elapsed_s)


def local_days(
    start_utc: datetime, duration_s: int, time_zone: str, before_s: int = 0
) -> Sequence[LocalDay]:
    """Return the local days that a run touches, in order.

    Args:
        start_utc: start of the run, time-zone aware.
        duration_s: length of the run; row T (the second after the last) counts too.
        time_zone: IANA name of the place's zone.
        before_s: also days that end up to this long before the start (what began then may go on).
    """
    zone = ZoneInfo(time_zone)
    start = start_utc.astimezone(UTC)
    first = (start - timedelta(seconds=before_s)).astimezone(zone).date()
    last = (start + timedelta(seconds=duration_s)).astimezone(zone).date()
    count = (last - first).days + 1
    return [_local_day(first + timedelta(days=i), start, zone) for i in range(count)]


def _local_day(day: date, start: datetime, zone: ZoneInfo) -> LocalDay:
    midnight = _midnight(day, zone)
    end = _midnight(day + timedelta(days=1), zone)
    length_s = int((end - midnight).total_seconds())
    before_s, after_s = _offset_s(midnight, zone), _offset_s(end - timedelta(seconds=1), zone)
    start_s = int((midnight - start).total_seconds())
    shown = midnight.astimezone(zone)
    skipped_s = shown.hour * 3600 + shown.minute * 60 + shown.second
    if shown.date() == day and skipped_s:  # put forward at midnight: the day begins at 01:00
        return LocalDay(day, start_s, length_s, 0, skipped_s)
    change_s = length_s
    if before_s != after_s:
        low, high = 0, length_s - 1  # offsets differ between these two: bisect to the change
        while high - low > 1:
            middle = (low + high) // 2
            if _offset_s(midnight + timedelta(seconds=middle), zone) == before_s:
                low = middle
            else:
                high = middle
        change_s = high
    return LocalDay(day, start_s, length_s, change_s, after_s - before_s)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _offset_s(moment: datetime, zone: ZoneInfo) -> int:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
