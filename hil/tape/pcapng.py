"""Blocks of a pcapng file, as far as a tape needs them.

Source: IETF draft-ietf-opsawg-pcapng ("PCAP Next Generation Capture File Format"): section header
(4.1), interface description (4.2), enhanced packet (4.3), options (3.5). Little endian throughout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

SECTION: Final = 0x0A0D0D0A
INTERFACE: Final = 1
PACKET: Final = 6
BYTE_ORDER: Final = 0x1A2B3C4D

LINK_IPV4: Final = 228
LINK_USER_0: Final = 147
LINK_USER_1: Final = 148
LINK_USER_2: Final = 149

OPTION_COMMENT: Final = 1
OPTION_PACKET_FLAGS: Final = 2
OPTION_IF_NAME: Final = 2
OPTION_IF_DESCRIPTION: Final = 3
OPTION_USER_APPLICATION: Final = 4
OPTION_IF_RESOLUTION: Final = 9

INBOUND: Final = 1
OUTBOUND: Final = 2

SMALLEST_BLOCK: Final = 12
LARGEST_BLOCK: Final = 1 << 24
HEAD: Final = struct.Struct("<II")
PACKET_HEAD: Final = struct.Struct("<IIIIIII")
"""Type, length, interface, time high and low, captured and original length."""
_U32: Final = struct.Struct("<I")
_OPTION: Final = struct.Struct("<HH")
_SECTION_BODY: Final = struct.Struct("<IHHq")
_INTERFACE_BODY: Final = struct.Struct("<HHI")
_MICROSECONDS: Final = b"\x06"
_LARGEST_OPTION: Final = 60_000

_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")
_END: Final = b"\0\0\0\0"


class BlockError(ValueError):
    """Bytes that are no block of a pcapng file."""


def padded(data: bytes) -> bytes:
    """Return bytes filled up to a multiple of four."""
    return data + _PADDING[len(data) & 3]


def option(code: int, value: bytes) -> bytes:
    """Return one option."""
    return _OPTION.pack(code, len(value)) + padded(value)


def block(kind: int, body: bytes) -> bytes:
    """Return a block around a body whose length is a multiple of four."""
    length = _U32.pack(len(body) + SMALLEST_BLOCK)
    return _U32.pack(kind) + length + body + length


def section(comment: str, application: str) -> bytes:
    """Return a section header; a long comment is cut into several options."""
    text = comment.encode()
    parts = [text[k : k + _LARGEST_OPTION] for k in range(0, len(text), _LARGEST_OPTION)]
    options = b"".join(option(OPTION_COMMENT, part) for part in parts)
    options += option(OPTION_USER_APPLICATION, application.encode())
    return block(SECTION, _SECTION_BODY.pack(BYTE_ORDER, 1, 0, -1) + options + _END)


def interface(link: int, name: str, description: str) -> bytes:
    """Return an interface description with times in microseconds."""
    options = option(OPTION_IF_NAME, name.encode())
    if description:
        options += option(OPTION_IF_DESCRIPTION, description.encode())
    options += option(OPTION_IF_RESOLUTION, _MICROSECONDS) + _END
    return block(INTERFACE, _INTERFACE_BODY.pack(link, 0, 0) + options)


def packet_options(outbound: bool, comment: str = "") -> bytes:
    """Return a packet's options: its direction and a comment."""
    flags = option(OPTION_PACKET_FLAGS, _U32.pack(OUTBOUND if outbound else INBOUND))
    note = option(OPTION_COMMENT, comment.encode()[:_LARGEST_OPTION]) if comment else b""
    return flags + note + _END


def packet(number: int, t_us: int, data: bytes, options: bytes) -> bytes:
    """Return a packet on an interface; `t_us` are microseconds since 1970."""
    size = len(data)
    fill = _PADDING[size & 3]
    length = PACKET_HEAD.size + size + len(fill) + len(options) + 4
    head = PACKET_HEAD.pack(PACKET, length, number, t_us >> 32, t_us & 0xFFFFFFFF, size, size)
    return b"".join((head, data, fill, options, _U32.pack(length)))


def options_of(body: bytes, start: int) -> Iterable[tuple[int, bytes]]:
    """Yield the options in a block's body. Raises `BlockError` where they do not fit."""
    place = start
    while place + _OPTION.size <= len(body):
        code, size = _OPTION.unpack_from(body, place)
        if code == 0:
            return
        place += _OPTION.size
        if place + size > len(body):
            raise BlockError("an option is longer than its block")
        yield code, body[place : place + size]
        place += size + (-size & 3)
