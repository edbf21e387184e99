"""What a metric is, and the table of all of them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .run import Run

Better = Literal["lower", "higher"]
Rule = Literal["net", "per phase", ""]
Source = Literal[
    "counter",
    "integrated power",
    "power",
    "state",
    "commands",
    "readings",
    "measured time",
    "mixed",
]
Formula: TypeAlias = Callable[[Run], float]


@dataclass(frozen=True, slots=True)
class Metric:
    """One versioned metric; a change of its formula is a new version.

    Attributes:
        name: what limits call it; `id` adds the version, as in ``export_energy@1``.
        unit: a key of `units.UNITS`.
        better: which direction is better; None if neither is in itself.
        rule: metering rule: netted over the phases, each phase by itself, or without meaning.
        source: what it is computed from.
        wall_only: whether limits on it are judged under clock ``wall`` only.
        description: one line.
        formula: docstring's remainder: definition and source.
        headline: whether it belongs into a short table.

    """

    name: str
    version: int
    unit: str
    better: Better | None
    rule: Rule
    source: Source
    wall_only: bool
    headline: bool
    description: str
    formula: str
    compute: Formula

    @property
    def id(self) -> str:
        """Name and version, the key of measurements."""
        return f"{self.name}@{self.version}"


#: Every metric by id, in the order of tables.
METRICS: dict[str, Metric] = {}


def metric(
    unit: str,
    *,
    better: Better | None = "lower",
    rule: Rule = "",
    source: Source,
    version: int = 1,
    wall_only: bool = False,
    headline: bool = False,
) -> Callable[[Formula], Formula]:
    """Register the decorated function as a metric named like it; its docstring describes it."""

    def register(compute: Formula) -> Formula:
        description, _, formula = inspect.cleandoc(compute.__doc__ or "").partition("\n")
        entry = Metric(
            compute.__name__, version, unit, better, rule, source, wall_only, headline,
            description.strip().rstrip("."), " ".join(formula.split()), compute,
        )  # fmt: skip
        METRICS[entry.id] = entry
        return compute

    return register


def find_metric(name: str) -> Metric:
    """Return a metric by id, or by name in its newest version.

    Raises:
        KeyError: no such metric; the message names the nearest.

    """
    if name in METRICS:
        return METRICS[name]
    versions = [entry for entry in METRICS.values() if entry.name == name]
    if versions:
        return max(versions, key=lambda entry: entry.version)
    names = [entry.name for entry in METRICS.values()]
    nearest = difflib.get_close_matches(name.partition("@")[0], names, n=1, cutoff=0.4)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else f"; one of: {', '.join(names)}"
    raise KeyError(f"no metric '{name}'{hint}")
