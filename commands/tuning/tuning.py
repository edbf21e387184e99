"""A policy's search and the final that decides, from the plan to the chosen point.

The best of many points owes its score to luck, too: on other seeds it is worse. So the search only
says which few points deserve a closer look, and these run again, with the starts, on seeds that
the search has not seen; what they are worth there alone decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..pool import Submit, workers
from .final import chosen_of, finalists_of
from .found import Origin, Tried, Tuned
from .journal import Journal, Measured
from .plan import Plan, Run
from .score import front_of, mean_score, ranked, score_run, usable
from .simulate import TuneError, simulate

if TYPE_CHECKING:
    from ...agents.policy import PolicyConfig
    from .search import Point


class OnStep(Protocol):
    """Is told what was tried so far, in the search and in the final."""

    def __call__(self, tried: Sequence[Tried], finals: Sequence[Tried]) -> None:
        """Take the points after each of them."""
        ...


def _say_nothing(tried: Sequence[Tried], finals: Sequence[Tried]) -> None:
    """Tell nobody."""


def tune(
    plan: Plan, journal_path: Path, *, jobs: int, resume: bool, on_step: OnStep = _say_nothing
) -> Tuned:
    """Search and decide; the result does not depend on ``jobs``.

    Args:
        plan: what is searched.
        journal_path: where what was found so far is kept; it is left there, and whoever has
            stored the result removes it.
        jobs: processes; 1 simulates in this one.
        resume: whether to go on with what the journal holds.
        on_step: told of what was tried so far after each point and each finalist.

    Raises:
        TuneError: a scenario cannot be used, or no point kept the limits.
    """
    journal = Journal(journal_path, _identity(plan), resume=resume)
    with workers(jobs) as submit:
        search = _Stage(plan.kind, plan.search_runs, journal, submit)
        final = _Stage(plan.kind, plan.final_runs, journal, submit)
        tried: list[Tried] = []
        for point in _searched(plan, search):
            tried.append(point)
            on_step(tried, ())
        known = finalists_of(tried, plan) if ranked([point.score for point in tried]) else []
        finals: list[Tried] = []
        for point in final.run([(tried[k].parameters, tried[k].origin) for k in known]):
            finals.append(point)
            on_step(tried, finals)
    found = dict(zip(known, finals, strict=True))
    chosen = chosen_of(tried, found)
    if chosen is None:
        raise TuneError(
            f"none of {len(tried)} points kept the limits on changes and safety in every training "
            f"run; what was tried is in {journal_path}"
        )
    front = sorted({*front_of([point.score for point in tried]), chosen})
    return Tuned(plan, tuple(tried), found, tuple(front), chosen)


def policy_of(kind: str, parameters: Mapping[str, float]) -> PolicyConfig:
    """Return a policy's configuration with these values and its defaults for the rest."""
    from ...agents.policy import POLICIES

    return POLICIES[kind].config.model_validate(dict(parameters))


def _searched(plan: Plan, stage: _Stage) -> Iterator[Tried]:
    """Yield the points of the search."""
    from ...agents.policy import POLICIES
    from .search import Search

    search = Search(POLICIES[plan.kind].config.tunables, plan.starts, plan.points, plan.seed)
    given: list[Origin] = ["defaults"]
    given += ["rule"] * (len(plan.starts) - 1)
    origins: Iterator[Origin] = itertools.chain(given, itertools.repeat("search"))
    while batch := search.ask():
        scores = []
        for point in stage.run(list(zip(batch, origins, strict=False))):
            yield point
            scores.append(point.score)
        search.tell(scores)


class _Stage:
    """Runs points, all on the same scenarios and seeds."""

    def __init__(self, kind: str, runs: Sequence[Run], journal: Journal, submit: Submit) -> None:
        """Run `zero` once on each; no point's score can do without it."""
        self._kind, self._runs = kind, runs
        self._journal, self._submit = journal, submit
        self._zeros = list(self._of_zero())

    def run(self, points: Sequence[tuple[Point, Origin]]) -> Iterator[Tried]:
        """Yield each point with what its runs measured; all are submitted first."""
        waiting: list[tuple[list[Measured] | None, list[Future[Measured]]]] = []
        for parameters, _ in points:
            known = self._journal.take(parameters)
            waiting.append((known, [] if known is not None else self._submitted(parameters)))
        for (parameters, origin), (known, futures) in zip(points, waiting, strict=True):
            runs = [future.result() for future in futures] if known is None else known
            if known is None:
                self._journal.add(parameters, runs)
            yield self._tried(parameters, origin, runs)

    def _submitted(self, parameters: Point) -> list[Future[Measured]]:
        policy = policy_of(self._kind, parameters)
        return [self._submit(simulate, *run, policy) for run in self._runs]

    def _tried(self, parameters: Point, origin: Origin, runs: Sequence[Measured]) -> Tried:
        scores = [
            score_run(measured, zero, scenario.limits)
            for (scenario, _), measured, zero in zip(self._runs, runs, self._zeros, strict=True)
            if measured is not None
        ]
        if len(scores) < len(runs):
            return Tried(parameters, origin, tuple(runs), (), None)
        ratios = tuple(score.objective_ratio for score in scores)
        return Tried(parameters, origin, tuple(runs), ratios, mean_score(scores))

    def _of_zero(self) -> Iterator[Mapping[str, float]]:
        futures = [self._submit(simulate, *run, policy_of("zero", {})) for run in self._runs]
        for (scenario, seed), future in zip(self._runs, futures, strict=True):
            measured = future.result()
            if measured is None or not usable(measured):
                raise TuneError(
                    f"scenario '{scenario.name}', seed {seed}: with all loads off nothing is "
                    "exported: there is nothing to train for, so leave it out"
                )
            yield measured


def _identity(plan: Plan) -> dict[str, Any]:
    """Return what decides the points of a search."""
    import optuna

    from ... import __version__
    from ...hil.identity import packages
    from ..measuring import code_digest

    training = [{"hash": part.scenario.hash(), "seeds": part.seeds} for part in plan.training]
    versions = {"wattbench": __version__, **packages(), "optuna": optuna.__version__}
    versions["code"] = code_digest()
    plain = {"policy": plan.kind, "budget": plan.budget, "seed": plan.seed}
    return {**plain, "training": training, "versions": versions}
