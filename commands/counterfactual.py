"""What `wattbench replay` does: a recorded run's measurements, shown to another policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .counterfactual_log import of_log
from .counterfactual_shown import as_json, lines, store
from .counterfactual_source import Replayed, ReplayError, Source, of_run
from .problems import refuse
from .show import EXIT_ERROR, EXIT_USAGE

if TYPE_CHECKING:
    from ..agents.policy import PolicyConfig


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
        return refuse(problem, code, as_json=as_json_text)
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
    from ..evaluation.files import DamagedError, RecordError
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
        return of_run(options.run)
    if not options.log:
        raise ReplayError("give a run's folder, or a log of yours by --log")
    if options.site is None:
        raise ReplayError("--log needs --site: the scenario whose plant describes the loads")
    return of_log(options.log, options.site, options.log_format)


def _policy(name: str, own: Sequence[PolicyConfig]) -> PolicyConfig:
    from .policies import named_policies

    (policy,) = named_policies([name], own)
    return policy
