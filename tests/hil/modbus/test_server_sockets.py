"""The server on sockets: floods, hosts that read late or vanish, too few descriptors."""

import asyncio
import errno
import random
import socket
import struct
from contextlib import asynccontextmanager

import pytest

from wattbench.hil.modbus import listener
from wattbench.hil.modbus.server import ModbusServer, ServeError
from wattbench.sim.clock import WallClock

from .tcp_exchange import answer, read, split


@asynccontextmanager
async def listening(server):
    host, port = await server.serve_tcp()
    try:
        yield host, port
    finally:
        await server.close()


def on_sockets(one, client) -> ModbusServer:
    """Run `client(host, port)` beside a server on the wall clock."""
    with WallClock() as clock:
        server = one(clock)

        async def main():
            async with listening(server) as (host, port):
                await asyncio.wait_for(client(host, port), 20)

        clock.run(main())
        return server


def test_sockets_pipelining_and_byte_by_byte(one) -> None:
    async def client(host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(read(1))
        assert await reader.readexactly(13) == answer(1)
        writer.write(b"".join(read(k, count=125) for k in range(200)))
        for k in range(200):
            assert await reader.readexactly(259) == answer(k, count=125)
        for byte in read(2):
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.001)
        assert await reader.readexactly(13) == answer(2)
        writer.close()

    assert on_sockets(one, client).statistics.requests == 202


def test_a_client_that_never_reads_stops_being_read(one) -> None:
    """What it did not read is answered later, in order; meanwhile others are served."""

    async def client(host, port):
        loop, count = asyncio.get_running_loop(), 40_000
        sock = socket.socket()
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 8192)
        sock.setblocking(False)
        await loop.sock_connect(sock, (host, port))
        stream = b"".join(read(k & 0xFFFF, count=125) for k in range(count))
        sent, idle = 0, 0
        while idle < 10:
            try:
                sent += sock.send(stream[sent : sent + 8192])
                idle = 0
            except BlockingIOError:
                idle += 1
                await asyncio.sleep(0.02)
        assert sent < len(stream) / 2, "the server goes on taking requests"
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(read(1))
        assert await reader.readexactly(13) == answer(1)
        writer.close()
        got = b""
        while len(got) < 259 * (sent // 12):
            got += await asyncio.wait_for(loop.sock_recv(sock, 1 << 16), 5)
        for k, frame in enumerate(split(got[: 259 * (sent // 12)])):
            assert frame == answer(k & 0xFFFF, count=125)
        sock.close()

    on_sockets(one, client)


def test_a_flood_on_a_slow_unit_stops_being_read(kit) -> None:
    async def client(host, port):
        sock = socket.create_connection((host, port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        sock.setblocking(False)
        sent, idle = 0, 0
        while idle < 10 and sent < 1 << 20:
            try:
                sent += sock.send(read(1) * 500)
                idle = 0
            except BlockingIOError:
                idle += 1
                await asyncio.sleep(0.01)
        assert sent < 1 << 20
        sock.close()

    unit = kit.Bank(hold_us=50_000)
    on_sockets(lambda clock: ModbusServer({1: unit}, clock), client)


def test_a_host_that_stops_sending_gets_its_answers(kit) -> None:
    async def client(host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(read(1) + read(2) + read(3))
        writer.write_eof()
        assert await reader.read() == answer(1) + answer(2) + answer(3)
        writer.close()

    for hold_us in (0, 20_000):
        unit = kit.Bank(hold_us=hold_us)
        on_sockets(lambda clock, unit=unit: ModbusServer({1: unit}, clock), client)


def test_a_host_that_stops_sending_and_reads_late_gets_all_its_answers(one) -> None:
    async def client(host, port):
        reader, writer = await asyncio.open_connection(host, port, limit=4096)
        writer.write(b"".join(read(k, count=125) for k in range(5000)))
        writer.write_eof()
        await asyncio.sleep(0.3)
        for k in range(5000):
            assert await reader.readexactly(259) == answer(k, count=125)
        assert await reader.read() == b""
        writer.close()

    on_sockets(one, client)


def test_out_of_descriptors_the_listener_waits_and_goes_on(one) -> None:
    async def client(host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(read(1))
        assert await reader.readexactly(13) == answer(1)
        writer.close()

    class Exhausted:
        """A socket that fails to accept once."""

        def __init__(self, sock) -> None:
            self._sock, self.failed = sock, False

        def accept(self):
            if not self.failed:
                self.failed = True
                raise OSError(errno.EMFILE, "too many open files")
            return self._sock.accept()

        def __getattr__(self, name):
            return getattr(self._sock, name)

    def made(clock):
        server = one(clock)
        listen = server._listen

        def worse(*args):
            address = listen(*args)
            (listener,) = server._listeners
            listener._sock = Exhausted(listener._sock)
            return address

        server._listen = worse
        return server

    on_sockets(made, client)


def test_many_connections_come_go_and_break(kit) -> None:
    async def client(host, port):
        pairs = [await asyncio.open_connection(host, port) for _ in range(100)]
        for k, (_, writer) in enumerate(pairs):
            writer.write(read(k))
        for k, (reader, _) in enumerate(pairs):
            assert await reader.readexactly(13) == answer(k)
        for _, writer in pairs[::2]:
            linger = struct.pack("ii", 1, 0)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.write(read(1)[:7])
            writer.transport.abort()
        for k, (reader, writer) in enumerate(pairs[1::2]):
            writer.write(read(k))
            assert await reader.readexactly(13) == answer(k)
            writer.close()

    server = on_sockets(lambda clock: ModbusServer({1: kit.Bank()}, clock), client)
    assert server.statistics.connections == 100
    assert server.connections == 0


def test_one_more_connection_than_allowed_is_served(kit) -> None:
    async def client(host, port):
        pairs = [await asyncio.open_connection(host, port) for _ in range(5)]
        reader, writer = pairs[-1]
        writer.write(read(1))
        assert await reader.readexactly(13) == answer(1)
        assert await pairs[0][0].read() == b"", "the oldest was closed"

    on_sockets(lambda clock: ModbusServer({1: kit.Bank()}, clock, max_connections=4), client)


def test_out_of_descriptors_new_clients_still_get_in(kit, monkeypatch) -> None:
    """Idle connections give way when the process has as many as it can watch."""
    with socket.socket() as probe:
        monkeypatch.setattr(listener, "_MAX_DESCRIPTOR", probe.fileno() + 20)

    async def client(host, port):
        idle = [await asyncio.open_connection(host, port) for _ in range(30)]
        for k in range(5):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(read(k))
            assert await reader.readexactly(13) == answer(k)
            writer.close()
        assert await idle[0][0].read() == b"", "the oldest was closed"
        for _, writer in idle:
            writer.close()

    server = on_sockets(lambda clock: ModbusServer({1: kit.Bank()}, clock), client)
    assert server.statistics.evicted > 0


def test_fuzz_over_sockets_the_server_lives(one) -> None:
    rng = random.Random(3)

    async def client(host, port):
        for _ in range(60):
            _, writer = await asyncio.open_connection(host, port)
            data = rng.randbytes(rng.randint(0, 400))
            if rng.random() < 0.5:
                frame = bytearray(read(1) * 5)
                frame[rng.randrange(60)] ^= 1 << rng.randrange(8)
                data = bytes(frame)
            writer.write(data)
            if rng.random() < 0.3:
                writer.transport.abort()
            else:
                writer.close()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(read(7))
        assert await reader.readexactly(13) == answer(7)
        writer.close()

    assert on_sockets(one, client).statistics.failures == 0


def test_an_address_that_is_taken_is_said_so(one) -> None:
    async def client(host, port):
        with pytest.raises(ServeError, match=f"{port}: cannot be listened"):
            await one(None).serve_tcp(host, port)

    on_sockets(one, client)
