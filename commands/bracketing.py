"""Puts a run between doing nothing and the best possible: fills `bracket.json`.

What is missing is run: `zero`, the tuned PI, the replayed optimum, and the same policy with one
restriction lifted. Every run meets the weather and the household of the judged one, which is
checked. All of it is kept on disk, so that a second report of the same run pays nothing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .lifting import CannotLiftError, without_dead_time, without_rate_limit
from .measuring import CHANGES, OBJECTIVE, Measured, MeasureError, measure_other, measure_policies

if TYPE_CHECKING:
    from ..agents.policy import PolicyConfig
    from ..evaluation.bracket import Bracket, Restriction
    from ..evaluation.record import Record
    from ..hil.rigs.concrete import RigSetup
    from ..scenarios.model import Scenario


@dataclass(slots=True)
class _Found:
    """What has been found so far."""

    objective_wh: dict[str, float] = field(default_factory=dict)
    changes_per_min: dict[str, float] = field(default_factory=dict)
    lifted: dict[Restriction, float] = field(default_factory=dict)
    lifted_how: dict[Restriction, str] = field(default_factory=dict)
    max_changes_per_min: float | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, name: str, objective_wh: float, changes_per_min: float) -> None:
        """Take in a run."""
        self.objective_wh[name] = objective_wh
        self.changes_per_min[name] = changes_per_min


def write_bracket(folder: Path, scenario: Scenario, rig: RigSetup | None = None) -> Bracket | None:
    """Write ``bracket.json`` into a judged run's folder and return it.

    Args:
        folder: the record; None is returned for one that was not completed.
        scenario: as it ran, overrides included; the record's policy is among its policies.
        rig: on which it ran; None: `direct`.

    Raises:
        RecordError: the record cannot be read, or the file not be written.
        KeyboardInterrupt: a signal came; nothing was written.

    """
    from ..evaluation.bracket import write_bracket as write
    from ..evaluation.record import read_record

    record = read_record(folder)
    if record.header.status != "completed" or _own(record) is None:
        return None
    bracket = bracket_of(scenario, record, rig)
    write(folder, bracket)
    return bracket


def bracket_of(scenario: Scenario, record: Record, rig: RigSetup | None = None) -> Bracket:
    """Return the bracket of a completed run that has a J; runs what is not known yet.

    What cannot be had is left out and told in the bracket's warnings.

    Raises:
        KeyboardInterrupt: a signal came.

    """
    from ..evaluation.bracket import Bracket

    header, own_wh = record.header, _own(record)
    assert own_wh is not None
    taking_part = (*scenario.policies, *scenario.baselines)
    policy = next(p for p in taking_part if p.label == header.policy_name)
    pi = _tuned_pi()
    name = _name_of(policy, pi)
    common: dict[str, Any] = {"trace_sha256": header.trace_sha256, "policy": name}
    reason = _why_none(record, rig)
    if reason:
        return Bracket(**common, objective_wh={name: own_wh}, no_bracket=reason)
    found = _Found()
    if pi.name is None:
        found.notes.append("no tuned parameters of the PI are shipped: it runs with its defaults")
    found.add(name, own_wh, record.stored_measurements.get(CHANGES) or 0.0)
    _add_baselines(found, scenario, record, pi, rig)
    _add_bound(found, scenario, record)
    if rig is not None:
        found.notes.append(
            "bound and replayed optimum are those of function calls: devices add delays to them"
        )
    if name != "zero":
        _add_lifted(found, scenario, record, policy, rig)
    return Bracket(
        **common,
        tuned_pi=pi.label if pi.label in found.objective_wh else None,
        objective_wh=found.objective_wh,
        changes_per_min_worst=found.changes_per_min,
        max_changes_per_min=found.max_changes_per_min,
        lifted=found.lifted,
        lifted_how=found.lifted_how,
        notes=tuple(found.notes),
        warnings=tuple(found.warnings),
    )


def _own(record: Record) -> float | None:
    value = record.stored_measurements.get(OBJECTIVE)
    return value if value is not None and math.isfinite(value) else None


def _why_none(record: Record, rig: RigSetup | None) -> str:
    """Return why nothing else can meet what this run met; empty if it can."""
    header = record.header
    if header.replayed:
        return "a tape stood for the rig, and no other policy can be asked what it would have met"
    if rig is not None and rig.real:
        return f"rig '{header.rig_name}' has real devices, whose day cannot be had a second time"
    if header.clock_mode == "wall":
        return "under the clock wall a run depends on the machine and cannot be had a second time"
    return ""


@functools.cache
def _tuned_pi() -> PolicyConfig:
    """Return the PI that policies are held against: it has the shipped parameters.

    With its defaults if none are shipped. One of the scenario that has them is the same; one that
    is only called so is not.
    """
    from ..agents.policy import POLICIES
    from ..scenarios.parameters import PREFIX, shipped_names, tuned_policy

    tuned = tuned_policy(f"{PREFIX}pi") if "pi" in shipped_names() else None
    return POLICIES["pi"].config() if tuned is None else tuned


def _name_of(policy: PolicyConfig, pi: PolicyConfig) -> str:
    """Return the policy's key, which must not be that of somebody else."""
    from ..evaluation.bracket import BOUND, ZERO

    others = {BOUND: None, ZERO: _zero(), pi.label: pi}
    label = policy.label
    if label in others and others[label] != policy:
        return f"{label} (policy)"
    return label


@functools.cache
def _zero() -> PolicyConfig:
    from ..agents.policy import POLICIES

    return POLICIES["zero"].config()


def _add_baselines(
    found: _Found, scenario: Scenario, record: Record, pi: PolicyConfig, rig: RigSetup | None
) -> None:
    """Take `zero` and the PI from the record, or run them."""
    for wanted in (_zero(), pi):
        if wanted.label in found.objective_wh:
            continue  # it is the judged policy
        measured = record.header.baselines.get(wanted.label, {})
        objective_wh, changes = measured.get(OBJECTIVE), measured.get(CHANGES)
        if wanted in scenario.baselines and objective_wh is not None and changes is not None:
            found.add(wanted.label, objective_wh, changes)
            continue
        with _warned(found, f"no J of {wanted.label}"):
            ran = measure_policies(scenario, [wanted], record.header.seed, rig)[wanted.label]
            _check_weather(ran, record)
            found.add(wanted.label, ran.objective_wh, ran.changes_per_min_worst)


def _add_bound(found: _Found, scenario: Scenario, record: Record) -> None:
    """Add the bound, and the run of the commands that it comes from."""
    from ..evaluation.bracket import BOUND, BUDGET_BOUND, REPLAY
    from .bounding import bound_of, replay_of

    seed = record.header.seed
    with _warned(found, "no bound"):
        bound = bound_of(scenario, seed)
        found.objective_wh[BOUND] = bound.objective_wh
    if BOUND not in found.objective_wh:
        return
    found.notes += bound.notes
    if bound.with_budget_wh is not None:
        found.objective_wh[BUDGET_BOUND] = bound.with_budget_wh
        found.max_changes_per_min = bound.max_changes_per_min
    else:
        found.notes.append(f"no bound within the command budget: {bound.no_budget_reason}")
    with _warned(found, "no replayed optimum"):
        plan = bound.schedule
        digest = hashlib.sha256(plan.times_us.tobytes() + plan.setpoint_w.tobytes()).hexdigest()
        replay = functools.partial(replay_of, scenario, seed, bound)
        ran = measure_other(scenario, seed, ("replay", digest), replay)
        _check_weather(ran, record)
        found.add(REPLAY, ran.objective_wh, ran.changes_per_min_worst)


def _add_lifted(
    found: _Found,
    scenario: Scenario,
    record: Record,
    policy: PolicyConfig,
    rig: RigSetup | None,
) -> None:
    """Run the policy without dead time, and without a limit on commands."""
    if rig is not None:
        why = "not lifted: the devices of this rig have delays and limits of their own"
        found.lifted_how = {"dead_time": why, "command_rate": why}
        return

    def lift(restriction: Restriction, experiment: Scenario, same: PolicyConfig, how: str) -> None:
        found.lifted_how[restriction] = "not lifted: its run failed"
        with _warned(found, f"{restriction.replace('_', ' ')} was not lifted"):
            ran = measure_policies(experiment, [same], record.header.seed)[same.label]
            _check_weather(ran, record)
            found.lifted[restriction] = ran.objective_wh
            found.lifted_how[restriction] = f"lifted: {how}"

    without, how = without_dead_time(scenario)
    lift("dead_time", without, policy, how)
    try:
        free, freed, how = without_rate_limit(scenario, policy)
    except CannotLiftError as error:
        found.lifted_how["command_rate"] = f"not lifted: {error}"
        return
    lift("command_rate", free, freed, how)


def _check_weather(ran: Measured, record: Record) -> None:
    if ran.profiles_hash != record.header.profiles_hash:
        raise MeasureError("it met another weather or household than the judged run")


@contextlib.contextmanager
def _warned(found: _Found, what: str) -> Iterator[None]:
    """Turn a solver or a run that failed, or a disk that refused, into a warning."""
    from ..evaluation.record import RecordError
    from ..sim.export.bound import BoundError

    try:
        yield
    except (BoundError, MeasureError, RecordError, OSError) as error:
        found.warnings.append(f"{what}: {error}")
