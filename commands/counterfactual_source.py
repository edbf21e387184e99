"""What `wattbench replay` shows to a policy, taken from a record; and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..agents.policy import PolicyConfig, SiteInfo
    from ..evaluation.counterfactual import Counterfactual
    from ..hil.counterfactual import Decisions, Observed
    from ..scenarios.model import Scenario


class ReplayError(Exception):
    """The command cannot be carried out as it was given; a line each says why."""


@dataclass(frozen=True)
class Source:
    """What is shown to the policy, and where it comes from.

    Attributes:
        name: the run's folder or the log's.
        controller: who decided then.
        site: what policies know of the site.
        start_utc: of `t_us` = 0, ISO 8601.
        seed: of the policy's random numbers.
        observed: what was met.
        recorded: what was decided then; before the guard NaN where nobody knows.
        own: policies and baselines that can be called by their names.
        stale: at which steps a policy of a limit is not asked.
        notes: what a reader should know.

    """

    name: str
    controller: str
    site: SiteInfo
    start_utc: str
    seed: int
    observed: Observed
    recorded: Decisions
    own: Sequence[PolicyConfig]
    stale: Any
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Replayed:
    """What came of it."""

    source: Source
    policy: str
    other: Decisions
    found: Counterfactual


def of_run(folder: Path) -> Source:
    """Return what a recorded run met.

    Raises:
        DamagedError: the record is not as it was written.
        RecordError: it cannot be read.
        ReplayError: it holds no finished step, or a scenario that is not valid here.
    """
    from ..evaluation.files import DamagedError
    from ..evaluation.judge import damage
    from ..evaluation.record import read_record
    from ..hil.assembly import site_info
    from ..hil.counterfactual import observed_by, stale_steps, unrecorded
    from ..sim import plant as plants

    record = read_record(folder)
    problems = damage(record)
    if problems:
        raise DamagedError("\n".join(f"{folder}: {problem}" for problem in problems))
    scenario = _scenario(record.header.scenario, folder)
    actuators = plants.PLANTS[scenario.plant.kind].actuators(scenario.plant, scenario.edge)
    observed, recorded = observed_by(record, [actuator.id for actuator in actuators])
    if not len(observed.t_us):
        raise ReplayError(f"{folder} has no finished control step to show to a policy")
    notes = []
    lacking = unrecorded(record)
    if lacking:
        notes.append(
            f"this record is of an older version and lacks {', '.join(lacking)}: currents are "
            "taken as power over voltage, PV power as 0"
        )
    if record.header.status != "completed":
        notes.append(f"the run was {record.header.status}: {record.header.reason}")
    header = record.header
    return Source(
        str(folder),
        header.policy_name,
        site_info(scenario, actuators),
        header.start_utc,
        header.seed,
        observed,
        recorded,
        (*scenario.policies, *scenario.baselines),
        lambda limit_s: stale_steps(record, observed, recorded, limit_s),
        notes,
    )


def _scenario(content: dict[str, Any], folder: Path) -> Scenario:
    """Return the scenario that a record is of."""
    from pydantic import ValidationError

    from ..scenarios.model import Scenario

    # Where a run's rig was a file, the record names that rig; its scenario is the same on any.
    try:
        return Scenario.model_validate({**content, "rig": "direct"})
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReplayError(
            f"{folder}: the scenario in its record.json is not valid in this version ({where}: "
            f"{first['msg'].lower()})"
        ) from problem
