"""Writing a tape: append only, whole blocks, a bounded buffer.

A frame costs the loop an entry in a list. Every `buffer_frames` frames, and in wall time once a
second, the entries are encoded and handed to the operating system in one piece; a process that is
killed loses those since, and at most the last block is cut, which readers cope with. A disk that
is full ends the tape, not the run: `problem` says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ... import __version__
from ..wire import Direction
from . import pcapng
from .link import LINKS, OTHER, TcpLink
from .model import TapeBus, TapeError, TapeFrame, TapeHeader

_FLUSH_US: Final = 1_000_000
_NEVER_US: Final = 1 << 62
_MONOTONIC: Final = "monotonic_ns="
_Entry = tuple[str, Direction, int, int, bytes, str]


class Encoder:
    """Turns frames into blocks; the same frames give the same bytes.

    Args:
        header: written first, with an interface for each of its buses.
    """

    def __init__(self, header: TapeHeader) -> None:
        self._start_us = header.start_utc_us
        self._numbers: dict[str, int] = {}
        self._links: dict[str, TcpLink | None] = {}
        self._outbound = pcapng.packet_options(True)
        self._inbound = pcapng.packet_options(False)
        parts = [pcapng.section(header.text(), f"wattbench {__version__}")]
        parts += [self._interface(bus) for bus in header.buses]
        self.head = b"".join(parts)

    def encode(self, entry: _Entry) -> bytes:
        """Return a frame as a block, after one for its bus if that is new."""
        bus, direction, t_us, monotonic_ns, data, note = entry
        number = self._numbers.get(bus)
        before = b""
        if number is None:
            before = self._interface(TapeBus(bus, "unknown"))
            number = self._numbers[bus]
        link = self._links[bus]
        if link is not None:
            data = link.packet(direction, data)
        if monotonic_ns or note:
            stamp = f"{_MONOTONIC}{monotonic_ns}" if monotonic_ns else ""
            comment = "; ".join(part for part in (stamp, note) if part)
            options = pcapng.packet_options(direction == "request", comment)
        else:
            options = self._outbound if direction == "request" else self._inbound
        return before + pcapng.packet(number, self._start_us + t_us, data, options)

    def _interface(self, bus: TapeBus) -> bytes:
        link = LINKS.get(bus.kind, OTHER)
        self._numbers[bus.name] = number = len(self._numbers)
        self._links[bus.name] = TcpLink(number + 1) if link == pcapng.LINK_IPV4 else None
        description = ", ".join(part for part in (bus.kind, bus.detail) if part)
        return pcapng.interface(link, bus.name, description)


def split_comment(comment: str) -> tuple[int | None, str]:
    """Return the monotonic time and the note that a frame's comment holds."""
    if not comment.startswith(_MONOTONIC):
        return None, comment
    digits, _, note = comment.removeprefix(_MONOTONIC).partition("; ")
    return (int(digits), note) if digits.isdecimal() else (None, comment)


class Tape:
    """A tape that is being written: a `Tap`.

    Args:
        path: of the new file; an old one is replaced.
        header: what the tape says about itself.
        buffer_frames: how many frames are kept in memory at most.

    Raises:
        TapeError: the file cannot be made.
    """

    def __init__(self, path: Path, header: TapeHeader, *, buffer_frames: int = 512) -> None:
        self.path = path
        self.problem: str | None = None
        """Why the tape ended before the run did; None while it is whole."""
        self.frames = 0
        self._encoder = Encoder(header)
        self._limit = buffer_frames
        self._waiting: list[_Entry] = []
        self._now_ns: Callable[[], int] = time.monotonic_ns if header.clock == "wall" else lambda: 0
        wall = header.clock == "wall"
        self._flush_us = _FLUSH_US if wall else _NEVER_US
        self._due_us = -_NEVER_US if wall else _NEVER_US
        try:
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        except OSError as problem:
            raise TapeError(f"{path}: {problem.strerror or problem}") from problem
        self._write(self._encoder.head)

    def frame(self, bus: str, direction: Direction, t_us: int, data: bytes) -> None:
        """Take note of a whole frame on a bus at a simulated time."""
        waiting = self._waiting
        waiting.append((bus, direction, t_us, self._now_ns(), data, ""))
        if len(waiting) >= self._limit or t_us >= self._due_us:
            self.flush()

    def flush(self) -> None:
        """Hand what waits to the operating system."""
        waiting = self._waiting
        if not waiting:
            return
        self._due_us = waiting[-1][2] + self._flush_us
        self.frames += len(waiting)
        if self._file is not None:
            encode = self._encoder.encode
            self._write(b"".join([encode(entry) for entry in waiting]))
        waiting.clear()

    def close(self) -> None:
        """Write the rest; may be called again."""
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as problem:
            self.problem = f"{self.path}: {problem.strerror or problem}; the tape ends here"
            os.close(self._file)
            self._file = None


def entry_of(frame: TapeFrame, note: str = "") -> _Entry:
    """Return a frame that was read as an entry for `Encoder.encode`."""
    return (
        frame.bus,
        frame.direction,
        frame.t_us,
        frame.monotonic_ns or 0,
        frame.data,
        note or frame.note,
    )
