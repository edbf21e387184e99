"""Local time of sites: the minute of the week, for one site or for many at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

_QUARTER_US: Final = 900_000_000
_MINUTE_US: Final = 60_000_000
_WEEK_MINUTES: Final = 10_080
_EPOCH: Final = dt.datetime(1970, 1, 5, tzinfo=dt.UTC)  # a Monday


def _since_epoch_us(start: dt.datetime) -> int:
    if start.tzinfo is None:
        raise ValueError("the start of a run needs a time zone")
    return (start - _EPOCH) // dt.timedelta(microseconds=1)


@lru_cache(maxsize=65_536)
def _offset_us(zone: dt.tzinfo, quarter: int) -> int:
    """Return local time minus UTC in a quarter of an hour, counted since the epoch."""
    # All zones change their offset at a full quarter of an hour: ask them only there.
    instant = _EPOCH + dt.timedelta(microseconds=quarter * _QUARTER_US)
    offset = instant.astimezone(zone).utcoffset() or dt.timedelta()
    return offset // dt.timedelta(microseconds=1)


class LocalClock:
    """Minute of the week (0 = Monday 0:00) in the site's time zone, daylight saving included."""

    def __init__(self, start: dt.datetime) -> None:
        """Begin at ``start``, which must know its time zone."""
        self._start_us = _since_epoch_us(start)
        self._zone = start.tzinfo or dt.UTC
        self._quarter = -1
        self._offset_us = 0

    def minute_of_week(self, t_us: int) -> int:
        """Return the minute ``t_us`` after the start."""
        utc_us = self._start_us + t_us
        quarter = utc_us // _QUARTER_US
        if quarter != self._quarter:
            self._quarter = quarter
            self._offset_us = _offset_us(self._zone, quarter)
        return (utc_us + self._offset_us) // _MINUTE_US % _WEEK_MINUTES


class LocalClocks:
    """The clocks of many sites that run together but begin at different instants."""

    def __init__(
        self, starts: Sequence[dt.datetime], start_of: NDArray[np.int64], later_s: NDArray[np.int64]
    ) -> None:
        """Let instance i begin ``later_s[i]`` seconds after ``starts[start_of[i]]``."""
        start_us = np.array([_since_epoch_us(start) for start in starts], dtype=np.int64)
        self._start_us = start_us[start_of] + later_s * 1_000_000
        self._zones = [start.tzinfo or dt.UTC for start in starts]
        self._zone_of = start_of
        self._quarter = np.full(len(start_of), -1, dtype=np.int64)
        self._offset_us = np.zeros(len(start_of), dtype=np.int64)

    def minute_of_week(self, t_us: int) -> NDArray[np.int64]:
        """Return [N] the minute of each instance ``t_us`` after its start."""
        utc_us = self._start_us + t_us
        quarter = utc_us // _QUARTER_US
        for i in np.flatnonzero(quarter != self._quarter):
            self._offset_us[i] = _offset_us(self._zones[self._zone_of[i]], int(quarter[i]))
        self._quarter = quarter
        return (utc_us + self._offset_us) // _MINUTE_US % _WEEK_MINUTES
