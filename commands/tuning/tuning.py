"""A policy's search on its training runs, from the plan to the chosen point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..pool import Submit, workers
from .journal import Journal, Measured
from .score import Score, chosen_of, front_of, mean_score, score_run, usable
from .simulate import TuneError, simulate

if TYPE_CHECKING:
    from ...agents.policy import PolicyConfig
    from ...scenarios.model import Scenario
    from .search import Point

Origin = Literal["defaults", "rule", "search"]


@dataclass(frozen=True, slots=True)
class Training:
    """A scenario, as `training_of` returns it, and the seeds on which a policy is trained in it."""

    scenario: Scenario
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is searched.

    Attributes:
        kind: the policy's.
        training: scenarios and seeds; a point is simulated once on each.
        budget: simulations at most; those of `zero`, which any point shares, are not counted.
        seed: of the search.

    """

    kind: str
    training: tuple[Training, ...]
    budget: int
    seed: int

    @property
    def runs(self) -> list[tuple[Scenario, int]]:
        """The runs of a point."""
        return [(part.scenario, seed) for part in self.training for seed in part.seeds]

    @property
    def points(self) -> int:
        """How many points the budget is enough for."""
        return self.budget // len(self.runs)


@dataclass(frozen=True, slots=True)
class Tried:
    """A point that was simulated.

    Attributes:
        parameters: values of the tunable keys.
        origin: where it comes from.
        runs: what each run measured; None where the policy failed.
        score: mean over the runs; None if the policy failed in any.

    """

    parameters: Point
    origin: Origin
    runs: tuple[Measured, ...]
    score: Score | None


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found.

    Attributes:
        plan: what was searched.
        tried: every point, in the order in which they were asked for; the first is the defaults.
        front: indices of the points on the front.
        chosen: index of the point that was chosen.

    """

    plan: Plan
    tried: tuple[Tried, ...]
    front: tuple[int, ...]
    chosen: int


def tune(
    plan: Plan,
    journal_path: Path,
    *,
    jobs: int,
    resume: bool,
    on_batch: Callable[[Sequence[Tried], int], None] = lambda tried, points: None,
) -> Tuned:
    """Search; the result does not depend on ``jobs``.

    Args:
        plan: what is searched.
        journal_path: where what was found so far is kept; it is left there, and whoever has
            stored the result removes it.
        jobs: processes; 1 simulates in this one.
        resume: whether to go on with what the journal holds.
        on_batch: told of all points tried, and of how many there will be, after each batch.

    Raises:
        TuneError: the policy has nothing to tune, the budget is too small, a scenario cannot be
            used, or no point kept the limits.
        ScenarioErrors: a scenario is invalid.
    """
    from ...agents.policy import POLICIES
    from .search import Search

    tunables = POLICIES[plan.kind].config.tunables
    origins: list[Origin] = ["defaults"]
    starts: list[Mapping[str, float]] = [_defaults(plan.kind)]
    for start in _rule_starts(plan):
        origins.append("rule")
        starts.append({**starts[0], **start})
    if plan.points < len(starts):
        raise TuneError(
            f"a budget of {plan.budget} simulations is too small: a point takes "
            f"{len(plan.runs)}, and {len(starts)} points are given before the search begins"
        )
    search = Search(tunables, starts, plan.points, plan.seed)
    journal = Journal(journal_path, _identity(plan), resume=resume)
    tried: list[Tried] = []
    with workers(jobs) as submit:
        zeros = _zeros(plan, submit)
        while batch := search.ask():
            scores = []
            for parameters, runs in _batch_runs(plan, batch, journal, len(tried), submit):
                origin = origins[len(tried)] if len(tried) < len(origins) else "search"
                score = _score(plan, runs, zeros)
                tried.append(Tried(parameters, origin, tuple(runs), score))
                scores.append(score)
            search.tell(scores)
            on_batch(tried, plan.points)
    scores = [point.score for point in tried]
    chosen = chosen_of(scores)
    if chosen is None:
        raise TuneError(
            f"none of {len(tried)} points kept the limits on changes and safety in every training "
            f"run; what was tried is in {journal_path}"
        )
    return Tuned(plan, tuple(tried), tuple(front_of(scores)), chosen)


def policy_of(kind: str, parameters: Mapping[str, float]) -> PolicyConfig:
    """Return a policy's configuration with these values and its defaults for the rest."""
    from ...agents.policy import POLICIES

    return POLICIES[kind].config.model_validate(dict(parameters))


def _batch_runs(
    plan: Plan, batch: Sequence[Point], journal: Journal, done: int, submit: Submit
) -> Iterator[tuple[Point, list[Measured]]]:
    """Yield each point of a batch with what its runs measured; all are submitted first."""
    waiting: list[tuple[Point, list[Measured] | None, list[Future[Measured]]]] = []
    for offset, parameters in enumerate(batch):
        known = journal.known(done + offset, parameters)
        futures = []
        if known is None:
            policy = policy_of(plan.kind, parameters)
            futures = [submit(simulate, *run, policy) for run in plan.runs]
        waiting.append((parameters, known, futures))
    for parameters, known, futures in waiting:
        if known is not None:
            yield parameters, known
            continue
        runs = [future.result() for future in futures]
        journal.add(parameters, runs)
        yield parameters, runs


def _zeros(plan: Plan, submit: Submit) -> list[Mapping[str, float]]:
    """Return what `zero` measured in each run of a point."""
    futures = [submit(simulate, *run, policy_of("zero", {})) for run in plan.runs]
    zeros = []
    for (scenario, seed), future in zip(plan.runs, futures, strict=True):
        measured = future.result()
        if measured is None or not usable(measured):
            raise TuneError(
                f"scenario '{scenario.name}', seed {seed}: with all loads off nothing is exported: "
                "there is nothing to train for, so leave it out"
            )
        zeros.append(measured)
    return zeros


def _score(
    plan: Plan, runs: Sequence[Measured], zeros: Sequence[Mapping[str, float]]
) -> Score | None:
    scores = []
    for (scenario, _), measured, zero in zip(plan.runs, runs, zeros, strict=True):
        if measured is None:
            return None
        scores.append(score_run(measured, zero, scenario.limits))
    return mean_score(scores)


def _defaults(kind: str) -> dict[str, float]:
    """Return the default values of a policy's tunable keys."""
    from ...agents.policy import POLICIES

    config = POLICIES[kind].config()
    return {key: getattr(config, key) for key in config.tunables}


def _rule_starts(plan: Plan) -> list[dict[str, float]]:
    """Return what the kind's published rule gives for the sites of the training, each once."""
    from ...agents.policy import POLICIES
    from ...hil.assembly import site_info

    rule = POLICIES[plan.kind].start
    starts: list[dict[str, float]] = []
    for part in plan.training if rule is not None else ():
        assert rule is not None
        start = dict(rule(site_info(part.scenario, ())))
        if start not in starts:
            starts.append(start)
    return starts


def _identity(plan: Plan) -> dict[str, Any]:
    """Return what decides the points of a search."""
    import optuna

    from ... import __version__

    training = [{"hash": part.scenario.hash(), "seeds": part.seeds} for part in plan.training]
    versions = {"wattbench": __version__, "optuna": optuna.__version__}
    plain = {"policy": plan.kind, "budget": plan.budget, "seed": plan.seed}
    return {**plain, "training": training, "versions": versions}
