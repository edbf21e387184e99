"""Registers to values and back: pure functions, the same for driver and emulated device.

A value is ``raw × factor × 10^exponent``: the factor has scale and sign, the exponent comes from a
SunSpec scale factor. Registers are bytes, high byte first; of a value of several registers either
the high word comes first (big, the rule) or the low one (little); little texts have their second
character in the high byte.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from .modbus_model import WIDTHS, WordOrder

#: Struct codes of integer types.
_INTEGERS: Final = {
    **dict.fromkeys(("uint16", "enum16", "bitfield16", "acc16", "count", "pad", "raw16"), ">H"),
    **dict.fromkeys(("int16", "sunssf"), ">h"),
    **dict.fromkeys(("uint32", "enum32", "bitfield32", "acc32"), ">I"),
    "int32": ">i",
    **dict.fromkeys(("uint64", "bitfield64", "acc64"), ">Q"),
    "int64": ">q",
}
_FLOATS: Final = {"float32": ">f", "float64": ">d"}
_PACKERS: Final = {name: struct.Struct(code) for name, code in (_INTEGERS | _FLOATS).items()}
_COUNTERS: Final = frozenset({"acc16", "acc32", "acc64"})

#: Exponents that a scale factor can have.
SCALE_FACTORS: Final = range(-10, 11)
#: What `10 ** exponent` is, without rounding errors of a power.
_TENS: Final = {exponent: float(f"1e{exponent}") for exponent in SCALE_FACTORS}

Raw = int | float | str


class CodecError(ValueError):
    """A value cannot be written as the type that its register has."""


def width_of(kind: str, length: int = 1) -> int:
    """Return how many registers a type takes; ``length`` counts for texts."""
    if kind in {"count", "pad", "raw16"}:
        return 1
    return WIDTHS.get(kind, length)


def missing_raw(kind: str) -> Raw:
    """Return what a register of a type holds where SunSpec means: not implemented.

    Signed 0x8000…, unsigned all ones, counters 0, floats NaN, texts empty (SunSpec Device
    Information Model Specification, table of types).
    """
    if kind == "string":
        return ""
    if kind in _FLOATS:
        return math.nan
    if kind in _COUNTERS:
        return 0
    bits = 16 * width_of(kind)
    if kind in {"sunssf", "int16", "int32", "int64"}:
        return -(1 << (bits - 1))
    return 0x8000 if kind == "pad" else (1 << bits) - 1


def decode_raw(kind: str, data: bytes, word_order: WordOrder = "big") -> Raw:
    """Return the number or text in the registers of one value."""
    if kind == "string":
        data = _swap_bytes(data) if word_order == "little" else data
        return data.split(b"\0", 1)[0].decode("utf-8", "replace").rstrip()
    if word_order == "little":
        data = swap_words(data)
    number: int | float = _PACKERS[kind].unpack(data)[0]
    return number


def encode_raw(kind: str, raw: Raw, width: int, word_order: WordOrder = "big") -> bytes:
    """Return the registers of a number or text. Raises `CodecError` where it does not fit."""
    if kind == "string":
        data = str(raw).encode("utf-8")
        if len(data) > 2 * width:
            raise CodecError(f"'{raw}' has {len(data)} bytes, the register takes {2 * width}")
        data = data.ljust(2 * width, b"\0")
        return _swap_bytes(data) if word_order == "little" else data
    if isinstance(raw, str):
        raise CodecError(f"'{raw}' is a text, the register takes a number")
    try:
        if kind in _FLOATS:
            data = _PACKERS[kind].pack(raw)
        else:
            whole = _whole(raw)
            if kind in _COUNTERS:
                whole %= 1 << (16 * width_of(kind))
            data = _PACKERS[kind].pack(whole)
    except (struct.error, OverflowError):
        raise CodecError(f"{raw} does not fit into {kind}") from None
    return swap_words(data) if word_order == "little" else data


def limits(kind: str) -> tuple[int, int] | None:
    """Return the least and greatest number of an integer type, None for others and counters."""
    if kind not in _INTEGERS or kind in _COUNTERS:
        return None
    bits = 16 * width_of(kind)
    if kind in {"sunssf", "int16", "int32", "int64"}:
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1


def swap_words(data: bytes) -> bytes:
    """Return registers in reverse order, each with its bytes as they were."""
    return b"".join(data[i : i + 2] for i in range(len(data) - 2, -1, -2))


def _swap_bytes(data: bytes) -> bytes:
    return b"".join(data[i : i + 2][::-1] for i in range(0, len(data), 2))


def scale(raw: float, factor: float, exponent: int = 0) -> float:
    """Return ``raw × factor × 10^exponent``.

    A factor such as 0.1 divides by 10, so that 2301 becomes 230.1 and no 230.10000000000002.
    """
    whole = 1.0 / factor
    nearest = round(whole)
    value = raw / nearest if nearest and abs(whole - nearest) < 1e-9 * abs(whole) else raw * factor
    if exponent < 0:
        return value / _TENS[-exponent]
    return value * _TENS[exponent] if exponent else value


def unscale(value: float, factor: float, exponent: int = 0) -> float:
    """Return the raw number, not yet rounded, of a value: the inverse of `scale`."""
    raw = value / factor
    if exponent < 0:
        return raw * _TENS[-exponent]
    return raw / _TENS[exponent] if exponent else raw


def is_integer(kind: str) -> bool:
    """Return whether a type holds whole numbers."""
    return kind in _INTEGERS


def _whole(raw: float) -> int:
    if not math.isfinite(raw):
        raise CodecError(f"{raw} is not a number that a register takes")
    return round(raw)
