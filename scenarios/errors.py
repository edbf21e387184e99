"""Errors of scenario files: each has a place, a field and a sentence that says what to change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file; lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class ScenarioError:
    """One mistake in a scenario file.

    ``field`` is the dotted path of the key (``plant.loads[0].phase``), empty for the file itself;
    ``message`` says what is wrong, what is allowed and, where one is near, what was meant.
    """

    file: str
    line: int
    column: int
    field: str
    message: str

    @classmethod
    def at(cls, place: Place, field: str, message: str) -> ScenarioError:
        """Return the error of a place; line breaks in the texts become blanks."""
        return cls(place.file, place.line, place.column, one_line(field), one_line(message))

    def __str__(self) -> str:
        subject = f"{self.field}: " if self.field else ""
        return f"{self.file}:{self.line}:{self.column}: {subject}{self.message}"

    def as_dict(self) -> dict[str, str | int]:
        """Return the error as a mapping for JSON."""
        return asdict(self)


class ScenarioErrors(Exception):  # noqa: N818 - it is many errors, and its name says so
    """All mistakes of one scenario (files that it extends included), in order of position."""

    def __init__(self, errors: Iterable[ScenarioError]) -> None:
        self.errors: tuple[ScenarioError, ...] = tuple(dict.fromkeys(errors))
        super().__init__(self.errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def one_line(text: str) -> str:
    """Return ``text`` with everything unprintable escaped, so that it stays on one line."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def shorten(value: object, width: int = 60) -> str:
    """Return a value as it is shown in a message: quoted if text, cut if long, on one line."""
    if isinstance(value, str):
        shown = f"'{value}'"
    elif value is None:
        shown = "null"
    elif isinstance(value, bool):
        shown = str(value).lower()
    elif isinstance(value, dict):
        return "a mapping"
    elif isinstance(value, list | tuple):
        return "a list"
    else:
        shown = f"{value!r}"
    shown = one_line(shown)
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"
