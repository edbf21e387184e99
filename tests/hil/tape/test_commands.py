"""`wattbench tape`: show, export; mistakes are one line."""

from __future__ import annotations

import csv
import errno
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from wattbench.commands.apps.tape import app
from wattbench.hil.tape.reader import TapeReader


@pytest.fixture
def tape(tapes: Any, tmp_path: Path) -> Path:
    path: Path = tapes.write(tmp_path / "tape.pcapng")
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_show(tape: Path) -> None:
    shown = run("show", tape.parent, "--bus", "lan", "--from", "2 s", "--hex")
    assert shown.exit_code == 0
    assert [" ".join(line.split()) for line in shown.stdout.splitlines()] == [
        "2.000000 lan → unit 1: read input registers 12…13",
        "00 02 00 00 00 06 01 04 00 0c 00 02",
        "2.020000 lan ← unit 1: read input registers 12…13: refused, 6 (busy)",
        "00 02 00 00 00 03 01 84 06",
    ]
    assert "no device profile 'made_up_meter' here" in shown.stderr


def test_show_json(tape: Path) -> None:
    rows = [json.loads(line) for line in run("show", tape, "--json").stdout.splitlines()]
    assert len(rows) == 8
    assert rows[0]["utc"] == "2025-06-21T10:00:01.000000Z"
    assert rows[1]["registers"] == "449a5000"
    assert rows[4]["command"] == "SYS_PING"


def test_export(tape: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out.pcapng", tmp_path / "out.csv"
    assert run("export", tape, "--pcapng", out, "--csv", table, "--to", "1.5").exit_code == 0
    frames = list(TapeReader(out))
    assert len(frames) == 6
    assert frames[1].note == "unit 1: read input registers 12…13 = 449a 5000"
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["bus"] for row in rows] == ["lan", "lan", "line", "line", "mesh", "mesh"]
    assert rows[5]["meaning"] == "SYS_PING response: 59 06"
    assert run("export", tape, "--csv", "-").stdout.count("\n") == 9


def test_a_cut_tape_is_shown_with_a_warning(tape: Path) -> None:
    tape.write_bytes(tape.read_bytes()[:-5])
    shown = run("show", tape)
    assert shown.exit_code == 0
    assert len(shown.stdout.splitlines()) == 7
    assert "the last block is cut" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "{tape}", "--bus", "lam"], "no bus 'lam'; .*did you mean 'lan'"),
        (["show", "{tape}", "--from", "noon"], "--from is 'noon'"),
        (["show", "{tape}.old"], "No such file"),
        (["export", "{tape}"], "nothing to write"),
        (["export", "{tape}", "--pcapng", "{tape}"], "is the tape itself"),
        (["replay", "{tape}", "--bus", "x"], "no bus 'x'"),
        (["replay", "{tape}.old"], "No such file"),
    ],
)
def test_a_mistake_is_one_line(tape: Path, arguments: list[str], message: str) -> None:
    result = run(*[argument.replace("{tape}", str(tape)) for argument in arguments])
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if "no device profile" not in line]
    assert len(lines) == 1
    assert re.search(message, lines[0])


@pytest.mark.parametrize("option", ["--pcapng", "--csv"])
def test_a_full_disk_leaves_no_part_of_a_file(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, option: str
) -> None:
    """Exit code 5, as of `run`; what was there before stays. A wrong path is still 2."""
    from wattbench import cli
    from wattbench.hil.tape.decode import Decoder

    def main(out: Path) -> int:
        words = ["wattbench", "tape", "export", str(tape), option, str(out)]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr("sys.stdout", sys.stdout)
    monkeypatch.setattr("sys.stderr", sys.stderr)
    try:
        assert main(tmp_path / "no" / "such") == 2
        assert main(tmp_path) == 2
        assert main(Path("/dev/full")) == 5
        monkeypatch.setattr(Decoder, "meaning", full)
        fresh, kept = tmp_path / "fresh", tmp_path / "kept"
        kept.write_text("of before")
        assert (main(fresh), main(kept)) == (5, 5)
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
    assert f"cannot write {fresh}: No space left" in capsys.readouterr().err
    assert kept.read_text() == "of before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "tape.pcapng"]
