"""How often a device's values change, from when they were seen to."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .bounds import extent
from .estimate import Estimate, EstimateError
from .series import Series

Floats = NDArray[np.float64]

_METHOD: Final = "longest period of a grid that meets every window in which a value changed"
LEAST_CHANGES: Final = 8
_USED: Final = 24
"""Changes that the search for the period looks at; the others narrow what it found."""
_FINEST: Final = 3.0
"""Periods below this many windows cannot be told from chance."""
_CHUNK: Final = 2000
_NEAR: Final = 0.97
_CANDIDATES: Final = 2_000_000


def estimate_refresh(*parts: Series) -> Estimate:
    """Return the period of the grid on which a value changes, s.

    Every change is a tick φ + k·R of the device that lies between the request that was still
    answered with the old value and the answer with the new one. R is the longest period at which
    such a grid exists: with n changes at random places the chance that all of them happen to be
    even ticks is 2^(1−n). A device whose value changes with every request has no period that could
    be seen; the answer is then 0 to the time between requests.

    Args:
        parts: series of values that move, asked for several times a period; on one time axis.

    Raises:
        EstimateError: the value hardly ever changes.
    """
    early, late, requests, every_s = _changes(parts)
    if early.size < LEAST_CHANGES:
        raise EstimateError(
            f"the value changed {early.size} times; at least {LEAST_CHANGES} are needed"
        )
    count = int(early.size)
    widest_s = float(np.max(late - early))
    longest_s = float(np.min(np.diff((early + late) / 2))) + widest_s
    shortest_s = _FINEST * widest_s
    if longest_s <= 2.5 * every_s + widest_s or longest_s <= shortest_s:
        note = "no longer than the time between requests"
        return Estimate.between(0.0, max(longest_s, 2 * every_s), "s", _METHOD, requests, note)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _USED)).astype(int))
    periods, ratio = _periods(early[chosen], late[chosen], shortest_s, longest_s)
    if periods.size == 0:
        note = "changes keep to no grid that is longer"
        return Estimate.between(0.0, shortest_s, "s", _METHOD, count, note)
    # Periods next to each other count the ticks alike; where there is a hole, another count begins.
    ends = np.flatnonzero(np.diff(np.log(periods)) < -3 * np.log(ratio))
    groups = np.split(periods, ends + 1)
    found = [_narrowed(early, late, float(np.median(group))) for group in groups]
    sound = [one for one in found if not one.note] or found
    low, high = min(one.low for one in sound), max(one.high for one in sound)
    return Estimate.between(low, high, "s", _METHOD, count, sound[0].note)


def _changes(parts: tuple[Series, ...]) -> tuple[Floats, Floats, int, float]:
    """Return the windows of all changes, the number of requests and their greatest distance."""
    early, late, gaps, requests = [], [], [0.0], 0
    for series in parts:
        changed = np.flatnonzero(series.changed())
        early.append(series.sent_s[changed - 1])
        late.append(series.received_s[changed])
        requests += len(series)
        if len(series) > 1:
            gaps.append(float(np.median(np.diff(series.sent_s))))
    begin, end = np.concatenate([*early, []]), np.concatenate([*late, []])
    order = np.argsort(begin)
    begin, end = begin[order], end[order]
    # A window that a missed answer has stretched says little and would blur the rest.
    usual = end - begin <= 2.5 * float(np.median(end - begin)) if begin.size else []
    return begin[usual], end[usual], requests, max(gaps)


def _periods(
    early: Floats, late: Floats, shortest_s: float, longest_s: float
) -> tuple[Floats, float]:
    """Return the longest periods whose grid can meet every window, and the search's step.

    They fall; the last is at most 3 % below the first.
    """
    widths = late - early
    span_s = float(late[-1] - early[0])
    ratio = 1.0 + float(np.min(widths)) / max(span_s, longest_s) / 2
    number = min(int(np.log(longest_s / shortest_s) / np.log(ratio)) + 2, _CANDIDATES)
    found = np.empty(0)
    for first in range(0, number, _CHUNK):
        powers = np.arange(first, min(first + _CHUNK, number), dtype=np.float64)
        periods: Floats = np.asarray(longest_s * ratio**-powers, np.float64)
        if found.size and periods[0] < _NEAR * found[0]:
            break
        found = np.concatenate([found, periods[_meets(early, widths, periods)]])
    return found[found >= _NEAR * found[0]] if found.size else found, ratio


def _meets(early: Floats, widths: Floats, periods: Floats) -> NDArray[np.bool_]:
    """Return for each period whether windows, wound around it, have a point in common."""
    wound = np.mod(early[None, :] - early[0], periods[:, None])
    found = np.zeros(len(periods), np.bool_)
    for k in range(len(early)):
        # If they have, it may as well be where one of them begins.
        behind = np.mod(wound[:, k : k + 1] - wound, periods[:, None])
        found |= (behind <= widths[None, :]).all(axis=1)
    return found


def _narrowed(early: Floats, late: Floats, period_s: float) -> Estimate:
    """Return the extent of the period, the number of each tick being what this one says."""
    origin = float(early[0])
    wound = np.mod(early - origin, period_s)
    behind = np.mod(wound[:, None] - wound[None, :], period_s)
    # Where most of the windows meet; windows that the search did not look at may be off a little.
    phase = float(wound[np.argmax((behind <= (late - early)[None, :]).sum(axis=1))])
    ticks = np.round(((early + late) / 2 - origin - phase) / period_s)
    ticks -= ticks.min()
    rows = np.concatenate([np.stack([np.ones(len(ticks)), ticks], 1)] * 2)
    rows[len(ticks) :] *= -1
    limits = np.concatenate([late - origin, origin - early])
    span_s = float(late[-1] - origin)
    found = extent(rows, limits, (span_s, span_s))
    note = f"not quite even: windows taken ±{found.relaxed:.3g} s wider" if found.relaxed else ""
    low, high = float(found.low[1]), float(found.high[1])
    return Estimate.between(low, high, "s", _METHOD, int(early.size), note)
