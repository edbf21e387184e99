"""The latency bench: a policy in control of a rig on the wall clock, the machine's speed beside it.

Every control step is timed and split; in the middle of every tick, when the loop is idle, a fixed
piece of work is timed too (`reference`). What is said of the loop can then be said in units of the
machine's speed at that very time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...agents.policy import PolicyConfig, PolicyError
from ...sim.clock import Clock, VirtualClock, to_us
from ...sim.profiles.build import SiteProfiles
from ...sim.profiles.build import build as build_profiles
from ..assembly import Experiment, Parts, assemble, build_loop, loop_settings, record_header
from ..errors import RigError
from ..execute import Outcome, execute, session
from ..loop import LoopSettings
from ..progress import Progress
from ..rigs.concrete import RigSetup
from ..safestate import StopSignals
from ..world import World, open_world
from .frames import NONE, FrameWatch, TimedDriver
from .reference import Reference
from .statistics import Responses, responses

Ints = NDArray[np.int64]

WARM_UP: Final = 3
"""First steps that are left out: caches, connections, the first sample."""
_WARM_UP_S: Final = 5.0

#: Spans of a step in their order; the first is the loop's own part of it, the others its parts.
SPANS: Final = (
    *("step", "start", "answer_to_command"),
    *("bus_read", "decode", "observe", "infer", "guard", "encode", "bus_write", "ack"),
)


class LatencyError(Exception):
    """Nothing could be measured; one line says why."""


@dataclass(slots=True)
class Series:
    """One span over the run, ns, and the reference of the same tick."""

    values: Ints
    reference: Ints


@dataclass(slots=True)
class LatencyRun:
    """What was measured."""

    rig: str
    policy: str
    scenario: str
    period_s: float
    deadline_s: float
    seconds: float
    spans: dict[str, Series] = field(default_factory=dict)
    """By name; those that the rig or the policy does not have are missing."""
    responses: Responses | None = None
    """Of every tick, skipped ones included."""
    echo_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    work_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """The two parts of the reference, one a tick."""
    steps: int = 0
    identity: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def reference_ns(self) -> Ints:
        """The reference as a whole."""
        return self.echo_ns + self.work_ns


def measure(
    experiment: Experiment,
    setup: RigSetup | None,
    rig_name: str,
    policy: PolicyConfig,
    signals: StopSignals,
    progress: Progress,
    *,
    deadline_s: float | None = None,
) -> LatencyRun:
    """Run a policy on a rig for the experiment's duration; return what its steps took.

    A run that was ended early has its outcome and no steps.

    Args:
        experiment: on the wall clock at factor 1; every other step is to have a command
            (`refresh_s` of its clock).
        setup: the rig; None: function calls.
        rig_name: what it is called.
        policy: who is in control.
        signals: that end it early; the rig is made safe then.
        progress: is told.
        deadline_s: of each step after its tick; default: the control period.

    Raises:
        LatencyError: the run came to its end, but had no step that counts.
        PolicyError, RigError, ProfileError: as in a run.
    """
    seed = experiment.seeds[0]
    settings = loop_settings(experiment.clock)
    seconds = -(-settings.duration_us // 1_000_000)
    profiles = build_profiles(
        experiment.profiles, experiment.plant, experiment.start_utc(), seconds, seed
    )
    _warm_up(experiment, policy, seed, profiles, settings)
    watch = FrameWatch()
    with Reference() as reference:
        reference.take()  # cold; dropped
        with open_world(experiment, setup, seed, profiles) as world:
            parts = assemble(experiment, world, policy, seed, profiles, setup, tap=watch)
            beside = _Beside(world.clock, reference, settings)
            timed = TimedDriver(parts.driver, watch, settings.steps, beside.run)
            parts = replace(parts, driver=timed)
            header = record_header(experiment, parts, policy, seed, profiles, {})
            progress.start(f"latency · {rig_name} · {policy.label}", settings.duration_us)
            outcome = _execute(parts, header, signals, progress)
    if outcome.cause and outcome.error is not None:
        raise outcome.error
    found = LatencyRun(
        rig=rig_name,
        policy=policy.label,
        scenario=experiment.name,
        period_s=settings.period_us / 1e6,
        deadline_s=settings.period_us / 1e6 if deadline_s is None else deadline_s,
        seconds=settings.duration_us / 1e6,
        identity=header,
        outcome=outcome,
    )
    # Of a run that was stopped nothing is to be said but that, however far it came.
    if not outcome.cause:
        _fill(found, parts, timed, beside)
    return found


class _Beside:
    """Takes the reference in the middle of each tick."""

    def __init__(self, clock: Clock, reference: Reference, settings: LoopSettings) -> None:
        self._clock, self._reference, self._settings = clock, reference, settings
        self.taken = np.full((settings.steps, 2), NONE, np.int64)

    async def run(self) -> None:
        """Take it every period until cancelled; a tick that is over is left out."""
        period_us = self._settings.period_us
        for tick in range(self._settings.steps):
            due_us = tick * period_us + period_us // 2
            if self._clock.now_us > due_us + period_us // 4:
                continue
            await self._clock.sleep_until(due_us)
            self.taken[tick] = self._reference.take()


def _execute(
    parts: Parts, header: Mapping[str, Any], signals: StopSignals, progress: Progress
) -> Outcome:
    """Run and record like any run, so that its ends are as safe; the record is not kept."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="wattbench-latency-") as folder:
        try:
            outcome, _ = execute(
                parts,
                Path(folder) / "run",
                header,
                (),
                signals,
                measure=lambda record: {},
                progress=progress,
            )
        finally:
            progress.finish(outcome.status, outcome.reached_us)
    return outcome


def _warm_up(
    experiment: Experiment,
    policy: PolicyConfig,
    seed: int,
    profiles: SiteProfiles,
    settings: LoopSettings,
) -> None:
    """Compile what is compiled on first use, so that it is no part of the first step."""
    duration_us = min(to_us(_WARM_UP_S), settings.duration_us)
    short = replace(settings, duration_us=duration_us)
    with VirtualClock() as clock:
        parts = assemble(experiment, World(clock), policy, seed, profiles)
        loop = build_loop(parts, _NoEvents(), lambda t_us: None, short)
        try:
            clock.run(session(parts.driver, loop))
        except (PolicyError, RigError):
            return  # it will happen again in the run, and be told there


class _NoEvents:
    """Drops the events of a warm-up."""

    def event(self, t_sim_us: int, kind: str, **data: Any) -> None:
        """Drop an event."""


def _fill(found: LatencyRun, parts: Parts, timed: TimedDriver, beside: _Beside) -> None:
    """Turn the tables of loop, driver and reference into series."""
    loop, bus = parts.log.timings(), timed.table()
    steps = min(len(loop["step"]), len(bus["t_us"]))
    first = min(WARM_UP, max(steps - 1, 0))
    if steps - first < 2:
        raise LatencyError("fewer than two steps were measured: give more seconds")
    loop = {name: column[first:steps] for name, column in loop.items()}
    bus = {name: column[first:steps] for name, column in bus.items()}
    period_us = parts.settings.period_us
    tick = bus["t_us"] // period_us
    taken = np.flatnonzero((beside.taken[:, 0] != NONE) & (np.arange(len(beside.taken)) >= tick[0]))
    if taken.size < 2:
        raise LatencyError("the machine's speed could not be measured between the steps")
    found.echo_ns, found.work_ns = beside.taken[taken].T.copy()
    # What belongs to a tick: its own reference, or where there was no time for one, the next.
    nearest = np.minimum(np.searchsorted(taken, tick), taken.size - 1)
    reference = found.reference_ns[nearest]
    names = ("sample", "observe", "decide", "guard", "command")
    whole = np.sum([loop[f"{name}_ns"] for name in names], axis=0)
    start_ns = bus["t_us"] * 1000
    found.responses = responses(
        start_ns - tick[0] * period_us * 1000,
        whole,
        period_us * 1000,
        deadline_ns=round(found.deadline_s * 1e9),
    )
    found.steps = steps - first
    # Without a sample the policy is not asked.
    asked = loop["decide_ns"] > 0
    commanded = asked & (bus["written_ns"] != NONE) & (bus["answered_ns"] != NONE)
    series = {
        "step": start_ns - tick * period_us * 1000 + whole,
        "start": found.responses.late_ns,
        "answer_to_command": np.where(commanded, bus["written_ns"] - bus["answered_ns"], NONE),
        "bus_read": bus["bus_read_ns"],
        "decode": bus["decode_ns"],
        "observe": loop["observe_ns"],
        "infer": np.where(asked, loop["decide_ns"], NONE),
        "guard": np.where(asked, loop["guard_ns"], NONE),
        "encode": bus["encode_ns"],
        "bus_write": bus["bus_write_ns"],
        "ack": bus["ack_ns"],
    }
    for name in SPANS:
        values = series[name]
        there = values != NONE
        if there.any():
            found.spans[name] = Series(values[there], reference[there])
