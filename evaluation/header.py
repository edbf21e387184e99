"""What `record.json` says: who and what took part in a run, and how it ended."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from .model import Model
from .verdict import DecisionRule

SCHEMA_VERSION = 1

Status = Literal["completed", "interrupted", "aborted", "error"]


class ActuatorMeta(Model):
    """One action point as the metrics need it; further keys are kept as they are."""

    model_config = ConfigDict(extra="allow")

    id: str
    kind: Literal["load", "charger", "battery", "pv_limit"]
    phase_shares: tuple[float, float, float]
    """Share of its power on phases a, b, c."""
    low_w: float
    high_w: float


class TankMeta(Model):
    """A load's tank; further keys are kept as they are."""

    model_config = ConfigDict(extra="allow")

    cut_out_c: float | None = None
    """Temperature at which the independent cut-out opens."""


class LoadMeta(Model):
    """A load's parameters; further keys are kept as they are."""

    model_config = ConfigDict(extra="allow")

    id: str
    tank: TankMeta | None = None


class SiteMeta(Model):
    """The site's constants that the metrics refer to."""

    actuators: tuple[ActuatorMeta, ...]
    loads: tuple[LoadMeta, ...] = ()
    main_fuse_a: float = Field(gt=0)
    """Largest admissible current of each phase, averaged over a second."""
    voltage_low_v: float = 207.0
    """Lower edge of the admissible band; EN 50160: 230 V −10 %."""
    voltage_high_v: float = 253.0
    """Upper edge of the admissible band; EN 50160: 230 V +10 %."""
    control_period_s: float = Field(gt=0)
    stored_energy_initial_wh: float = 0.0
    """Energy in tanks (above cold water) and battery at the start of the run."""


class SafeState(Model):
    """What is known about the actuators' safe state after the run."""

    confirmed: bool | None = None
    """True or false as measured; null: nothing was measured (a run that was killed)."""
    confirmed_us: int | None = None
    """Simulated time at which it was measured."""
    note: str = ""


class RecordHeader(Model):
    """`record.json`, schema version 1.

    The caller of `RecordWriter` gives the fields up to `rig_hash`; the writer adds the rest.
    """

    wattbench_version: str
    scenario: dict[str, Any]
    """The resolved scenario as it ran, overrides from the command line included."""
    policy: dict[str, Any]
    """The policy's resolved configuration; `name`, or else `kind`, is its name."""
    rig: dict[str, Any]
    profiles_hash: str
    """Hash of the profile arrays."""
    packages: dict[str, str]
    """Versions of the packages that shape results."""
    machine: dict[str, Any]
    git_revision: str | None = None
    seed: int
    start_utc: str
    """Scenario time at `t_sim_us` = 0, ISO 8601 in UTC."""
    site: SiteMeta
    baselines: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """Measurements of each baseline by its name, so that the record can be judged alone."""

    scenario_hash: str = ""
    """Identity of the scenario; not given: hash of the content of `scenario`."""
    policy_hash: str = ""
    """Identity of the policy, files that it names included; not given: hash of `policy`."""
    rig_hash: str = ""
    """Identity of the rig; not given: hash of `rig`."""

    schema_version: int = SCHEMA_VERSION
    status: Status = "interrupted"
    reason: str = ""
    safe_state: SafeState = SafeState()
    unseen_s: dict[str, float] = Field(default_factory=dict)
    """Seconds for which a device that the truth comes from showed nothing; what it had shown last
    stands for them. Empty where nothing is real."""
    speed_x_realtime: float | None = None
    """Simulated per elapsed time; measured, so not part of any hash."""
    trace_sha256: str | None = None
    """Over names and bytes of `trace/*.parquet`; null until the record is closed."""
    timing_sha256: str | None = None
    events_sha256: str | None = None
    content_sha256: str = ""
    """Over everything else in this file."""

    @property
    def scenario_name(self) -> str:
        """The scenario's name."""
        return str(self.scenario.get("name", "scenario"))

    @property
    def policy_name(self) -> str:
        """The policy's name: its own, or its kind."""
        return str(self.policy.get("name") or self.policy.get("kind") or "policy")

    @property
    def decision_rule(self) -> DecisionRule:
        """How uncertainties of limits enter; guarded where the scenario does not say."""
        return "simple" if self.scenario.get("decision_rule") == "simple" else "guarded"

    @property
    def rig_name(self) -> str:
        """The rig's name."""
        return str(self.rig.get("name", "rig"))

    @property
    def unpaired(self) -> bool:
        """Whether the rig left quantities uncontrolled: this run met what no other will meet."""
        return bool(self.rig.get("unpaired", False))

    @property
    def replayed(self) -> bool:
        """Whether a tape stood for the rig; such a run has no baselines."""
        return "replay" in self.rig

    @property
    def clock_mode(self) -> str:
        """``virtual`` or ``wall``: latency is judged in wall only."""
        return str(self._clock().get("mode", "virtual"))

    @property
    def clock_factor(self) -> float:
        """Simulated seconds per second of the machine's clock, for mode ``wall``."""
        return float(self._clock().get("factor", 1.0))

    @property
    def duration_s(self) -> float:
        """How long the run was to be; 0 if nobody said."""
        return float(self._clock().get("duration_s", 0.0))

    def _clock(self) -> dict[str, Any]:
        clock = self.scenario.get("clock")
        return clock if isinstance(clock, dict) else {}
