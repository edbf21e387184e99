"""What a suite has to do, and what is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...evaluation.suite.results import Cell, RunRow
from .folder import measured
from .plan import Unit


@dataclass(slots=True)
class Work:
    """What is to be done, and what is there already.

    Attributes:
        units: all that the suite plans.
        suite_hash: the suite's identity.
        rows: finished runs; grows while the suite runs.

    """

    units: Sequence[Unit]
    suite_hash: str
    rows: dict[Cell, RunRow] = field(default_factory=dict)

    def open(self) -> list[Unit]:
        """Return the units with runs that are not finished."""
        return [unit for unit in self.units if self.cells(unit)]

    def cells(self, unit: Unit) -> list[Cell]:
        """Return the runs of a unit that are not finished."""
        return [cell for cell in unit.cells if cell not in self.rows]

    def finished(self, unit: Unit) -> dict[Cell, Mapping[str, float | None] | None]:
        """Return the finished runs of a unit, each with what it gives to limits against it."""
        return {cell: measured(self.rows[cell]) for cell in unit.cells if cell in self.rows}
