"""Poll plans: few reads, within what a device allows; and what they bring, taken apart."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.devices.fields import FieldMap, decode, resolve
from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.modbus.decoding import BlockDecoder
from wattbench.hil.modbus.line import LineSettings
from wattbench.hil.modbus.polling import Block, gap_worth_reading, plan
from wattbench.hil.modbus.readings import BlockReader, PointReading

S = 1_000_000


def profile(points, **modbus) -> DeviceProfile:
    ratings = modbus.pop("ratings", {})
    return DeviceProfile.model_validate(
        {
            "name": "some",
            "kind": "meter",
            "identity": {"manufacturer": "Maker", "model": "Some"},
            "ratings": ratings,
            "modbus": {"points": points, **modbus},
        }
    )


def point(quantity: str, address: int, kind: str = "uint16", **more) -> dict:
    return {"quantity": quantity, "address": address, "type": kind, **more}


def reads(some: DeviceProfile, **options) -> list[tuple[str, int, int]]:
    assert some.modbus is not None
    blocks = plan(resolve(some), some.modbus, **options)
    return [(block.table, block.address, block.count) for block in blocks]


def test_neighbours_are_read_together() -> None:
    some = profile([point("a", 10), point("b", 11, "float32"), point("c", 13)])
    assert reads(some) == [("holding", 10, 4)]


def test_nothing_is_read_that_the_profile_does_not_say_can_be() -> None:
    points = [point("a", 10), point("b", 12)]
    assert reads(profile(points)) == [("holding", 10, 1), ("holding", 12, 1)]
    spans = [{"table": "holding", "first": 0, "last": 20}]
    assert reads(profile(points, spans=spans)) == [("holding", 10, 3)]
    registers = [{"name": "between", "address": 11}]
    assert reads(profile(points, registers=registers)) == [("holding", 10, 3)]
    registers = [{"name": "between", "address": 11, "access": "w"}]
    assert reads(profile(points, registers=registers)) == [("holding", 10, 1), ("holding", 12, 1)]


def test_gaps_are_crossed_only_as_far_as_wanted() -> None:
    spans = [{"table": "holding", "first": 0, "last": 200}]
    some = profile([point("a", 0), point("b", 13), point("c", 100)], spans=spans)
    assert reads(some, max_gap=12) == [("holding", 0, 14), ("holding", 100, 1)]
    assert reads(some, max_gap=11) == [("holding", 0, 1), ("holding", 13, 1), ("holding", 100, 1)]


def test_on_a_slow_line_a_long_gap_costs_more_than_a_request() -> None:
    assert gap_worth_reading(None, 0.02) == 2000
    # 20 bytes of another request, and the 19 that pass while the device works on it.
    assert gap_worth_reading(LineSettings(baud=9600), 0.02) == 19
    assert gap_worth_reading(LineSettings(baud=1200), 0.02) == 11
    assert gap_worth_reading(LineSettings(baud=115200), 0.02) == 125


def test_no_read_is_longer_than_the_device_allows_nor_cuts_a_value() -> None:
    points = [point(f"q{k}", 2 * k, "float32") for k in range(40)]
    assert reads(profile(points, max_read_registers=60)) == [
        ("holding", 0, 60),
        ("holding", 60, 20),
    ]
    # An odd limit: the value that would be cut goes into the next read.
    assert reads(profile(points, max_read_registers=41))[0] == ("holding", 0, 40)


def test_tables_are_read_apart_unless_they_are_one() -> None:
    points = [point("a", 0), point("b", 1, table="input"), point("c", 2)]
    assert reads(profile(points)) == [("holding", 0, 1), ("holding", 2, 1), ("input", 1, 1)]
    assert reads(profile(points, same_tables=True)) == [("holding", 0, 3), ("input", 1, 1)]
    points = [point("x", 5, "bool", table="coil"), point("y", 6, "bool", table="coil")]
    assert reads(profile(points)) == [("coil", 5, 2)]


def test_what_is_slow_is_read_less_often_and_rides_along_where_it_is_free() -> None:
    points = [
        point("a", 0, poll_s=1),
        point("slow", 1, poll_s=10),
        point("b", 2, poll_s=1),
        point("far", 50, poll_s=10),
        point("serial", 60, poll_s=0),
    ]
    some = profile(points)
    assert some.modbus is not None
    blocks = plan(resolve(some), some.modbus)
    shown = [(b.poll_s, b.address, b.count, [i.quantity for i in b.fields]) for b in blocks]
    assert shown == [
        (1.0, 0, 3, ["a", "slow", "b"]),
        (10.0, 50, 1, ["far"]),
        (0.0, 60, 1, ["serial"]),
    ]


def test_only_what_is_wanted_is_read() -> None:
    some = profile([point("a", 0), point("b", 1), point("c", 2, access="w")])
    assert reads(some, quantities=["b", "unknown"]) == [("holding", 1, 1)]
    assert reads(some) == [("holding", 0, 2)]


def test_scale_factors_come_with_their_values_where_that_costs_no_read() -> None:
    factors = [{"name": "sf", "address": 5, "type": "sunssf", "value": -1}]
    spans = [{"table": "holding", "first": 0, "last": 9}]
    near = profile(
        [point("a", 0, scale_register="sf")], registers=factors, spans=spans, max_read_registers=6
    )
    assert reads(near) == [("holding", 0, 6)]
    far = profile([point("a", 0, scale_register="sf")], registers=factors, max_read_registers=6)
    assert reads(far) == [("holding", 0, 1), ("holding", 5, 1)]
    assert far.modbus is not None
    assert plan(resolve(far), far.modbus)[1].poll_s == 0.0


def test_scale_factors_of_commands_are_known_too() -> None:
    registers = [{"name": "sf", "address": 5, "type": "sunssf", "value": -1}]
    points = [point("a", 0), point("b", 9, access="w", scale_register="sf")]
    assert reads(profile(points, registers=registers)) == [("holding", 0, 1), ("holding", 5, 1)]


TYPES = ["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "acc32"]
WIDTH = {"16": 1, "32": 2, "64": 4}


@st.composite
def maps(draw):
    """A device with points of all types in random places, and registers to go with it."""
    points, address = [], 0
    for k in range(draw(st.integers(1, 12))):
        address += draw(st.integers(0, 3))
        kind = draw(st.sampled_from(TYPES))
        order = draw(st.sampled_from(["big", "little"]))
        scale = draw(st.sampled_from([1.0, 0.1, 0.01, 1000.0, 0.3]))
        sign = draw(st.sampled_from([1, -1]))
        missing = draw(st.sampled_from([None, 0, 0xFFFF]))
        points.append(
            point(f"q{k}", address, kind, word_order=order, scale=scale, sign=sign, missing=missing)
        )
        address += WIDTH[kind[-2:]]
    limit = draw(st.integers(4, 30))
    spans = [{"table": "holding", "first": 0, "last": address + 8}]
    data = draw(st.binary(min_size=2 * (address + 8), max_size=2 * (address + 8)))
    return profile(points, spans=spans, max_read_registers=limit), data


@given(maps())
def test_a_plan_brings_everything_once_within_the_limit(some) -> None:
    some, _ = some
    assert some.modbus is not None
    blocks = plan(resolve(some), some.modbus)
    assert all(block.count <= some.modbus.max_read_registers for block in blocks)
    brought = [item.quantity for block in blocks for item in block.fields]
    assert sorted(brought) == sorted(p.quantity for p in some.modbus.points)
    for block in blocks:
        for item in block.fields:
            assert block.address <= item.address
            assert item.end <= block.end


@given(maps())
def test_blocks_are_taken_apart_as_field_by_field(some) -> None:
    some, memory = some
    assert some.modbus is not None
    fields: FieldMap = resolve(some)
    readings = {p.quantity: PointReading() for p in some.modbus.points}
    for block in plan(fields, some.modbus):
        data = memory[2 * block.address : 2 * block.end]
        raws = BlockDecoder(block).raw(data)
        reader = BlockReader(block, readings, S, lambda *_: None)
        reader.take(bytes((3, len(data))) + data, 7, {})
        for item, raw in zip(block.fields, raws, strict=True):
            place = 2 * (item.address - block.address)
            expected = decode(item, data[place : place + 2 * item.width])
            reading = readings[item.quantity or ""]
            assert reading.value == expected
            assert reading.quality == ("missing" if expected is None else "good")
            if expected is not None:
                assert not math.isnan(float(raw))


def test_overlapping_fields_and_texts_are_each_taken_from_their_place() -> None:
    some = profile(
        [
            point("both", 0, "uint32"),
            point("high", 0, "uint16", access="w"),
            point("name", 2, "string", length=3),
            point("last", 5, "int16"),
        ]
    )
    fields = resolve(some)
    items = tuple(sorted(fields.fields, key=lambda f: (f.address, f.name)))
    block = Block("holding", 0, 6, 1.0, items)
    raws = dict(
        zip(
            [i.name for i in items],
            BlockDecoder(block).raw(b"\0\1\0\2Some\0\0\xff\xfe"),
            strict=True,
        )
    )
    assert raws == {"both": 0x10002, "high (write)": 1, "name": "Some", "last": -2}


def reader(points, **modbus) -> tuple[BlockReader, dict[str, PointReading], list]:
    some = profile(points, **modbus)
    assert some.modbus is not None
    (block,) = plan(resolve(some), some.modbus)
    readings = {p.quantity: PointReading() for p in some.modbus.points}
    refused: list[tuple[str, float]] = []
    return BlockReader(block, readings, S, lambda *what: refused.append(what)), readings, refused


def holding(*values: int) -> bytes:
    return bytes((3, 2 * len(values))) + struct.pack(f">{len(values)}H", *values)


def test_what_is_out_of_range_is_not_accepted_and_said_once() -> None:
    taker, readings, refused = reader([point("a", 0, low=0, high=100), point("b", 1)])
    taker.take(holding(50, 1), 10, {})
    taker.take(holding(101, 2), 20, {})
    taker.take(holding(102, 3), 30, {})
    assert (readings["a"].value, readings["a"].quality) == (50.0, "out_of_range")
    assert (readings["a"].received_us, readings["a"].changed_us) == (10, 10)
    assert (readings["b"].value, readings["b"].quality) == (3.0, "good")
    assert refused == [("a", 101.0)]
    taker.take(holding(50, 3), 40, {})
    assert (readings["a"].quality, readings["a"].received_us) == ("good", 40)
    assert readings["a"].changed_us == 10
    taker.take(holding(101, 3), 50, {})
    assert refused == [("a", 101.0), ("a", 101.0)]


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_missing(raw) -> None:
    taker, readings, refused = reader([point("a", 0, "float32")])
    taker.take(b"\x03\x04" + struct.pack(">f", 5.5), 10, {})
    assert readings["a"].value == 5.5
    taker.take(b"\x03\x04" + struct.pack(">f", raw), 20, {})
    assert (readings["a"].value, readings["a"].quality) == (None, "missing")
    assert refused == []


def test_repeated_answers_are_new_readings_of_old_values() -> None:
    taker, readings, _ = reader([point("a", 0)])
    assert taker.take(holding(5), 10, {}) is True
    assert taker.take(holding(5), 20, {}) is False
    assert (readings["a"].received_us, readings["a"].changed_us) == (20, 10)
    taker.age(20 + 3 * S, 20)
    assert readings["a"].quality == "good"
    taker.age(21 + 3 * S, 20)
    assert readings["a"].quality == "stale"
    assert taker.take(holding(5), 30, {}) is False
    assert readings["a"].quality == "good"


def test_words_for_numbers() -> None:
    taker, readings, _ = reader([point("state", 0, labels={1: "idle", 2: "busy"})])
    for raw, word in [(1, "idle"), (2, "busy"), (9, "9")]:
        taker.take(holding(raw), 10, {})
        assert readings["state"].value == word


def test_scale_factors_of_the_same_read_and_of_another_one() -> None:
    registers = [
        {"name": "near", "address": 1, "type": "sunssf"},
        {"name": "far", "address": 40, "type": "sunssf"},
    ]
    points = [point("a", 0, scale_register="near"), point("b", 2, scale_register="far")]
    some = profile(points, registers=registers)
    assert some.modbus is not None
    blocks = plan(resolve(some), some.modbus)
    assert [block.address for block in blocks] == [0, 40]
    readings = {"a": PointReading(), "b": PointReading()}
    exponents: dict[str, int | None] = {}
    first, second = (BlockReader(block, readings, S, lambda *_: None) for block in blocks)
    first.take(holding(123, 0xFFFF, 456), 10, exponents)
    assert readings["a"].value == 12.3
    # Without its factor a number says nothing.
    assert readings["b"].quality == "missing"
    second.take(holding(0xFFFE), 11, exponents)
    first.take(holding(123, 0x8000, 456), 12, exponents)
    assert readings["a"].quality == "missing"
    assert readings["b"].value == 4.56
