"""What `wattbench run --replay` needs to know from a tape: which rig, policy and seed it was of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .setup import NAMED, SetupError
from .tape import TAPE_FILE

if TYPE_CHECKING:
    from ..hil.rigs.concrete import RigSetup
    from ..hil.rigs.model import Rig
    from ..hil.tape.model import TapeHeader
    from ..scenarios.model import Scenario


def header_of(tape: Path) -> TapeHeader:
    """Return what a tape says of itself. Raises `SetupError`."""
    from ..hil.tape.model import TapeError
    from ..hil.tape.reader import TapeReader

    try:
        return TapeReader(tape_file(tape)).header
    except TapeError as problem:
        raise SetupError(str(problem)) from problem


def tape_file(given: Path) -> Path:
    """Return the tape that a path means: itself, or the one in a run's folder."""
    return given / TAPE_FILE if given.is_dir() else given


def recorded(header: TapeHeader) -> dict[str, Any]:
    """Return policy and seed of the run that a tape is of, as far as it says so."""
    about = header.about
    found: dict[str, Any] = {}
    if isinstance(about.get("policy"), str):
        found["policies"] = (about["policy"],)
    if isinstance(about.get("seed"), int):
        found["seeds"] = (about["seed"],)
    return found


def replay_setup(rig: str | None, tape: Path, scenario: Scenario) -> RigSetup:
    """Return the rig that a tape is of, with the tape in the place of its devices.

    Args:
        rig: a rig file that is taken in place of what the tape says; `emulated` or None: no other.
        tape: the tape, or the folder of its run.
        scenario: overrides of the command line are already in it.

    Raises:
        SetupError: the tape does not say which rig it is of, or that cannot realise the scenario.
        ScenarioErrors: the rig file is not valid.
    """
    from ..hil.rigs.check import problems
    from ..hil.rigs.concrete import RigSetup
    from ..scenarios.devices import UnknownProfileError
    from ..scenarios.rigs import load_profiles, load_rig

    if rig == "direct":
        raise SetupError("--replay plays the devices of a rig, and rig 'direct' has none")
    own = rig is None or rig in NAMED
    model = _rig_of(header_of(tape), tape) if own else load_rig(str(rig))
    try:
        profiles = load_profiles(model)
    except UnknownProfileError as problem:
        raise SetupError(f"rig '{model.name}' of {tape}: {problem}") from problem
    # Real devices keep no virtual time; a tape of them does.
    wall = scenario.clock.model_copy(update={"mode": "wall", "factor": 1.0})
    checked = scenario.model_copy(update={"clock": wall}) if model.real else scenario
    found = problems(model, profiles, checked)
    if found:
        raise SetupError("\n".join(f"rig '{model.name}' of {tape}: {line}" for line in found))
    return RigSetup(model, profiles, tape_file(tape))


def _rig_of(header: TapeHeader, tape: Path) -> Rig:
    from pydantic import ValidationError

    from ..hil.rigs.model import Rig

    content = header.about.get("rig")
    if content is None:
        raise SetupError(f"{tape} does not say which rig it is of; give it by --rig FILE")
    try:
        # From JSON, where lists stand for tuples.
        return Rig.model_validate(content)
    except ValidationError as problem:
        raise SetupError(
            f"{tape}: the rig that it is of is not valid here ({problem.error_count()} mistakes); "
            "give it by --rig FILE"
        ) from problem
