"""Where a request begins and ends in what a host sends, by the kind of its bus."""

from __future__ import annotations

from typing import Final, Protocol

from ..modbus import framing
from ..zigbee import mt

TCP_KINDS: Final = frozenset({"modbus-tcp", "modbus-tls"})


class Cutter(Protocol):
    """Takes bytes however cut, returns requests."""

    @property
    def pending(self) -> int:
        """Bytes that are the beginning of a request."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the requests that are whole now."""

    def flush(self) -> list[bytes]:
        """Return what became of the beginning of a request after a silence."""


class _TcpCutter:
    """Cuts by the length in the header."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def pending(self) -> int:
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        self._rest += data
        found: list[bytes] = []
        while len(self._rest) >= 6:
            end = 6 + int.from_bytes(self._rest[4:6], "big")
            if end > framing.MAX_LENGTH + 6:
                return [*found, *self.flush()]
            if len(self._rest) < end:
                break
            found.append(self._rest[:end])
            self._rest = self._rest[end:]
        return found

    def flush(self) -> list[bytes]:
        # What can be no frame, or never became one, is told as missed.
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class _ZnpCutter:
    """Cuts by start byte, length and check byte."""

    pending = 0

    def __init__(self) -> None:
        self._parser = mt.MtParser()

    def feed(self, data: bytes) -> list[bytes]:
        return [frame.encode() for frame in self._parser.feed(data)]

    def flush(self) -> list[bytes]:
        return []


def cutter(kind: str) -> Cutter:
    """Return what cuts the requests of a kind of bus."""
    if kind in TCP_KINDS:
        return _TcpCutter()
    if kind == "znp":
        return _ZnpCutter()
    return framing.RtuDecoder(lambda _unit: True)
