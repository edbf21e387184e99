"""Tapes to test with."""

from __future__ import annotations

import struct
from pathlib import Path

from wattbench.hil.modbus import framing
from wattbench.hil.tape.model import TapeBus, TapeDevice, TapeHeader
from wattbench.hil.tape.writer import Tape

START_US = 1_750_500_000_000_000
BUSES = (
    TapeBus("lan", "modbus-tcp", "127.0.0.1:1502"),
    TapeBus("line", "modbus-rtu", "9600 8N1"),
    TapeBus("mesh", "znp"),
)
HEADER = TapeHeader(
    START_US,
    "virtual",
    BUSES,
    (TapeDevice("meter", "lan", "made_up_meter", unit=1),),
    {"seed": 7, "policy": "zero export Ω"},
)
PING = bytes.fromhex("fe00210120")
PONG = bytes.fromhex("fe0261015906") + bytes((0x02 ^ 0x61 ^ 0x01 ^ 0x59 ^ 0x06,))

READ = bytes((4, 0, 12, 0, 2))
WATTS = bytes((4, 4)) + struct.pack(">f", 1234.5)

FRAMES = [
    ("lan", "request", 1_000_000, framing.tcp_frame(1, 1, READ)),
    ("lan", "answer", 1_010_000, framing.tcp_frame(1, 1, WATTS)),
    ("line", "request", 1_200_000, framing.rtu_frame(2, bytes((16, 2, 88, 0, 1, 2, 0, 9)))),
    ("line", "answer", 1_230_000, framing.rtu_frame(2, bytes((16, 2, 88, 0, 1)))),
    ("mesh", "request", 1_400_000, PING),
    ("mesh", "answer", 1_401_000, PONG),
    ("lan", "request", 2_000_000, framing.tcp_frame(2, 1, READ)),
    ("lan", "answer", 2_020_000, framing.tcp_frame(2, 1, bytes((0x84, 6)))),
]


def write(path: Path, header: TapeHeader = HEADER, frames: object = None, **options: int) -> Path:
    with Tape(path, header, **options) as tape:
        for frame in frames if frames is not None else FRAMES:  # type: ignore[attr-defined]
            tape.frame(*frame)
    return path
