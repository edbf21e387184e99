"""What a policy reaches in a scenario on one seed: from an earlier run, or by running it now.

A result is kept on disk under a digest of all that it depends on: scenario, policy, the files they
name, seed, rig, the package's code and the versions of what it computes with. A file that is
missing or damaged costs a run and nothing else.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..sim.kept import Kept

if TYPE_CHECKING:
    from ..agents.policy import PolicyConfig
    from ..hil.bench import RunResult
    from ..hil.rigs.concrete import RigSetup
    from ..scenarios.model import Scenario

OBJECTIVE: Final = "objective@1"
CHANGES: Final = "command_changes_per_min_worst@1"
_KEPT: Final = Kept("measured-", ".json", 4096)
_ROOT: Final = Path(__file__).resolve().parents[1]
_ROOMS: Final = ("sim", "agents", "hil", "evaluation/metrics")
"""Whose code decides what a run measures."""


class MeasureError(Exception):
    """A run that is to be compared with did not complete; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a bracket needs of a run."""

    objective_wh: float
    changes_per_min_worst: float
    profiles_hash: str
    """Of the weather and the household that it met."""


def measure_policies(
    scenario: Scenario,
    policies: Sequence[PolicyConfig],
    seed: int,
    rig: RigSetup | None = None,
) -> dict[str, Measured]:
    """Return what policies reach, by label; runs those that are not known yet.

    Raises:
        MeasureError: a run did not complete.
        RecordError: the disk refuses.
        KeyboardInterrupt: a signal ended a run.

    """
    places = {
        policy.label: _place(scenario, (policy,), seed, rig, _foreign_code(policy))
        for policy in policies
    }
    found = {label: _read(place) for label, place in places.items()}
    missing = [policy for policy in policies if found[policy.label] is None]
    if missing:
        with tempfile.TemporaryDirectory(prefix="wattbench-bracket-") as folder:
            for result in _run(scenario, missing, seed, rig, Path(folder)):
                found[result.policy] = measured = measured_of(result)
                _write(places[result.policy], measured)
    return {label: measured for label, measured in found.items() if measured is not None}


def measure_other(
    scenario: Scenario, seed: int, identity: Iterable[object], run: Callable[[Path], RunResult]
) -> Measured:
    """Return what a run reaches that is not a policy's with parameters, such as a replay.

    Args:
        scenario: it takes place in this one.
        seed: the run's.
        identity: what, besides these, decides the result; JSON can hold it.
        run: runs it into a folder.

    Raises:
        MeasureError: the run did not complete.

    """
    place = _place(scenario, (), seed, None, identity)
    found = _read(place)
    if found is None:
        with tempfile.TemporaryDirectory(prefix="wattbench-bracket-") as folder:
            found = measured_of(run(Path(folder)))
        _write(place, found)
    return found


def measured_of(result: RunResult) -> Measured:
    """Return what is kept of a run.

    Raises:
        MeasureError: it did not complete.
        KeyboardInterrupt: a signal ended it.

    """
    from ..evaluation.record import read_record

    outcome = result.outcome
    if outcome.cause == "signal":
        raise KeyboardInterrupt(outcome.reason)
    objective_wh = result.measurements.get(OBJECTIVE, math.nan)
    if outcome.status != "completed" or not math.isfinite(objective_wh):
        raise MeasureError(f"{result.policy}: {outcome.reason or 'its run has no objective'}")
    header = read_record(result.folder).header
    return Measured(objective_wh, result.measurements[CHANGES], header.profiles_hash)


def _run(
    scenario: Scenario,
    policies: Sequence[PolicyConfig],
    seed: int,
    rig: RigSetup | None,
    folder: Path,
) -> list[RunResult]:
    from ..agents.policy import PolicyError
    from ..evaluation.metrics import measure
    from ..hil.bench import Bench
    from ..hil.errors import RigError
    from ..sim.profiles.findings import ProfileError

    part = {"policies": tuple(policies), "baselines": (), "seeds": (seed,)}
    bench = Bench(scenario.model_copy(update=part), folder, measure=measure, rig=rig, taped=False)
    try:
        return bench.run()
    except (PolicyError, ProfileError, RigError) as error:
        raise MeasureError(str(error)) from error


def _place(
    scenario: Scenario,
    policies: tuple[PolicyConfig, ...],
    seed: int,
    rig: RigSetup | None,
    identity: Iterable[object] = (),
) -> Path:
    """Return the file that holds a result."""
    from ..hil.identity import packages

    # What is judged, and what it is called, changes no run.
    same = {"name": "any", "title": "", "limits": (), "audit": None, "kind": "discriminating"}
    runs = {"policies": policies, "baselines": (), "seeds": (seed,)}
    content = {
        "scenario": scenario.model_copy(update={**same, **runs}).hash(),
        "rig": None if rig is None else _rig_content(rig),
        "code": code_digest(),
        "packages": packages(),
        "other": list(identity),
    }
    return _KEPT.path(content)


def _rig_content(rig: RigSetup) -> Mapping[str, object]:
    from ..hil.emulation.build import plain_setup

    return plain_setup(rig)


@functools.cache
def code_digest() -> str:
    """Return the SHA-256 of the code that decides what a run measures."""
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((_ROOT / room).rglob("*.py")):
            digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _foreign_code(policy: PolicyConfig) -> list[str]:
    """Return the digest of a policy's code if it is not among the package's.

    For code without a file it is one that no other run has: nothing of it is found again.
    """
    from ..agents.policy import POLICIES

    kind = POLICIES[str(type(policy).model_fields["kind"].default)]
    try:
        source = Path(inspect.getsourcefile(kind.factory) or "").resolve()
        if any(source.is_relative_to(_ROOT / room) for room in _ROOMS):
            return []
        return [hashlib.sha256(source.read_bytes()).hexdigest()]
    except (TypeError, OSError):
        return [os.urandom(16).hex()]


def _read(place: Path) -> Measured | None:
    data = _KEPT.read(place)
    return None if data is None else Measured(**json.loads(data))


def _write(place: Path, measured: Measured) -> None:
    _KEPT.write(place, json.dumps(asdict(measured)).encode())
