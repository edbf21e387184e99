"""Registers to values and back."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.devices import codec, fields
from wattbench.hil.devices.fields import Field

INTEGERS = [
    *("uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("enum16", "enum32", "bitfield16", "bitfield32", "bitfield64", "sunssf"),
]
ORDERS = st.sampled_from(["big", "little"])


def field(kind: str, **more: object) -> Field:
    return Field("it", "power_w", "holding", 0, kind, codec.width_of(kind), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "order", "data", "value"),
    [
        ("uint16", "big", "ffff", 65535),
        ("int16", "big", "fffe", -2),
        ("uint32", "big", "00010002", 65538),
        ("uint32", "little", "00020001", 65538),
        ("int32", "big", "ffffffff", -1),
        ("int32", "little", "fff0ffff", -16),
        ("uint64", "big", "0000000000010000", 65536),
        ("uint64", "little", "0000000100000000", 65536),
        ("float32", "big", "43660000", 230.0),
        ("float32", "little", "00004366", 230.0),
        ("float64", "big", "406cc00000000000", 230.0),
        ("string", "big", "41424300", "ABC"),
        ("string", "little", "42410043", "ABC"),
        ("sunssf", "big", "fffe", -2),
    ],
)
def test_known_bytes(kind: str, order: str, data: str, value: float | str) -> None:
    raw = codec.decode_raw(kind, bytes.fromhex(data), order)  # type: ignore[arg-type]
    assert raw == value
    width = len(data) // 4
    assert codec.encode_raw(kind, value, width, order).hex() == data  # type: ignore[arg-type]


@given(st.data(), st.sampled_from(INTEGERS), ORDERS)
def test_integers_come_back(data: st.DataObject, kind: str, order: str) -> None:
    bounds = codec.limits(kind)
    assert bounds is not None
    raw = data.draw(st.integers(*bounds))
    stored = codec.encode_raw(kind, raw, codec.width_of(kind), order)  # type: ignore[arg-type]
    assert len(stored) == 2 * codec.width_of(kind)
    assert codec.decode_raw(kind, stored, order) == raw  # type: ignore[arg-type]


@given(st.floats(width=32, allow_nan=False), ORDERS)
def test_floats_come_back(value: float, order: str) -> None:
    stored = codec.encode_raw("float32", value, 2, order)  # type: ignore[arg-type]
    assert codec.decode_raw("float32", stored, order) == value  # type: ignore[arg-type]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=14), ORDERS)
def test_texts_come_back(text: str, order: str) -> None:
    stored = codec.encode_raw("string", text, 7, order)  # type: ignore[arg-type]
    assert codec.decode_raw("string", stored, order) == text  # type: ignore[arg-type]


@given(st.binary(min_size=8, max_size=8))
def test_swapping_words_twice_changes_nothing(data: bytes) -> None:
    assert codec.swap_words(codec.swap_words(data)) == data
    assert sorted(codec.swap_words(data)) == sorted(data)


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.sampled_from([1.0, -1.0, 0.1, 0.01, 0.001, 10.0, 100.0, 1000.0, 2.5]),
    st.integers(-6, 3),
)
def test_scaling_is_undone(raw: int, factor: float, exponent: int) -> None:
    value = codec.scale(raw, factor, exponent)
    assert round(codec.unscale(value, factor, exponent)) == raw


def test_tenths_are_decimal() -> None:
    # 2301 × 0.1 would be 230.10000000000002.
    assert codec.scale(2301, 0.1) == 230.1
    assert codec.scale(4998, 1.0, -2) == 49.98


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        *(("int16", "8000"), ("sunssf", "8000"), ("uint16", "ffff"), ("enum16", "ffff")),
        *(("bitfield16", "ffff"), ("int32", "80000000"), ("uint32", "ffffffff")),
        *(("acc32", "00000000"), ("uint64", "ff" * 8), ("int64", "80" + "00" * 7)),
        ("float32", "7fc00000"),
    ],
)
def test_not_implemented_is_no_value(kind: str, data: str) -> None:
    item = field(kind, missing=codec.missing_raw(kind))
    assert fields.decode(item, bytes.fromhex(data)) is None
    shown = fields.missing_bytes(item)
    assert fields.decode(item, shown) is None
    if kind != "float32":
        assert shown.hex() == data


def test_not_a_number_is_no_value() -> None:
    assert fields.decode(field("float32"), struct.pack(">f", math.nan)) is None
    assert fields.decode(field("float32"), struct.pack(">f", math.inf)) is None


def test_a_scale_factor_that_is_not_implemented_leaves_no_value() -> None:
    item = field("uint16", missing=0xFFFF)
    assert fields.decode(item, b"\0\5", None) is None
    assert fields.decode(item, b"\0\5", 11) is None
    assert fields.decode(item, b"\0\5", -1) == 0.5


def test_counters_wrap_and_others_do_not() -> None:
    assert codec.encode_raw("acc32", (1 << 32) + 7, 2) == b"\0\0\0\7"
    with pytest.raises(codec.CodecError, match="does not fit"):
        codec.encode_raw("uint16", 65536, 1)


def test_devices_saturate_and_drivers_refuse() -> None:
    item = field("int16", missing=-0x8000)
    assert fields.encode(item, 1e9, saturate=True) == b"\x7f\xff"
    # The number that means "no value" is not one that is measured.
    assert fields.encode(item, -1e9, saturate=True) == b"\x80\x01"
    with pytest.raises(codec.CodecError, match="does not fit"):
        fields.encode(item, 1e9)


def test_words_for_numbers() -> None:
    item = field("enum16", labels={1: "idle", 2: "charging"})
    assert fields.decode(item, b"\0\2") == "charging"
    assert fields.decode(item, b"\0\7") == "7"
    assert fields.encode(item, "idle") == b"\0\1"
    with pytest.raises(codec.CodecError, match="allowed: idle, charging"):
        fields.encode(item, "asleep")


@pytest.mark.parametrize("value", [math.nan, math.inf, "text"])
def test_what_no_integer_is(value: float | str) -> None:
    with pytest.raises(codec.CodecError):
        codec.encode_raw("uint16", value, 1)


def test_long_texts_are_refused() -> None:
    with pytest.raises(codec.CodecError, match="takes 4"):
        codec.encode_raw("string", "ABCDE", 2)


@given(st.binary(min_size=4, max_size=4))
def test_decoding_never_fails(data: bytes) -> None:
    for kind in ("uint32", "int32", "float32", "acc32", "string"):
        item = Field("it", "power_w", "holding", 0, kind, 2, missing=codec.missing_raw(kind))
        value = fields.decode(item, data)
        assert value is None or isinstance(value, float | str)


@pytest.mark.parametrize("change", ["word_order", "factor", "type", "sign", "exponent"])
def test_a_wrong_profile_shows(change: str) -> None:
    """Each key of a coding matters: changed, the value is another one."""
    right = Field("it", "power_w", "holding", 0, "int32", 2, factor=0.1)
    data = fields.encode(right, -1234.5)
    wrong = {
        "word_order": Field("it", "power_w", "holding", 0, "int32", 2, "little", factor=0.1),
        "factor": Field("it", "power_w", "holding", 0, "int32", 2, factor=1.0),
        "type": Field("it", "power_w", "holding", 0, "uint32", 2, factor=0.1),
        "sign": Field("it", "power_w", "holding", 0, "int32", 2, factor=-0.1),
        "exponent": right,
    }[change]
    assert fields.decode(right, data) == -1234.5
    assert fields.decode(wrong, data, 1 if change == "exponent" else 0) != -1234.5
