"""What a bus fault has to know of each protocol to bend its frames.

Modbus over serial line V1.02 (CRC in 6.2.2), Modbus messaging on TCP/IP V1.0b (MBAP in 3.1.3),
TI SWRA198 (MT frames: ``FE len cmd0 cmd1 data fcs``).
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from ..modbus.framing import rtu_frame

BusKind = Literal["modbus-tcp", "modbus-tls", "modbus-rtu", "znp"]

TCP_KINDS: Final[frozenset[BusKind]] = frozenset(("modbus-tcp", "modbus-tls"))
CHECKED_KINDS: Final[frozenset[BusKind]] = frozenset(("modbus-rtu", "znp"))
"""Kinds of bus whose frames end in a check of their own."""

_MBAP: Final = 7
_MT_START: Final = 0xFE
_SREQ: Final = 0x20
_HEADERS: Final[dict[BusKind, int]] = {
    "modbus-tcp": 8,
    "modbus-tls": 8,
    "modbus-rtu": 2,
    "znp": 4,
}
"""Bytes up to the function or command."""


def unit_of(kind: BusKind, frame: bytes) -> int | None:
    """Return the Modbus unit that a frame is for or from, None where there is none."""
    if kind in TCP_KINDS:
        return frame[6] if len(frame) >= _MBAP else None
    return frame[0] if kind == "modbus-rtu" and frame else None


def corrupted(kind: BusKind, frame: bytes, rng: np.random.Generator, *, header: bool) -> bytes:
    """Return a frame with one byte changed, of its header only or anywhere."""
    if not frame:
        return frame
    size = min(len(frame), _HEADERS[kind]) if header else len(frame)
    place, change = int(rng.integers(size)), int(rng.integers(1, 256))
    return frame[:place] + bytes((frame[place] ^ change,)) + frame[place + 1 :]


def bad_check(kind: BusKind, frame: bytes, rng: np.random.Generator) -> bytes:
    """Return a frame whose check is wrong; as it is on a bus whose frames have none."""
    size = {"modbus-rtu": 2, "znp": 1}.get(kind, 0)
    if not size or len(frame) <= size:
        return frame
    change = int(rng.integers(1, 256))
    return frame[:-1] + bytes((frame[-1] ^ change,))


def wrong_transaction(frame: bytes, rng: np.random.Generator) -> bytes:
    """Return a Modbus TCP frame with another transaction id."""
    if len(frame) < _MBAP:
        return frame
    number = (int.from_bytes(frame[:2], "big") + int(rng.integers(1, 65536))) % 65536
    return number.to_bytes(2, "big") + frame[2:]


def refusal(kind: BusKind, request: bytes, code: int) -> bytes | None:
    """Return the answer that refuses a request with a code; None: it cannot be refused."""
    if kind in TCP_KINDS:
        if len(request) <= _MBAP:
            return None
        return request[:4] + b"\x00\x03" + request[6:7] + bytes((request[7] | 0x80, code))
    if kind == "modbus-rtu":
        if len(request) < 4 or request[0] == 0:  # nobody answers a broadcast
            return None
        return rtu_frame(request[0], bytes((request[1] | 0x80, code)))
    if len(request) < 5 or request[2] & 0xE0 != _SREQ:
        return None
    return mt_frame(bytes((0x60, 0x00, code, request[2], request[3])))


def mt_frame(command_and_data: bytes) -> bytes:
    """Return an MT frame around cmd0, cmd1 and data."""
    body = bytes((len(command_and_data) - 2,)) + command_and_data
    check = 0
    for byte in body:
        check ^= byte
    return bytes((_MT_START,)) + body + bytes((check,))
