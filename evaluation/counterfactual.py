"""Two policies' decisions on the same measurements: where and by how much they differ.

Counterfactual: the second policy was shown what the first one's run measured. Its decisions are
what it would have decided there, not what would have happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_KEPT = 10
"""How many of the largest stretches are kept."""

LABEL = "counterfactual: what it would have decided, not what would have happened"


@dataclass(frozen=True, slots=True)
class Gap:
    """How far two commands lie apart in one quantity, over all steps compared.

    Attributes:
        name: an actuator's id, or a phase.
        steps: in how many steps they differ.
        mean_w: mean of the size of the difference over all steps.
        max_w: its greatest size.
        bias_w: mean of the difference, the other policy's minus the recorded.

    """

    name: str
    steps: int
    mean_w: float
    max_w: float
    bias_w: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive steps that differ.

    Attributes:
        from_us: time of the first.
        to_us: time of the last.
        steps: how many.
        peak_us: time of the greatest difference, summed over the actuators.
        recorded_w: the recorded command then.
        other_w: the other policy's.

    """

    from_us: int
    to_us: int
    steps: int
    peak_us: int
    recorded_w: dict[str, float]
    other_w: dict[str, float]


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What another policy would have commanded.

    Attributes:
        steps: control steps compared.
        differing: in how many any set-point differs.
        not_asked: steps at which the other policy was not asked (no reading, or too old a one).
        decisions_identical: whether the decisions before the guard are the same in every bit at
            every step; None where the recorded ones are not known.
        actuators: differences of set-points.
        phases: differences of consumption per phase; empty without the actuators' phases.
        first: the first stretch that differs; None if none does.
        longest: the one of most steps.
        largest: the ten of the greatest difference, greatest first.

    """

    steps: int
    differing: int
    not_asked: int
    decisions_identical: bool | None
    actuators: tuple[Gap, ...]
    phases: tuple[Gap, ...]
    first: Stretch | None
    longest: Stretch | None
    largest: tuple[Stretch, ...]

    @property
    def share(self) -> float:
        """Share of steps that differ; 0 for no steps."""
        return self.differing / self.steps if self.steps else 0.0


def contrast(
    t_us: NDArray[np.int64],
    actuators: Sequence[str],
    consumption: Floats,
    recorded_w: Floats,
    other_w: Floats,
    *,
    asked: NDArray[np.bool_],
    decisions_identical: bool | None,
) -> Counterfactual:
    """Hold commands of two policies against each other.

    Args:
        t_us: [N] time of each step.
        actuators: [A] ids.
        consumption: [3, A] phase consumption per watt of each set-point.
        recorded_w: [N, A] recorded commands; a step in which one is NaN is left out.
        other_w: [N, A] the other policy's.
        asked: [N] at which steps it was asked.
        decisions_identical: what is known of the decisions before the guard.

    """
    known = ~np.isnan(recorded_w).any(axis=1)
    t_us, recorded_w, other_w = t_us[known], recorded_w[known], other_w[known]
    gap_w = other_w - recorded_w
    differs = (gap_w != 0).any(axis=1)
    runs = _runs(differs)
    size_w = np.abs(gap_w).sum(axis=1)
    peaks = [first + int(np.argmax(size_w[first:end])) for first, end in runs]

    def stretch(index: int) -> Stretch:
        (first, end), peak = runs[index], peaks[index]
        return Stretch(
            int(t_us[first]), int(t_us[end - 1]), end - first, int(t_us[peak]),
            dict(zip(actuators, recorded_w[peak].tolist(), strict=True)),
            dict(zip(actuators, other_w[peak].tolist(), strict=True)),
        )  # fmt: skip

    by_size = sorted(range(len(runs)), key=lambda k: (-size_w[peaks[k]], k))
    by_length = sorted(range(len(runs)), key=lambda k: (runs[k][0] - runs[k][1], k))
    return Counterfactual(
        len(t_us),
        int(differs.sum()),
        int((~asked[known]).sum()),
        decisions_identical,
        _gaps(actuators, gap_w),
        _gaps(("a", "b", "c"), gap_w @ consumption.T),
        stretch(0) if runs else None,
        stretch(by_length[0]) if runs else None,
        tuple(stretch(k) for k in by_size[:_KEPT]),
    )


def _runs(differs: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first index and end (exclusive) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], differs.view(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _gaps(names: Sequence[str], gap_w: Floats) -> tuple[Gap, ...]:
    if not len(gap_w):
        return ()
    size_w = np.abs(gap_w)
    return tuple(
        Gap(
            name,
            int((gap_w[:, k] != 0).sum()),
            float(size_w[:, k].mean()),
            float(size_w[:, k].max()),
            float(gap_w[:, k].mean()),
        )
        for k, name in enumerate(names)
    )


def as_dict(found: Counterfactual) -> dict[str, Any]:
    """Return plain data for JSON."""
    from dataclasses import asdict

    return {"label": LABEL, "share": found.share, **asdict(found)}
