"""What reading a user's log found: harmless findings with their places, and the typed error."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


class ProfileError(ValueError):
    """A log cannot be used: says where, what, and how to mend it."""

    def __init__(
        self,
        file: str | Path,
        what: str,
        mend: str,
        row: int | None = None,
        stamp: str | None = None,
    ) -> None:
        """Keep the parts and compose the message ``file:row: stamp: what; mend``.

        Args:
            file: the log.
            what: what is wrong.
            mend: what the user can do.
            row: line of a CSV file (the header is line 1) or row of a Parquet file (from 1).
            stamp: the row's stamp as it stands in the file.
        """
        self.file, self.what, self.mend = str(file), what, mend
        self.row, self.stamp = row, stamp
        place = self.file if row is None else f"{self.file}:{row}"
        moment = "" if stamp is None else f"{stamp}: "
        # A torn file may have lines within a field; the message stays on one.
        said = " ".join(f"{moment}{what}".split())
        super().__init__(f"{place}: {said}; {mend}")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a log that was dealt with, and where it happens first."""

    kind: str
    """duplicate, no_value, blank, gap, negative, repeated_hour, edge."""
    count: int
    """Rows concerned."""
    row: int
    """The first of them: line of a CSV file, row of a Parquet file."""
    stamp: str
    """Its stamp as it stands in the file."""
    text: str
    """What was found and what was done about it."""

    def __str__(self) -> str:
        more = f" ({self.count} rows)" if self.count > 1 else ""
        return f"row {self.row}, {self.stamp}: {self.text}{more}"


@dataclass(slots=True)
class FileReport:
    """What was read from one log."""

    path: str
    columns: tuple[str, ...]
    rows: int = 0
    usual_interval_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        head = (
            f"{self.path}: {', '.join(self.columns)}: {self.rows} rows, "
            f"one each {self.usual_interval_s:g} s"
        )
        return "\n".join([head, *(f"  {finding}" for finding in self.findings)])
