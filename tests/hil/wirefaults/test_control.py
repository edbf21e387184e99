"""The control channel: both ends, and what a user sees when something is wrong."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattbench.commands import fault as command
from wattbench.hil.wirefaults import control
from wattbench.hil.wirefaults.bus import BusFaults
from wattbench.hil.wirefaults.targets import FaultTargets
from wattbench.sim.clock import WallClock


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WATTBENCH_STATE", str(tmp_path))
    return tmp_path


def while_running(work: Callable[[control.ControlServer], Any], rigs: tuple[str, ...] = ("zoo",)):
    """Return what `work`, in a thread of its own, returns while emulations run."""
    clock = WallClock()

    async def run() -> Any:
        servers = []
        for rig in rigs:
            targets = FaultTargets(clock, BusFaults(1, clock))
            targets.add_bus("lan", "modbus-tcp")
            targets.add_device("meter", "lan", 1)
            servers.append(control.ControlServer(rig, targets))
            await servers[-1].start()
        try:
            return await asyncio.to_thread(work, servers[0])
        finally:
            for server in servers:
                await server.close()

    with clock:
        return clock.run(run())


def test_switching_on_and_off(capsys: pytest.CaptureFixture[str]) -> None:
    def work(server: control.ControlServer) -> None:
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
        given = ["delay_s=0.5", "direction=answer"]
        assert command.switch_on("meter", "bus_delay", given, "2 min", None, as_json=False) == 0
        assert command.list_faults(None, as_json=False) == 0
        assert command.list_faults(None, as_json=True) == 0
        assert command.switch_off("meter", None, None, as_json=False) == 0
        assert command.switch_off("meter", None, None, as_json=True) == 0

    while_running(work)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "bus_delay on meter, for 120 s"
    assert "meter  (device on lan, unit 1)" in lines
    assert any(line.startswith("  on: bus_delay direction=answer delay_s=0.5, 1") for line in lines)
    assert lines[-2] == "meter: 1 fault switched off"
    listed = json.loads(lines[-3])
    assert listed["rig"] == "zoo"
    assert listed["targets"][1]["faults"][0]["kind"] == "bus_delay"
    assert json.loads(lines[-1])["ended"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("metr", "bus_drop", [], None, None), "did you mean 'meter'"),
        (("meter", "bus_drop", ["probability"], None, None), "key=value"),
        (("meter", "bus_drop", ["probability=nan"], None, None), "bus_drop, probability: "),
        (("meter", "bus_drop", [], "later", None), "--for is 'later'"),
        (("meter", "bus_drop", [], "-1", None), "more than 0 s"),
        (("meter", "bus_drop", [], "inf", None), "more than 0 s"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert while_running(lambda _server: command.switch_on(*arguments, as_json=True)) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert json.loads(said.out)["exit_code"] == 2


def test_nothing_runs(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    # Left behind by one that was killed.
    dead = state / "emulate-zoo-1.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))
    assert command.list_faults(None, as_json=False) == 6
    assert "no emulation is running; start one with" in capsys.readouterr().err
    assert not dead.exists()


def test_several_run(capsys: pytest.CaptureFixture[str]) -> None:
    def work(_server: control.ControlServer) -> list[int]:
        return [
            command.list_faults(None, as_json=False),
            command.list_faults("export", as_json=False),
            command.list_faults("expert", as_json=False),
        ]

    assert while_running(work, ("zoo", "export")) == [2, 0, 6]
    assert "2 emulations are running" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [b"\n", b"[]\n", b"{}\n", b"{\n", b"\xff\xfe\n", b'{"do": "on"}\n', b'{"do": "dance"}\n',
     b'{"do":"on","target":"meter","kind":"bus_drop","for_s":"x"}\n', b"[" * 5000 + b"\n",
     b'{"do":"on","target":"meter","kind":"bus_drop","parameters":3}\n'],
)  # fmt: skip
def test_nonsense_is_answered(line: bytes) -> None:
    def work(server: control.ControlServer) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            with control._short(server.path) as path:
                client.connect(path)
            client.sendall(line)
            answer: dict[str, Any] = json.loads(client.makefile("rb").readline())
            return answer

    answer = while_running(work)
    assert not answer["ok"]
    assert answer["error"]


def test_a_folder_may_be_deeper_than_a_sockets_path_can_be_long(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    monkeypatch.setenv("WATTBENCH_STATE", str(state / ("x" * 120)))
    assert while_running(lambda _server: command.list_faults(None, as_json=False)) == 0


def test_the_commands_parse(capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from wattbench.commands.apps.fault import app

    result = CliRunner().invoke(app, ["on", "meter", "bus_delay", "delay_s=1", "--for", "3"])
    assert result.exit_code == 6
    assert CliRunner().invoke(app, ["off", "meter"]).exit_code == 6
    assert CliRunner().invoke(app, ["list", "--json"]).exit_code == 6
