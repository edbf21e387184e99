"""Reading a tape, also one whose end is missing because its writer was killed."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from ..wire import Direction
from . import pcapng
from .link import payload
from .model import TapeBus, TapeError, TapeFrame, TapeHeader
from .writer import split_comment

_SECTION_OPTIONS: Final = 16
_INTERFACE_OPTIONS: Final = 8
_PACKET_DATA: Final = pcapng.PACKET_HEAD.size - pcapng.HEAD.size
_LARGEST_TIME_US: Final = 1 << 62


class TapeReader:
    """A tape's header and its frames; iterating reads the file anew, a block at a time.

    Args:
        path: of the tape.

    Raises:
        TapeError: the file cannot be read or is no tape.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: str | None = None
        """What is wrong with the end of the file, known after all frames were read; else None."""
        with self._opened() as stream:
            self.header = self._header(stream)
        self.buses = {bus.name: bus for bus in self.header.buses}

    @property
    def start_utc(self) -> dt.datetime:
        """UTC of simulated time 0."""
        return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(
            microseconds=self.header.start_utc_us
        )

    def __iter__(self) -> Iterator[TapeFrame]:
        """Yield the frames in the order in which they were written."""
        self.damage = None
        interfaces: list[tuple[TapeBus, int]] = []
        with self._opened() as stream:
            self._header(stream)
            numbers = itertools.count(1)
            for kind, body in self._blocks(stream):
                try:
                    if kind == pcapng.INTERFACE:
                        interfaces.append(self._interface(body))
                    elif kind == pcapng.PACKET:
                        yield self._frame(next(numbers), body, interfaces)
                except (pcapng.BlockError, ValueError, IndexError, OverflowError) as problem:
                    self.damage = f"damaged before byte {stream.tell()}: {problem}"
                    return

    def _opened(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as problem:
            raise TapeError(f"{self.path}: {problem.strerror or problem}") from problem

    def _header(self, stream: BinaryIO) -> TapeHeader:
        head = stream.read(12)
        order = head[8:12]
        if len(head) < 12 or int.from_bytes(head[:4], "little") != pcapng.SECTION:
            raise TapeError(f"{self.path}: no tape (not a pcapng file)")
        if int.from_bytes(order, "little") != pcapng.BYTE_ORDER:
            raise TapeError(f"{self.path}: no tape of wattbench (another byte order)")
        stream.seek(0)
        self.damage = None
        for _, body in self._blocks(stream):
            try:
                comments = [
                    value
                    for code, value in pcapng.options_of(body, _SECTION_OPTIONS)
                    if code == pcapng.OPTION_COMMENT
                ]
                return TapeHeader.parse(b"".join(comments).decode())
            except (ValueError, RecursionError) as problem:
                raise TapeError(
                    f"{self.path}: a pcapng file, but no tape of wattbench ({problem})"
                ) from problem
        raise TapeError(f"{self.path}: no tape ({self.damage or 'empty'})")

    def _blocks(self, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
        while True:
            begin = stream.tell()
            head = stream.read(pcapng.HEAD.size)
            if not head:
                return
            if len(head) < pcapng.HEAD.size:
                self.damage = f"the last {len(head)} bytes are the beginning of a block"
                return
            kind, length = pcapng.HEAD.unpack(head)
            if length % 4 or not pcapng.SMALLEST_BLOCK <= length <= pcapng.LARGEST_BLOCK:
                self.damage = f"damaged at byte {begin}: a block of {length} bytes"
                return
            rest = stream.read(length - pcapng.HEAD.size)
            if len(rest) < length - pcapng.HEAD.size:
                got = len(rest) + pcapng.HEAD.size
                self.damage = f"the last block is cut: {got} of its {length} bytes are there"
                return
            if rest[-4:] != head[4:]:
                self.damage = f"damaged at byte {begin}: the two lengths of a block differ"
                return
            yield kind, rest[:-4]

    def _interface(self, body: bytes) -> tuple[TapeBus, int]:
        link = int.from_bytes(body[:2], "little")
        name = ""
        for code, value in pcapng.options_of(body, _INTERFACE_OPTIONS):
            if code == pcapng.OPTION_IF_NAME:
                name = value.decode()
        return self.buses.get(name, TapeBus(name, "unknown")), link

    def _frame(self, number: int, body: bytes, interfaces: list[tuple[TapeBus, int]]) -> TapeFrame:
        if len(body) < _PACKET_DATA:
            raise pcapng.BlockError("a packet without its head")
        index, high, low, size, _ = (
            int.from_bytes(body[k : k + 4], "little") for k in range(0, _PACKET_DATA, 4)
        )
        if index >= len(interfaces):
            raise pcapng.BlockError(f"a packet of interface {index}, which was not described")
        if _PACKET_DATA + size > len(body):
            raise pcapng.BlockError("a packet longer than its block")
        bus, link = interfaces[index]
        t_us = (high << 32 | low) - self.header.start_utc_us
        if abs(t_us) > _LARGEST_TIME_US:
            raise pcapng.BlockError("a time that cannot be")
        data = body[_PACKET_DATA : _PACKET_DATA + size]
        if link == pcapng.LINK_IPV4:
            data = payload(data)
        direction: Direction = "answer"
        comment = ""
        for code, value in pcapng.options_of(body, _PACKET_DATA + size + (-size & 3)):
            if code == pcapng.OPTION_PACKET_FLAGS and value[:1]:
                direction = "request" if value[0] & 3 == pcapng.OUTBOUND else "answer"
            elif code == pcapng.OPTION_COMMENT:
                comment = value.decode(errors="replace")
        monotonic_ns, note = split_comment(comment)
        return TapeFrame(number, t_us, bus.name, bus.kind, direction, data, monotonic_ns, note)


def selected(
    frames: Iterable[TapeFrame],
    bus: str | None = None,
    from_us: int | None = None,
    to_us: int | None = None,
) -> Iterator[TapeFrame]:
    """Yield the frames of a bus, from a simulated time on, up to and including another."""
    for frame in frames:
        if (
            (bus is None or frame.bus == bus)
            and (from_us is None or frame.t_us >= from_us)
            and (to_us is None or frame.t_us <= to_us)
        ):
            yield frame
