"""Which rig a run takes place on: what a name stands for, and whether it can be that."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..hil.rigs.concrete import RigSetup
    from ..scenarios.model import Scenario

DIRECT: Final = "direct"
NAMED: Final = (DIRECT, "emulated")


class SetupError(Exception):
    """A rig cannot realise a scenario; a line each says why."""


def setup_of(
    rig: str, scenario: Scenario, note: Callable[[str], object] = lambda text: None
) -> RigSetup | None:
    """Return the rig that a name or path stands for, None for `direct`.

    Args:
        rig: `direct`, `emulated`, the name of a shipped rig, or the path of a rig file.
        scenario: overrides of the command line are already in it.
        note: told what a person should know before the run.

    Raises:
        SetupError: the rig cannot realise the scenario.
        ScenarioErrors: the rig file is not valid.
        UnknownRigError: no shipped rig has that name.
    """
    if rig == DIRECT:
        from ..sim.faults import refusal_without_bytes

        refusal = refusal_without_bytes(scenario.faults, rig)
        if refusal is not None:
            raise SetupError(refusal)
        return None
    from ..hil.rigs.check import problems, warnings
    from ..hil.rigs.concrete import RigSetup
    from ..hil.world import MOST_FACTOR
    from ..scenarios.rigs import UnknownRigError, load_profiles, load_rig

    try:
        model = load_rig(rig)
    except UnknownRigError as problem:
        near = difflib.get_close_matches(rig, NAMED, n=1)
        if not near:
            raise
        raise SetupError(f"no rig '{rig}'; did you mean '{near[0]}'?") from problem
    profiles = load_profiles(model)
    found = problems(model, profiles, scenario)
    clock = scenario.clock
    if clock.mode == "wall" and clock.factor > MOST_FACTOR:
        found.append(
            f"devices cannot keep up with --factor {clock.factor:g}; allowed: at most "
            f"{MOST_FACTOR:g}, and 1 where any of them is real"
        )
    if found:
        raise SetupError("\n".join(f"rig '{model.name}': {line}" for line in found))
    for line in warnings(model, profiles, dt.datetime.now(dt.UTC).date(), scenario):
        note(f"rig '{model.name}': {line}")
    return RigSetup(model, profiles)
