"""What a search and its final find: points with what their runs measured, and the chosen one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .journal import Measured
    from .plan import Plan
    from .score import Score
    from .search import Point

Origin = Literal["defaults", "rule", "search"]


@dataclass(frozen=True, slots=True)
class Tried:
    """A point that was simulated, in the search or in the final.

    Attributes:
        parameters: values of the tunable keys.
        origin: where it comes from.
        runs: what each run measured; None where the policy failed.
        ratios: J in each run, as a share of `zero`'s; empty if the policy failed in any.
        score: mean over the runs; None if the policy failed in any.

    """

    parameters: Point
    origin: Origin
    runs: tuple[Measured, ...]
    ratios: tuple[float, ...]
    score: Score | None


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search and its final found.

    Attributes:
        plan: what was searched.
        tried: every point of the search, in the order in which they were asked for; the first is
            the defaults.
        finals: what the finalists were worth in the final, by their index in ``tried``.
        front: indices of the points on the search's front, and of the chosen one if it is not
            there.
        chosen: index of the point that was chosen.

    """

    plan: Plan
    tried: tuple[Tried, ...]
    finals: Mapping[int, Tried]
    front: tuple[int, ...]
    chosen: int

    @property
    def simulations(self) -> int:
        """How many simulations were made; those of `zero` are not counted."""
        return sum(len(point.runs) for point in (*self.tried, *self.finals.values()))
