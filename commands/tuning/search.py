"""The search itself: Optuna asked for points in batches and told what they are worth.

The first half of the points maps the front of the three objectives; the second half looks for the
least J near what is known by then, because the point that is chosen should be more than the best
of a map. Both use the tree-structured Parzen estimator; the limits are its constraints.

Batches have a fixed size and are told in the order in which they were asked, so that the points
do not depend on how many processes simulate them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import optuna

from ...agents.tuning import Tunable
from .score import Score

#: Points that are asked for before the first of them is told.
BATCH: Final = 8
#: Random points, the given ones included, before the estimator takes over.
_STARTUP: Final = 16
#: Part of the points that map the front.
_MAPPING: Final = 0.5
_DIGITS: Final = 4

Point = dict[str, float]


class Search:
    """Asks for points and is told their scores; the same answers lead to the same points."""

    def __init__(
        self,
        tunables: Mapping[str, Tunable],
        starts: Sequence[Mapping[str, float]],
        points: int,
        seed: int,
    ) -> None:
        """Prepare a search of ``points`` points in all, ``starts`` being the first of them."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = {key: _distribution(tunable) for key, tunable in tunables.items()}
        self._tunables = tunables
        self._points, self._seed = points, seed
        self._asked = 0
        self._batch: list[optuna.Trial] = []
        self._study = _study(seed, objectives=3)
        self._told: list[tuple[optuna.trial.FrozenTrial, Score]] = []
        for start in starts:
            self._study.enqueue_trial(
                {key: min(max(start[key], t.low), t.high) for key, t in tunables.items()}
            )

    @property
    def mapping(self) -> bool:
        """Whether the points asked for now map the front."""
        return len(self._study.directions) > 1

    def ask(self) -> list[Point]:
        """Return the next batch of points, empty when all were asked for."""
        if self.mapping and self._asked >= self._points * _MAPPING:
            self._refine()
        count = min(BATCH, self._points - self._asked)
        self._asked += count
        self._batch = [self._study.ask(self._space) for _ in range(count)]
        return [
            {key: _rounded(trial.params[key], t) for key, t in self._tunables.items()}
            for trial in self._batch
        ]

    def tell(self, scores: Sequence[Score | None]) -> None:
        """Take the scores of the points asked for last, in their order; None: the policy failed."""
        for trial, score in zip(self._batch, scores, strict=True):
            if score is None:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            trial.set_constraint("limits", score.excess)
            values = score.values if self.mapping else (score.objective_ratio,)
            self._told.append((self._study.tell(trial, values), score))

    def _refine(self) -> None:
        """Go on with J alone, from all that is known."""
        self._study = _study(self._seed + 1, objectives=1)
        for trial, score in self._told:
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=trial.params,
                    distributions=self._space,
                    value=score.objective_ratio,
                    constraints={"limits": score.excess},
                )
            )


def _study(seed: int, objectives: int) -> optuna.Study:
    sampler = optuna.samplers.TPESampler(n_startup_trials=_STARTUP, multivariate=True, seed=seed)
    return optuna.create_study(sampler=sampler, directions=["minimize"] * objectives)


def _distribution(tunable: Tunable) -> Any:
    if tunable.integer:
        low, high = round(tunable.low), round(tunable.high)
        return optuna.distributions.IntDistribution(low, high, log=tunable.log)
    return optuna.distributions.FloatDistribution(tunable.low, tunable.high, log=tunable.log)


def _rounded(value: float, tunable: Tunable) -> float:
    """Return a value with four digits, which is all that anybody reads, within its range."""
    if tunable.integer:
        return round(value)
    return min(max(float(f"{value:.{_DIGITS}g}"), tunable.low), tunable.high)
