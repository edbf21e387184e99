"""Limits on metrics: their configuration, and how a measurement is held against one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from .header import RecordHeader
from .metrics import METRICS, Metric, find_metric
from .model import Model
from .units import format_quantity, parse_quantity
from .verdict import DecisionRule, Verdict

_UNSEEN_SHARE = 0.01
"""Longest part of a run that a device may leave unseen,"""
_UNSEEN_S = 5.0
"""but not less than this."""
_REPLAYED = "a replay has no baselines"
_UNPAIRED = "the rig leaves quantities uncontrolled, so no two runs are alike"
_ABSOLUTE = ("max", "min")
_RELATIVE = ("max_ratio", "min_ratio", "min_reduction", "max_increase")
_BOUNDS = _ABSOLUTE + _RELATIVE


_METRIC_NAMES: list[JsonValue] = [*sorted({m.name for m in METRICS.values()} | METRICS.keys())]


def _fraction(value: Any) -> Any:
    return _number(value, "1")


def _number(value: Any, unit: str) -> Any:
    """Convert a text of number and unit; leave other values to pydantic."""
    if isinstance(value, bool):
        raise PydanticCustomError("limit_quantity", "expected a number, got a truth value", {})
    if not isinstance(value, str):
        return value
    try:
        return parse_quantity(value, unit)
    except ValueError as error:
        raise PydanticCustomError("limit_quantity", "{text}", {"text": str(error)}) from error


def _in_unit(value: Any, info: ValidationInfo) -> Any:
    """Convert a value to the metric's unit; without a valid metric its own error is enough."""
    if "metric" not in info.data:
        return 0.0 if isinstance(value, str) else value
    return _number(value, METRICS[info.data["metric"]].unit)


InUnit = Annotated[float, BeforeValidator(_in_unit, json_schema_input_type=float | str)]
Ratio = Annotated[float, BeforeValidator(_fraction, json_schema_input_type=float | str)]


class Bound(Model):
    """A metric and exactly one bound on it.

    Bounds relative to a baseline's value B are B plus or minus a share of its size, so that they
    mean the same where B is negative (an objective with energy stored).
    """

    metric: str = Field(json_schema_extra={"enum": _METRIC_NAMES})
    """Name of a metric, or its id with a version; the resolved scenario holds the id."""
    max: InUnit | None = None
    """Highest admissible value, in the metric's unit or as a text with a unit (`1.2 kWh`)."""
    min: InUnit | None = None
    """Lowest admissible value."""
    vs: str | None = None
    """Baseline that the bounds below refer to."""
    max_ratio: Ratio | None = Field(None, ge=0)
    """At most this multiple of the baseline's value: B − (1 − ratio)·|B|."""
    min_ratio: Ratio | None = Field(None, ge=0)
    """At least this multiple of the baseline's value."""
    min_reduction: Ratio | None = Field(None, ge=-10, le=1)
    """At least this much below the baseline's value, as a share of it: B − reduction·|B|."""
    max_increase: InUnit | None = None
    """At most this much above the baseline's value, in the metric's unit."""

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return find_metric(value).id
        except KeyError as error:
            raise PydanticCustomError("metric", "{text}", {"text": str(error.args[0])}) from error

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        given = [name for name in _BOUNDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "bound",
                "a limit has exactly one of {allowed}; this one has {given}",
                {"allowed": ", ".join(_BOUNDS), "given": " and ".join(given) or "none"},
            )
        if (given[0] in _RELATIVE) != (self.vs is not None):
            raise PydanticCustomError(
                "vs",
                "'{given}' needs 'vs' with the name of a baseline"
                if self.vs is None
                else "'{given}' is absolute: leave out 'vs', or use one of {allowed}",
                {"given": given[0], "allowed": ", ".join(_RELATIVE)},
            )
        return self

    @property
    def entry(self) -> Metric:
        """The metric."""
        return METRICS[self.metric]

    @property
    def upper(self) -> bool:
        """Whether the bound is an upper one."""
        return self.min is None and self.min_ratio is None

    def text(self) -> str:
        """Return the limit in words: ``export_energy ≤ 1.2 kWh``."""
        unit, sign = self.entry.unit, "≤" if self.upper else "≥"
        if self.max is not None or self.min is not None:
            bound = format_quantity(self.max if self.max is not None else self.min, unit)
        elif self.min_reduction is not None:
            bound = f"{self.vs} − {100 * self.min_reduction:g} %"
        elif self.max_increase is not None:
            bound = f"{self.vs} + {format_quantity(self.max_increase, unit)}"
        else:
            ratio = self.max_ratio if self.max_ratio is not None else self.min_ratio
            bound = f"{ratio:g} × {self.vs}"
        return f"{self.entry.name} {sign} {bound}"

    def bound(self, baseline: float) -> float:
        """Return the bound in the metric's unit, given the value of the baseline ``vs``."""
        if self.max is not None:
            return self.max
        if self.min is not None:
            return self.min
        if self.max_increase is not None:
            return baseline + self.max_increase
        if self.min_reduction is not None:
            return baseline - self.min_reduction * abs(baseline)
        ratio = self.max_ratio if self.max_ratio is not None else self.min_ratio
        assert ratio is not None  # the model has exactly one bound
        return baseline - (1.0 - ratio) * abs(baseline)


class LimitConfig(Bound):
    """One limit: a metric and exactly one bound on it.

    Bounds relative to a baseline's value B are B plus or minus a share of its size, so that they
    mean the same where B is negative (an objective with energy stored).
    """

    uncertainty: InUnit | None = Field(None, ge=0)
    """Half width (95 %) of what the measured value may be off; see `decision_rule`."""


@dataclass(frozen=True, slots=True)
class LimitResult:
    """One limit, judged.

    Attributes:
        limit: the limit.
        measured: value in the metric's unit, NaN if there is none.
        bound: the bound in the metric's unit, resolved against the baseline; NaN if unknown.
        verdict: None if the limit was not judged.
        reason: why, where the verdict is neither PASS nor FAIL.
        decision_rule: how the limit's uncertainty entered.

    """

    limit: LimitConfig
    measured: float
    bound: float
    verdict: Verdict | None
    reason: str = ""
    decision_rule: DecisionRule = "guarded"

    @property
    def unit(self) -> str:
        """The metric's unit."""
        return self.limit.entry.unit

    @property
    def word(self) -> str:
        """The verdict's name, or ``not judged``."""
        return "not judged" if self.verdict is None else self.verdict.name

    @property
    def rule(self) -> str:
        """The limit's uncertainty and how it entered: ``± 2 Wh, guarded``; empty without one."""
        if self.limit.uncertainty is None:
            return ""
        return f"± {format_quantity(self.limit.uncertainty, self.unit)}, {self.decision_rule}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "metric": self.limit.metric,
            "limit": self.limit.text(),
            "direction": "max" if self.limit.upper else "min",
            "vs": self.limit.vs,
            "measured": self.measured,
            "bound": self.bound,
            "unit": self.unit,
            "verdict": None if self.verdict is None else self.verdict.name,
            "reason": self.reason,
            "uncertainty": self.limit.uncertainty,
            "decision_rule": self.decision_rule,
        }


def judge_limit(
    limit: LimitConfig, measurements: Mapping[str, float], header: RecordHeader
) -> LimitResult:
    """Hold a measurement against a limit. Whatever cannot be compared is ERROR, never PASS."""
    measured = measurements.get(limit.metric, math.nan)
    baseline, missing = _baseline(limit, header)
    bound = limit.bound(baseline)
    rule = header.decision_rule
    result = _Outcome(limit, measured, bound, rule)
    if limit.entry.wall_only and header.clock_mode != "wall":
        return result.of(None, f"not judged under clock {header.clock_mode}")
    if limit.vs is not None and header.replayed:
        return result.of(Verdict.INCONCLUSIVE, _REPLAYED)
    if missing:
        return result.of(Verdict.ERROR, missing)
    if not math.isfinite(measured):
        return result.of(Verdict.ERROR, "there is no measured value")
    if limit.vs is not None and header.unpaired:
        return result.of(Verdict.INCONCLUSIVE, _UNPAIRED)
    if unseen := _unseen(header):
        return result.of(Verdict.INCONCLUSIVE, unseen)
    margin = bound - measured if limit.upper else measured - bound
    if rule == "guarded" and limit.uncertainty and abs(margin) <= limit.uncertainty:
        near = format_quantity(limit.uncertainty, limit.entry.unit)
        return result.of(Verdict.INCONCLUSIVE, f"within the uncertainty of {near}")
    return result.of(Verdict.PASS if margin >= 0 else Verdict.FAIL, "")


def _unseen(header: RecordHeader) -> str:
    """Say which device left too much of the run unseen; empty if none did."""
    if not header.unseen_s:
        return ""
    device, seconds = max(header.unseen_s.items(), key=lambda item: item[1])
    if seconds <= max(_UNSEEN_SHARE * header.duration_s, _UNSEEN_S):
        return ""
    return (
        f"device '{device}', which the truth comes from, showed nothing for {seconds:g} of "
        f"{header.duration_s:g} s"
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    limit: LimitConfig
    measured: float
    bound: float
    rule: DecisionRule

    def of(self, verdict: Verdict | None, reason: str) -> LimitResult:
        return LimitResult(self.limit, self.measured, self.bound, verdict, reason, self.rule)


def _baseline(limit: LimitConfig, header: RecordHeader) -> tuple[float, str]:
    """Return the baseline's value, and what is wrong with it."""
    if limit.vs is None:
        return math.nan, ""
    if limit.vs not in header.baselines:
        known = ", ".join(sorted(header.baselines)) or "none, as a baseline's own record"
        return math.nan, f"the record has no baseline '{limit.vs}' (it has: {known})"
    value = header.baselines[limit.vs].get(limit.metric)
    if value is None:
        return math.nan, f"baseline '{limit.vs}' has no value of {limit.metric}"
    return value, ""
