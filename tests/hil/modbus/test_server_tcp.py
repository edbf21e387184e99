"""The server over TCP, in memory: streams of frames, units, connections."""

import asyncio
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil import memory
from wattbench.hil.modbus.framing import tcp_frame
from wattbench.hil.modbus.server import ModbusServer
from wattbench.sim.clock import US_PER_S, VirtualClock

from .tcp_exchange import answer, read, split, talk


def exchange(
    server_of, *pieces: bytes, pause_s: float = 0.0, begin_us: int = 0
) -> tuple[bytes, bool]:
    """Send pieces in virtual time; return what came back and whether the connection was lost."""
    with VirtualClock(begin_us) as clock:
        _, client = talk(clock, server_of(clock), pieces, pause_s)
        return client.data, client.lost


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
