"""What a point of the search is worth: three objectives, the scenario's J, and what it breaks.

Scenarios weigh alike: energies count as shares of what the `zero` baseline exports in the same
scenario on the same seed, that is of the surplus there is to win.
"""

from __future__ import annotations

import math
import statistics
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
#: Standard errors of the mean paired difference by which a point must be better than the defaults.
_SURE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Score:
    """A policy's worth in one run, or the mean over runs.

    Attributes:
        export_share: export, as a share of `zero`'s.
        added_import_share: import beyond `zero`'s, as a share of `zero`'s export.
        changes_per_min: command changes a minute, on average over the run.
        objective_ratio: the scenario's objective J, as a share of `zero`'s.
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
        measured[_OBJECTIVE] / zero[_OBJECTIVE],
        excess,
    )


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean over runs; what was broken adds up."""

    def mean(name: str) -> float:
        return math.fsum(getattr(score, name) for score in scores) / len(scores)

    return Score(
        mean("export_share"),
        mean("added_import_share"),
        mean("changes_per_min"),
        mean("objective_ratio"),
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


def chosen_of(scores: Sequence[Score | None], ratios: Sequence[Sequence[float]]) -> int | None:
    """Return the index of the point to be used; None: no point is feasible.

    It is the one on the front with the least mean J of those that are surely better than the
    first point, the defaults: the best of many that were tried is good by luck, too. If there is
    none the defaults stay, unless they break a limit. Of two that are alike the first is taken.

    Args:
        scores: of each point; None where the policy failed.
        ratios: J in each run as a share of `zero`'s, for each point; paired by position.
    """
    candidates = front_of(scores)
    if scores and scores[0] is not None and scores[0].feasible:
        candidates = [k for k in candidates if _surely_less(ratios[k], ratios[0])] or [0]
    ranked = [(score.objective_ratio, k) for k in candidates if (score := scores[k])]
    return min(ranked)[1] if ranked else None


def _surely_less(mine: Sequence[float], others: Sequence[float]) -> bool:
    """Return whether values are less than those paired with them, beyond what chance explains."""
    gains = [b - a for a, b in zip(mine, others, strict=True)]
    mean = math.fsum(gains) / len(gains)
    if len(gains) < 2:
        return mean > 0.0
    return mean > _SURE * statistics.stdev(gains) / math.sqrt(len(gains))
