"""Limits on intervals: their configuration."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from ..limits import Bound, Ratio
from ..metrics import METRICS
from ..units import format_quantity


class IntervalLimitConfig(Bound):
    """One limit on what all seeds of a suite show together: a metric and exactly one bound.

    A bound is held against an interval: PASS if all of it keeps the bound, FAIL if none of it does,
    else INCONCLUSIVE. `max` and `min` bound the mean; `max_increase` the mean difference to the
    baseline on the same seeds; `min_reduction`, `max_ratio` and `min_ratio` the ratio of the sums
    over a scenario's seeds. Each is the mean over the scenarios, which count alike.
    """

    level: Ratio = Field(0.95, ge=0.5, le=0.999)
    """Confidence level of the interval."""

    @field_validator("metric")
    @classmethod
    def _of_every_clock(cls, value: str) -> str:
        if METRICS[value].wall_only:
            raise PydanticCustomError(
                "metric",
                "{name} is judged run by run, under the clock wall: use a limit of the scenario",
                {"name": METRICS[value].name},
            )
        return value

    @property
    def unit(self) -> str:
        """Unit of bound and interval: the metric's, or `1` for a share of the baseline."""
        return "1" if self.of_ratio else self.entry.unit

    @property
    def of_ratio(self) -> bool:
        """Whether the bound is a share of the baseline."""
        return self.vs is not None and self.max_increase is None

    @property
    def of_reduction(self) -> bool:
        """Whether the interval is of the reduction against the baseline."""
        return self.min_reduction is not None

    @property
    def upper(self) -> bool:
        """Whether the bound is an upper one on the interval; on a reduction it is a lower one."""
        return super().upper and not self.of_reduction

    @property
    def value(self) -> float:
        """The bound that the interval is held against."""
        bounds = (
            self.max, self.min, self.max_ratio, self.min_ratio, self.min_reduction,
            self.max_increase,
        )  # fmt: skip
        return next(bound for bound in bounds if bound is not None)

    def text(self) -> str:
        """Return the limit in words: ``export_energy: reduction vs pi ≥ 10 % (95 % interval)``."""
        sign = "≤" if self.upper else "≥"
        name = self.entry.name
        if self.of_reduction:
            what = f"{name}: reduction vs {self.vs} {sign} {100 * self.value:g} %"
        elif self.of_ratio:
            what = f"{name} {sign} {self.value:g} × {self.vs}"
        elif self.vs is not None:
            what = f"{name} {sign} {self.vs} + {format_quantity(self.value, self.unit)}"
        else:
            what = f"{name} {sign} {format_quantity(self.value, self.unit)}"
        return f"{what} ({100 * self.level:g} % interval)"
