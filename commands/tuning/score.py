"""What a point of the search is worth: three objectives, the scenario's J, and what it breaks.

Scenarios weigh alike: energies count as shares of what the `zero` baseline exports in the same
scenario on the same seed, that is of the surplus there is to win. J counts by its logarithm, so
that a tenth less is worth the same where little can be won and where much can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...evaluation.limits import LimitConfig

_EXPORT, _IMPORT, _OBJECTIVE = "export_energy@1", "import_energy@1", "objective@1"
_CHANGES, _WORST = "command_changes_per_min_mean@1", "command_changes_per_min_worst@1"
_VIOLATIONS = "safety_violations@1"
#: Metrics that are kept of a simulation.
MEASURED: Final = (_EXPORT, _IMPORT, _OBJECTIVE, _CHANGES, _WORST, _VIOLATIONS)
#: Metrics whose limits a point must keep in every run; the others are for whole scenarios.
RESTRICTIONS: Final = (_WORST, _VIOLATIONS)
#: Names of the three objectives, in the order of `Score.values`; all are better when lower.
OBJECTIVES: Final = ("export_share", "added_import_share", "changes_per_min")
#: Less export of `zero` than this, Wh, is no surplus to share out.
_LEAST_SURPLUS_WH: Final = 1.0
#: J as a share of `zero`'s counts as this at least: the mean over runs is that of logarithms.
_LEAST_RATIO: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Score:
    """A policy's worth in one run, or the mean over runs.

    Attributes:
        export_share: export, as a share of `zero`'s.
        added_import_share: import beyond `zero`'s, as a share of `zero`'s export.
        changes_per_min: command changes a minute, on average over the run.
        objective_ratio: the scenario's objective J, as a share of `zero`'s; geometric mean.
        excess: by how much limits on changes and safety were passed, summed up; 0: kept.

    """

    export_share: float
    added_import_share: float
    changes_per_min: float
    objective_ratio: float
    excess: float

    @property
    def values(self) -> tuple[float, float, float]:
        """The three objectives."""
        return self.export_share, self.added_import_share, self.changes_per_min

    @property
    def feasible(self) -> bool:
        """Whether every limit on changes and safety was kept."""
        return self.excess <= 0.0


def usable(zero: Mapping[str, float]) -> bool:
    """Return whether a run of `zero` shows a surplus that can be shared out."""
    return zero[_EXPORT] >= _LEAST_SURPLUS_WH and zero[_OBJECTIVE] > 0.0


def score_run(
    measured: Mapping[str, float], zero: Mapping[str, float], limits: Sequence[LimitConfig]
) -> Score:
    """Return the score of one run beside `zero`'s on the same seed."""
    excess = 0.0
    for limit in limits:
        if limit.metric in RESTRICTIONS and limit.max is not None:
            excess += max(0.0, measured[limit.metric] - limit.max)
    surplus_wh = zero[_EXPORT]
    return Score(
        measured[_EXPORT] / surplus_wh,
        (measured[_IMPORT] - zero[_IMPORT]) / surplus_wh,
        measured[_CHANGES],
        max(measured[_OBJECTIVE] / zero[_OBJECTIVE], _LEAST_RATIO),
        excess,
    )


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean over runs, the geometric one for J; what was broken adds up."""

    def mean(name: str) -> float:
        return math.fsum(getattr(score, name) for score in scores) / len(scores)

    return Score(
        mean("export_share"),
        mean("added_import_share"),
        mean("changes_per_min"),
        math.exp(math.fsum(math.log(score.objective_ratio) for score in scores) / len(scores)),
        math.fsum(score.excess for score in scores),
    )


def mean_objective_wh(runs: Sequence[Mapping[str, float]]) -> float:
    """Return the mean of J over runs, Wh."""
    return math.fsum(run[_OBJECTIVE] for run in runs) / len(runs)


def front_of(scores: Sequence[Score | None]) -> list[int]:
    """Return the indices of the feasible points that no other feasible one dominates.

    A point dominates another if it is as good in every objective and better in one.
    """
    known = [
        (index, score.values) for index, score in enumerate(scores) if score and score.feasible
    ]

    def dominated(values: tuple[float, ...]) -> bool:
        return any(
            other != values and all(a <= b for a, b in zip(other, values, strict=True))
            for _, other in known
        )

    return [index for index, values in known if not dominated(values)]


def ranked(scores: Sequence[Score | None]) -> list[int]:
    """Return the indices of the feasible points, least J first; of two alike the earlier one."""
    known = [
        (score.objective_ratio, index)
        for index, score in enumerate(scores)
        if score is not None and score.feasible
    ]
    return [index for _, index in sorted(known)]
