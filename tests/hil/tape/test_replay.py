"""A tape as the devices: recorded answers to recorded requests, silence to others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil import memory
from wattbench.hil.modbus import framing
from wattbench.hil.tape.reader import TapeReader
from wattbench.hil.tape.replay import Replay
from wattbench.hil.tape.znp_meaning import COMMANDS
from wattbench.hil.tape.znp_numbers import Numbers, without
from wattbench.hil.zigbee import mt, zcl
from wattbench.hil.zigbee.mt_messages import AfDataConfirm, AfDataRequest, AfIncoming
from wattbench.sim.clock import VirtualClock

S = 1_000_000
READ = bytes((4, 0, 12, 0, 2))


class Client(asyncio.Protocol):
    """Sends what it is told and notes what comes, and when."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.got: list[tuple[int, bytes]] = []

    def data_received(self, data: bytes) -> None:
        self.got.append((self.clock.now_us, data))


def played(
    path: Path, bus: str, sends: list[tuple[int, bytes]], **options: Any
) -> tuple[list[tuple[int, bytes]], Any]:
    """Return what comes back for bytes sent at times, and the bus that was played."""
    with VirtualClock() as clock:
        replay = Replay(TapeReader(path), clock, **options)

        async def run() -> list[tuple[int, bytes]]:
            client = Client(clock)
            transport = memory.connect(clock, client, replay.protocol(bus), 0)
            for t_us, data in sends:
                await clock.sleep_until(t_us)
                transport.write(data)
            await clock.sleep_until(clock.now_us + 10 * S)
            return client.got

        return clock.run(run()), replay.buses[bus]


def test_answers_come_as_recorded(tapes: Any, tmp_path: Path) -> None:
    """With the transaction ids of now and the delays of then."""
    path = tapes.write(tmp_path / "tape.pcapng")
    asked = [(S, framing.tcp_frame(70, 1, READ)), (3 * S, framing.tcp_frame(71, 1, READ))]
    got, bus = played(path, "lan", asked)
    assert got == [
        (1_010_000, framing.tcp_frame(70, 1, tapes.WATTS)),
        (3_020_000, framing.tcp_frame(71, 1, bytes((0x84, 6)))),
    ]
    assert (bus.answered, bus.left, bus.missed) == (2, 0, {})
    immediate, _ = played(path, "lan", asked, immediate=True)
    assert [t_us for t_us, _ in immediate] == [S, 3 * S]


def test_what_is_not_on_the_tape_is_told_and_not_answered(tapes: Any, tmp_path: Path) -> None:
    path = tapes.write(tmp_path / "tape.pcapng")
    other = framing.tcp_frame(1, 1, bytes((3, 0, 7, 0, 1)))
    again = [(k * S, framing.tcp_frame(k, 1, READ)) for k in range(1, 5)]
    got, bus = played(path, "lan", [(1, other), *again, (9 * S, b"GET / HTTP/1.0\r\n\r\n")])
    assert len(got) == 2
    lines = list(bus.missed)
    assert lines[0] == "lan: unit 1: read holding registers 7: not on the tape"
    assert lines[1].endswith("12…13: asked for more than the 2 times that are on the tape")
    assert bus.missed[lines[1]] == 2
    assert len(lines) == 3  # and the nonsense


def test_holding_the_last_answer(tapes: Any, tmp_path: Path) -> None:
    path = tapes.write(tmp_path / "tape.pcapng")
    again = [(k * S, framing.tcp_frame(k, 1, READ)) for k in range(1, 5)]
    got, bus = played(path, "lan", again, hold=True)
    assert [data[7:] for _, data in got] == [tapes.WATTS] + [bytes((0x84, 6))] * 3
    assert (bus.answered, bus.missed) == (2, {})


def test_zigbee_numbers_are_those_of_now(tapes: Any, tmp_path: Path) -> None:
    def read(transaction: int, sequence: int) -> bytes:
        message = zcl.ZclFrame(sequence, zcl.READ_ATTRIBUTES, b"\x0b\x05").encode()
        data = AfDataRequest(0x1001, 1, 1, 0x0B04, transaction, message).encode()
        return mt.MtFrame(mt.AF_DATA_REQUEST, data).encode()

    def answer(sequence: int) -> bytes:
        message = zcl.ZclFrame(sequence, zcl.READ_ATTRIBUTES_RESPONSE, b"\x0b\x05\x86").encode()
        data = AfIncoming(0x1001, 1, 1, 0x0B04, message).encode()
        return mt.MtFrame(mt.AF_INCOMING_MSG, data).encode()

    def confirm(transaction: int) -> bytes:
        return mt.MtFrame(mt.AF_DATA_CONFIRM, AfDataConfirm(0, 1, transaction).encode()).encode()

    sent = mt.MtFrame(mt.response_to(mt.AF_DATA_REQUEST), b"\0").encode()
    frames = [
        ("mesh", "request", 0, read(7, 17)),
        ("mesh", "answer", 10, sent),
        ("mesh", "answer", 20, confirm(7)),
        ("mesh", "answer", 30, answer(17)),
    ]
    path = tapes.write(tmp_path / "tape.pcapng", frames=frames)
    got, bus = played(path, "mesh", [(S, read(200, 99))])
    assert [data for _, data in got] == [sent, confirm(200), answer(99)]
    assert bus.missed == {}


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_any_zigbee_frames_can_be_renumbered(then: bytes, now: bytes, answer: bytes) -> None:
    numbers = Numbers()
    if without(then) == without(now) and then and now:
        numbers.asked(then, now)
    for known in COMMANDS:
        frame = mt.MtFrame(known, answer).encode()
        numbers.asked(frame, frame)
        assert numbers.renumbered(frame) == frame
        assert len(without(frame)) == len(frame) - 1
    assert len(numbers.renumbered(answer)) == len(answer)


def test_requests_in_pieces_and_together(tapes: Any, tmp_path: Path) -> None:
    path = tapes.write(tmp_path / "tape.pcapng")
    both = framing.tcp_frame(1, 1, READ) + framing.tcp_frame(2, 1, READ)
    pieces = [(k, both[k : k + 1]) for k in range(len(both))]
    assert len(played(path, "lan", pieces)[0]) == len(played(path, "lan", [(0, both)])[0]) == 2


def test_a_wrong_transaction_stays_wrong(tapes: Any, tmp_path: Path) -> None:
    frames = [
        ("lan", "request", 0, framing.tcp_frame(5, 1, READ)),
        ("lan", "answer", 10, framing.tcp_frame(9, 1, tapes.WATTS)),
        ("lan", "answer", 20, framing.tcp_frame(5, 1, tapes.WATTS)),
    ]
    path = tapes.write(tmp_path / "tape.pcapng", frames=frames)
    got, _ = played(path, "lan", [(0, framing.tcp_frame(100, 1, READ))])
    assert [int.from_bytes(data[:2], "big") for _, data in got] == [104, 100]


def test_a_line_and_a_coordinator(tapes: Any, tmp_path: Path) -> None:
    path = tapes.write(tmp_path / "tape.pcapng")
    request, answer = tapes.FRAMES[2][3], tapes.FRAMES[3][3]
    noise = [(0, b"\xff\x00\xff"), (S, request[:3]), (S + 10, request[3:])]
    assert played(path, "line", noise)[0] == [(S + 10 + 30_000, answer)]
    assert played(path, "mesh", [(5, tapes.PING)])[0] == [(1005, tapes.PONG)]


def test_what_a_coordinator_sends_unasked_follows_the_request_before_it(
    tapes: Any, tmp_path: Path
) -> None:
    reset = bytes.fromhex("fe064180000201020701c0")
    frames = [
        ("mesh", "answer", 0, reset),
        ("mesh", "request", 100, tapes.PING),
        ("mesh", "answer", 5000, reset),
        ("mesh", "answer", 6000, tapes.PONG),
    ]
    path = tapes.write(tmp_path / "tape.pcapng", frames=frames)
    got, _ = played(path, "mesh", [(S, tapes.PING)])
    assert got == [(0, reset), (S + 4900, reset), (S + 5900, tapes.PONG)]


def test_the_command_serves_until_it_is_stopped(tapes: Any, tmp_path: Path) -> None:
    path = tapes.write(tmp_path / "tape.pcapng")
    code = "from wattbench.commands.apps.tape import app; app()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "replay", str(path), "--immediate"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        rows = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert [row["bus"] for row in rows] == ["modbus-tcp", "modbus-rtu", "znp"]
        assert rows[0]["device"] == "meter"
        with socket.create_connection((rows[0]["host"], rows[0]["port"]), timeout=10) as client:
            client.sendall(framing.tcp_frame(3, 1, READ))
            assert client.recv(100) == framing.tcp_frame(3, 1, tapes.WATTS)
        line = os.open(rows[1]["path"], os.O_RDWR | os.O_NOCTTY)
        os.write(line, tapes.FRAMES[2][3])
        assert os.read(line, 100) == tapes.FRAMES[3][3]
        os.close(line)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "2 requests answered as recorded, 2 of the tape not made, 0 not on the tape" in said
