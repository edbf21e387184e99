"""Faults switched from a second terminal, seen by a client of an emulation in its own process."""

from __future__ import annotations

import json
import os
import select
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

from wattbench.commands import fault as command
from wattbench.hil.modbus import framing

pytestmark = pytest.mark.slow

RIG = """
name: small
buses:
  - {id: lan, kind: modbus-tcp, port: 0}
  - {id: line, kind: modbus-rtu}
  - {id: mesh, kind: znp, host: 127.0.0.1, port: 0}
devices:
  - {id: meter, profile: eastron_sdm630, bus: lan, emulated: true}
  - {id: one, profile: eastron_sdm630, bus: line, unit: 1, emulated: true}
  - {id: two, profile: eastron_sdm630, bus: line, unit: 2, emulated: true}
  - {id: plug, profile: zigbee_plug, bus: mesh, emulated: true}
"""
POWER = bytes((4, 0, 52, 0, 2))
PING, PONG = bytes.fromhex("fe00210120"), bytes.fromhex("fe02610159063d")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Emulate a small rig; yields its endpoints by device."""
    folder = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATTBENCH_STATE", str(folder / "state"))
        yield from _emulated(folder / "small.yaml")


def _emulated(file: Path) -> Iterator[dict[str, Any]]:
    file.write_text(RIG)
    process = subprocess.Popen(
        [sys.executable, "-m", "wattbench", "emulate", str(file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        rows = [json.loads(process.stdout.readline()) for _ in range(4)]
        yield {row["device"]: row for row in rows}
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def on(target: str, kind: str, *parameters: str, for_s: str | None = None) -> None:
    assert command.switch_on(target, kind, list(parameters), for_s, None, as_json=False) == 0


def off(target: str) -> None:
    assert command.switch_off(target, None, None, as_json=False) == 0


def dial(row: dict[str, Any]) -> socket.socket:
    return socket.create_connection((row["host"], row["port"]), timeout=5)


def ask(client: socket.socket, request: bytes, wait_s: float = 0.5) -> bytes:
    """Return what comes within a time, b"" when nothing or the end."""
    try:
        client.sendall(request)
        ready, _, _ = select.select([client], [], [], wait_s)
        return client.recv(300) if ready else b""
    except OSError:
        return b""


def power(answer: bytes) -> float:
    assert len(answer) == 13
    return float(struct.unpack(">f", answer[9:])[0])


def test_over_tcp(rig: dict[str, Any]) -> None:
    request = framing.tcp_frame(1, 1, POWER)
    with dial(rig["meter"]) as client:
        power(ask(client, request))
        on("meter", "bus_delay", "delay_s=0.4", "direction=answer")
        begin = time.monotonic()
        power(ask(client, request, 3.0))
        assert time.monotonic() - begin > 0.39
        off("meter")
        on("lan", "bus_exception", "code=6")
        assert ask(client, request)[7:] == bytes((0x84, 6))
        off("lan")
        on("meter", "value_stuck", "quantity=power_w")
        first = power(ask(client, request))
        time.sleep(1.0)
        assert power(ask(client, request)) == first
        off("meter")
        on("lan", "slow_client", "connections=50", "period_s=0.01")
        time.sleep(0.3)
        power(ask(client, request))
        off("lan")
        on("lan", "bus_disconnect", for_s="1")
        assert ask(client, request) == b""
    with dial(rig["meter"]) as client:
        assert ask(client, request) == b""  # refused: taken and closed
    time.sleep(1.2)
    with dial(rig["meter"]) as client:
        power(ask(client, request))


def exchange(path: str, request: bytes, wait_s: float = 0.5) -> bytes:
    try:
        line = os.open(path, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        os.write(line, request)
        got = b""
        while len(got) < 300 and select.select([line], [], [], wait_s)[0]:
            got += os.read(line, 300)
        return got
    except OSError:
        return b""
    finally:
        os.close(line)


def test_on_a_line(rig: dict[str, Any]) -> None:
    path = rig["one"]["path"]
    first, second = framing.rtu_frame(1, POWER), framing.rtu_frame(2, POWER)
    assert framing.crc(exchange(path, first)) == 0
    on("one", "bus_drop")
    assert exchange(path, first) == b""
    assert len(exchange(path, second)) == 9  # only the one that was meant
    off("one")
    on("line", "bus_bad_crc", "direction=answer")
    bad = exchange(path, first)
    assert len(bad) == 9
    assert framing.crc(bad) != 0
    off("line")
    on("line", "bus_babble", "period_s=0.01")
    assert exchange(path, b"")
    off("line")
    time.sleep(0.2)
    exchange(path, b"")  # what is left of it
    on("line", "port_vanish")
    assert not Path(path).exists()
    # It comes back under whatever name is free then.
    off("line")


def test_at_a_coordinator(rig: dict[str, Any]) -> None:
    with dial(rig["plug"]) as client:
        assert ask(client, PING) == PONG
        on("mesh", "bus_exception", "code=2")
        assert ask(client, PING) == bytes.fromhex("fe03600002210141")
        off("mesh")
        on("mesh", "device_reboot", for_s="1")
        assert ask(client, PING) == b""
    time.sleep(1.5)
    with dial(rig["plug"]) as client:
        assert ask(client, PING) == PONG
    on("plug", "device_reboot")
    off("plug")
