"""`wattbench emulate`: what it prints first, how it ends, what it says when it cannot begin."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wattbench.commands.emulate import EmulateOptions, emulate
from wattbench.hil.modbus import framing
from wattbench.hil.rig import RigError
from wattbench.hil.zigbee.host import ports
from wattbench.hil.zigbee.host.connection import HostSettings
from wattbench.hil.zigbee.host.host import ZigbeeHost
from wattbench.hil.zigbee.host.start import NetworkSettings
from wattbench.sim.clock import WallClock

PATIENCE_S = 60.0
RIG = """\
name: small
buses:
  - {id: lan, kind: modbus-tcp, port: 0}
  - {id: line, kind: modbus-rtu, path: "LINK"}
  - {id: mesh, kind: znp, host: 127.0.0.1, port: 0}
devices:
  - {id: meter, profile: eastron_sdm630, bus: lan, emulated: true}
  - {id: one, profile: eastron_sdm630, bus: line, unit: 1, emulated: true}
  - {id: two, profile: carlo_gavazzi_em24, bus: line, unit: 2, emulated: true}
  - {id: plug, profile: zigbee_plug, bus: mesh, emulated: true}
"""
SITE = """\
name: site
buses: [{id: lan, kind: modbus-tcp, port: 0}, {id: heat, kind: modbus-tcp, port: 0}]
devices:
  - {id: meter, profile: eastron_sdm630, bus: lan, serves: [grid], emulated: true}
  - {id: heater, profile: mypv_ac_elwa_2, bus: heat, serves: [load.a1], emulated: true}
"""
SCENARIO = """\
plant:
  kind: export
  loads: [{id: a1, phase: a, rated_power_w: 3 kW, tank: null}]
clock: {start: 2025-06-21T12:00:00, duration_s: 600}
profiles: {household: {kind: constant, power_a_w: 100}}
policies: [{kind: pi}]
limits: [{metric: export_energy, max: 10 kWh}]
"""


class Emulation:
    """`wattbench emulate` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str, rows: int) -> list[dict[str, Any]]:
        """Start; return the first lines that it prints."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wattbench", "emulate", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"WATTBENCH_STATE": str(self.folder / "state")},
        )
        assert self.process.stdout is not None
        return [json.loads(self.process.stdout.readline()) for _ in range(rows)]

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        assert self.process is not None
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err


@pytest.fixture
def emulation(tmp_path: Path) -> Iterator[Emulation]:
    made = Emulation(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RIG.replace("LINK", str(tmp_path / "ttyMeters")))
    return path


def power_w(row: dict[str, Any]) -> float:
    """Return what a meter says of its power."""
    with socket.create_connection((row["host"], row["port"]), timeout=10) as client:
        client.sendall(framing.tcp_frame(1, 1, bytes((4, 0, 52, 0, 2))))
        answer = client.recv(100)
    assert len(answer) == 13, answer
    return float(struct.unpack(">f", answer[9:])[0])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_endpoints_come_first_and_all_is_tidied_up(
    emulation: Emulation, rig: Path, tmp_path: Path, number: signal.Signals
) -> None:
    rows = emulation.start(str(rig), rows=4)
    assert [row["device"] for row in rows] == ["meter", "one", "two", "plug"]
    assert [row["bus"] for row in rows] == ["modbus-tcp", "modbus-rtu", "modbus-rtu", "znp"]
    assert [set(row) - {"device", "profile", "bus"} for row in rows] == [
        {"host", "port", "unit"}, {"path", "unit"}, {"path", "unit"}, {"host", "port", "ieee"},
    ]  # fmt: skip
    link = tmp_path / "ttyMeters"
    assert rows[1]["path"] == rows[2]["path"] == str(link)
    assert link.exists()
    control = list((tmp_path / "state").iterdir())
    assert len(control) == 1
    code, out, err = emulation.stop(number)
    assert (code, out) == (0, "")
    assert err in ("", "wattbench: starting …\n")  # the latter where starting took long
    assert not link.exists()
    assert not link.is_symlink()
    assert list((tmp_path / "state").iterdir()) == []
    for row in (rows[0], rows[3]):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((row["host"], row["port"]), timeout=5)


@pytest.mark.slow
def test_whoever_stops_reading_stops_nothing(emulation: Emulation, rig: Path) -> None:
    (first,) = emulation.start(str(rig), rows=1)
    assert emulation.process is not None
    assert emulation.process.stdout is not None
    emulation.process.stdout.close()
    time.sleep(1.0)
    assert emulation.process.poll() is None
    time.sleep(1.0)
    power_w(first)
    emulation.process.send_signal(signal.SIGINT)
    assert emulation.process.wait(PATIENCE_S) == 0


@pytest.mark.slow
def test_a_plant_behind_the_devices_and_its_faults(emulation: Emulation, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    fault = "{kind: value_stuck, target: meter, start_s: 0, duration_s: 500}"
    (tmp_path / "s.yaml").write_text(SCENARIO)
    arguments = (str(tmp_path / "site.yaml"), "--scenario", str(tmp_path / "s.yaml"))
    meter, heater = emulation.start(*arguments, rows=2)
    assert heater["profile"] == "mypv_ac_elwa_2"
    shown_w = wait_for_power(meter)
    assert -10_000 < shown_w < 0, "the sun of noon"
    assert emulation.stop()[0] == 0
    (tmp_path / "s.yaml").write_text(SCENARIO + f"faults: [{fault}]\n")
    emulation.start(*arguments, rows=2)
    listed = subprocess.run(
        [sys.executable, "-m", "wattbench", "fault", "list"],
        capture_output=True,
        text=True,
        env=os.environ | {"WATTBENCH_STATE": str(tmp_path / "state")},
        timeout=PATIENCE_S,
        check=True,
    ).stdout
    assert "value_stuck" in listed
    assert emulation.stop()[0] == 0


def wait_for_power(row: dict[str, Any]) -> float:
    """Return the first power that is one: a meter has none before its first sample."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        with socket.create_connection((row["host"], row["port"]), timeout=10) as client:
            client.sendall(framing.tcp_frame(1, 1, bytes((4, 0, 52, 0, 2))))
            answer = client.recv(100)
        if len(answer) == 13:
            value = float(struct.unpack(">f", answer[9:])[0])
            if value == value and value != 0.0:
                return value
        time.sleep(0.3)
    raise AssertionError("it never measured anything")


@pytest.mark.slow
def test_a_second_terminal_switches_faults(emulation: Emulation, tmp_path: Path) -> None:
    rows = {row["device"]: row for row in emulation.start("zoo", rows=17)}

    def fault(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "wattbench", "fault", *arguments],
            capture_output=True,
            text=True,
            env=os.environ | {"WATTBENCH_STATE": str(tmp_path / "state")},
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = wait_for_power(rows["sdm630"])
    fault("on", "sdm630", "value_stuck", "quantity=power_w")
    stuck = {power_w(rows["sdm630"])}
    for _ in range(3):
        time.sleep(1.0)
        stuck.add(power_w(rows["sdm630"]))
    assert len(stuck) == 1
    fault("off", "sdm630")
    until_s = time.monotonic() + PATIENCE_S
    while power_w(rows["sdm630"]) in stuck:
        assert time.monotonic() < until_s
        time.sleep(0.2)
    assert first == first
    fault("on", "sdm630_lan", "bus_exception", "code=6")
    with socket.create_connection((rows["sdm630"]["host"], rows["sdm630"]["port"]), 10) as client:
        client.sendall(framing.tcp_frame(7, 1, bytes((4, 0, 52, 0, 2))))
        assert client.recv(100)[7:] == bytes((0x84, 6))
    fault("off", "sdm630_lan")
    power_w(rows["sdm630"])


def pan(row: dict[str, Any], form: Any) -> Any:
    """Open a coordinator as a host; return its network."""

    async def ask(clock: WallClock) -> Any:
        host = ZigbeeHost(clock, settings=HostSettings(network=NetworkSettings(form=form)))
        await host.open(ports.tcp(row["host"], row["port"]))
        assert host.coordinator is not None
        found = host.coordinator.identity()
        await host.close()
        return {name: found[name] for name in ("ieee", "extended_pan_id") if name in found}

    with WallClock() as clock:
        return clock.run(ask(clock))


@pytest.mark.slow
def test_a_network_outlives_a_restart_where_there_is_a_memory(
    emulation: Emulation, rig: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "memory"
    plug = emulation.start(str(rig), "--memory", str(memory), rows=4)[3]
    formed = pan(plug, "if_absent")
    assert emulation.stop()[0] == 0
    assert (memory / "mesh.json").is_file()
    plug = emulation.start(str(rig), "--memory", str(memory), rows=4)[3]
    again = pan(plug, "never")
    assert again == formed
    assert emulation.stop()[0] == 0
    plug = emulation.start(str(rig), rows=4)[3]
    with pytest.raises(RigError, match="no network"):
        pan(plug, "never")


def said(capsys: pytest.CaptureFixture[str], options: EmulateOptions) -> tuple[int, str]:
    code = emulate(options)
    shown = capsys.readouterr()
    assert shown.out == ""
    # Where compiling takes long it says that it is starting.
    (line,) = (line for line in shown.err.splitlines(True) if "starting" not in line)
    assert line.startswith("wattbench: ")
    return code, line


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTBENCH_STATE", str(tmp_path / "state"))


def test_a_rig_file_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(RIG.replace("eastron_sdm630, bus: lan", "eastron_sdm631, bus: lan"))
    code, line = said(capsys, EmulateOptions(str(path)))
    assert code == 2
    assert "bad.yaml:7:" in line
    path.write_text(RIG.replace("kind: modbus-tcp", "kind: modbus"))
    code, line = said(capsys, EmulateOptions(str(path)))
    assert code == 2
    assert "bad.yaml:3:" in line


@pytest.mark.parametrize(
    ("rig", "text"),
    [
        ("exprt", "did you mean 'export'"),
        ("/nowhere/lab.yaml", "no such file"),
    ],
)
def test_a_rig_that_is_not_there(capsys: pytest.CaptureFixture[str], rig: str, text: str) -> None:
    code, line = said(capsys, EmulateOptions(rig))
    assert code == 2
    assert text in line


def test_a_rig_without_emulated_devices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "real.yaml"
    path.write_text(
        "buses: [{id: lan, kind: modbus-tcp, host: 192.0.2.1}]\n"
        "devices: [{id: m, profile: eastron_sdm630, bus: lan, serves: [grid]}]\n"
    )
    code, line = said(capsys, EmulateOptions(str(path)))
    assert code == 2
    assert "rig 'real' has no emulated device" in line


def test_a_scenario_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(capsys, EmulateOptions("export", "export/demmo"))
    assert code == 2
    assert "did you mean" in line


def test_a_scenario_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO.replace("id: a1", "id: b1"))
    (tmp_path / "site.yaml").write_text(SITE.replace("serves: [grid]", "serves: [household]"))
    options = EmulateOptions(str(tmp_path / "site.yaml"), str(tmp_path / "s.yaml"))
    code, line = said(capsys, options)
    assert code == 6
    assert "serves 'household', which the scenario's plant does not have" in line


def test_a_fault_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fault = "{kind: bus_drop, target: mesh, start_s: 1, duration_s: 5}"
    (tmp_path / "s.yaml").write_text(SCENARIO + f"faults: [{fault}]\n")
    (tmp_path / "site.yaml").write_text(SITE)
    options = EmulateOptions(str(tmp_path / "site.yaml"), str(tmp_path / "s.yaml"))
    code, line = said(capsys, options)
    assert code == 2
    assert "no target 'mesh'; allowed: lan, heat, meter, heater" in line


def test_a_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        path = tmp_path / "small.yaml"
        path.write_text(SITE.replace("port: 0", f"port: {port}"))
        code, line = said(capsys, EmulateOptions(str(path)))
    assert code == 6
    assert f"port {port}" in line
    assert "in use" in line


def test_a_memory_that_cannot_be_read(
    rig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    (memory / "mesh.json").write_text("{not json")
    code, line = said(capsys, EmulateOptions(str(rig), memory=memory))
    assert code == 6
    assert "mesh.json" in line


def test_a_memory_that_cannot_be_written(
    rig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = tmp_path / "memory"
    memory.write_text("a file")
    code, line = said(capsys, EmulateOptions(str(rig), memory=memory))
    assert code == 6
    assert "memory" in line


def test_a_start_that_takes_long_is_told(monkeypatch, capsys) -> None:
    """On stderr, and only then; the timer is silent once it is cancelled."""
    from wattbench.commands import emulate as command

    command._starting().cancel()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(command, "_PATIENCE_S", 0.0)
    command._starting().join()
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "wattbench: starting …\n")
