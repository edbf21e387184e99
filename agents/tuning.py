"""Which keys of a policy's configuration a search may change, and within which range."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tunable:
    """The range in which a search looks for a key's value.

    It is narrower than what the key may be: values that a sensible person would try.

    Attributes:
        low: least value tried, in the key's unit.
        high: greatest value tried.
        log: whether equal ratios count alike, for what spans orders of magnitude.
        integer: whether only whole numbers are tried.

    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0.0):
            raise ValueError(f"no range to search: {self}")
        if self.integer and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError(f"a range of whole numbers has whole ends: {self}")
