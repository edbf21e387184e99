"""The server over TCP: in memory on the virtual clock, and over sockets."""

import asyncio
import errno
import random
import socket
import struct
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil import memory
from wattbench.hil.modbus import listener
from wattbench.hil.modbus.framing import tcp_frame
from wattbench.hil.modbus.server import ModbusServer, ServeError
from wattbench.hil.wire import Delivery
from wattbench.sim.clock import US_PER_S, VirtualClock, WallClock


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


def exchange(
    server_of, *pieces: bytes, pause_s: float = 0.0, begin_us: int = 0
) -> tuple[bytes, bool]:
    """Send pieces in virtual time; return what came back and whether the connection was lost."""
    with VirtualClock(begin_us) as clock:
        _, client = talk(clock, server_of(clock), pieces, pause_s)
        return client.data, client.lost


def talk(clock, server, pieces, pause_s=0.0, wait_s=1.0):
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


@pytest.fixture
def one(kit):
    """Makes a server of one unit on a clock."""
    return lambda clock: ModbusServer({1: kit.Bank()}, clock)


def test_requests_sent_together_are_each_answered_in_order(one) -> None:
    data, _ = exchange(one, b"".join(read(k) for k in range(300)))
    assert split(data) == [answer(k) for k in range(300)]


@given(st.randoms(use_true_random=False))
def test_any_cut_of_a_stream_gives_the_same_answers(kit, rng) -> None:
    stream = b"".join(read(k, count=1 + k) for k in range(10))
    pieces = []
    while stream:
        size = rng.randint(1, 30)
        pieces.append(stream[:size])
        stream = stream[size:]
    data, _ = exchange(lambda clock: ModbusServer({1: kit.Bank()}, clock), *pieces)
    assert split(data) == [answer(k, count=1 + k) for k in range(10)]


def test_a_frame_of_another_protocol_is_dropped_and_the_next_one_counts(one) -> None:
    other = b"\x00\x01\x12\x34" + read(1)[4:]
    data, lost = exchange(one, read(1) + other + read(2), other, read(3))
    assert split(data) == [answer(1), answer(2), answer(3)]
    assert not lost


@pytest.mark.parametrize("length", [0, 1, 255, 260, 0xFFFF])
def test_a_length_that_cannot_be_ends_the_connection_after_what_came_before(one, length) -> None:
    bad = struct.pack(">HHH", 9, 0, length) + bytes(6)
    data, lost = exchange(one, read(1) + bad + read(2))
    assert split(data) == [answer(1)]
    assert lost


@pytest.mark.parametrize(
    ("pdu", "code"), [("03 0000 0000", 3), ("03 0000 007E", 3), ("41 00", 1), ("03 FFFF 0002", 2)]
)
def test_refusals(one, pdu, code) -> None:
    request = bytes.fromhex(pdu)
    data, _ = exchange(one, tcp_frame(7, 1, request))
    assert data == tcp_frame(7, 1, bytes((request[0] | 0x80, code)))


def test_a_length_that_the_function_contradicts(one) -> None:
    """Whole: refused as illegal. Not whole: closed soon, not filled up with what follows."""
    long = struct.pack(">HHHB", 1, 0, 20, 1) + bytes.fromhex("03 0000 0001")
    data, lost = exchange(one, long + bytes(14) + read(2))
    assert split(data) == [tcp_frame(1, 1, b"\x83\x03"), answer(2)]
    assert not lost
    data, lost = exchange(one, long)
    assert (data, lost) == (b"", True)


@pytest.mark.parametrize("begin_us", [0, -600_000_000])
def test_a_frame_that_stops_coming_ends_the_connection_a_slow_one_does_not(one, begin_us) -> None:
    pieces = [read(1)[k : k + 1] for k in range(12)]
    data, lost = exchange(one, *pieces, pause_s=1.0, begin_us=begin_us)
    assert (data, lost) == (answer(1), False)
    _, lost = exchange(one, read(1)[:5], pause_s=6.0, begin_us=begin_us)
    assert lost
    _, lost = exchange(one, *pieces, pause_s=4.0, begin_us=begin_us)
    assert lost, "half a minute for a frame is too long"


def test_unknown_units_are_refused_as_by_a_gateway_or_left_without_answer(kit) -> None:
    for policy, expected in (("gateway", tcp_frame(1, 7, b"\x83\x0b")), ("silent", b"")):
        data, _ = exchange(
            lambda clock, policy=policy: ModbusServer({1: kit.Bank()}, clock, unknown_unit=policy),
            read(1, unit=7) + read(2),
        )
        assert data == expected + answer(2)


def test_unit_zero_is_no_broadcast_on_tcp(kit) -> None:
    unit = kit.Bank()
    write = tcp_frame(1, 0, bytes.fromhex("06 0001 0003"))
    data, _ = exchange(lambda clock: ModbusServer({1: unit}, clock), write)
    assert data == tcp_frame(1, 0, b"\x86\x0b")
    assert unit.get(1) == 0
    data, _ = exchange(lambda clock: ModbusServer({0: unit}, clock), write)
    assert data == write


def test_a_unit_that_holds_is_answered_later_in_order_and_acts_then(kit) -> None:
    slow, quick = kit.Bank(hold_us=50_000), kit.Bank()
    with VirtualClock() as clock:
        server = ModbusServer({1: slow, 2: quick}, clock)
        _, client = talk(clock, server, [read(1) + read(2, unit=2) + read(3)])
    assert split(client.data) == [answer(1), answer(2, unit=2), answer(3)]
    assert client.times == (50_000, 50_000, 100_000)
    assert [t_us for t_us, *_ in slow.asked] == [50_000, 100_000]


def test_a_unit_that_stays_silent_is_not_asked(kit) -> None:
    unit = kit.Bank(hold_us=None)
    data, lost = exchange(lambda clock: ModbusServer({1: unit}, clock), read(1))
    assert (data, lost, unit.asked) == (b"", False, [])


def test_a_unit_that_fails_answers_so_and_the_connection_lives(kit, caplog) -> None:
    unit = kit.Bank()
    unit.read_registers = lambda *_: 1 / 0
    unit.identification = lambda: None
    with VirtualClock() as clock:
        server = ModbusServer({1: unit}, clock)
        pieces = [read(1), read(2) + tcp_frame(3, 1, bytes((43, 14, 1, 0))), read(4)[:5]]
        _, client = talk(clock, server, [*pieces, read(4)[5:]])
    assert split(client.data) == [
        tcp_frame(k, 1, bytes((function | 0x80, 4)))
        for k, function in ((1, 3), (2, 3), (3, 43), (4, 3))
    ]
    assert server.statistics.failures == 4
    assert len(caplog.records) == 1


def test_idle_connections_are_closed_busy_ones_are_not(kit) -> None:
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, idle_timeout_s=60)
        _, client = talk(clock, server, [read(k) for k in range(10)], pause_s=50)
        assert len(split(client.data)) == 10
        assert not client.lost
        _, client = talk(clock, server, [], wait_s=61)
        assert client.lost
        assert server.statistics.timed_out == 2, "the first one as well by now"
        assert server.connections == 0


def test_the_longest_idle_connection_gives_way(kit) -> None:
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, max_connections=3)

        async def main():
            clients, transports = [], []
            for _ in range(3):
                clients.append(kit.Collector(clock))
                transports.append(memory.connect(clock, clients[-1], server.protocol(), 0))
                await asyncio.sleep(1)
            transports[0].write(read(1))
            await asyncio.sleep(1)
            memory.connect(clock, kit.Collector(clock), server.protocol(), 0)
            await asyncio.sleep(1)
            return [client.lost for client in clients]

        assert clock.run(main()) == [False, True, False]
        assert (server.connections, server.statistics.evicted) == (3, 1)


def test_a_flood_of_connections_does_not_throw_out_a_client_that_polls(kit) -> None:
    """Not even one whose connections each send requests, as a fuzzer's do."""
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, max_connections=8)

        async def main():
            client, gone = kit.Collector(clock), kit.Collector(clock)
            poll = memory.connect(clock, client, server.protocol(), 0)
            memory.connect(clock, gone, server.protocol(), 0).write(read(1))
            poll.write(read(0))
            await asyncio.sleep(1)
            for k in range(60):
                if k % 5 == 0:
                    poll.write(read(k))
                for _ in range(5):
                    other = memory.connect(clock, kit.Collector(clock), server.protocol(), 0)
                    other.write(read(2))
                    await asyncio.sleep(0.03)
                await asyncio.sleep(0.05)
            return client, gone

        client, gone = clock.run(main())
        assert not client.lost
        assert len(split(client.data)) == 13
        assert gone.lost
        assert server.connections == 8


@given(st.lists(st.binary(max_size=80), max_size=8), st.randoms(use_true_random=False))
def test_fuzz_of_the_stream_never_wedges(kit, junk, rng) -> None:
    """Whatever came, a frame sent six seconds later is answered, or the connection is closed."""
    pieces = list(junk)
    for _ in range(3):
        frame = bytearray(read(5, count=rng.randint(0, 130)))
        frame[rng.randrange(12)] = rng.randrange(256)
        pieces.insert(rng.randint(0, len(pieces)), bytes(frame))
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock)

        async def main():
            client = kit.Collector(clock)
            transport = memory.connect(clock, client, server.protocol(), 0)
            for piece in pieces:
                transport.write(piece)
            await asyncio.sleep(6)
            before = len(client.data)
            transport.write(read(0xABCD))
            await asyncio.sleep(1)
            assert client.lost or client.data[before:] == answer(0xABCD)
            split(client.data)

        clock.run(main())
        assert server.statistics.failures == 0


class Faults:
    """Does with requests and answers what it is told."""

    def __init__(self, requests=None, answers=None) -> None:
        self._requests = requests or (lambda frame: [Delivery(0, frame)])
        self._answers = answers or (lambda frame: [Delivery(0, frame)])
        self.on = True
        self.attached = []

    def requests(self, bus, t_us, frame):
        return self._requests(frame)

    def answers(self, bus, t_us, frame):
        return self._answers(frame)

    def accepts(self, bus, t_us):
        return self.on

    def attach(self, bus, send, close):
        self.attached.append((send, close))
        return lambda: self.attached.remove((send, close))


class Tape:
    def __init__(self) -> None:
        self.frames = []

    def frame(self, bus, direction, t_us, data) -> None:
        self.frames.append((bus, direction, t_us, data))


def test_the_tape_sees_the_wire_requests_before_and_answers_after_the_faults(kit) -> None:
    tape = Tape()
    faults = Faults(
        requests=lambda frame: [Delivery(1000, frame)] * 2,
        answers=lambda frame: [Delivery(500, frame[:-1] + b"\xee")],
    )
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, bus="b", tap=tape, faults=faults)
        _, client = talk(clock, server, [read(1)])
    bent = answer(1)[:-1] + b"\xee"
    assert client.data == 2 * bent
    assert tape.frames == [
        ("b", "request", 0, read(1)),
        ("b", "answer", 1500, bent),
        ("b", "answer", 1501, bent),
    ]


def test_faults_drop_bend_refuse_and_keep_order(kit) -> None:
    delays = iter([30_000, 10_000, 0])
    plans = {
        "drop": (Faults(requests=lambda _: []), b""),
        "other protocol": (
            Faults(requests=lambda f: [Delivery(0, f[:2] + b"\1\0" + f[4:])]),
            b"",
        ),
        "other length": (Faults(requests=lambda f: [Delivery(0, f[:-1])]), b""),
        "back": (
            Faults(requests=lambda f: [Delivery(0, tcp_frame(1, 1, b"\x83\x06"), back=True)]),
            3 * tcp_frame(1, 1, b"\x83\x06"),
        ),
        "delays": (
            Faults(answers=lambda f: [Delivery(next(delays), f)]),
            answer(1) + answer(2) + answer(3),
        ),
        "half": (Faults(answers=lambda f: [Delivery(0, f[:4])]), 3 * answer(1)[:4]),
    }
    for name, (faults, expected) in plans.items():
        with VirtualClock() as clock:
            server = ModbusServer({1: kit.Bank()}, clock, faults=faults)
            _, client = talk(clock, server, [read(1) + read(2) + read(3)])
        if name == "half":
            assert [client.data[k] for k in (1, 5, 9)] == [1, 2, 3]
        else:
            assert client.data == expected, name


def test_quiet_faults_are_passed_by_until_they_stir(kit) -> None:
    asked = []
    faults = Faults(
        requests=lambda f: asked.append(f) or [Delivery(500_000, f)],
    )
    faults.quiet = lambda bus, t_us: t_us >= 2 * US_PER_S
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, faults=faults)
        late = [read(1), *[b""] * 17, read(2), b"", read(3), *[b""] * 6, read(4)]
        _, client = talk(clock, server, late, pause_s=0.1)
    assert split(client.data) == [answer(k) for k in (1, 2, 3, 4)]
    assert client.times == (500_000, 2_300_000, 2_500_000, 2_700_000)
    assert asked == [read(1), read(2), read(3)]


def test_a_bus_that_is_off_refuses_and_closes_and_is_babbled_on(kit) -> None:
    faults = Faults()
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, faults=faults)

        async def main():
            client = kit.Collector(clock)
            memory.connect(clock, client, server.protocol(), 0)
            ((send, close),) = faults.attached
            send(b"babble")
            await asyncio.sleep(1)
            assert client.data == b"babble"
            close()
            await asyncio.sleep(1)
            assert client.lost
            assert faults.attached == []
            faults.on = False
            again = kit.Collector(clock)
            memory.connect(clock, again, server.protocol(), 0)
            await asyncio.sleep(1)
            assert again.lost
            assert server.statistics.refused == 1
            faults.on = True
            server.switch(False)
            memory.connect(clock, again := kit.Collector(clock), server.protocol(), 0)
            await asyncio.sleep(1)
            assert again.lost
            server.switch(True)
            transport = memory.connect(clock, again := kit.Collector(clock), server.protocol(), 0)
            transport.write(read(1))
            await asyncio.sleep(1)
            assert again.data == answer(1)

        clock.run(main())


def test_faults_and_tape_may_come_while_serving(kit) -> None:
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock)

        async def main():
            client = kit.Collector(clock)
            transport = memory.connect(clock, client, server.protocol(), 0)
            faults, server.tap = Faults(answers=lambda _: []), Tape()
            server.faults = faults
            assert len(faults.attached) == 1
            transport.write(read(1))
            await asyncio.sleep(1)
            assert client.data == b""
            server.faults = None
            assert faults.attached == []
            transport.write(read(2))
            await asyncio.sleep(1)
            assert client.data == answer(2)
            assert len(server.tap.frames) == 3
            server.send(b"?")
            await server.close()
            assert client.data == answer(2) + b"?"
            await asyncio.sleep(1)
            assert client.lost
            assert server.connections == 0

        clock.run(main())


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


def test_room_is_not_made_by_whoever_polls(kit) -> None:
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock)

        async def main():
            client, idle = kit.Collector(clock), kit.Collector(clock)
            poll = memory.connect(clock, client, server.protocol(), 0)
            memory.connect(clock, idle, server.protocol(), 0)
            await asyncio.sleep(1)
            poll.write(read(1))
            await asyncio.sleep(1)
            lost = []
            for _ in range(2):
                server.make_room()
                await asyncio.sleep(1)
                lost.append((client.lost, idle.lost))
            return lost

        assert clock.run(main()) == [(False, True), (False, True)]


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


def test_answers_are_the_same_at_the_same_times_in_every_run(kit) -> None:
    def run():
        with VirtualClock() as clock:
            units = {k: kit.Bank(hold_us=k * 1000) for k in range(5)}
            _, client = talk(
                clock, ModbusServer(units, clock), [read(k, unit=k % 6) for k in range(50)]
            )
            return client.times, client.data

    assert run() == run()
    times, _ = run()
    assert all(first <= second for first, second in pairwise(times))
    assert times[-1] < US_PER_S
