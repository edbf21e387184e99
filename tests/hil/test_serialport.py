"""Serial ports as transports: what finds no room waits or is lost, and what a port is set to."""

from __future__ import annotations

import asyncio
import os
import termios
from pathlib import Path
from typing import Any

import pytest

from wattbench.hil.serialport import LineError, PtyPort, SerialTransport, open_port
from wattbench.sim.clock import WallClock

MUCH = bytes(range(256)) * 400


class Notes(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = b""
        self.lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


def on_wall(work: Any) -> Any:
    with WallClock() as clock:
        return clock.run(asyncio.wait_for(work(), 20))


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def joined(keep: int) -> tuple[PtyPort, Notes, Notes, SerialTransport]:
    far, near = Notes(), Notes()
    port = PtyPort(lambda: far)
    port.plug()
    fd = open_port(port.path, 115200)
    loop = asyncio.get_running_loop()
    return port, far, near, SerialTransport(loop, fd, near, port.path, keep=keep)


def test_what_finds_no_room_is_lost_and_counted() -> None:
    async def work() -> None:
        port, far, _, transport = joined(keep=0)
        transport.write(MUCH)
        assert transport.lost_bytes > 0
        await until(lambda: len(far.received) == len(MUCH) - transport.lost_bytes)
        assert MUCH.startswith(far.received)
        transport.close()
        port.unplug()

    on_wall(work)


def test_what_finds_no_room_waits() -> None:
    async def work() -> None:
        port, far, _, transport = joined(keep=1 << 20)
        transport.write(MUCH)
        transport.write(MUCH)
        await until(lambda: far.received == MUCH * 2)
        assert transport.lost_bytes == 0
        transport.close()
        port.unplug()

    on_wall(work)


def test_a_port_that_takes_nothing_is_given_up() -> None:
    async def work() -> None:
        port, _, near, transport = joined(keep=1000)
        for _ in range(100):
            transport.write(bytes(4096))
            if transport.is_closing():
                break
        await until(lambda: near.lost)
        assert "takes no more" in str(near.lost[0])
        port.unplug()

    on_wall(work)


def test_a_port_that_is_pulled_out_is_told_once(tmp_path: Path) -> None:
    async def work() -> None:
        near = Notes()
        port = PtyPort(Notes, tmp_path / "stick")
        port.plug()
        fd = open_port(port.path, 9600)
        transport = SerialTransport(asyncio.get_running_loop(), fd, near, "stick")
        port.unplug()
        assert not (tmp_path / "stick").is_symlink()
        await until(lambda: near.lost)
        assert isinstance(near.lost[0], OSError)
        transport.write(b"nothing")
        transport.close()
        await asyncio.sleep(0)
        assert len(near.lost) == 1

    on_wall(work)


@pytest.mark.parametrize("hardware_flow", [False, True])
def test_a_port_is_raw_and_keeps_its_modem_lines_when_closed(hardware_flow: bool) -> None:
    async def work() -> None:
        port = PtyPort(Notes)
        port.plug()
        fd = open_port(port.path, 38400, "E", 2, hardware_flow=hardware_flow)
        inputs, outputs, control, local, *rates, special = termios.tcgetattr(fd)
        assert (inputs, outputs, local) == (0, 0, 0)
        assert rates == [termios.B38400] * 2
        assert bool(control & termios.CRTSCTS) == hardware_flow
        assert control & termios.CSTOPB
        assert not control & termios.HUPCL
        assert not control & termios.PARENB, "a pseudo terminal knows no parity"
        assert special[termios.VMIN] == 1 or special[termios.VMIN] == b"\x01"
        with pytest.raises(LineError, match="in use, another program has locked it"):
            open_port(port.path, 38400)
        os.close(fd)
        port.unplug()

    on_wall(work)


def test_a_rate_that_is_none_is_said_before_anything_is_opened() -> None:
    with pytest.raises(LineError, match="12345 baud: not a rate"):
        open_port("/nowhere", 12345)
