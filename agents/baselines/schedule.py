"""A policy that plays set-points from a list: a plan made beforehand, or one's own experiment.

It looks at nothing but the time. At each control step the last row whose time has come holds;
before the first one loads, chargers and battery are off and PV is not limited.
"""

from __future__ import annotations

import csv
import difflib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ...sim.config import DurationS, Model, PowerW
from ..policy import (
    ActionKind,
    Observation,
    Policy,
    PolicyConfig,
    PolicyError,
    SiteInfo,
    register,
)

_TIME = "time_s"
_Time = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Power = Annotated[float, Field(allow_inf_nan=False)]


class Plan(Model):
    """Times and set-points, column by column."""

    time_s: tuple[_Time, ...] = Field(min_length=1)
    """Since the start of the run, rising."""
    setpoint_w: dict[str, tuple[_Power, ...]] = Field(min_length=1)
    """By actuator, one value a time, in the actuator's own sign; who is not named stays off."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for row, (before, after) in enumerate(itertools.pairwise(self.time_s), start=1):
            if not after > before:
                raise PydanticCustomError(
                    "order",
                    "time_s must rise: {after} at place {row} follows {before}",
                    {"after": f"{after:g}", "row": row, "before": f"{before:g}"},
                )
        for name, values in self.setpoint_w.items():
            if len(values) != len(self.time_s):
                raise PydanticCustomError(
                    "length",
                    "setpoint_w of '{name}' has {count} values; allowed: one for each of the "
                    "{times} times",
                    {"name": name, "count": len(values), "times": len(self.time_s)},
                )
        return self


class ScheduleConfig(PolicyConfig):
    """Set-points from a list of times, given here (`plan`) or in a file (`path`)."""

    kind: Literal["schedule"] = "schedule"
    path: str | None = None
    """A JSON file (keys as in `plan`) or a CSV file: a column `time_s`, and one an actuator in W,
    named by its id."""
    plan: Plan | None = None
    """The list itself."""
    max_age_s: DurationS | None = Field(None, gt=0, le=3600)
    """With a reading older than this, safe values are commanded; null: readings never age, since
    none is looked at."""
    command_deadband_w: PowerW = Field(0.0, ge=0, le=10_000)
    """A command in which no set-point differs by more than this from the last is not sent."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.plan is None):
            given = "neither" if self.path is None else "both"
            raise PydanticCustomError(
                "source",
                "a schedule has exactly one of path and plan; this one has {given}",
                {"given": given},
            )
        return self


class Schedule(Policy):
    """Plays a plan."""

    action: ActionKind = "actuator_power"

    def __init__(self, config: ScheduleConfig, site: SiteInfo) -> None:
        """Read the plan; :class:`PolicyError` if it cannot be played on this site."""
        plan = config.plan
        if plan is None:
            assert config.path is not None
            plan = _read(config.label, Path(config.path))
        known = [actuator.id for actuator in site.actuators]
        off = [a.high_w if a.kind == "pv_limit" else 0.0 for a in site.actuators]
        self._rows = np.repeat(np.array([off]), len(plan.time_s) + 1, axis=0)
        for name, values in plan.setpoint_w.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
                hint = f"did you mean '{near[0]}'? " if near else ""
                what = f"the schedule names no actuator of this site: '{name}'; {hint}"
                raise PolicyError(config.label, f"{what}allowed: {', '.join(known)}")
            self._rows[1:, known.index(name)] = values
        self._times_us = [round(time_s * 1e6) for time_s in plan.time_s]
        self._next = 0

    def reset(self, seed: int) -> None:
        """Start from the first row."""
        self._next = 0

    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Return the set-points [A] of the last row whose time has come."""
        while self._next < len(self._times_us) and self._times_us[self._next] <= observation.t_us:
            self._next += 1
        row: NDArray[np.float64] = self._rows[self._next]
        return row


def plan_of(
    ids: Sequence[str], times_us: NDArray[np.int64], setpoint_w: NDArray[np.float64]
) -> Plan:
    """Return arrays of times [K] and set-points [K, A] as a plan."""
    columns = {name: tuple(setpoint_w[:, k].tolist()) for k, name in enumerate(ids)}
    return Plan(time_s=tuple((times_us / 1e6).tolist()), setpoint_w=columns)


def _read(policy: str, path: Path) -> Plan:
    """Read a plan from a file; :class:`PolicyError` says what is wrong and where."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise PolicyError(policy, f"cannot read {path}: {reason}") from error
    suffix = path.suffix.lower()
    if suffix not in {".json", ".csv"}:
        raise PolicyError(policy, f"{path}: a schedule is a file .json or .csv")
    content = _json(policy, path, text) if suffix == ".json" else _csv(policy, path, text)
    try:
        return TypeAdapter(Plan).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise PolicyError(
            policy, f"{path}: {where + ': ' if where else ''}{first['msg']}"
        ) from None


def _json(policy: str, path: Path, text: str) -> Any:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise PolicyError(policy, f"{path} is no JSON: {error}") from error
    if isinstance(content, Mapping):
        # From JSON, where lists stand for tuples.
        columns = content.get("setpoint_w")
        if isinstance(columns, Mapping):
            listed = {k: tuple(v) if isinstance(v, list) else v for k, v in columns.items()}
            content = {**content, "setpoint_w": listed}
        if isinstance(content.get("time_s"), list):
            content = {**content, "time_s": tuple(content["time_s"])}
    return content


def _csv(policy: str, path: Path, text: str) -> dict[str, Any]:
    rows = list(csv.reader(text.splitlines()))
    header = [cell.strip() for cell in rows[0]] if rows else []
    if _TIME not in header or len(header) < 2 or len(set(header)) != len(header):
        raise PolicyError(
            policy, f"{path}:1: expected a header: {_TIME}, and the id of each actuator once"
        )
    columns: dict[str, list[float]] = {name: [] for name in header}
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise PolicyError(
                policy, f"{path}:{number}: {len(row)} cells; allowed: {len(header)}, as the header"
            )
        for name, cell in zip(header, row, strict=True):
            try:
                value = float(cell)
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise PolicyError(
                    policy, f"{path}:{number}: '{cell.strip()}' in column {name} is no number"
                )
            columns[name].append(value)
    times = columns.pop(_TIME)
    return {"time_s": tuple(times), "setpoint_w": {k: tuple(v) for k, v in columns.items()}}


register(ScheduleConfig, Schedule)
