"""What a policy would have decided on what another run measured: open loop, counterfactual.

The steps of a recorded run are shown to an agent one by one, as the control loop (`loop.py`) would
have: the same reading with the same age, the same reports of loads, and, as what was sent, the
commands *of the recorded run*. What the agent decides goes nowhere. So the observation at every
step is the one that the loop would have built, and a run's own policy decides once more exactly
what it decided; from the first other decision on, nobody knows what would have happened.

What a policy carries along from its own answers (the target of a policy that answers with deltas,
an integrator) is its own, from the first step on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agents.agent import Agent
from ..evaluation.record import Record
from ..sim.clock import US_PER_S
from ..sim.edge import meter
from ..sim.edge.meter import METER_FIELDS, MeterReading
from .rig import SENT
from .streams import METER_COLUMNS, NONE_YET, SAFE

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sends:
    """The commands that were really sent, in the order of time.

    Attributes:
        after_step: [M] index of the control step after whose decision each one left; negative
            for those before the first step.
        sent_us: [M] when, µs since the start of the run.
        power_w: [M, A] the set-points.

    """

    after_step: NDArray[np.int64]
    sent_us: NDArray[np.int64]
    power_w: Floats


@dataclass(frozen=True, slots=True)
class Observed:
    """What a run met, control step by control step.

    Attributes:
        t_us: [N] time of each step, µs since the start of the run.
        values: [N, 19] the newest sample, fields as in `sim.edge.meter`; NaN before the first.
        sampled_us: [N] when it was taken, by the meter's clock; negative before the first.
        present: [N] whether there was a sample.
        age_s: [N] how long ago the loop first saw it; infinite before the first.
        reports_w: [N, loads] power that the loads report, NaN where none had come; None: they
            report nothing.
        sends: the run's own commands.

    """

    t_us: NDArray[np.int64]
    values: Floats
    sampled_us: NDArray[np.int64]
    present: NDArray[np.bool_]
    age_s: Floats
    reports_w: Floats | None
    sends: Sends

    def stale(self, max_age_s: float | None) -> NDArray[np.bool_]:
        """Return [N] at which steps a policy with this limit is not asked.

        Before the first sample the limit counts from the start of the run.
        """
        if max_age_s is None:
            return np.zeros(len(self.t_us), dtype=bool)
        age_us = np.where(self.present, np.round(self.age_s * US_PER_S), self.t_us)
        return np.asarray(age_us > round(max_age_s * US_PER_S))


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided, control step by control step, in W in the order of the actuators.

    Attributes:
        decided_w: [N, A] as the policy decided; safe values where it was not asked.
        guarded_w: [N, A] what may then be commanded: within the guard's limits, and what stands
            already where that is within the policy's dead-band.
        asked: [N] whether the policy was asked.

    """

    decided_w: Floats
    guarded_w: Floats
    asked: NDArray[np.bool_]


def decide_open_loop(
    agent: Agent,
    observed: Observed,
    stale: NDArray[np.bool_],
) -> Decisions:
    """Ask an agent that was reset what it decides at every step; nothing of it takes effect.

    ``stale`` [N] says at which steps it is not asked (`Observed.stale`).

    Raises:
        PolicyError: the policy raised, or answered with what cannot be a command.
    """
    steps, width = len(observed.t_us), len(agent.safe_w)
    decided, guarded = np.empty((steps, width)), np.empty((steps, width))
    asked = observed.present & ~stale
    held_w = agent.safe_w
    sends, next_send = observed.sends, 0
    after = sends.after_step.tolist()
    while next_send < len(after) and after[next_send] < 0:  # what stood before the first step
        held_w = sends.power_w[next_send]
        agent.sent(int(sends.sent_us[next_send]), held_w)
        next_send += 1
    for step, t_us in enumerate(observed.t_us.tolist()):
        reading = None
        if observed.present[step]:
            sampled_us = int(observed.sampled_us[step])
            reading = MeterReading(observed.values[step], sampled_us, sampled_us)
        reports_w = None if observed.reports_w is None else observed.reports_w[step]
        observation = agent.observe(t_us, reading, float(observed.age_s[step]), reports_w)
        if asked[step]:
            decided[step] = agent.decide(observation)
            guarded[step] = agent.guard(decided[step])
        else:
            decided[step] = guarded[step] = agent.safe_w if stale[step] else held_w
        while next_send < len(after) and after[next_send] == step:
            held_w = sends.power_w[next_send]
            agent.sent(int(sends.sent_us[next_send]), held_w)
            next_send += 1
    return Decisions(decided, guarded, asked)


def observed_by(record: Record, actuators: Sequence[str]) -> tuple[Observed, Decisions]:
    """Return what a recorded run met and what it decided, for actuators by id.

    The step in which a run was ended early is left out: its command is not its policy's.

    Raises:
        MissingColumnError: a stream or a column that the loop always writes is not there.
        RecordError: a stream cannot be read.
    """
    readings, commands = record.stream("readings"), record.stream("commands")
    rows = min(readings.rows, commands.rows)
    decided_w = _matrix(commands, [f"decided.{name}_w" for name in actuators], rows)
    if rows and np.isnan(decided_w[-1]).any():
        rows -= 1
    guarded_w = _matrix(commands, [f"guarded.{name}_w" for name in actuators], rows)
    present = readings["meter.quality"][:rows] != NONE_YET
    sent = np.flatnonzero(commands["status"][:rows] == SENT)
    observed = Observed(
        readings["t_sim_us"][:rows],
        _samples(readings, rows),
        readings["meter.sampled_us"][:rows],
        present,
        readings["meter.age_s"][:rows],
        _reports(record, rows),
        Sends(sent, commands["sent_us"][:rows][sent], guarded_w[sent]),
    )
    asked = present & (commands["kind"][:rows] != SAFE)
    return observed, Decisions(decided_w[:rows], guarded_w, asked)


def stale_steps(
    record: Record, observed: Observed, recorded: Decisions, max_age_s: float | None
) -> NDArray[np.bool_]:
    """Return [N] at which steps of a recorded run a policy with this limit is not asked.

    With the limit of the run's own policy these are the steps at which the run commanded safe
    values: how long reading took on a rig with bytes is not in the record, but this is.
    """
    own = record.header.policy.get("max_age_s", math.nan)
    if own == max_age_s:
        kind = record.stream("commands")["kind"][: len(observed.t_us)]
        return np.asarray(kind == SAFE)
    return observed.stale(max_age_s)


def unrecorded(record: Record) -> list[str]:
    """Return the columns of readings that a record of an older version lacks."""
    readings = record.stream("readings")
    return [name for name, _, _ in METER_COLUMNS if name not in readings]


def _matrix(stream: Mapping[str, NDArray[Any]], columns: Sequence[str], rows: int) -> Floats:
    return np.stack([stream[name][:rows] for name in columns], axis=1)


def _samples(readings: Mapping[str, NDArray[Any]], rows: int) -> Floats:
    """Return the samples [N, 19]; what is not in the record is zero, and no feature reads it."""
    values = np.zeros((rows, METER_FIELDS))
    for name, _, field in METER_COLUMNS:
        if name in readings:
            values[:, field] = readings[name][:rows]
    for phase, name in enumerate("abc"):
        if f"meter.{name}.current_a" not in readings:  # a record of an older version
            power_w, voltage_v = (values[:, at + phase] for at in (meter.POWER_A, meter.VOLTAGE_A))
            known = voltage_v > 0
            ampere = np.abs(power_w) / np.where(known, voltage_v, 1.0)
            values[:, meter.CURRENT_A + phase] = np.where(known, ampere, 0.0)
    return values


def _reports(record: Record, rows: int) -> Floats | None:
    """Return what the loads reported [N, loads]; None if they report nothing."""
    readings = record.stream("readings")
    columns = [name for name in readings if name.startswith("load.") and name.endswith(".report_w")]
    return _matrix(readings, columns, rows) if columns else None
