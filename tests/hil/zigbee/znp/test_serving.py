"""The coordinator on a TCP port and on a pseudo-terminal, on the wall clock."""

from __future__ import annotations

import asyncio
import os

import pytest

from wattbench.hil.zigbee import mt
from wattbench.hil.zigbee.mt import MtFrame, MtParser
from wattbench.hil.zigbee.network import Network
from wattbench.hil.zigbee.znp.coordinator import ZnpCoordinator
from wattbench.hil.zigbee.znp.serving import PtyEndpoint, port_of, serve_tcp
from wattbench.sim.clock import WallClock


@pytest.fixture
def coordinator():
    with WallClock() as clock:
        yield ZnpCoordinator(clock, Network(clock))


def test_tcp_host_and_its_successor(coordinator):
    async def work():
        server = await serve_tcp(coordinator.protocol)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        raw = MtFrame(mt.SYS_PING).encode()
        writer.write(raw[:2])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(raw[2:] + raw)
        assert await reader.readexactly(14) == bytes.fromhex("fe02610159063d") * 2
        # Whoever connects next is heard; the one before, perhaps half dead, is dropped.
        second_reader, second = await asyncio.open_connection("127.0.0.1", port_of(server))
        second.write(raw)
        assert await second_reader.readexactly(7) == bytes.fromhex("fe02610159063d")
        assert await reader.read() == b""
        for one in (writer, second):
            one.close()
        server.close()

    coordinator.clock.run(asyncio.wait_for(work(), 10))


def test_pseudo_terminal_passes_every_byte(coordinator, tmp_path):
    link = tmp_path / "stick"

    async def work():
        port = PtyEndpoint(coordinator.protocol(), link)
        assert port.path == str(link)
        host = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        value = bytes(range(200))
        init = bytes((0x60, 0, 200, 0, 200)) + value
        read = bytes((0x60, 0, 0, 0))
        os.write(host, MtFrame(mt.SYS_NV_ITEM_INIT, init).encode())
        os.write(host, MtFrame(mt.SYS_NV_READ_EXT, read).encode())
        parser, frames = MtParser(), []
        while len(frames) < 2:
            await asyncio.sleep(0.005)
            try:
                frames += parser.feed(os.read(host, 4096))
            except BlockingIOError:
                continue
        assert frames[1].data[2:] == value
        os.close(host)
        # A host that comes back finds the port as it was.
        host = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        os.write(host, MtFrame(mt.SYS_PING).encode())
        await asyncio.sleep(0.05)
        assert parser.feed(os.read(host, 4096))[0].command == 0x6101
        # What nobody fetches is lost beyond a bound, and nothing hangs.
        for _ in range(2000):
            coordinator.send(mt.AF_INCOMING_MSG, bytes(200))
        await asyncio.sleep(0.05)
        port.close()
        assert not link.exists()
        os.close(host)

    coordinator.clock.run(asyncio.wait_for(work(), 10))
