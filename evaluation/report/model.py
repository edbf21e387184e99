"""What a report shows: plain data, gathered from a record by whoever writes the report."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..bracket import Bracket

Columns = Mapping[str, NDArray[Any]]
"""One stream: column name to array, all of one length; ``t_sim_us`` is among them."""


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """How a metric reads: its unit, which direction is better, and what it means."""

    unit: str
    better: Literal["lower", "higher"] | None = None
    """None: neither direction is better in itself (energy of the household)."""
    title: str = ""
    """Human name; empty: made from the metric's key."""
    headline: bool = False
    """Whether it has a column in the table that stands open (the rest is folded away)."""
    help: str = ""
    """Rule, source and version in words."""


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One limit as judged: what was measured, what is allowed, and what follows."""

    metric: str
    unit: str
    measured: float | None
    bound: float | None
    """The resolved bound in ``unit``, also where the limit is relative to another policy."""
    direction: Literal["max", "min"]
    verdict: str
    """A verdict's name, or ``not judged``."""
    vs: str | None = None
    """Whose measurement the bound was made from."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One policy's measurements in the side-by-side table."""

    name: str
    judged: bool
    measurements: Mapping[str, float | None]
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class ActuatorInfo:
    """A controlled device, as far as its plot needs it."""

    id: str
    kind: str
    phases: str
    """``a``, ``b``, ``c`` or ``abc``; empty where it has none."""
    low_w: float
    high_w: float


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """One fact about what took part, under a group's heading."""

    group: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ReportInput:
    """Everything one report shows.

    Powers are in W, energies in Wh, times of streams and events in µs since the start of the run.
    ``streams`` holds ``truth``, ``readings`` and ``commands``; one that is missing, or empty as
    after an early abort, leaves its plots out. ``timing`` holds one array of nanoseconds a span
    (sample, observe, decide, guard, command).
    """

    title: str
    scenario: str
    kind: str
    policy: str
    seed: int
    clock: str
    verdict: str
    ended: str
    """How the run ended: ``completed``, or why it was not."""
    start_utc: dt.datetime
    time_zone: str
    duration_s: float
    reason: str = ""
    """Why the verdict is what it is, where limits alone do not say it."""
    notes: Sequence[str] = ()
    """What a reader must know besides: damage, measurements that differ from those stored."""
    limits: Sequence[LimitRow] = ()
    policies: Sequence[PolicyRow] = ()
    bracket: Bracket | None = None
    """Where the policy stands between doing nothing and the bound; None: nobody asked."""
    metrics: Mapping[str, MetricInfo] = field(default_factory=dict)
    objective: str = "objective"
    """Key of the metric that ranks the policies."""
    objective_formula: str = ""
    streams: Mapping[str, Columns] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    actuators: Sequence[ActuatorInfo] = ()
    timing: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    identity: Sequence[IdentityRow] = ()
    folder: str = ""
    """Name of the record's folder, for the line that says how to judge it again."""

    @property
    def label(self) -> str:
        """The run's name on a page with several."""
        return f"{self.policy}, seed {self.seed}"

    @property
    def end_us(self) -> int:
        """Where the traces end: the last row of any stream, else the planned duration."""
        times = [stream["t_sim_us"] for stream in self.streams.values() if "t_sim_us" in stream]
        last = [int(column[-1]) for column in times if len(column)]
        return max(last, default=round(self.duration_s * 1e6))
