"""The running numbers in frames between host and coordinator, so that a replay can exchange them.

A host counts its requests: AF_DATA_REQUEST and its extended form have a transaction number, and
the message inside a sequence number of the cluster library. Both come back in what answers them.
They say nothing, so requests are matched without them, and answers get those of now.
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import Final

from ..zigbee import mt

_HEAD: Final = 4  # start, length, cmd0, cmd1
#: Where in a frame transaction number and message lie, by command.
_TRANSACTION: Final = {mt.AF_DATA_REQUEST: 6, mt.AF_DATA_REQUEST_EXT: 15, mt.AF_DATA_CONFIRM: 2}
_MESSAGE: Final = {mt.AF_DATA_REQUEST: 10, mt.AF_DATA_REQUEST_EXT: 20, mt.AF_INCOMING_MSG: 17}
_DESTINATION_ENDPOINT: Final = {mt.AF_DATA_REQUEST: 2, mt.AF_DATA_REQUEST_EXT: 9}
_MANUFACTURER: Final = 0x04


def transaction_at(frame: bytes) -> int | None:
    """Return where a frame has its transaction number, None if it has none."""
    place = _TRANSACTION.get(_command(frame))
    return None if place is None or _HEAD + place >= len(frame) - 1 else _HEAD + place


def message_at(frame: bytes) -> int | None:
    """Return where the message in a frame begins, None if there is none."""
    place = _MESSAGE.get(_command(frame))
    return None if place is None or _HEAD + place >= len(frame) - 1 else _HEAD + place


def sequence_at(frame: bytes) -> int | None:
    """Return where the message in a frame has its sequence number, None if it has none."""
    command = _command(frame)
    place = _MESSAGE.get(command)
    if place is None:
        return None
    endpoint = _DESTINATION_ENDPOINT.get(command)
    begin = _HEAD + place
    if endpoint is not None and len(frame) > _HEAD + endpoint and frame[_HEAD + endpoint] == 0:
        at = begin  # a message of the device object begins with it
    elif begin >= len(frame) - 1:
        return None
    else:
        at = begin + (3 if frame[begin] & _MANUFACTURER else 1)
    return at if at < len(frame) - 1 else None


def without(frame: bytes) -> bytes:
    """Return a request without its running numbers and check: what it is matched by."""
    plain = bytearray(frame[:-1])
    for place in (transaction_at(frame), sequence_at(frame)):
        if place is not None:
            plain[place] = 0
    return bytes(plain)


class Numbers:
    """Which numbers of now stand for which of then."""

    def __init__(self) -> None:
        self._transactions: dict[int, int] = {}
        self._sequences: dict[int, int] = {}

    def asked(self, then: bytes, now: bytes) -> None:
        """Take note of a request as it was and as it is."""
        for known, at in (
            (self._transactions, transaction_at(then)),
            (self._sequences, sequence_at(then)),
        ):
            if at is not None:
                known[then[at]] = now[at]

    def renumbered(self, answer: bytes) -> bytes:
        """Return an answer of then with the numbers of now."""
        changed = bytearray(answer)
        for known, at in (
            (self._transactions, transaction_at(answer)),
            (self._sequences, sequence_at(answer)),
        ):
            if at is not None and answer[at] in known:
                changed[at] = known[answer[at]]
        if changed == answer:
            return answer
        changed[-1] = reduce(xor, changed[1:-1], 0)
        return bytes(changed)


def _command(frame: bytes) -> int:
    return frame[2] << 8 | frame[3] if len(frame) >= _HEAD + 1 else 0
