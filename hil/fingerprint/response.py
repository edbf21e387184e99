"""Dead time and ramp from the answer to commanded steps.

Model: a command that reaches the device at 0 has no effect for the dead time d; then the power goes
in a straight line, r for the whole range, and stays. The part of the step that is done at t is
φ(t) = clip((t − d) / (s·r), 0, 1), s being the step's part of the range.

A sample with the part f ± ε, taken between t₁ and t₂, says two things, both linear in d and r:
``d + (f − ε)·s·r <= t₂`` if f − ε > 0 (something had happened by then), and
``d + (f + ε)·s·r >= t₁`` if f + ε < 1 (it had not ended). Steps that are commanded at different
phases of the device's refresh narrow each other. See `bounds.extent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from .bounds import extent
from .estimate import Estimate, EstimateError
from .series import Series

_METHOD: Final = "straight ramp after a dead time, bounded by every sample (linear programme)"
_SIGMAS: Final = 3.5
_LONGEST_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Step:
    """One commanded step and what was seen of it."""

    series: Series
    """Times count from the earliest moment at which the command can have reached the device."""
    slack_s: float
    """How much later it can have got there."""
    before: float
    """Settled value of the series' quantity before the step."""
    after: float
    """And after it."""
    share: float = 1.0
    """Part of the device's range that was commanded, 0 … 1."""


@dataclass(frozen=True, slots=True)
class StepResponse:
    """How a device follows its commands."""

    dead_time: Estimate
    """s."""
    ramp: Estimate
    """s, for the whole range."""


def scatter(values: ArrayLike) -> float:
    """Return the standard deviation of a settled value, from differences: a drift counts little."""
    array = np.asarray(values, np.float64)
    if array.size < 2:
        return 0.0
    return float(np.sqrt(np.mean(np.diff(array) ** 2) / 2))


def estimate_step_response(
    steps: Sequence[Step], *, refresh_s: float = 0.0, tolerance: float = 0.0
) -> StepResponse:
    """Return dead time and ramp.

    Args:
        steps: repeated steps; the more phases of the refresh they meet, the sharper the result.
        refresh_s: how old a value can be when it is answered; an upper bound.
        tolerance: greatest error of a value, in its unit: rounding of device and register, noise.

    Raises:
        EstimateError: no step shows an effect.
    """
    rows: list[tuple[float, float]] = []
    limits: list[float] = []
    slacks: list[float] = []
    used = 0
    for step in steps:
        size = step.after - step.before
        if abs(size) <= 4 * tolerance or not step.share > 0:
            continue
        used += 1
        part = (step.series.values - step.before) / size
        epsilon = tolerance / abs(size)
        early, late = step.series.windows(refresh_s)
        slacks.append(step.slack_s)
        for f, t1, t2 in zip(part, early, late, strict=True):
            if f - epsilon > 0:
                rows.append((1.0, min(f - epsilon, 1.0) * step.share))
                limits.append(t2)
            if f + epsilon < 1:
                # What came late at the device came early by the device's own count.
                rows.append((-1.0, -max(f + epsilon, 0.0) * step.share))
                limits.append(-(t1 - step.slack_s))
    if not used:
        raise EstimateError("no step changed the measured value by more than its tolerance")
    found = extent(rows, limits, (_LONGEST_S, _LONGEST_S))
    note = ""
    if found.relaxed > 0:
        note = f"no straight ramp fits: times had to be taken ±{found.relaxed:.3g} s wider"
    if found.high[0] >= _LONGEST_S or found.high[1] >= _LONGEST_S:
        raise EstimateError("the samples end before the step does")
    # A sharp edge of the polygon is only as sharp as the clocks that it was drawn with.
    least = max(slacks) / 2 + 1e-6
    dead_time, ramp = (
        Estimate.between(low, high, "s", _METHOD, used, note).at_least(least)
        for low, high in zip(found.low.tolist(), found.high.tolist(), strict=True)
    )
    return StepResponse(dead_time, ramp)


def onset(
    step: Step, ramp: Estimate, *, refresh_s: float, tolerance: float
) -> tuple[float, float] | None:
    """Return between which times a move began that nobody commanded; None: it cannot be told.

    Bounded by every sample as in `estimate_step_response`, the ramp being known.

    Raises:
        EstimateError: nothing moved.
    """
    size = step.after - step.before
    if abs(size) <= 2 * tolerance:
        raise EstimateError("the value did not change")
    part, epsilon = (step.series.values - step.before) / size, tolerance / abs(size)
    early, late = step.series.windows(refresh_s)
    begun, open_end = part - epsilon > 0, part + epsilon < 1
    if not begun.any() or not open_end.any():
        return None
    low_s = max(0.0, ramp.low) * step.share
    high_s = ramp.high * step.share
    latest = np.min(late[begun] - np.minimum(part[begun] - epsilon, 1.0) * low_s)
    earliest = np.max(early[open_end] - np.maximum(part[open_end] + epsilon, 0.0) * high_s)
    return float(min(earliest, latest)) - step.slack_s, float(max(earliest, latest))


def settled(series: Series, begin_s: float) -> tuple[float, float]:
    """Return mean and tolerance (noise, 3.5 standard deviations) of what came after a time.

    Raises:
        EstimateError: nothing came after it.
    """
    tail = series.between(begin_s, np.inf).values
    if tail.size == 0:
        raise EstimateError("no sample of the settled value")
    # One value a refresh: repetitions of a latched value are no further evidence.
    distinct = tail[np.append(True, np.diff(tail) != 0)]
    noise = scatter(distinct) if distinct.size > 2 else float(np.ptp(tail))
    return float(np.mean(distinct)), _SIGMAS * noise
