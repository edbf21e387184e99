"""Requests and answers of Modbus TCP, and a client that exchanges them in virtual time."""

import asyncio
import struct

from wattbench.hil import memory
from wattbench.hil.modbus.framing import tcp_frame


def read(number: int, unit: int = 1, function: int = 3, address: int = 0, count: int = 2) -> bytes:
    return struct.pack(">HHHBBHH", number, 0, 6, unit, function, address, count)


def answer(number: int, unit: int = 1, function: int = 3, count: int = 2) -> bytes:
    return tcp_frame(number, unit, bytes((function, 2 * count)) + bytes(2 * count))


def split(data: bytes) -> list[bytes]:
    """Return the frames that answers consist of; fails when they are not whole."""
    frames = []
    while data:
        size = 6 + int.from_bytes(data[4:6], "big")
        assert len(data) >= size
        frames.append(data[:size])
        data = data[size:]
    return frames


def talk(clock, server, pieces, pause_s=0.0, wait_s=1.0):
    """Send pieces to the server, in memory; return it and the client with what came back."""

    class Client(asyncio.Protocol):
        data, lost, times = b"", False, ()

        def data_received(self, data):
            self.data += data
            self.times = (*self.times, clock.now_us)

        def connection_lost(self, exc):
            self.lost = True

    async def main():
        client = Client()
        transport = memory.connect(clock, client, server.protocol(), 0)
        for piece in pieces:
            transport.write(piece)
            await asyncio.sleep(pause_s)
        await asyncio.sleep(wait_s)
        return client

    return server, clock.run(main())
