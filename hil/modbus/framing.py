"""Where a Modbus request begins and ends: TCP by its header, RTU by length and check sum.

Sources: MODBUS Messaging on TCP/IP Implementation Guide V1.0b (header, 7 bytes); MODBUS over
Serial Line V1.02 (RTU frame, CRC). Silence of 3.5 characters, which the serial line document
frames by, cannot be told on a pseudo terminal or behind a USB adapter, so a request ends where its
function code says and its check sum agrees. A longer silence only settles what is garbage.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence
from typing import Final

MBAP: Final = struct.Struct(">HHHB")
"""Transaction id, protocol id (0), length of what follows it, unit."""
MIN_LENGTH: Final = 2
MAX_LENGTH: Final = 254

MAX_RTU: Final = 256
MIN_RTU: Final = 4
_KEPT_GARBAGE: Final = 2 * MAX_RTU

#: Request PDU lengths by function code, where the function alone tells.
_FIXED: Final = {1: 5, 2: 5, 3: 5, 4: 5, 5: 5, 6: 5, 7: 1, 8: 5, 11: 1, 12: 1, 17: 1, 22: 7, 24: 3}
#: Where in a request PDU the number of bytes that follow it stands.
_COUNTED: Final = {15: 5, 16: 5, 20: 1, 21: 1, 23: 9}
_ENCAPSULATED, _DEVICE_ID, _DEVICE_ID_LENGTH = 43, 14, 4

INCOMPLETE: Final = 0
UNKNOWN: Final = -1


def pdu_length(data: Sequence[int], start: int = 0) -> int:
    """Return the length that the request PDU at `start` says it has.

    `INCOMPLETE`: too little is there to tell; `UNKNOWN`: its function does not say.
    """
    left = len(data) - start
    if left < 1:
        return INCOMPLETE
    function = data[start]
    fixed = _FIXED.get(function)
    if fixed is not None:
        return fixed
    counted = _COUNTED.get(function)
    if counted is not None:
        return counted + 1 + data[start + counted] if left > counted else INCOMPLETE
    if function == _ENCAPSULATED:
        if left < 2:
            return INCOMPLETE
        return _DEVICE_ID_LENGTH if data[start + 1] == _DEVICE_ID else UNKNOWN
    return UNKNOWN


def _crc_table() -> array[int]:
    """Return what two bytes at once do to the sum (low byte first), polynomial 0xA001."""
    table = [0]
    for bit in range(16):
        value = 1 << bit
        for _ in range(16):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        table += [entry ^ value for entry in table]
    return array("H", table)


_TABLE: Final = _crc_table()


def crc(data: bytes | bytearray) -> int:
    """Return the check sum of RTU; over a frame that ends in its own it is zero."""
    value, size = 0xFFFF, len(data)
    for word in struct.unpack_from(f"<{size // 2}H", data):
        value = _TABLE[value ^ word]
    if size & 1:
        value = value >> 8 ^ _TABLE[(value ^ data[-1]) << 8 & 0xFF00]
    return value


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Return unit, PDU and check sum, low byte first."""
    body = bytes((unit,)) + pdu
    return body + crc(body).to_bytes(2, "little")


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """Return header and PDU."""
    return MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu


class RtuDecoder:
    """Cuts what comes over a serial line into request frames; never raises.

    After bytes that no frame can begin with it looks on for one that is whole, addressed to a unit
    that is `known`, and of a function whose length is known; `flush`, to be called after a
    silence, settles the rest. What it gives up is counted.
    """

    __slots__ = ("_buffer", "_known", "bad_frames", "garbage_bytes")

    def __init__(self, known: Callable[[int], bool]) -> None:
        self._buffer = bytearray()
        self._known = known
        self.bad_frames = 0
        self.garbage_bytes = 0

    @property
    def pending(self) -> int:
        """Bytes that are neither a frame nor given up yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the frames that are whole now, check sum included."""
        buffer = self._buffer
        if not buffer and len(data) == 8 and pdu_length(data, 1) == 5 and crc(data) == 0:
            return [bytes(data)]
        buffer += data
        frames: list[bytes] = []
        while (end := self._end(0)) != INCOMPLETE:
            if end == UNKNOWN:
                begin = self._search()
                if begin < 0:
                    break
                self._give_up(begin)
            else:
                frames.append(bytes(buffer[:end]))
                del buffer[:end]
        if len(buffer) > _KEPT_GARBAGE:
            self._give_up(len(buffer) - MAX_RTU)
        return frames

    def flush(self) -> list[bytes]:
        """Return the frames among what is left after a silence; give up the rest."""
        buffer = self._buffer
        if not buffer:
            return []
        frames: list[bytes] = []
        if MIN_RTU <= len(buffer) <= MAX_RTU and crc(buffer) == 0:
            frames.append(bytes(buffer))
            buffer.clear()
        begin = 0
        while begin + MIN_RTU <= len(buffer):
            end = self._end_before_silence(begin)
            if end > 0:
                self._give_up(begin)
                frames.append(bytes(buffer[: end - begin]))
                del buffer[: end - begin]
                begin = 0
            else:
                begin += 1
        if buffer:
            self._give_up(len(buffer))
        return frames

    def clear(self) -> None:
        """Forget what has come so far."""
        self._buffer.clear()

    def _end(self, begin: int) -> int:
        """Return where the frame at `begin` ends; UNKNOWN: none begins there."""
        buffer = self._buffer
        length = pdu_length(buffer, begin + 1)
        if length == INCOMPLETE:
            return INCOMPLETE
        if length == UNKNOWN:
            return self._end_by_sum(begin)
        end = begin + length + 3
        if length + 3 > MAX_RTU:
            return UNKNOWN
        if end > len(buffer):
            return INCOMPLETE
        return end if crc(buffer[begin:end]) == 0 else UNKNOWN

    def _end_before_silence(self, begin: int) -> int:
        """Return where a frame for a known unit ends; 0: none begins there."""
        buffer = self._buffer
        if begin and not self._known(buffer[begin]):
            return 0
        if begin == 0 or pdu_length(buffer, begin + 1) > 0:
            return max(0, self._end(begin))
        # Of unknown length, so it ends where the silence begins.
        left = len(buffer) - begin
        return len(buffer) if left <= MAX_RTU and crc(buffer[begin:]) == 0 else 0

    def _end_by_sum(self, begin: int) -> int:
        """Return the first end at which the check sum of a frame of unknown length agrees."""
        buffer, value = self._buffer, 0xFFFF
        for position in range(begin, min(len(buffer), begin + MAX_RTU)):
            value = value >> 8 ^ _TABLE[(value ^ buffer[position]) << 8 & 0xFF00]
            if value == 0 and position - begin >= MIN_RTU - 1:
                return position + 1
        return INCOMPLETE if len(buffer) - begin < MAX_RTU else UNKNOWN

    def _search(self) -> int:
        """Return where the next whole frame for a known unit begins; -1: nowhere yet."""
        buffer = self._buffer
        for begin in range(1, len(buffer) - MIN_RTU + 1):
            if self._known(buffer[begin]) and pdu_length(buffer, begin + 1) > 0:
                end = self._end(begin)
                if end > 0:
                    return begin
        return -1

    def _give_up(self, size: int) -> None:
        if size > 0:
            self.garbage_bytes += size
            self.bad_frames += 1
            del self._buffer[:size]
