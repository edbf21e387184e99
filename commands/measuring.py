"""What a policy reaches in a scenario on one seed: from an earlier run, or by running it now.

A result is kept on disk under a digest of all that it depends on: scenario, policy, the files they
name, seed, rig, the package's code and the versions of what it computes with. A file that is
missing or damaged costs a run and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..agents.policy import PolicyConfig
    from ..hil.bench import RunResult
    from ..hil.rigs.concrete import RigSetup
    from ..scenarios.model import Scenario

OBJECTIVE: Final = "objective@1"
CHANGES: Final = "command_changes_per_min_worst@1"
_KEPT: Final = 4096
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
    places = {policy.label: _place(scenario, (policy,), seed, rig) for policy in policies}
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
    from ..sim.cache import cache_home

    # What is judged, and what it is called, changes no run.
    same = {"name": "any", "title": "", "limits": (), "audit": None, "kind": "discriminating"}
    runs = {"policies": policies, "baselines": (), "seeds": (seed,)}
    content = [
        scenario.model_copy(update={**same, **runs}).hash(),
        None if rig is None else _rig_content(rig),
        code_digest(),
        packages(),
        list(identity),
    ]
    text = json.dumps(content, sort_keys=True)
    return cache_home() / f"measured-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _rig_content(rig: RigSetup) -> Mapping[str, object]:
    from ..hil.emulation.build import plain_setup

    return plain_setup(rig)


@functools.cache
def code_digest() -> str:
    """Return the SHA-256 of the code that decides what a run measures."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _read(place: Path) -> Measured | None:
    try:
        found = Measured(**json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    values = (found.objective_wh, found.changes_per_min_worst)
    return found if all(isinstance(v, float) and math.isfinite(v) for v in values) else None


def _write(place: Path, measured: Measured) -> None:
    """Keep a result; a disk that refuses costs another run some day."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=place.parent, prefix="measured-", suffix=".part")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(measured), file)
            Path(name).replace(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        files = sorted(place.parent.glob("measured-*.json"), key=lambda f: f.stat().st_mtime)
        for file_ in files[: max(0, len(files) - _KEPT)]:
            file_.unlink(missing_ok=True)
