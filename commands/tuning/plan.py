"""From the arguments of the command to what is searched."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
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
        suite: scenarios: files, names in the library, or folders of files.
        budget: simulations.
        seed: of the search.

    Raises:
        TuneError: there is no such kind, or it has nothing to tune, or a folder holds nothing.
        ScenarioErrors: a scenario is invalid.
        UnknownScenarioError: a name is not in the library.
    """
    from ...scenarios.library import locate
    from ...scenarios.load import load_scenario

    _check_kind(kind)
    files = [file for argument in suite for file in _files(argument) or [locate(argument)]]
    training = []
    for file in files:
        scenario = training_scenario(load_scenario(file), kind, TRAINING_SEEDS)
        training.append(Training(scenario, TRAINING_SEEDS))
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


def _files(argument: str) -> list[Path]:
    """Return the scenario files in a folder, sorted; empty if it is none."""
    folder = Path(argument)
    if not folder.is_dir():
        return []
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise TuneError(f"{folder} holds no scenario (*.yaml)")
    return files


def _check_kind(kind: str) -> None:
    from ...agents import baselines, onnx_policy  # noqa: F401 - they register their kinds
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
