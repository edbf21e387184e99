"""Where two traces part: the first value that differs, its time and point, the events before.

Two values differ if they lie further apart than ``absolute + relative · max(|a|, |b|)``; NaN equals
NaN, and an infinity itself. With the default, both zero, every bit counts (but −0 equals 0).

What comes first is decided by when a value became true: a row of `truth` describes the time up to
its stamp, then the loop read (`readings`), then it decided (`commands`). Times of acknowledgement
and effect stand in the row of their command, but became true when they say.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .reading import Record
from .streams import TIME, Stream

#: Streams in the order in which their rows of one time became true; any others come after.
_ORDER = ("truth", "readings", "commands")
_LATER = ("acked.", "effective.")
_DECIDED = "decided."
_NEVER = np.iinfo(np.int64).max
_EVENTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two values of a trace may lie apart and still count as the same."""

    absolute: float = 0.0
    relative: float = 0.0


EXACT = Tolerance()


@dataclass(frozen=True)
class Trace:
    """The streams of a run, and what is needed to tell about them.

    Attributes:
        streams: by name.
        start_utc: of `t_sim_us` = 0, ISO 8601.
        events: simulated events; empty where they are not kept.
        sha256: identity of the files; None where it is not known.
        every: one row of so many is kept; if it is not each one, rows of another trace that are
            not here are not missed.
        ends_us: when each stream ends, where that is not the time of its last row.

    """

    streams: Mapping[str, Stream]
    start_utc: str
    events: Sequence[Mapping[str, Any]] = ()
    sha256: str | None = None
    every: int = 1
    ends_us: Mapping[str, int] = field(default_factory=dict)

    def end_us(self, name: str) -> int:
        """Return when a stream ends; `_NEVER` where rows are left out and it is not known."""
        last = end_us(self.streams[name]) if self.every == 1 else _NEVER
        return self.ends_us.get(name, last)


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that differs; None: this trace has no row there."""

    stream: str
    column: str
    unit: str
    a: float | None
    b: float | None


@dataclass(frozen=True, slots=True)
class Moment:
    """A time at which two traces differ, and in what."""

    t_sim_us: int
    utc: str
    first: Difference
    others: tuple[Difference, ...]
    """What else differs at that very time, in that stream and those that come after."""


@dataclass(frozen=True)
class Divergence:
    """How two traces compare.

    Attributes:
        identical: whether the files are the same, byte for byte.
        first: where they part; None if no value differs.
        decisions: where the policies' decisions part.
        differing: by stream, how many columns ever differ.
        compared: by stream, how many columns both have.
        only_in_a: columns of one trace only, ``stream:column``; a whole stream as its name.
        only_in_b: those of the other.
        notes: what else is unlike, such as lengths.
        events_a: the last events up to the first difference.
        events_b: those of the other trace.

    """

    identical: bool
    first: Moment | None = None
    decisions: Moment | None = None
    differing: Mapping[str, int] = field(default_factory=dict)
    compared: Mapping[str, int] = field(default_factory=dict)
    only_in_a: tuple[str, ...] = ()
    only_in_b: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    events_a: tuple[Mapping[str, Any], ...] = ()
    events_b: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """A column's first difference."""

    at_us: int
    rank: int
    difference: Difference


def trace_of(record: Record) -> Trace:
    """Return a record's trace."""
    header = record.header
    return Trace(record.streams, header.start_utc, record.events, header.trace_sha256)


def find_divergence(a: Trace, b: Trace, tolerance: Tolerance = EXACT) -> Divergence:
    """Compare two traces, columns that both have, over the time that both have.

    Raises:
        RecordError: a stream is damaged.

    """
    if a.sha256 is not None and a.sha256 == b.sha256:
        return Divergence(True)
    found: list[_Found] = []
    differing, compared, notes = {}, {}, []
    names = [name for name in (*_ORDER, *sorted(a.streams)) if name in a.streams]
    only_a = [name for name in a.streams if name not in b.streams]
    only_b = [name for name in b.streams if name not in a.streams]
    for rank, name in enumerate(dict.fromkeys(names)):
        if name not in b.streams:
            continue
        one, other = a.streams[name], b.streams[name]
        only_a += [f"{name}:{column}" for column in one if column not in other]
        only_b += [f"{name}:{column}" for column in other if column not in one]
        rows = _Rows(one, other, (a.end_us(name), b.end_us(name)), a.every > 1, b.every > 1)
        notes += rows.notes
        here = [f for f in _differences(rank, one, other, rows, tolerance) if f is not None]
        found += here
        differing[name] = len({f.difference.column for f in here})
        compared[name] = sum(column in other for column in one)
    decided = [f for f in found if f.difference.column.startswith(_DECIDED)]
    first = _moment(found, a.start_utc)
    return Divergence(
        False, first, _moment(decided, a.start_utc), differing, compared,
        tuple(only_a), tuple(only_b), tuple(notes), _before(a, first), _before(b, first),
    )  # fmt: skip


class _Rows:
    """Which rows of two streams belong together: those of one time."""

    def __init__(
        self, a: Stream, b: Stream, ends_us: tuple[int, int], thin_a: bool, thin_b: bool
    ) -> None:
        times_a, times_b = a[TIME], b[TIME]
        self.all_a: Any = slice(None)
        self.all_b: Any = slice(None)
        self.times = times_a
        self.unmatched_us = _NEVER
        self.in_a = True
        self.notes: list[str] = []
        until_us = min(ends_us)
        if ends_us[0] != ends_us[1] and max(ends_us) != _NEVER:
            said = f"{ends_us[0] / 1e6:g} s and {ends_us[1] / 1e6:g} s"
            self.notes.append(f"{a.name} ends at {said}: compared up to {until_us / 1e6:g} s")
        if np.array_equal(times_a, times_b):
            return
        self.times, self.all_a, self.all_b = np.intersect1d(
            times_a, times_b, assume_unique=True, return_indices=True
        )
        for times, in_a, other_is_thin in ((times_a, True, thin_b), (times_b, False, thin_a)):
            if other_is_thin:
                continue  # rows were left out there
            lone = np.setdiff1d(times[times <= until_us], self.times, assume_unique=True)
            if len(lone) and int(lone[0]) < self.unmatched_us:
                self.unmatched_us, self.in_a = int(lone[0]), in_a


def end_us(stream: Stream) -> int:
    """Return when a stream's last row is, −1 for one without rows."""
    times = stream[TIME]
    return int(times[-1]) if len(times) else -1


def _differences(
    rank: int, a: Stream, b: Stream, rows: _Rows, tolerance: Tolerance
) -> Iterator[_Found | None]:
    """Yield the first difference of each column, and the first row that only one stream has."""
    if rows.unmatched_us != _NEVER:
        at = float(rows.unmatched_us)
        values = (at, None) if rows.in_a else (None, at)
        yield _Found(rows.unmatched_us, rank, Difference(a.name, TIME, "us", *values))
    for column in a:
        if column != TIME and column in b:
            one, other = a[column][rows.all_a], b[column][rows.all_b]
            yield _first(rank, a.name, column, a.units[column], one, other, rows.times, tolerance)


def _first(
    rank: int,
    stream: str,
    column: str,
    unit: str,
    a: NDArray[Any],
    b: NDArray[Any],
    times: NDArray[np.int64],
    tolerance: Tolerance,
) -> _Found | None:
    differs = _differ(a, b, tolerance)
    if not differs.any():
        return None
    row = int(np.argmax(differs))
    at_us = int(times[row])
    if column.startswith(_LATER):
        # The row is the command's; the time says when it became true, in one trace or the other.
        index = np.flatnonzero(differs)
        both = np.stack((a[index], b[index])).astype(np.int64)
        became = np.where(both >= 0, both, _NEVER).min(axis=0)
        row = int(index[np.argmin(became)])
        at_us = int(became.min())
    difference = Difference(stream, column, unit, float(a[row]), float(b[row]))
    return _Found(at_us, rank, difference)


def _differ(a: NDArray[Any], b: NDArray[Any], tolerance: Tolerance) -> NDArray[np.bool_]:
    differs = np.asarray(a != b)
    if a.dtype.kind != "f" or not differs.any():
        return differs
    differs &= ~(np.isnan(a) & np.isnan(b))
    if tolerance == EXACT or not differs.any():
        return differs
    index = np.flatnonzero(differs)
    one, other = a[index], b[index]
    with np.errstate(invalid="ignore"):
        size = np.maximum(np.abs(one), np.abs(other))
        allowed = tolerance.absolute + tolerance.relative * size
        # "not ≤" so that NaN against a number differs; so does an infinity against anything
        differs[index] = ~(np.abs(one - other) <= allowed) | ~np.isfinite(size)
    return differs


def _moment(found: Sequence[_Found], start_utc: str) -> Moment | None:
    if not found:
        return None
    # Of a command, what was decided says more than its number.
    ordered = sorted(
        found, key=lambda f: (f.at_us, f.rank, not f.difference.column.startswith(_DECIDED))
    )
    first = ordered[0]
    same = [f.difference for f in ordered[1:] if f.at_us == first.at_us]
    return Moment(first.at_us, utc_text(start_utc, first.at_us), first.difference, tuple(same))


def utc_text(start_utc: str, t_us: int) -> str:
    """Return the scenario's time at a simulated time, ISO 8601 in UTC."""
    at = dt.datetime.fromisoformat(start_utc) + dt.timedelta(microseconds=t_us)
    text = at.astimezone(dt.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").replace(".000Z", "Z")


def _before(trace: Trace, moment: Moment | None) -> tuple[Mapping[str, Any], ...]:
    if moment is None:
        return ()
    upto = [event for event in trace.events if event.get("t_sim_us", 0) <= moment.t_sim_us]
    return tuple(upto[-_EVENTS_SHOWN:])
