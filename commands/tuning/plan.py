"""From the arguments of the command to what is searched, and how the budget is shared out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .simulate import TuneError

if TYPE_CHECKING:
    from ...scenarios.model import Scenario

#: Seeds of a training whose scenarios name none. Seeds from 1 on are for tests.
TRAINING_SEEDS: Final = tuple(range(1001, 1031))
#: Training seeds of the search, the first ones; the final has further ones.
SEARCH_SEEDS: Final = 2
#: Points of the search that come into the final at most, besides the starts.
_BEST: Final = 8
#: Fewer of them rather than fewer seeds in the final than this.
_LEAST_SEEDS: Final = 5

Run = tuple["Scenario", int]


@dataclass(frozen=True, slots=True)
class Training:
    """A scenario, as `training_scenario` returns it, and its training seeds."""

    scenario: Scenario
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is searched.

    Half of the budget is for the search and half for the final, in which the starts and the best
    points of the search run on seeds that the search has not seen. What the final cannot use goes
    to the search.

    Attributes:
        kind: the policy's.
        training: scenarios with their training seeds.
        budget: simulations at most; those of `zero`, which all points share, are not counted.
        seed: of the search.
        starts: the first points; the first of them is the defaults.

    """

    kind: str
    training: tuple[Training, ...]
    budget: int
    seed: int
    starts: tuple[Mapping[str, float], ...]

    @property
    def search_runs(self) -> list[Run]:
        """The runs of a point in the search."""
        return [(part.scenario, s) for part in self.training for s in part.seeds[:SEARCH_SEEDS]]

    @property
    def final_runs(self) -> list[Run]:
        """The runs of a point in the final."""
        return [(part.scenario, s) for part in self.training for s in self.final_seeds(part)]

    def final_seeds(self, part: Training) -> tuple[int, ...]:
        """Return the seeds of a scenario in the final; as many in each."""
        available = min(len(each.seeds) for each in self.training) - SEARCH_SEEDS
        count = self.budget // 2 // (self.finalists * len(self.training))
        return part.seeds[SEARCH_SEEDS:][: min(available, count)]

    @property
    def finalists(self) -> int:
        """How many points come into the final, the starts included."""
        enough = self.budget // 2 // (_LEAST_SEEDS * len(self.training))
        starts = len(self.starts)
        return max(starts + 1, min(starts + _BEST, enough))

    @property
    def points(self) -> int:
        """How many points the search tries."""
        left = self.budget - self.finalists * len(self.final_runs)
        return left // len(self.search_runs)


def plan_of(kind: str, suite: Sequence[str], budget: int, seed: int) -> Plan:
    """Return what is to be searched.

    Args:
        kind: of the policy.
        suite: suites with training seeds, or scenarios: files, or names in the library.
        budget: simulations.
        seed: of the search.

    Raises:
        TuneError: there is no such kind, or it has nothing to tune, or a suite too few training
            seeds, or the budget is too small.
        ScenarioErrors: a scenario is invalid.
        UnknownScenarioError: a name is not in the library.
    """
    _check_kind(kind)
    training = tuple(
        Training(training_scenario(scenario, kind, seeds), seeds)
        for argument in suite
        for scenario, seeds in _of(argument)
    )
    plan = Plan(kind, training, budget, seed, _starts(kind, training))
    least = (SEARCH_SEEDS + 1) * len(training) * (len(plan.starts) + 1)
    if budget < least:
        raise TuneError(
            f"a budget of {budget} simulations is too small; allowed: at least {least}, for "
            f"{SEARCH_SEEDS + 1} seeds in each scenario with {len(plan.starts)} given points and "
            "another one"
        )
    return plan


def training_scenario(scenario: Scenario, kind: str, seeds: tuple[int, ...]) -> Scenario:
    """Return a scenario as a search runs it: the policy alone, function calls, virtual time."""
    from ...agents.policy import POLICIES

    return scenario.model_copy(
        update={
            "clock": scenario.clock.model_copy(update={"mode": "virtual"}),
            "rig": "direct",
            "policies": (POLICIES[kind].config(),),
            "baselines": (),
            "seeds": seeds,
            "audit": None,
        }
    )


def _of(argument: str) -> list[tuple[Scenario, tuple[int, ...]]]:
    """Return the scenarios that an argument means, with their training seeds."""
    from ...scenarios.library import locate_any
    from ...scenarios.load import load_scenario
    from ...scenarios.suite_loading import is_suite, load_suite

    path, meant = locate_any(argument)
    if meant != "suite" and (meant or not is_suite(path)):
        return [(load_scenario(path), TRAINING_SEEDS)]
    suite = load_suite(path)
    seeds = suite.config.training_seeds
    if len(seeds) <= SEARCH_SEEDS:
        raise TuneError(
            f"{path} has {len(seeds)} training_seeds; allowed: at least {SEARCH_SEEDS + 1}, the "
            f"first {SEARCH_SEEDS} for the search, the others for the final"
        )
    return [(stratum.experiment, seeds) for stratum in suite.strata]


def _starts(kind: str, training: Sequence[Training]) -> tuple[Mapping[str, float], ...]:
    """Return the defaults of a policy's tunable keys, and what its rule gives for each site."""
    from ...agents.policy import POLICIES
    from ...hil.assembly import site_info

    entry = POLICIES[kind]
    config = entry.config()
    starts = [{key: getattr(config, key) for key in config.tunables}]
    for part in training if entry.start is not None else ():
        assert entry.start is not None
        start = {**starts[0], **entry.start(site_info(part.scenario, ()))}
        if start not in starts:
            starts.append(start)
    return tuple(starts)


def _check_kind(kind: str) -> None:
    from ...agents.policy import POLICIES

    known = [name for name, entry in POLICIES.items() if entry.config.tunables]
    if kind in known:
        return
    allowed = f"allowed: {', '.join(known)}"
    if kind in POLICIES:
        raise TuneError(f"a policy of kind '{kind}' has nothing to tune; {allowed}")
    near = difflib.get_close_matches(kind, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise TuneError(f"no policy '{kind}'; {hint}{allowed}")
