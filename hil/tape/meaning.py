"""What a frame says, in a line and as fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Meaning:
    """A frame in words, and in fields for machines. `problem` is what is wrong with it."""

    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    def line(self) -> str:
        """Return text and problem in one line."""
        return "; ".join(part for part in (self.text, self.problem) if part)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        more = {"problem": self.problem} if self.problem else {}
        return {"meaning": self.text, **self.fields, **more}


def hex_words(data: bytes) -> str:
    """Return registers in hex: ``0102 0304``."""
    return data.hex(" ", -2)


def number_text(value: float | str | None) -> str:
    """Return a value as short as it is exact to seven digits."""
    if isinstance(value, str):
        return repr(value)
    return "none" if value is None else f"{value:.7g}"
