"""Function codes, against the examples of the specification and pymodbus's own codecs."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.pdu import DecodePDU

from wattbench.hil.modbus import pdu
from wattbench.hil.modbus.pdu import respond
from wattbench.hil.modbus.unit import ModbusRefusal


def bits(unit, table: str, address: int, data: str, count: int) -> None:
    unit.bits[table][address : address + count] = pdu.unpack_bits(bytes.fromhex(data), count)


@pytest.fixture
def unit(kit):
    """Filled as the examples of V1.1b3, section 6, want it."""
    unit = kit.Bank()
    bits(unit, "coil", 0x13, "CD6B05", 19)
    bits(unit, "discrete", 0xC4, "ACDB35", 22)
    unit.put("holding", 0x6B, 0x022B, 0x0000, 0x0064)
    unit.put("input", 8, 0x000A)
    return unit


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("01 0013 0013", "01 03 CD6B05"),
        ("02 00C4 0016", "02 03 ACDB35"),
        ("03 006B 0003", "03 06 022B 0000 0064"),
        ("04 0008 0001", "04 02 000A"),
        ("05 00AC FF00", "05 00AC FF00"),
        ("06 0001 0003", "06 0001 0003"),
        ("0F 0013 000A 02 CD01", "0F 0013 000A"),
        ("10 0001 0002 04 000A 0102", "10 0001 0002"),
        ("16 0004 00F2 0025", "16 0004 00F2 0025"),
    ],
)
def test_examples_of_the_specification(unit, request_: str, answer: str) -> None:
    assert respond(unit, bytes.fromhex(request_), 0) == bytes.fromhex(answer)


def test_writing_examples_leave_what_they_say(unit) -> None:
    respond(unit, bytes.fromhex("05 00AC FF00"), 0)
    assert unit.bits["coil"][0xAB:0xAE] == [False, True, False]
    respond(unit, bytes.fromhex("05 00AC 0000"), 0)
    assert not unit.bits["coil"][0xAC]
    respond(unit, bytes.fromhex("10 0001 0002 04 000A 0102"), 0)
    assert (unit.get(1), unit.get(2)) == (0x000A, 0x0102)
    respond(unit, bytes.fromhex("0F 0013 000A 02 CD01"), 0)
    expected = [True, False, True, True, False, False, True, True, True, False]
    assert unit.bits["coil"][0x13 : 0x13 + 10] == expected
    unit.put("holding", 4, 0x12)
    respond(unit, bytes.fromhex("16 0004 00F2 0025"), 0)
    assert unit.get(4) == 0x17


def test_read_write_example_reads_after_writing(unit) -> None:
    unit.put("holding", 3, 0x00FE, 0x0ACD, 0x0001, 0x0003, 0x000D, 0x00FF)
    request = bytes.fromhex("17 0003 0006 000E 0003 06 00FF 00FF 00FF")
    answer = bytes.fromhex("17 0C 00FE 0ACD 0001 0003 000D 00FF")
    assert respond(unit, request, 0) == answer
    assert [unit.get(address) for address in (14, 15, 16)] == [0xFF] * 3
    overlapping = bytes.fromhex("17 0003 0001 0003 0001 02 BEEF")
    assert respond(unit, overlapping, 0) == bytes.fromhex("17 02 BEEF")


def test_a_refused_read_leaves_nothing_written(kit) -> None:
    unit = kit.Bank(size=10)
    request = bytes.fromhex("17 000A 0001 0000 0001 02 BEEF")
    assert respond(unit, request, 0) == bytes.fromhex("97 02")
    assert unit.get(0) == 0


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ("03 0000 0000", 3),
        ("03 0000 007E", 3),
        ("03 FFFF 0002", 2),
        ("03 0000", 3),
        ("03", 3),
        ("03 0000 0001 00", 3),
        ("04 0000 0000", 3),
        ("01 0000 0000", 3),
        ("01 0000 07D1", 3),
        ("01 FFFF 0002", 2),
        ("02 0000 FFFF", 3),
        ("05 0000 0001", 3),
        ("05 0000 FF01", 3),
        ("05 0000", 3),
        ("06 0000", 3),
        ("0F 0000 0000 00", 3),
        ("0F 0000 0009 01 FF", 3),
        ("0F 0000 0008 02 FF00", 3),
        ("0F 0000 07B1 F7" + 247 * "00", 3),
        ("0F FFFF 0002 01 03", 2),
        ("10 0000 0000 00", 3),
        ("10 0000 0001 02", 3),
        ("10 0000 0001 03 000000", 3),
        ("10 0000 0002 02 0000", 3),
        ("10 0000 007C F8" + 248 * "00", 3),
        ("10 FFFF 0002 04 00000000", 2),
        ("16 0000 0000", 3),
        ("17 0000 007E 0000 0001 02 0000", 3),
        ("17 0000 0001 0000 007A F4" + 244 * "00", 3),
        ("17 0000 0001 0000 0001 03 000000", 3),
        ("17 FFFF 0002 0000 0001 02 0000", 2),
        ("17 0000 0001 FFFF 0002 04 00000000", 2),
        ("2B", 1),
        ("2B 0D 01 00", 1),
        ("2B 0E", 3),
        ("2B 0E 00 00", 3),
        ("2B 0E 05 00", 3),
        ("2B 0E 04 03", 2),
        ("00", 1),
        ("07", 1),
        ("08 0000 1234", 1),
        ("11", 1),
        ("55 00", 1),
        ("83 0000 0001", 1),
        ("FF", 1),
    ],
)
def test_refusals_carry_the_function_and_the_right_code(unit, request_: str, code: int) -> None:
    request = bytes.fromhex(request_)
    assert respond(unit, request, 0) == bytes((request[0] | 0x80, code))


def test_the_largest_counts_are_served(unit) -> None:
    assert len(respond(unit, bytes.fromhex("03 0000 007D"), 0)) == 252
    assert len(respond(unit, bytes.fromhex("01 0000 07D0"), 0)) == 252
    write = bytes.fromhex("10 0000 007B F6") + bytes(246)
    assert respond(unit, write, 0) == write[:5]
    write = bytes.fromhex("0F 0000 07B0 F6") + bytes(246)
    assert respond(unit, write, 0) == write[:5]
    both = bytes.fromhex("17 0000 007D 0000 0079 F2") + bytes(242)
    assert len(respond(unit, both, 0)) == 252
    assert respond(unit, bytes.fromhex("03 FFFF 0001"), 0)[0] == 3


def test_a_unit_knows_only_its_functions_and_its_own_limits(kit) -> None:
    unit = kit.Bank(size=10, functions={3})
    assert respond(unit, bytes.fromhex("04 0000 0001"), 0) == bytes((0x84, 1))
    assert respond(unit, bytes.fromhex("03 0009 0002"), 0) == bytes((0x83, 2))
    unit.read_registers = lambda *_: b"\0"
    assert respond(unit, bytes.fromhex("03 0000 0001"), 0) == bytes((0x83, 4))


def identify(unit, code: int, first: int) -> tuple[tuple[int, ...], dict[int, bytes]]:
    """Return (conformity, more, next, count) and the objects."""
    answer = respond(unit, bytes((43, 14, code, first)), 0)
    assert answer[:3] == bytes((43, 14, code))
    objects, rest = {}, answer[7:]
    while rest:
        objects[rest[0]], rest = rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
    assert len(answer) <= pdu.MAX_PDU
    return tuple(answer[3:7]), objects


def test_identification_basic_regular_extended_and_alone(unit) -> None:
    unit.objects = {0: b"v", 1: b"p", 2: b"r", 4: b"name", 0x80: b"own"}
    assert identify(unit, 1, 0) == ((0x83, 0, 0, 3), {0: b"v", 1: b"p", 2: b"r"})
    assert identify(unit, 2, 0)[1] == {0: b"v", 1: b"p", 2: b"r", 4: b"name"}
    assert identify(unit, 3, 0)[1] == unit.objects
    assert identify(unit, 3, 4)[1] == {4: b"name", 0x80: b"own"}
    assert identify(unit, 4, 0x80) == ((0x83, 0, 0, 1), {0x80: b"own"})
    assert identify(unit, 1, 9)[1] == {0: b"v", 1: b"p", 2: b"r"}, "an unknown one begins anew"
    unit.objects = {0: b"v", 1: b"p", 2: b"r"}
    assert identify(unit, 3, 0)[0] == (0x81, 0, 0, 3)
    unit.objects = {}
    assert respond(unit, bytes((43, 14, 1, 0)), 0) == bytes((0xAB, 2))


@given(st.dictionaries(st.integers(0, 255), st.binary(max_size=244), min_size=1))
def test_identification_comes_whole_when_what_follows_is_asked_for(kit, objects) -> None:
    unit = kit.Bank(size=1)
    unit.objects = objects
    got: dict[int, bytes] = {}
    first = min(objects)
    for _ in objects:
        (_, more, first, count), some = identify(unit, 3, first)
        assert count == len(some) > 0
        got |= some
        if not more:
            break
    assert got == objects


@given(st.lists(st.booleans(), max_size=2000))
def test_bits_survive(values) -> None:
    packed = pdu.pack_bits(values)
    assert len(packed) == (len(values) + 7) // 8
    assert pdu.unpack_bits(packed, len(values)) == values


ADDRESS = st.integers(0, 0xFFFF)
WORDS = st.lists(st.integers(0, 0xFFFF), min_size=1)


@given(ADDRESS, WORDS.filter(lambda words: len(words) <= 123))
def test_registers_written_are_read_back_as_pymodbus_decodes_them(kit, address, words) -> None:
    unit = kit.Bank()
    write = struct.pack(">BHHB", 16, address, len(words), 2 * len(words))
    write += struct.pack(f">{len(words)}H", *words)
    answer = respond(unit, write, 0)
    if address + len(words) > 0x10000:
        assert answer == bytes((0x90, 2))
        return
    assert answer == write[:5]
    answer = respond(unit, struct.pack(">BHH", 3, address, len(words)), 0)
    assert DecodePDU(False).decode(answer).registers == words


@given(ADDRESS, st.lists(st.booleans(), min_size=1, max_size=1968))
def test_coils_written_are_read_back_as_pymodbus_decodes_them(kit, address, values) -> None:
    unit = kit.Bank()
    data = pdu.pack_bits(values)
    write = struct.pack(">BHHB", 15, address, len(values), len(data)) + data
    answer = respond(unit, write, 0)
    if address + len(values) > 0x10000:
        assert answer == bytes((0x8F, 2))
        return
    assert answer == write[:5]
    answer = respond(unit, struct.pack(">BHH", 1, address, len(values)), 0)
    assert DecodePDU(False).decode(answer).bits[: len(values)] == values


@given(ADDRESS, *[st.integers(0, 0xFFFF)] * 3)
def test_mask_write_is_the_formula_of_the_specification(kit, address, value, keep, put) -> None:
    unit = kit.Bank()
    unit.put("holding", address, value)
    respond(unit, struct.pack(">BHHH", 22, address, keep, put), 0)
    assert unit.get(address) == (value & keep) | (put & (0xFFFF ^ keep))


@given(st.binary(min_size=1, max_size=253))
def test_whatever_is_asked_is_answered(kit, request_) -> None:
    answer = respond(kit.Bank(size=100), request_, 0)
    assert 2 <= len(answer) <= pdu.MAX_PDU
    assert answer[0] in {request_[0], request_[0] | 0x80}
    assert answer[0] < 0x80 or (len(answer) == 2 and answer[1] in {1, 2, 3})


def test_codes_of_a_unit_come_through(unit) -> None:
    def busy(*_):
        raise ModbusRefusal(6)

    unit.read_registers = busy
    assert respond(unit, bytes.fromhex("03 0000 0001"), 0) == bytes((0x83, 6))
