"""A tape in Wireshark's own reader: Modbus TCP without being told, RTU with one setting."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wattbench.commands.apps.tape import app
from wattbench.hil.modbus import framing
from wattbench.hil.tape.model import TapeBus, TapeHeader
from wattbench.hil.tape.writer import Tape

TSHARK = shutil.which("tshark")
pytestmark = pytest.mark.skipif(
    TSHARK is None and os.environ.get("WATTBENCH_WIRE") != "1",
    reason="no tshark here; WATTBENCH_WIRE=1 makes that a failure",
)

#: The setting that the documentation names.
USER_DLT = 'uat:user_dlts:"User 0 (DLT=147)","mbrtu","0","","0",""'


def tshark(path: Path, *arguments: str) -> list[list[str]]:
    assert TSHARK is not None, "WATTBENCH_WIRE=1, but tshark is missing"
    done = subprocess.run(
        [TSHARK, "-r", str(path), "-n", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


def fields(*names: str) -> list[str]:
    return ["-T", "fields", *(part for name in names for part in ("-e", name))]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Return a pcapng file that the command wrote from a tape."""
    tape, out = tmp_path / "tape.pcapng", tmp_path / "out.pcapng"
    buses = (TapeBus("lan", "modbus-tcp"), TapeBus("line", "modbus-rtu"), TapeBus("mesh", "znp"))
    read, values = bytes((3, 0, 100, 0, 2)), bytes((3, 4, 0, 17, 0, 34))
    with Tape(tape, TapeHeader(1_750_500_000_000_000, "virtual", buses)) as written:
        for k in range(3):
            t_us = 1_000_000 * (k + 1)
            written.frame("lan", "request", t_us, framing.tcp_frame(k + 1, 9, read))
            written.frame("lan", "answer", t_us + 1500, framing.tcp_frame(k + 1, 9, values))
        # Its length lies: what follows must still be found.
        written.frame("lan", "request", 4_000_000, b"\0\x04\0\0\0\xf0\x09\x03\0\x64\0\x02")
        written.frame("lan", "request", 5_000_000, framing.tcp_frame(5, 9, read))
        written.frame("lan", "answer", 5_001_000, framing.tcp_frame(5, 9, bytes((0x83, 2))))
        written.frame("line", "request", 6_000_000, framing.rtu_frame(4, read))
        written.frame("line", "answer", 6_020_000, framing.rtu_frame(4, values))
        written.frame("mesh", "request", 7_000_000, bytes.fromhex("fe00210120"))
    result = CliRunner().invoke(app, ["export", str(tape), "--pcapng", str(out)])
    assert result.exit_code == 0
    return out


def test_modbus_tcp_is_decoded(export: Path) -> None:
    rows = tshark(
        export,
        "-Y", "modbus",
        *fields("frame.number", "mbtcp.trans_id", "mbtcp.unit_id", "modbus.func_code",
                "modbus.reference_num", "modbus.word_cnt", "modbus.regval_uint16",
                "modbus.exception_code"),
    )  # fmt: skip
    assert rows[0] == ["1", "1", "9", "3", "100", "2", "", ""]
    # Wireshark knows from the request which registers the answer holds.
    assert rows[1][:4] == ["2", "1", "9", "3"]
    assert rows[1][6] == "17,34"
    assert [row[0] for row in rows][-2:] == ["8", "9"]
    assert rows[-1][7] == "2"


def test_sums_times_directions_and_comments(export: Path) -> None:
    rows = tshark(
        export,
        "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
        *fields("ip.checksum.status", "tcp.checksum.status", "frame.time_epoch",
                "frame.interface_name", "frame.packet_flags_direction", "frame.comment"),
    )  # fmt: skip
    tcp = [row for row in rows if row[3] == "lan"]
    assert {(row[0], row[1]) for row in tcp} == {("1", "1")}
    assert rows[1][2] == "1750500001.001500000"
    assert [row[4] for row in rows[:2]] == ["0x00000002", "0x00000001"]
    assert rows[1][5] == "unit 9: read holding registers 100…101 = 0011 0022"
    assert rows[-1][5] == "SYS_PING"


def test_rtu_is_decoded_with_the_documented_setting(export: Path) -> None:
    rows = tshark(
        export, "-o", USER_DLT, "-Y", "mbrtu", *fields("mbrtu.unit_id", "modbus.func_code")
    )
    assert rows == [["4", "3"], ["4", "3"]]
