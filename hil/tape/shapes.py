"""What a command is apart from the values that it carries, and its answer with other values.

A run that is replayed may command a little other than it did: then the answers of then still fit,
but for what they repeat of the command.
"""

from __future__ import annotations

from typing import Final

from ..modbus.framing import crc
from ..zigbee import mt
from .cutting import TCP_KINDS
from .znp_numbers import message_at, sequence_at, without

_ONE: Final = frozenset({5, 6})
"""Modbus functions that write one value: unit, function, address, value; the answer repeats it."""
_SEVERAL: Final = frozenset({15, 16})
"""Unit, function, address, count, then values."""
_DATA_REQUESTS: Final = frozenset({mt.AF_DATA_REQUEST, mt.AF_DATA_REQUEST_EXT})


def shape(kind: str, frame: bytes) -> bytes | None:
    """Return what a request is without its values, None if it carries none."""
    if kind == "znp":
        begin, at = message_at(frame), sequence_at(frame)
        if int.from_bytes(frame[2:4], "big") not in _DATA_REQUESTS or begin is None or at is None:
            return None
        plain = without(frame)
        # Up to the command of the message, and without the lengths, which its values make.
        return plain[2 : begin - 2] + plain[begin : at + 2] if len(plain) > at + 2 else None
    body = frame[6:] if kind in TCP_KINDS else frame[:-2]
    if len(body) >= 6 and body[1] in _ONE:
        return body[:4]
    if len(body) >= 7 and body[1] in _SEVERAL:
        return body[:6]
    return None


def with_values(kind: str, then: bytes, now: bytes, answer: bytes) -> bytes:
    """Return an answer to a request of then as that to a request of now of the same shape."""
    if kind in TCP_KINDS:
        return answer[:6] + now[6:] if answer[6:] == then[6:] else answer
    return now if kind != "znp" and answer == then and crc(now) == 0 else answer
