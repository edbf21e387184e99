"""How frames of each kind of bus stand in a tape: Modbus TCP as packets, the others as they are.

Modbus TCP is put into made-up IPv4 and TCP headers, so that Wireshark decodes it without being
told: the host is 10.0.0.1, the device of the n-th bus 10.1.0.n, port 502. A frame whose length
does not say where it ends begins a new connection after it, since no reader of the stream could
find the next frame.
"""

from __future__ import annotations

import struct
from typing import Final

from ..wire import Direction
from . import pcapng

LINKS: Final = {
    "modbus-tcp": pcapng.LINK_IPV4,
    "modbus-tls": pcapng.LINK_IPV4,
    "modbus-rtu": pcapng.LINK_USER_0,
    "znp": pcapng.LINK_USER_1,
}
OTHER: Final = pcapng.LINK_USER_2
"""For buses of other kinds."""

_HEADERS: Final = struct.Struct(">HHHHHHIIHHIIHHHH")
_HEADER_BYTES: Final = 40
_HOST: Final = 0x0A000001
_DEVICES: Final = 0x0A010000
_MODBUS_PORT: Final = 502
_FIRST_PORT: Final = 49152
_FLAGS: Final = 0x5018  # header of five words, PSH and ACK
_WINDOW: Final = 0xFFFF
_IP: Final = 0x4500
_NO_FRAGMENTS: Final = 0x4000
_TTL_TCP: Final = 0x4006
_MASK: Final = 0xFFFFFFFF


class TcpLink:
    """Made-up headers of one bus: one connection between host and device.

    Args:
        number: of the bus, from 1 on; gives the device's address.
    """

    __slots__ = ("_device", "_identification", "_port", "_sent", "_step")

    def __init__(self, number: int) -> None:
        self._device = _DEVICES + number
        self._port = _FIRST_PORT + number % 1024
        self._identification = 0
        self._sent = {"request": 1, "answer": 1}

    def packet(self, direction: Direction, frame: bytes) -> bytes:
        """Return a frame as an IPv4 packet."""
        request = direction == "request"
        back: Direction = "answer" if request else "request"
        source, target = (_HOST, self._device) if request else (self._device, _HOST)
        ports = (self._port, _MODBUS_PORT) if request else (_MODBUS_PORT, self._port)
        sequence, acknowledged = self._sent[direction], self._sent[back]
        total, number = _HEADER_BYTES + len(frame), self._identification
        self._identification = (number + 1) & 0xFFFF
        self._sent[direction] = (sequence + len(frame)) & _MASK
        addresses = (source >> 16) + (source & 0xFFFF) + (target >> 16) + (target & 0xFFFF)
        ip_sum = _IP + total + number + _NO_FRAGMENTS + _TTL_TCP + addresses
        tcp_sum = addresses + 6 + (total - 20) + ports[0] + ports[1] + _FLAGS + _WINDOW
        tcp_sum += (sequence >> 16) + (sequence & 0xFFFF)
        tcp_sum += (acknowledged >> 16) + (acknowledged & 0xFFFF)
        # The sum of 16-bit words with end-around carry is the number modulo 65535.
        tcp_sum += int.from_bytes(frame, "big") << (8 if len(frame) & 1 else 0)
        headers = _HEADERS.pack(
            _IP, total, number, _NO_FRAGMENTS, _TTL_TCP, _check(ip_sum),
            source, target, ports[0], ports[1], sequence, acknowledged,
            _FLAGS, _WINDOW, _check(tcp_sum), 0,
        )  # fmt: skip
        if not whole(frame):
            self._reconnect()
        return headers + frame

    def _reconnect(self) -> None:
        self._port = (
            self._port + 1024 if self._port + 1024 < 65536 else _FIRST_PORT + (self._port % 1024)
        )
        self._sent = {"request": 1, "answer": 1}


def whole(frame: bytes) -> bool:
    """Return whether bytes are exactly one frame by their Modbus TCP header."""
    return (
        len(frame) >= 8
        and frame[2:4] == b"\0\0"
        and int.from_bytes(frame[4:6], "big") + 6 == len(frame)
    )


def payload(data: bytes) -> bytes:
    """Return what an IPv4 packet of TCP carries. Raises `BlockError` if it is none."""
    if len(data) < _HEADER_BYTES or data[0] >> 4 != 4 or data[9] != 6:
        raise pcapng.BlockError("not a TCP packet")
    start = (data[0] & 0xF) * 4
    if len(data) < start + 20:
        raise pcapng.BlockError("not a TCP packet")
    start += (data[start + 12] >> 4) * 4
    return data[start : int.from_bytes(data[2:4], "big")]


def _check(total: int) -> int:
    rest = total % 65535
    return 0xFFFF - rest if rest else 0
