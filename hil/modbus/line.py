"""Serial lines of Modbus RTU: how long bytes take on them.

A pseudo terminal has no baud rate, so the time on the wire is computed from `LineSettings` and
kept by whoever writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..serialport import LineError, Parity, open_port

_FIXED_SILENCE_US: Final = 1750.0
_FAST_BAUD: Final = 19200


@dataclass(frozen=True, slots=True)
class LineSettings:
    """A serial line's settings, and the times that follow from them.

    Attributes:
        baud: Bits a second.
        parity: None, even or odd.
        stop_bits: One or two.
        burst_s: What a receiver collects before it hands bytes on (a USB adapter: 16 ms). Answers
            are passed on in pieces of this duration, each when its last bit is through.
    """

    baud: int = 9600
    parity: Parity = "N"
    stop_bits: int = 1
    burst_s: float = 0.016

    def __post_init__(self) -> None:
        """Refuse what no line can have."""
        if self.baud < 1 or self.parity not in {"N", "E", "O"} or self.stop_bits not in {1, 2}:
            raise LineError(
                f"{self.baud} baud, parity {self.parity}, {self.stop_bits} stop bits: a line has a "
                "positive baud rate, parity N, E or O and 1 or 2 stop bits"
            )

    @property
    def byte_us(self) -> float:
        """Duration of a byte in µs: start bit, eight data bits, parity, stop bits."""
        return (9 + (self.parity != "N") + self.stop_bits) * 1e6 / self.baud

    @property
    def silence_us(self) -> float:
        """Silence between frames in µs: 3.5 bytes, above 19200 baud 1.75 ms."""
        return 3.5 * self.byte_us if self.baud <= _FAST_BAUD else _FIXED_SILENCE_US

    def duration_us(self, size: int) -> int:
        """Return how long `size` bytes are on the wire, in µs."""
        return round(size * self.byte_us)


def open_serial(path: str, settings: LineSettings) -> int:
    """Open and set the serial port of a line; returns its descriptor. Raises `LineError`."""
    return open_port(path, settings.baud, settings.parity, settings.stop_bits)
