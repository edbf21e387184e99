"""The client over TCP framing: what it takes for an answer, and what it never does."""

import asyncio
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.hil.modbus.client import (
    ModbusClient,
    ModbusError,
    ModbusLostError,
    ModbusRefusedError,
    ModbusSilentError,
)
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.modbus.tls import client_context, create_certificates, server_context
from wattbench.sim.clock import VirtualClock, WallClock

S = 1_000_000
VALUES = struct.pack(">4H", 11, 22, 33, 44)


class Peer(asyncio.Protocol):
    """Answers as `script(number, request)` says: a list of (delay in s, bytes; None: closes)."""

    def __init__(self, script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.transport = None
        self.lost = False

    def connection_made(self, transport) -> None:
        self.transport = transport

    def connection_lost(self, exc) -> None:
        self.lost = True

    def data_received(self, data: bytes) -> None:
        self.requests.append(data)
        for delay_s, answer in self.script(len(self.requests), data):
            send = self.transport.close if answer is None else self.transport.write
            arguments = () if answer is None else (answer,)
            if delay_s == 0:
                send(*arguments)
            else:
                asyncio.get_running_loop().call_later(delay_s, send, *arguments)


def answer(request: bytes, pdu: bytes | None = None, **changes) -> bytes:
    """Return the right answer to a read of four registers, or one that is wrong in something."""
    number, unit = int.from_bytes(request[:2], "big"), request[6]
    pdu = bytes((request[7], len(VALUES))) + VALUES if pdu is None else pdu
    head = {"number": number, "protocol": 0, "length": len(pdu) + 1, "unit": unit} | changes
    return struct.pack(">HHHB", *head.values()) + pdu


def run(script, use, *, connections: int = 1):
    """Let `use(client)` talk to a peer with a script; return what it returns, and the peers."""
    peers: list[Peer] = []

    def server() -> Peer:
        peers.append(Peer(script))
        return peers[-1]

    async def main():
        client = ModbusClient.in_memory(clock, server, name="meter", one_way_us=100, timeout_s=1.0)
        await client.connect()
        result = await use(client, clock)
        client.close()
        return result, client

    with VirtualClock() as clock:
        result, client = clock.run(main())
    return result, client, peers


async def read(client, clock=None) -> bytes:
    return await client.read_registers(1, "holding", 10, 4)


def test_request_and_answer_are_those_of_the_specification() -> None:
    result, client, peers = run(lambda n, r: [(0, answer(r))], read)
    assert result == VALUES
    assert peers[0].requests == [bytes.fromhex("0001 0000 0006 01 03 000A 0004")]
    assert (client.counters.requests, client.counters.answers) == (1, 1)


def test_an_answer_in_pieces_or_behind_another_one_is_found() -> None:
    def pieces(number, request):
        whole = answer(request)
        return [(0.01 * k, whole[k : k + 1]) for k in range(len(whole))]

    assert run(pieces, read)[0] == VALUES
    late = answer(b"\0\x63\0\0\0\0\x01\x03")
    assert run(lambda n, r: [(0, late + answer(r) + late)], read)[0] == VALUES


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 0},
        {"number": 2},
        {"number": 0xFFFF},
        {"unit": 2},
        {"unit": 0},
    ],
)
def test_answers_to_somebody_else_are_passed_over(changes) -> None:
    """The right one is still waited for, and taken when it comes."""
    result, client, _ = run(lambda n, r: [(0, answer(r, **changes)), (0.5, answer(r))], read)
    assert result == VALUES
    assert client.counters.unusable == 1

    async def alone(client, clock):
        with pytest.raises(ModbusSilentError, match="holding 10…13: no answer in time"):
            await read(client)

    run(lambda n, r: [(0, answer(r, **changes))], alone)


@pytest.mark.parametrize(
    "pdu",
    [
        b"\x04\x08" + VALUES,
        b"\x03\x08" + VALUES[:-1],
        b"\x03\x08" + VALUES + b"\0",
        b"\x03\x07" + VALUES[:-1],
        b"\x03\x06" + VALUES[:-2],
        b"\x03\x06" + VALUES,
        b"\x03\x0a" + VALUES + b"\0\0",
        b"\x03",
        b"\x84\x02",
        b"\x83",
        b"\x83\x02\x02",
        b"\x80\x02",
        b"\x63\x00",
    ],
)
def test_another_function_or_length_is_an_error_at_once(pdu) -> None:
    async def use(client, clock):
        begin_us = clock.now_us
        with pytest.raises(ModbusError, match="does not fit") as caught:
            await read(client)
        assert not isinstance(caught.value, ModbusSilentError | ModbusRefusedError)
        assert clock.now_us - begin_us == 200
        return await read(client)

    result, client, _ = run(lambda n, r: [(0, answer(r, pdu if n == 1 else None))], use)
    assert result == VALUES
    assert client.counters.unusable == 1


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 10, 11, 255])
def test_exceptions_carry_their_code(code) -> None:
    async def use(client, clock):
        with pytest.raises(ModbusRefusedError, match=f"code {code}") as caught:
            await read(client)
        return caught.value.code

    assert run(lambda n, r: [(0, answer(r, bytes((0x83, code))))], use)[0] == code


def test_a_late_answer_is_not_that_to_the_next_request() -> None:
    def script(number, request):
        other = answer(request, b"\x03\x08" + struct.pack(">4H", 1, 1, 1, 1))
        return [(1.2, other)] if number == 1 else [(0.5, answer(request))]

    async def use(client, clock):
        with pytest.raises(ModbusSilentError):
            await read(client)
        return await read(client)

    result, _, peers = run(script, use)
    assert result == VALUES
    assert len(peers) == 1


def test_half_a_late_answer_does_not_shift_those_behind_it() -> None:
    def script(number, request):
        whole = answer(request)
        if number == 1:
            return [(0.9, whole[:9]), (1.05, whole[9:])]
        return [(0.2, whole)]

    async def use(client, clock):
        with pytest.raises(ModbusSilentError):
            await read(client)
        return await read(client)

    assert run(script, use)[0] == VALUES


def test_duplicates_are_passed_over() -> None:
    async def use(client, clock):
        return [await read(client) for _ in range(5)]

    def script(number, request):
        pdu = b"\x03\x08" + struct.pack(">4H", number, 0, 0, 0)
        return [(0, answer(request, pdu)), (0, answer(request, pdu)), (0.01, answer(request, pdu))]

    result, _, _ = run(script, use)
    assert [int.from_bytes(data[:2], "big") for data in result] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("changes", [{"protocol": 1}, {"length": 1}, {"length": 255}])
def test_what_cannot_be_a_frame_ends_the_connection_at_once(changes) -> None:
    async def use(client, clock):
        begin_us = clock.now_us
        with pytest.raises(ModbusLostError, match="not Modbus"):
            await read(client)
        assert clock.now_us - begin_us == 200
        assert not client.connected
        await client.connect()
        return await read(client)

    served = []

    def script(number, request):
        served.append(number)
        return [(0, answer(request, **(changes if len(served) == 1 else {})))]

    assert run(script, use)[0] == VALUES


def test_a_connection_that_breaks_fails_the_request_at_once() -> None:
    async def use(client, clock):
        begin_us = clock.now_us
        with pytest.raises(ModbusLostError, match="broke"):
            await read(client)
        assert clock.now_us - begin_us < 400_000
        with pytest.raises(ModbusLostError, match="no connection"):
            await read(client)
        await client.connect()
        return client.connected

    assert run(lambda n, r: [(0.3, None)], use)[0]


def test_what_an_old_connection_says_is_not_heard_on_the_new_one() -> None:
    """The old answer has the very number that the new request has."""

    def script(number, request):
        other = answer(request, b"\x03\x08" + struct.pack(">4H", 1, 1, 1, 1))
        return [(1.4, other)] if len(served) == 1 else [(0.8, answer(request))]

    served: list[int] = []

    async def use(client, clock):
        served.append(1)
        with pytest.raises(ModbusSilentError):
            await read(client)
        served.append(2)
        await client.connect()
        return await read(client)

    result, _, peers = run(script, use)
    assert result == VALUES
    assert len(peers) == 2
    assert peers[0].requests == peers[1].requests


def test_two_time_outs_in_a_row_give_a_dead_peer_up() -> None:
    async def use(client, clock):
        for _ in range(2):
            with pytest.raises(ModbusSilentError):
                await read(client)
        return client.connected

    assert run(lambda n, r: [], use)[0] is False


def test_a_cancelled_request_leaves_the_client_usable() -> None:
    async def use(client, clock):
        task = asyncio.ensure_future(read(client))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await read(client)

    result, _, _ = run(lambda n, r: [(0.4, answer(r))], use)
    assert result == VALUES


def test_only_one_request_at_a_time() -> None:
    async def use(client, clock):
        first = asyncio.ensure_future(read(client))
        await asyncio.sleep(0)
        with pytest.raises(ModbusError, match="under way"):
            await read(client)
        return await first

    assert run(lambda n, r: [(0.1, answer(r))], use)[0] == VALUES


@settings(max_examples=300, deadline=None)
@given(
    changed=st.lists(st.tuples(st.integers(0, 16), st.integers(1, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 17),
    extra=st.binary(max_size=12),
)
def test_a_bent_answer_is_an_error_or_the_true_value(changed, cut, extra) -> None:
    """Whatever is bent in head, function, length and end."""

    def bend(number, request):
        data = bytearray(answer(request))
        for at, mask in changed:
            if at < 9:
                data[at] ^= mask
        # Cut short or too long: what fills the gap would be registers, which have no check sum.
        return [(0, bytes(data[:cut]) if cut < 17 else bytes(data) + extra)]

    async def use(client, clock):
        try:
            return await read(client)
        except ModbusError:
            return None

    result, _, _ = run(bend, use)
    assert result in {None, VALUES}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6))
def test_garbage_never_gets_out_as_anything_but_an_error(pieces) -> None:
    async def use(client, clock):
        for _ in pieces:
            try:
                await read(client)
            except ModbusLostError:
                await client.connect()
            except ModbusError:
                pass
            else:
                raise AssertionError("garbage was taken for an answer")

    run(lambda n, r: [(0.01 * k, piece) for k, piece in enumerate(pieces)], use)


def serve(kit, use, **options):
    """Let `use(client, unit)` talk to a server in memory."""
    unit = kit.Bank()

    async def main():
        server = ModbusServer({1: unit}, clock, **options)
        client = ModbusClient.in_memory(
            clock, server.protocol, name="bus", one_way_us=100, timeout_s=1.0
        )
        await client.connect()
        result = await use(client, unit)
        client.close()
        return result

    with VirtualClock() as clock:
        return clock.run(main())


def test_registers_and_bits_are_written_and_read_back(kit) -> None:
    async def use(client, unit):
        await client.write_register(1, 7, b"\x12\x34")
        await client.write_registers(1, 8, b"\x00\x01\x00\x02")
        assert await client.read_holding(1, 7, 3) == bytes.fromhex("1234 0001 0002")
        await client.write_coil(1, 3, True)
        await client.write_coils(1, 4, [False, True, True])
        assert await client.read_bits(1, "coil", 2, 6) == [False, True, False, True, True, False]
        unit.put("input", 5, 99)
        assert await client.read_input(1, 5, 1) == b"\0c"
        unit.bits["discrete"][65535] = True
        assert await client.read_bits(1, "discrete", 65535, 1) == [True]

    serve(kit, use)


def test_identification_is_read_to_its_end(kit) -> None:
    async def use(client, unit):
        unit.objects = {0: b"maker", 1: b"x" * 200, 2: b"1.0", 3: b"y" * 200, 4: b"z" * 200}
        assert await client.identification(1) == {0: b"maker", 1: b"x" * 200, 2: b"1.0"}
        assert (await client.identification(1, 2))[4] == b"z" * 200

    serve(kit, use)


@pytest.mark.parametrize("pdu", ["2B0E 0183 0000 02 00 05", "2B0E", "2B0E 0183 0000 01 00 20 41"])
def test_an_identification_cut_short_is_an_error(pdu) -> None:
    async def use(client, clock):
        with pytest.raises(ModbusError, match=r"cut short|does not fit"):
            await client.identification(1)

    run(lambda n, r: [(0, answer(r, bytes.fromhex(pdu)))], use)


def test_a_device_whose_identification_never_ends_is_not_asked_for_ever() -> None:
    again = bytes.fromhex("2B0E 0183 FF00 01 00 01 41")

    async def use(client, clock):
        return await client.identification(1)

    result, _, peers = run(lambda n, r: [(0, answer(r, again))], use)
    assert result == {0: b"A"}
    assert len(peers[0].requests) == 2


def test_a_write_confirmed_as_another_one_is_an_error() -> None:
    async def use(client, clock):
        with pytest.raises(ModbusError, match="does not fit"):
            await client.write_registers(1, 8, b"\0\x01\0\x02")

    run(lambda n, r: [(0, answer(r, bytes.fromhex("10 0008 0001")))], use)


class Tape:
    def __init__(self) -> None:
        self.frames: list[tuple[str, str, int, str]] = []

    def frame(self, bus, direction, t_us, data) -> None:
        self.frames.append((bus, direction, t_us, data.hex()))


def test_the_tape_has_every_frame_with_its_time(kit) -> None:
    tape = Tape()

    async def main():
        client = ModbusClient.in_memory(
            clock, server.protocol, name="bus", one_way_us=100, timeout_s=1.0, tap=tape
        )
        await client.connect()
        await client.read_holding(1, 7, 1)
        client.close()

    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock)
        clock.run(main())
    assert tape.frames == [
        ("bus", "request", 0, "000100000006010300070001"),
        ("bus", "answer", 200, "0001000000050103020000"),
    ]


def test_nobody_at_an_address_is_said_with_the_reason() -> None:
    async def main():
        client = ModbusClient.tcp(clock, "127.0.0.1", 1, name="meter", timeout_s=1.0)
        with pytest.raises(ModbusLostError, match=r"meter: no connection: .*127\.0\.0\.1"):
            await client.connect()

    with WallClock() as clock:
        clock.run(main())


def test_sockets(kit) -> None:
    async def main():
        unit = kit.Bank()
        server = ModbusServer({1: unit}, clock)
        host, port = await server.serve_tcp()
        client = ModbusClient.tcp(clock, host, port, name="meter", timeout_s=1.0)
        await client.connect()
        await client.write_registers(1, 0, bytes(range(246)))
        assert await client.read_holding(1, 0, 123) == bytes(range(246))
        await server.close()
        with pytest.raises(ModbusLostError):
            await client.read_holding(1, 0, 1)
        client.close()

    with WallClock() as clock:
        clock.run(main())


def test_tls_with_certificates_of_both_sides(kit, tmp_path) -> None:
    files = create_certificates(tmp_path / "good")
    others = create_certificates(tmp_path / "others")

    async def main():
        server = ModbusServer({1: kit.Bank()}, clock)
        context = server_context(files.server, files.server_key, files.authority)
        host, port = await server.serve_tls(context)
        mine = client_context(files.client, files.client_key, files.authority)
        client = ModbusClient.tcp(clock, host, port, name="meter", timeout_s=2.0, tls=mine)
        await client.connect()
        assert await client.read_holding(1, 0, 125) == bytes(250)
        # A new connection right after the old one: its farewell must not end the new one.
        for _ in range(3):
            await client.connect()
            assert await client.read_holding(1, 0, 2) == bytes(4)
        client.close()
        strange = client_context(others.client, others.client_key, others.authority)
        client = ModbusClient.tcp(clock, host, port, name="meter", timeout_s=2.0, tls=strange)
        with pytest.raises(ModbusLostError, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify"):
            await client.connect()
        await server.close()

    with WallClock() as clock:
        clock.run(main())
