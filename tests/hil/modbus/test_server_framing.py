"""Frames out of streams: check sums, lengths, resynchronisation."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.modbus.framing import (
    INCOMPLETE,
    MBAP,
    UNKNOWN,
    RtuDecoder,
    crc,
    pdu_length,
    rtu_frame,
    tcp_frame,
)

READ = rtu_frame(1, bytes.fromhex("03 006B 0003"))
WRITE = rtu_frame(2, bytes.fromhex("10 0001 0002 04 000A 0102"))


def bitwise(data: bytes) -> int:
    """The sum as the serial line document, appendix B, works it out."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def decoder(*units: int) -> RtuDecoder:
    return RtuDecoder(lambda unit: unit in (units or (0, 1, 2)))


@pytest.mark.parametrize(
    ("body", "sum_"),
    [("0207", "4112"), ("01 03 0000 000A", "C5CD"), ("11 03 006B 0003", "7687")],
)
def test_known_check_sums_low_byte_first(body: str, sum_: str) -> None:
    assert crc(bytes.fromhex(body)).to_bytes(2, "little").hex().upper() == sum_


@given(st.binary(max_size=300))
def test_check_sum_is_the_documents_and_zero_over_its_own(data) -> None:
    assert crc(data) == bitwise(data) == crc(bytearray(data))
    assert crc(data + crc(data).to_bytes(2, "little")) == 0


@given(st.integers(0, 0xFFFF), st.integers(0, 255), st.binary(min_size=1, max_size=253))
def test_tcp_frames_say_what_went_in(number, unit, pdu) -> None:
    frame = tcp_frame(number, unit, pdu)
    assert MBAP.unpack_from(frame) == (number, 0, len(pdu) + 1, unit)
    assert frame[7:] == pdu


@given(st.binary(max_size=300), st.integers(0, 10))
def test_lengths_are_told_or_not_but_never_raise(data, start) -> None:
    assert INCOMPLETE <= 0 < 1
    assert UNKNOWN <= pdu_length(data, start) <= 10 + 255


def test_a_truncated_request_says_the_length_of_the_whole() -> None:
    whole = bytes.fromhex("17 0003 0006 000E 0003 06 00FF 00FF 00FF")
    lengths = [pdu_length(whole[:size]) for size in range(len(whole) + 1)]
    assert lengths == [INCOMPLETE] * 10 + [16] * 7


REQUESTS = st.one_of(
    st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6]), st.binary(min_size=4, max_size=4)).map(
        lambda parts: bytes((parts[0],)) + parts[1]
    ),
    st.tuples(
        st.sampled_from([15, 16]), st.binary(min_size=4, max_size=4), st.binary(max_size=246)
    ).map(lambda parts: bytes((parts[0],)) + parts[1] + bytes((len(parts[2]),)) + parts[2]),
    st.binary(min_size=6, max_size=6).map(lambda body: b"\x16" + body),
    st.tuples(st.binary(min_size=8, max_size=8), st.binary(max_size=242)).map(
        lambda parts: b"\x17" + parts[0] + bytes((len(parts[1]),)) + parts[1]
    ),
    st.binary(min_size=2, max_size=2).map(lambda body: b"\x2b\x0e" + body),
)
FRAMES = st.tuples(st.sampled_from([1, 2]), REQUESTS).map(lambda parts: rtu_frame(*parts))


@given(st.lists(FRAMES, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_frames_come_whole_however_the_stream_is_cut(frames, rng) -> None:
    stream, rtu, got = b"".join(frames), decoder(), []
    while stream:
        size = rng.randint(1, len(stream))
        got += rtu.feed(stream[:size])
        stream = stream[size:]
    assert got == frames
    assert (rtu.pending, rtu.garbage_bytes) == (0, 0)


@given(FRAMES, FRAMES, st.data())
def test_a_frame_after_a_broken_one_is_not_lost(first, second, data) -> None:
    position = data.draw(st.integers(0, 8 * len(first) - 1))
    broken = bytearray(first)
    broken[position // 8] ^= 1 << position % 8
    rtu = decoder()
    got = rtu.feed(bytes(broken) + second) + rtu.flush()
    assert got == [second]
    assert rtu.garbage_bytes == len(first)
    assert rtu.bad_frames == 1


@given(FRAMES, st.data())
def test_a_frame_after_a_truncated_one_is_not_lost(first, data) -> None:
    size = data.draw(st.integers(0, len(first) - 1))
    rtu = decoder()
    got = rtu.feed(first[:size] + READ) + rtu.flush()
    assert got == [READ]


@given(st.binary(max_size=600))
def test_after_any_garbage_and_a_silence_the_next_frame_counts(garbage) -> None:
    rtu = decoder()
    rtu.feed(garbage)
    rtu.flush()
    assert rtu.pending == 0
    assert rtu.feed(READ) == [READ]


def test_garbage_without_end_is_bounded() -> None:
    rng = random.Random(1)
    rtu = decoder()
    for _ in range(50):
        rtu.feed(rng.randbytes(300))
        assert rtu.pending <= 512 + 300
    assert rtu.garbage_bytes > 10_000


def test_functions_of_unknown_length_end_where_the_sum_agrees() -> None:
    odd = rtu_frame(1, bytes.fromhex("55 01 02 03"))
    assert decoder().feed(odd + READ) == [odd, READ]
    rtu = decoder()
    assert [rtu.feed(odd[k : k + 1]) for k in range(len(odd))][-1] == [odd]


def test_a_known_function_of_wrong_length_is_told_by_silence() -> None:
    long = rtu_frame(1, bytes.fromhex("03 0000 0001 00"))
    short = rtu_frame(1, bytes.fromhex("10 0000 0001 02 00"))
    for frame in (long, short):
        rtu = decoder()
        assert rtu.feed(frame) == []
        assert rtu.flush() == [frame]


def test_answers_of_other_devices_on_the_line_are_passed_over() -> None:
    foreign = rtu_frame(9, bytes.fromhex("03 06 022B 0000 0064"))
    rtu = decoder()
    got = rtu.feed(foreign + READ)
    assert got[-1] == READ
    assert all(frame[0] == 9 for frame in got[:-1])
