"""From the arguments of the command to what is searched."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .simulate import TuneError
from .tuning import Plan, Training

if TYPE_CHECKING:
    from ...scenarios.model import Scenario

#: Seeds of a training whose scenarios name none. Seeds from 1 on are for tests.
TRAINING_SEEDS: Final = (1001, 1002)


def plan_of(kind: str, suite: Sequence[str], budget: int, seed: int) -> Plan:
    """Return what is to be searched.

    Args:
        kind: of the policy.
        suite: suites with training seeds, or scenarios: files, or names in the library.
        budget: simulations.
        seed: of the search.

    Raises:
        TuneError: there is no such kind, or it has nothing to tune, or a suite no training seeds.
        ScenarioErrors: a scenario is invalid.
        UnknownScenarioError: a name is not in the library.
    """
    _check_kind(kind)
    training = [
        Training(training_scenario(scenario, kind, seeds), seeds)
        for argument in suite
        for scenario, seeds in _of(argument)
    ]
    return Plan(kind, tuple(training), budget, seed)


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
    if not suite.config.training_seeds:
        raise TuneError(f"{path} has no training_seeds; allowed: seeds that are not its own")
    return [(stratum.experiment, suite.config.training_seeds) for stratum in suite.strata]


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
