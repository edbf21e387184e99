"""Data types of the Zigbee Cluster Library: their lengths, values as bytes, and what is analog.

Source: Zigbee Cluster Library Specification (Zigbee document 07-5123), section 2.6.2.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from .binary import CodecError, Reader, u8, u16

#: What an attribute holds. Numbers are the raw ones; scaling belongs to the cluster.
Value = bool | int | float | str | bytes | None

BOOLEAN: Final = 0x10
BITMAP8: Final = 0x18
BITMAP16: Final = 0x19
BITMAP32: Final = 0x1B
UINT8: Final = 0x20
UINT16: Final = 0x21
UINT24: Final = 0x22
UINT32: Final = 0x23
UINT48: Final = 0x25
INT8: Final = 0x28
INT16: Final = 0x29
INT24: Final = 0x2A
INT32: Final = 0x2B
ENUM8: Final = 0x30
ENUM16: Final = 0x31
SINGLE: Final = 0x39
DOUBLE: Final = 0x3A
OCTET_STRING: Final = 0x41
STRING: Final = 0x42
LONG_OCTET_STRING: Final = 0x43
LONG_STRING: Final = 0x44
UTC_TIME: Final = 0xE2
CLUSTER_ID: Final = 0xE8
ATTRIBUTE_ID: Final = 0xE9
IEEE_ADDRESS: Final = 0xF0
KEY128: Final = 0xF1

_UNSIGNED: Final = {
    **{0x08 + n: n + 1 for n in range(8)},  # general data
    **{0x18 + n: n + 1 for n in range(8)},  # bitmaps
    **{0x20 + n: n + 1 for n in range(8)},  # unsigned integers
    ENUM8: 1,
    ENUM16: 2,
    0xE0: 4,  # time of day
    0xE1: 4,  # date
    UTC_TIME: 4,
    CLUSTER_ID: 2,
    ATTRIBUTE_ID: 2,
    0xEA: 4,  # BACnet object
    IEEE_ADDRESS: 8,
}
_SIGNED: Final = {0x28 + n: n + 1 for n in range(8)}
_FLOATS: Final = {0x38: "<e", SINGLE: "<f", DOUBLE: "<d"}
_STRINGS: Final = {OCTET_STRING: 1, STRING: 1, LONG_OCTET_STRING: 2, LONG_STRING: 2}
_TEXTS: Final = {STRING, LONG_STRING}
_NO_DATA: Final = 0x00


def is_known(kind: int) -> bool:
    """Return whether values of a type can be read and written here."""
    return (
        kind in _UNSIGNED
        or kind in _SIGNED
        or kind in _FLOATS
        or kind in _STRINGS
        or kind in {_NO_DATA, BOOLEAN, KEY128}
    )


def is_analog(kind: int) -> bool:
    """Return whether a type has a reportable change: numbers have, flags and choices have not."""
    return 0x20 <= kind <= 0x2F or 0x38 <= kind <= 0x3A or 0xE0 <= kind <= 0xE2


def limits(kind: int) -> tuple[int, int] | None:
    """Return the least and greatest valid value of an integer type, None for other types.

    The pattern that stands for "no value" (all ones, or the most negative number) is left out.
    """
    if kind in _SIGNED:
        most = (1 << (8 * _SIGNED[kind] - 1)) - 1
        return -most, most
    if 0x20 <= kind <= 0x27 or kind in {ENUM8, ENUM16}:
        return 0, (1 << 8 * _UNSIGNED[kind]) - 2
    return None


def no_value(kind: int) -> Value:
    """Return what a type holds when there is nothing to say (ZCL's "invalid value")."""
    if kind in _SIGNED:
        return -(1 << (8 * _SIGNED[kind] - 1))
    if kind in _UNSIGNED:
        return (1 << 8 * _UNSIGNED[kind]) - 1
    return math.nan if kind in _FLOATS else None


def encode_value(kind: int, value: Value) -> bytes:
    """Return a value as bytes of its type.

    Raises:
        CodecError: The type is not known, or the value does not fit it.
    """
    try:
        return _encode(kind, value)
    except (OverflowError, struct.error, TypeError, ValueError) as error:
        raise CodecError(f"{value!r} is no value of the ZCL type 0x{kind:02x}: {error}") from error


def _encode(kind: int, value: Value) -> bytes:
    if kind == _NO_DATA:
        return b""
    if kind == BOOLEAN:
        return b"\xff" if value is None else u8(int(bool(value)))
    if kind in _UNSIGNED:
        return int(value or 0).to_bytes(_UNSIGNED[kind], "little")
    if kind in _SIGNED:
        return int(value or 0).to_bytes(_SIGNED[kind], "little", signed=True)
    if kind in _FLOATS:
        return struct.pack(_FLOATS[kind], value)
    if kind in _STRINGS:
        return _encode_string(_STRINGS[kind], value)
    if kind == KEY128 and isinstance(value, bytes) and len(value) == 16:
        return value
    raise ValueError("not a type that can be written")


def _encode_string(prefix: int, value: Value) -> bytes:
    if value is None:
        return b"\xff" * prefix
    data = value.encode() if isinstance(value, str) else value
    if not isinstance(data, bytes):
        raise TypeError("a string is due")
    most = (1 << 8 * prefix) - 2
    if len(data) > most:
        raise ValueError(f"longer than {most} bytes")
    return (u8(len(data)) if prefix == 1 else u16(len(data))) + data


def decode_value(kind: int, reader: Reader) -> Value:
    """Take a value of a type from a message; text that is no UTF-8 is taken as Latin-1.

    Raises:
        CodecError: The type is not known (its length neither), or the message is too short.
    """
    if kind == _NO_DATA:
        return None
    if kind == BOOLEAN:
        raw = reader.u8()
        return None if raw == 0xFF else bool(raw)
    if kind in _UNSIGNED:
        return reader.unsigned(_UNSIGNED[kind])
    if kind in _SIGNED:
        return reader.signed(_SIGNED[kind])
    if kind in _FLOATS:
        layout = _FLOATS[kind]
        return float(struct.unpack(layout, reader.take(struct.calcsize(layout)))[0])
    if kind in _STRINGS:
        return _decode_string(kind, reader)
    if kind == KEY128:
        return reader.take(16)
    raise CodecError(f"the ZCL type 0x{kind:02x} is not known, so its end cannot be found")


def _decode_string(kind: int, reader: Reader) -> Value:
    prefix = _STRINGS[kind]
    length = reader.unsigned(prefix)
    if length == (1 << 8 * prefix) - 1:
        return None
    data = reader.take(length)
    if kind not in _TEXTS:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
