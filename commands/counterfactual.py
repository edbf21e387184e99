"""What `wattbench replay` does: a recorded run's measurements, shown to another policy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .counterfactual_shown import as_json, lines, store
from .show import EXIT_ERROR, EXIT_USAGE

if TYPE_CHECKING:
    from ..agents.policy import PolicyConfig, SiteInfo
    from ..evaluation.counterfactual import Counterfactual
    from ..hil.counterfactual import Decisions, Observed
    from ..scenarios.model import Scenario


class ReplayError(Exception):
    """The command cannot be carried out as it was given; a line each says why."""


class DamagedError(Exception):
    """The record is not as it was written; a line each says what."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What `wattbench replay` was told."""

    policy: str
    run: Path | None = None
    """A record's folder."""
    log: tuple[Path, ...] = ()
    """A user's own log instead: its folder or its files."""
    site: str | None = None
    """The scenario whose plant describes the loads of that log."""
    log_format: Path | None = None
    out: Path | None = None


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


def replay(options: ReplayOptions, *, as_json_text: bool) -> int:
    """Show measurements to another policy; print where it differs; return the exit code."""
    from ..evaluation.model import json_text

    try:
        result = _replay(options)
        content = as_json(result)
        if options.out is not None:
            store(options.out, result, content)
    except Exception as problem:
        code = _exit_code_of(problem)
        if code is None:
            raise
        for line in str(problem).splitlines():
            print(f"wattbench: {line}", file=sys.stderr)
        if as_json_text:
            print(json_text({"exit_code": code, "error": str(problem)}))
        return code
    if as_json_text:
        print(json_text({"exit_code": 0, **content}))
    else:
        for line in lines(result):
            print(line)
        if options.out is not None:
            print(f"All steps: {options.out}")
    return 0


def _exit_code_of(problem: Exception) -> int | None:
    """Return the exit code of an error that a user can mend, None for one inside."""
    from ..agents.policy import PolicyError
    from ..evaluation.record import RecordError
    from ..hil.selection import UnknownPolicyError
    from ..scenarios.errors import ScenarioErrors
    from ..scenarios.library import UnknownScenarioError
    from ..sim.profiles.findings import ProfileError

    if isinstance(problem, PolicyError):  # one that could be built failed by itself
        return EXIT_USAGE if problem.step is None else EXIT_ERROR
    if isinstance(problem, DamagedError):
        return EXIT_ERROR
    usage = ReplayError, RecordError, UnknownPolicyError, UnknownScenarioError, ScenarioErrors
    return EXIT_USAGE if isinstance(problem, (*usage, ProfileError)) else None


def _replay(options: ReplayOptions) -> Replayed:
    import numpy as np

    from ..agents.agent import Agent
    from ..evaluation.counterfactual import contrast
    from ..hil.counterfactual import decide_open_loop

    source = _source(options)
    policy = _policy(options.policy, source.own)
    agent = Agent(policy, source.site)
    agent.reset(source.seed)
    observed, recorded = source.observed, source.recorded
    other = decide_open_loop(agent, observed, source.stale(policy.max_age_s))
    known = not np.isnan(recorded.decided_w).any()
    same = bool(np.array_equal(recorded.decided_w, other.decided_w)) if known else None
    found = contrast(
        observed.t_us,
        [actuator.id for actuator in source.site.actuators],
        source.site.consumption(),
        recorded.guarded_w,
        other.guarded_w,
        asked=other.asked,
        decisions_identical=same,
    )
    return Replayed(source, policy.label, other, found)


def _source(options: ReplayOptions) -> Source:
    if options.run is not None and options.log:
        raise ReplayError("give a run or --log, not both")
    if options.run is not None:
        if options.site is not None or options.log_format is not None:
            raise ReplayError("a run says itself what its site is; leave --site and --format out")
        return _of_run(options.run)
    if not options.log:
        raise ReplayError("give a run's folder, or a log of yours by --log")
    if options.site is None:
        raise ReplayError("--log needs --site: the scenario whose plant describes the loads")
    from .counterfactual_log import of_log

    return of_log(options.log, options.site, options.log_format)


def _policy(name: str, own: Sequence[PolicyConfig]) -> PolicyConfig:
    from ..hil.selection import select_policies

    (policy,) = select_policies([name], own)
    return policy


def _of_run(folder: Path) -> Source:
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
            f"this record is of an older version and lacks {', '.join(lacking)}: currents are taken "
            "as power over voltage, PV power as 0"
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
