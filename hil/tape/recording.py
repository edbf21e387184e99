"""The tape of a run: it begins with the record's folder and ends with it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..wire import Direction
from .model import TapeError, TapeHeader
from .writer import Tape

FILE: Final = "tape.pcapng"


class RunTape:
    """A tap that writes to a tape as long as there is a folder for it."""

    def __init__(self, header: TapeHeader) -> None:
        self._header = header
        self._tape: Tape | None = None
        self.problem: str | None = None
        """Why the tape is missing or not whole; None: it is whole."""

    def frame(self, bus: str, direction: Direction, t_us: int, data: bytes) -> None:
        """Take note of a frame."""
        if self._tape is not None:
            self._tape.frame(bus, direction, t_us, data)

    def begin(self, folder: Path) -> None:
        """Write into a folder from now on; a disk that refuses costs the tape, not the run."""
        try:
            self._tape = Tape(folder / FILE, self._header)
        except TapeError as error:
            self.problem = str(error)

    def end(self) -> None:
        """Write the rest and close the file."""
        if self._tape is not None:
            self._tape.close()
            self.problem = self._tape.problem
            self._tape = None
