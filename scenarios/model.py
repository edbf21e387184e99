"""The scenario: plant, profiles, rig, clock, policies, faults, objective, limits, seeds.

Plants and policies bring their own configuration models; the unions here are filled from their
registries when this module is imported.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ..agents.policy import POLICIES
from ..agents.policy import PolicyConfig as AnyPolicyConfig
from ..evaluation.limits import LimitConfig
from ..evaluation.verdict import DecisionRule
from ..sim.config import DurationS, Model
from ..sim.edge.config import EdgeConfig
from ..sim.export.config import ExportPlantConfig
from ..sim.faults import FaultConfig
from ..sim.plant import PLANTS
from ..sim.profiles.config import ProfilesConfig
from .files import files_of

#: The grid of the plant; every period is a multiple of it.
STEP_US = 200_000


def _union(models: Iterable[type[BaseModel]]) -> Any:
    members = tuple(models)
    if len(members) == 1:  # pydantic refuses a discriminator where there is nothing to tell apart
        return members[0]
    return Annotated[Union[members], Field(discriminator="kind")]  # noqa: UP007 - built at run time


if TYPE_CHECKING:
    PlantConfig = ExportPlantConfig
    PolicyConfig = AnyPolicyConfig
else:
    PlantConfig = _union(kind.config_model for kind in PLANTS.values())
    PolicyConfig = _union(kind.config for kind in POLICIES.values())


def _local_time(value: Any) -> Any:
    """Read a time; numbers are refused, which pydantic would take as seconds since 1970."""
    if isinstance(value, dt.datetime):
        return value
    try:
        return dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise PydanticCustomError(
            "datetime_type", "expected a time such as 2025-06-21T10:00:00"
        ) from None


StartTime = Annotated[dt.datetime, BeforeValidator(_local_time, json_schema_input_type=str)]


def to_us(seconds: float) -> int:
    """Return seconds as whole microseconds."""
    return round(seconds * 1e6)


class Clock(Model):
    """When the run starts, how long it takes, how often the loop decides."""

    start: StartTime
    """Local time of the site, or with an offset (`2025-06-21T10:00:00+02:00`)."""
    duration_s: DurationS = Field(ge=1, le=31 * 86400)
    """A multiple of `control_period_s`."""
    control_period_s: DurationS = Field(1.0, ge=0.2, le=60)
    """Time between two decisions; a multiple of 0.2 s."""
    decision_delay_s: DurationS = Field(0.02, ge=0, le=60)
    """Declared time from sampling to sending, used by the clock `virtual`; at most one period."""
    refresh_s: DurationS = Field(30.0, ge=1, le=3600)
    """An unchanged command is sent again after this, so that no device's watchdog expires."""
    mode: Literal["virtual", "wall"] = "virtual"
    """virtual: deterministic, as fast as the machine can; wall: paced against its clock."""
    factor: float = Field(1.0, gt=0, le=1000)
    """Speed of the clock `wall`: simulated seconds in a second."""

    @model_validator(mode="after")
    def _on_the_grid(self) -> Self:
        period_us = to_us(self.control_period_s)
        if period_us % STEP_US:
            raise PydanticCustomError(
                "grid", "control_period_s must be a multiple of 0.2 s, the step of the plant", {}
            )
        if to_us(self.duration_s) % period_us or self.duration_s < self.control_period_s:
            raise PydanticCustomError(
                "grid",
                "duration_s must be a multiple of control_period_s ({period} s)",
                {"period": f"{self.control_period_s:g}"},
            )
        if self.decision_delay_s > self.control_period_s:
            raise PydanticCustomError(
                "order",
                "decision_delay_s must not exceed control_period_s ({period} s)",
                {"period": f"{self.control_period_s:g}"},
            )
        return self


class Objective(Model):
    """Weights of J = export + curtailed + λ₁·(import + what stores lack) + λ₂·unserved energy."""

    import_weight: float = Field(0.5, ge=0, le=100)
    """λ₁: what one kWh of import costs in kWh of export."""
    unserved_weight: float = Field(2.0, ge=0, le=100)
    """λ₂: what one kWh of unserved load energy costs in kWh of export."""


class Audit(Model):
    """What the audit of the library holds the scenario to."""

    passing: str
    """Name of the policy that passes at least nine of ten seeds."""
    seeds: int = Field(10, ge=1, le=100)
    """How many seeds are tried, from 1 on."""
    broken: tuple[str, ...] = Field((), max_length=8)
    """Names of the policies that must fail (in a robustness scenario at least one)."""


class Scenario(Model):
    """One experiment: what is simulated, who controls it, what goes wrong, what is judged."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    """Of the scenario in records and reports; default: the file's name."""
    title: str = Field("", max_length=120, pattern=r"^[^\n]*$")
    """One line for `wattbench list`."""
    kind: Literal["discriminating", "robustness"] = "discriminating"
    """discriminating: every degenerate policy fails; robustness: a named broken one fails."""
    plant: PlantConfig
    """The simulated physics and its parameters."""
    edge: EdgeConfig = EdgeConfig()
    """What lies between truth and reading, and between command and effect."""
    profiles: ProfilesConfig = ProfilesConfig()
    """Place, sun and household."""
    rig: Literal["direct", "emulated"] = "direct"
    """direct: function calls, no bytes; emulated: devices that speak Modbus and Zigbee. A rig file
    is named on the command line (`--rig lab.yaml`)."""
    clock: Clock
    policies: tuple[PolicyConfig, ...] = Field(min_length=1, max_length=32)
    """The policies that are judged."""
    baselines: tuple[PolicyConfig, ...] = Field((), max_length=32)
    """Policies that are measured beside them on the same seeds."""
    faults: tuple[FaultConfig, ...] = Field((), max_length=100)
    objective: Objective = Objective()
    limits: tuple[LimitConfig, ...] = Field(min_length=1, max_length=100)
    """What a policy must keep to pass."""
    decision_rule: DecisionRule = "guarded"
    """How a limit's `uncertainty` enters: guarded: within it of the bound nothing is shown,
    INCONCLUSIVE; simple: the measured value decides, and the uncertainty is only stated."""
    seeds: tuple[Annotated[int, Field(ge=0, le=2**53)], ...] = Field(
        (1,), min_length=1, max_length=1000
    )
    """One run per policy and seed."""
    audit: Audit | None = None

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
        if twice is not None:
            raise PydanticCustomError(
                "seeds", "seed {seed} is there twice; allowed: each once", {"seed": twice}
            )
        return seeds

    def start_utc(self) -> dt.datetime:
        """Return the start of the run in UTC. Raises ValueError for a time that does not exist."""
        return utc_of(self.clock.start, self.profiles.site.time_zone)

    def resolved(self) -> dict[str, Any]:
        """Return the scenario as plain values with all defaults, in the units that keys name."""
        return self.model_dump(mode="json")

    def hash(self) -> str:
        """Return the SHA-256 of the resolved content.

        A file that the scenario names enters with the hash of its content, not with its path:
        the same experiment has the same hash on every machine.
        """
        content = self.resolved()
        for path, file in files_of(self):
            holder: Any = content
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


class ScenarioFile(Scenario):
    """A scenario file: one experiment, or what it changes in another one."""

    extends: str | None = None
    """Path of a scenario (relative to this file) or its name in the library. Mappings are merged
    key by key, lists and scalars replace; a mapping of another `kind` replaces too."""


def utc_of(start: dt.datetime, time_zone: str) -> dt.datetime:
    """Return a local time, or one with an offset, in UTC.

    Raises ValueError where the local clock skips the time or shows it twice.
    """
    if start.tzinfo is not None:
        return start.astimezone(dt.UTC)
    zone = ZoneInfo(time_zone)
    early, late = (start.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() == late.utcoffset():
        return early.astimezone(dt.UTC)
    if early.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) != start:
        raise ValueError(
            f"{start.isoformat()} does not exist in {time_zone}: the clock is put forward"
        )
    offsets = " or ".join(time.isoformat()[-6:] for time in (early, late))
    raise ValueError(
        f"{start.isoformat()} happens twice in {time_zone}; allowed: the time with {offsets}"
    )
