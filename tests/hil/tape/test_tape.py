"""Writing and reading tapes: whole, byte-identical, cut off, damaged."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.tape.link import TcpLink, payload, whole
from wattbench.hil.tape.model import TapeBus, TapeError, TapeHeader
from wattbench.hil.tape.reader import TapeReader, selected
from wattbench.hil.tape.writer import Tape, split_comment

from .tapes import write


def contents(path: Path) -> list[tuple[Any, ...]]:
    return [(f.bus, f.direction, f.t_us, f.data) for f in TapeReader(path)]


def test_what_is_written_is_read(tapes: Any, tmp_path: Path) -> None:
    path = tapes.write(tmp_path / "tape.pcapng")
    reader = TapeReader(path)
    assert reader.header == tapes.HEADER
    assert contents(path) == tapes.FRAMES
    assert [frame.number for frame in reader] == list(range(1, 9))
    assert {frame.kind for frame in reader} == {"modbus-tcp", "modbus-rtu", "znp"}
    assert reader.damage is None
    assert reader.start_utc.isoformat() == "2025-06-21T10:00:00+00:00"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["lan", "line", "mesh", "not in the header"]),
            st.sampled_from(["request", "answer"]),
            st.integers(0, 1 << 45),
            st.binary(max_size=300),
        ),
        max_size=20,
    ),
    st.integers(1, 8),
)
def test_any_bytes_come_back(tmp_path_factory: Any, frames: list[Any], buffer: int) -> None:
    path = tmp_path_factory.mktemp("tape") / "tape.pcapng"
    write(path, frames=frames, buffer_frames=buffer)
    assert contents(path) == frames


def test_one_run_gives_one_tape_byte_for_byte(tapes: Any, tmp_path: Path) -> None:
    """However often it was flushed on the way."""
    first = tapes.write(tmp_path / "1.pcapng").read_bytes()
    assert tapes.write(tmp_path / "2.pcapng", buffer_frames=3).read_bytes() == first


def test_wall_time_has_monotonic_stamps_and_is_flushed_each_second(
    tapes: Any, tmp_path: Path
) -> None:
    before_ns = time.monotonic_ns()
    path = tmp_path / "tape.pcapng"
    tape = Tape(path, TapeHeader(tapes.START_US, "wall", tapes.BUSES))
    # A clock begins before zero, while the rig is opened.
    tape.frame("lan", "request", -6_000_000, b"1")
    tape.frame("lan", "request", -5_500_000, b"2")
    assert len(contents(path)) == 1
    tape.frame("lan", "request", -4_999_999, b"3")
    # As after kill -9: nobody closed the file.
    assert [frame.t_us for frame in TapeReader(path)] == [-6_000_000, -5_500_000, -4_999_999]
    stamps = [frame.monotonic_ns for frame in TapeReader(path)]
    assert before_ns <= stamps[0] <= stamps[2] <= time.monotonic_ns()  # type: ignore[operator]
    tape.close()


def test_a_cut_tape_is_read_up_to_the_cut(tapes: Any, tmp_path: Path) -> None:
    whole_tape = tapes.write(tmp_path / "tape.pcapng").read_bytes()
    cut = tmp_path / "cut.pcapng"
    counts = []
    for size in range(len(whole_tape), 0, -7):
        cut.write_bytes(whole_tape[:size])
        try:
            reader = TapeReader(cut)
        except TapeError:
            continue
        frames = list(reader)
        counts.append(len(frames))
        assert [f.data for f in frames] == [f[3] for f in tapes.FRAMES[: len(frames)]]
        if reader.damage is not None:
            assert "block" in reader.damage
    assert counts[0] == 8
    assert counts == sorted(counts, reverse=True)
    assert set(counts) == set(range(9))


@given(st.data())
def test_damage_is_told_and_never_raised(tmp_path_factory: Any, data: Any) -> None:
    path = tmp_path_factory.mktemp("tape") / "tape.pcapng"
    content = bytearray(write(path).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(TapeError):
        assert sum(1 for _ in TapeReader(path)) <= 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "not a pcapng"),
        (b"frames\n" * 5, "not a pcapng"),
        (b"\x0a\x0d\x0d\x0a" + b"\x1c\0\0\0" + b"\x1a\x2b\x3c\x4d", "another byte order"),
        (bytes.fromhex("0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c000000"), "no tape of"),
    ],
)
def test_what_is_no_tape_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tape.pcapng"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TapeError, match=message):
        TapeReader(path)


def test_a_header_of_any_size(tmp_path: Path) -> None:
    buses = tuple(TapeBus(f"bus{k}", "modbus-tcp", "x" * 300) for k in range(600))
    header = TapeHeader(0, "virtual", buses)
    Tape(tmp_path / "t.pcapng", header).close()
    assert TapeReader(tmp_path / "t.pcapng").header == header


def test_a_full_disk_ends_the_tape_and_not_the_run(tapes: Any) -> None:
    tape = Tape(Path("/dev/full"), tapes.HEADER, buffer_frames=2)
    for frame in tapes.FRAMES:
        tape.frame(*frame)
    tape.close()
    assert tape.problem is not None
    assert "No space left" in tape.problem


def test_selecting(tapes: Any, tmp_path: Path) -> None:
    reader = TapeReader(tapes.write(tmp_path / "tape.pcapng"))
    assert len(list(selected(reader, bus="lan"))) == 4
    assert len(list(selected(reader, from_us=1_400_000))) == 4
    assert len(list(selected(reader, bus="lan", to_us=1_010_000))) == 2


def test_checksums_of_the_made_up_headers() -> None:
    link = TcpLink(300)
    for size in (12, 13, 260):
        packet = link.packet("request", bytes(range(256))[:size] + bytes(max(0, size - 256)))
        assert payload(packet)[:12] == bytes(range(12))
        assert _sum(packet[:20]) == 0xFFFF
        pseudo = packet[12:20] + b"\0\x06" + (len(packet) - 20).to_bytes(2, "big")
        assert _sum(pseudo + packet[20:]) == 0xFFFF


def _sum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) & 1)
    total = sum(int.from_bytes(padded[k : k + 2], "big") for k in range(0, len(padded), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_a_frame_that_does_not_end_where_it_says_ends_its_connection() -> None:
    link = TcpLink(1)
    ports = []
    for frame in (b"\0\1\0\0\0\2\1\3", b"\0\1\0\0\0\7\1\3", b"\0\1\0\0\0\2\1\3"):
        ports.append((whole(frame), link.packet("answer", frame)[22:24]))
    assert [one for one, _ in ports] == [True, False, True]
    assert ports[0][1] == ports[1][1] != ports[2][1]


def test_comments() -> None:
    assert split_comment("monotonic_ns=12; bad") == (12, "bad")
    assert split_comment("monotonic_ns=12") == (12, "")
    assert split_comment("monotonic_ns=x") == (None, "monotonic_ns=x")
    assert split_comment("") == (None, "")
