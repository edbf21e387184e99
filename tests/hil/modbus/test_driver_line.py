"""The client on serial lines: check sums, pauses, late answers without a number."""

import asyncio
import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.hil.modbus.client import (
    LineSettings,
    ModbusClient,
    ModbusError,
    ModbusLostError,
    ModbusRefusedError,
    ModbusSilentError,
)
from wattbench.hil.modbus.framing import rtu_frame
from wattbench.hil.modbus.server import ModbusServer
from wattbench.sim.clock import VirtualClock, WallClock

S = 1_000_000
LINE = LineSettings(baud=9600, burst_s=0.0)
VALUES = struct.pack(">4H", 11, 22, 33, 44)
OTHERS = struct.pack(">4H", 1, 2, 3, 4)
RIGHT = rtu_frame(1, b"\x03\x08" + VALUES)
WRONG = rtu_frame(1, b"\x03\x08" + OTHERS)


class Peer(asyncio.Protocol):
    """The devices' end of a line: answers as `script(number, request)` says."""

    def __init__(self, script, clock) -> None:
        self.script = script
        self.clock = clock
        self.requests: list[tuple[int, bytes]] = []

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.requests.append((self.clock.now_us, data))
        for delay_s, answer in self.script(len(self.requests), data):
            if delay_s == 0:
                self.transport.write(answer)
            else:
                asyncio.get_running_loop().call_later(delay_s, self.transport.write, answer)


def run(script, use, line=LINE):
    """Let `use(client, clock)` talk to a line with a script; return its result and the requests."""

    async def main():
        peer = Peer(script, clock)
        client = ModbusClient.in_memory(
            clock, lambda: peer, name="line", one_way_us=0, timeout_s=0.5, line=line
        )
        await client.connect()
        result = await use(client, clock)
        client.close()
        return result, peer.requests, client

    with VirtualClock() as clock:
        return clock.run(main())


async def read(client, clock=None, unit: int = 1, address: int = 10) -> bytes:
    return await client.read_registers(unit, "holding", address, 4)


def test_frames_are_those_of_the_specification() -> None:
    """The example of the serial line document, with its check sum."""

    async def use(client, clock):
        return await client.read_registers(0x11, "holding", 0x6B, 3)

    pdu = bytes.fromhex("03 06 022B 0000 0064")
    result, requests, _ = run(lambda n, r: [(0, rtu_frame(0x11, pdu))], use)
    assert result == pdu[2:]
    assert requests[0][1] == bytes.fromhex("11 03 006B 0003 7687")


@pytest.mark.parametrize(
    ("line", "gap_us"),
    [(LINE, 3646), (LineSettings(baud=115200), 1750), (LineSettings(parity="E"), 4011)],
)
def test_requests_keep_three_and_a_half_characters_apart(line, gap_us) -> None:
    async def use(client, clock):
        for _ in range(3):
            await read(client)

    _, requests, _ = run(lambda n, r: [(0, RIGHT)], use, line)
    assert [t_us for t_us, _ in requests] == [0, gap_us, 2 * gap_us]


def test_the_time_out_begins_where_the_bytes_on_the_wire_end() -> None:
    async def use(client, clock):
        begin_us = clock.now_us
        with pytest.raises(ModbusSilentError):
            await client.read_registers(1, "holding", 0, 100)
        return clock.now_us - begin_us

    # 8 bytes there, 205 back, each 1.042 ms.
    waited_us, _, _ = run(lambda n, r: [], use)
    assert waited_us == pytest.approx(500_000 + 213 * 10 * 1e6 / 9600, abs=1)


def test_an_answer_byte_by_byte_is_put_together() -> None:
    pieces = [(0.001 * k, RIGHT[k : k + 1]) for k in range(len(RIGHT))]
    assert run(lambda n, r: pieces, read)[0] == VALUES


@pytest.mark.parametrize("at", range(len(RIGHT)))
@pytest.mark.parametrize("mask", [1, 0x80, 0xFF])
def test_a_corrupt_byte_anywhere_is_never_a_value(at, mask) -> None:
    bent = bytearray(RIGHT)
    bent[at] ^= mask

    async def use(client, clock):
        with pytest.raises(ModbusError):
            await read(client)
        return await read(client)

    result, _, _ = run(lambda n, r: [(0, bytes(bent) if n == 1 else RIGHT)], use)
    assert result == VALUES


@settings(max_examples=300, deadline=None)
@given(
    bent=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 255)), max_size=2),
    before=st.binary(max_size=6),
    behind=st.binary(max_size=6),
    cut=st.integers(1, 13),
)
def test_whatever_is_bent_it_is_an_error_or_the_true_value(bent, before, behind, cut) -> None:
    data = bytearray(RIGHT)
    for at, mask in bent:
        data[at] ^= mask

    async def use(client, clock):
        try:
            return await read(client)
        except ModbusError:
            return None

    result, _, _ = run(lambda n, r: [(0, before + bytes(data[:cut]) + behind)], use)
    assert result in {None, VALUES}


def test_another_units_answer_is_passed_over() -> None:
    result, _, client = run(
        lambda n, r: [(0, rtu_frame(2, b"\x03\x08" + OTHERS)), (0.1, RIGHT)], read
    )
    assert result == VALUES
    assert client.counters.unusable == 1


def test_exceptions_carry_their_code() -> None:
    async def use(client, clock):
        with pytest.raises(ModbusRefusedError) as caught:
            await read(client)
        return caught.value.code

    assert run(lambda n, r: [(0, rtu_frame(1, b"\x83\x06"))], use)[0] == 6


def test_a_duplicate_is_not_the_answer_to_the_next_request() -> None:
    def script(number, request):
        if number == 1:
            return [(0, WRONG), (0, WRONG)]
        return [(0.1, RIGHT)]

    async def use(client, clock):
        assert await read(client, address=50) == OTHERS
        return await read(client)

    result, requests, _ = run(script, use)
    assert result == VALUES
    # Something unexpected came: the line has to fall silent first.
    assert requests[1][0] - requests[0][0] >= 20_000


def test_a_duplicate_in_the_same_piece_neither() -> None:
    def script(number, request):
        return [(0, WRONG + WRONG)] if number == 1 else [(0.1, RIGHT)]

    async def use(client, clock):
        await read(client, address=50)
        return await read(client)

    assert run(script, use)[0] == VALUES


@pytest.mark.parametrize("late_s", [0.55, 0.7, 0.9, 1.0])
def test_a_late_answer_is_not_that_to_the_same_unit_asked_again(late_s) -> None:
    """Nothing tells it from the right one but that it was waited for."""

    def script(number, request):
        return [(late_s, WRONG)] if number == 1 else [(0.3, RIGHT)]

    async def use(client, clock):
        with pytest.raises(ModbusSilentError):
            await read(client, address=50)
        return await read(client)

    result, requests, _ = run(script, use)
    assert result == VALUES
    # It is not waited for any longer than until it has come.
    heard_us = int(late_s * 1e6) + 20_000
    assert requests[1][0] <= max(heard_us, 1_030_000)


def test_other_units_and_other_lengths_need_not_wait_for_a_late_answer() -> None:
    async def use(client, clock):
        with pytest.raises(ModbusSilentError):
            await read(client)
        begin_us = clock.now_us
        await read(client, unit=2)
        assert clock.now_us - begin_us < 10_000
        assert await client.read_registers(1, "holding", 0, 1) == b"\0\x07"
        assert clock.now_us - begin_us < 20_000
        # It has answered something else since, so it will not answer the first one any more.
        await read(client)
        assert clock.now_us - begin_us < 30_000

    def script(number, request):
        if number == 1:
            return []
        if request[5] == 1:
            return [(0, rtu_frame(1, b"\x03\x02\x00\x07"))]
        return [(0, rtu_frame(request[0], b"\x03\x08" + VALUES))]

    run(script, use)


def test_a_late_answer_that_meets_a_shorter_request_is_passed_over() -> None:
    def script(number, request):
        if number == 1:
            return [(0.6, WRONG)]
        return [(0.2, rtu_frame(1, b"\x03\x02\x00\x07"))]

    async def use(client, clock):
        with pytest.raises(ModbusSilentError):
            await read(client)
        assert await client.read_registers(1, "holding", 0, 1) == b"\0\x07"
        return client.counters.unusable

    assert run(script, use)[0] == 1


def test_an_answer_that_does_not_fit_is_an_error_once_no_other_came() -> None:
    async def use(client, clock):
        with pytest.raises(ModbusError, match="does not fit"):
            await read(client)
        return clock.now_us, client.counters.unusable

    unfit = rtu_frame(1, b"\x03\x02\x00\x07")
    (waited_us, unusable), _, _ = run(lambda n, r: [(0, unfit), (0.1, unfit)], use)
    assert waited_us > 0.5 * S
    assert unusable == 1


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_an_unfit_answer_before_the_right_one_in_one_piece(pieces) -> None:
    data = rtu_frame(1, b"\x03\x02\x00\x07") + RIGHT
    size = -(-len(data) // pieces)
    script = [(0.01 * at, data[at : at + size]) for at in range(0, len(data), size)]
    assert run(lambda n, r: script, read)[0] == VALUES


def test_every_answer_twice_is_no_trouble() -> None:
    """The copy is on the line while the next request goes out, and may fit that."""
    wire_s = 21 * LINE.byte_us * 1e-6
    values = {50: OTHERS, 10: VALUES}

    def script(number, request):
        answer = rtu_frame(1, b"\x03\x08" + values[request[3]])
        return [(wire_s, answer), (wire_s + 13 * LINE.byte_us * 1e-6, answer)]

    async def use(client, clock):
        results = []
        for _ in range(10):
            for address in (50, 10):
                results.append(await read(client, address=address) == values[address])
        return results

    async def outcomes(client, clock):
        try:
            return await use(client, clock)
        except ModbusError:
            return await use(client, clock)

    # The first copy meets a request that it fits: two answers that differ.
    assert run(script, outcomes)[0] == [True] * 20


@pytest.mark.parametrize(
    ("old_s", "noise"), [(0.001, False), (0.02, False), (0.001, True), (0.02, True), (0.04, True)]
)
def test_an_old_answer_before_the_true_one_is_not_taken(old_s, noise) -> None:
    """It is known by coming too soon, or by noise that was heard before."""
    wire_s = 21 * LINE.byte_us * 1e-6

    def script(number, request):
        true = wire_s + 0.03, RIGHT
        if number == 1:
            return [true, *([(wire_s + 0.1, b"\x55")] if noise else [])]
        return [(old_s, WRONG), true] if number == 2 else [true]

    async def use(client, clock):
        await read(client)
        await clock.sleep_until(clock.now_us + S)
        with pytest.raises(ModbusError, match="two answers came that differ"):
            await read(client)
        return await read(client)

    assert run(script, use)[0] == VALUES


def test_a_line_without_pace_costs_no_wait_for_a_second_answer() -> None:
    async def use(client, clock):
        for _ in range(50):
            await read(client)
        return clock.now_us

    assert run(lambda n, r: [(0, RIGHT)], use)[0] < 0.3 * S


def test_a_babbling_line_is_waited_for_but_not_for_ever() -> None:
    async def use(client, clock):
        results = []
        while clock.now_us < 4 * S:
            try:
                results.append(await read(client))
            except ModbusSilentError:
                results.append(None)
        return results

    def script(number, request):
        noise = [(0.0037 * k, b"\x55\xaa") for k in range(1, 800)] if number == 1 else []
        return [(0, RIGHT), *noise]

    result, requests, _ = run(script, use)
    assert set(result) <= {None, VALUES}
    assert result[0] == result[-1] == VALUES
    # While it babbles it is tried all the same, and no pause is longer than two time-outs.
    times = [t_us for t_us, _ in requests]
    assert max(after - before for before, after in itertools.pairwise(times)) < 1_200_000


def test_nobody_answers_a_broadcast_and_the_units_get_time_for_it() -> None:
    async def use(client, clock):
        await client.write_register(0, 5, b"\0\x01")
        sent_us = clock.now_us
        await read(client)
        return sent_us

    sent_us, requests, client = run(lambda n, r: [(0, RIGHT)] if r[0] else [], use)
    assert sent_us == 0
    assert requests[0][1][:6] == bytes.fromhex("00 06 0005 0001")
    assert requests[1][0] == round(8 * LINE.byte_us) + 100_000
    assert client.counters.requests == 2


class Tape:
    def __init__(self) -> None:
        self.frames: list[tuple[str, str]] = []

    def frame(self, bus, direction, t_us, data) -> None:
        self.frames.append((direction, data.hex()))


def test_the_tape_shows_what_was_on_the_line_frame_or_not() -> None:
    tape = Tape()
    bad = bytes((*RIGHT[:-1], RIGHT[-1] ^ 1))
    answers = {1: RIGHT, 2: bad, 3: RIGHT[:5], 4: RIGHT + b"\x99"}

    async def main():
        peer = Peer(lambda n, r: [(0, answers[n]), *([(0.01, b"\x77")] if n == 1 else [])], clock)
        client = ModbusClient.in_memory(
            clock, lambda: peer, name="line", one_way_us=0, timeout_s=0.5, line=LINE, tap=tape
        )
        await client.connect()
        for _ in range(4):
            try:
                await read(client)
            except ModbusSilentError:
                continue
            await asyncio.sleep(0.1)
        client.close()

    with VirtualClock() as clock:
        clock.run(main())
    request = bytes.fromhex("01 03 000A 0004 640B").hex()
    assert tape.frames == [
        ("request", request),
        ("answer", RIGHT.hex()),
        ("answer", "77"),
        ("request", request),
        ("answer", bad.hex()),
        ("request", request),
        ("answer", RIGHT[:5].hex()),
        ("request", request),
        ("answer", RIGHT.hex() + "99"),
    ]


def test_broadcast_without_connection_is_an_error() -> None:
    async def use(client, clock):
        client.close()
        with pytest.raises(ModbusLostError):
            await client.write_register(0, 5, b"\0\x01")

    run(lambda n, r: [], use)


@pytest.mark.parametrize("baud", [1200, 9600, 19200, 115200])
def test_our_server_on_a_paced_line(kit, baud) -> None:
    """The time on the wire is real: frames at 1200 baud take 100 times as long as at 115200."""
    line = LineSettings(baud=baud)
    unit = kit.Bank()
    for address in range(200):
        unit.put("input", address, address * 7)

    async def main():
        server = ModbusServer({1: unit, 2: kit.Bank()}, clock, framing="rtu", line=line)
        client = ModbusClient.in_memory(
            clock, server.protocol, name="line", one_way_us=0, timeout_s=0.2, line=line
        )
        await client.connect()
        data = await client.read_input(1, 0, 60)
        took_us = clock.now_us
        assert struct.unpack(">60H", data) == tuple(7 * k for k in range(60))
        await client.write_registers(2, 0, data)
        assert await client.read_holding(2, 0, 60) == data
        assert await client.identification(1) == unit.objects
        with pytest.raises(ModbusSilentError):
            await client.read_input(9, 0, 60)
        assert await client.read_input(1, 0, 125) == unit.tables["input"][:250]
        client.close()
        return took_us

    with VirtualClock() as clock:
        took_us = clock.run(main())
    assert took_us >= 133 * line.byte_us
    assert took_us < 133 * line.byte_us + 30_000


def test_a_pty_that_is_pulled_out_and_put_back(kit, tmp_path) -> None:
    async def main():
        unit = kit.Bank()
        server = ModbusServer({1: unit}, clock, framing="rtu", line=LineSettings(baud=115200))
        path = await server.serve_pty(tmp_path / "port")
        line = LineSettings(baud=115200)
        client = ModbusClient.serial(clock, path, line, name="line", timeout_s=1.0)
        await client.connect()
        await client.write_register(1, 3, b"\x01\x02")
        assert await client.read_holding(1, 0, 20) == bytes(6) + b"\x01\x02" + bytes(32)
        server.switch(False)
        with pytest.raises(ModbusSilentError):
            await client.read_holding(1, 0, 1)
        with pytest.raises(ModbusLostError, match="cannot be opened"):
            await client.connect()
        server.switch(True)
        await asyncio.sleep(0.6)
        await client.connect()
        assert await client.read_holding(1, 3, 1) == b"\x01\x02"
        client.close()
        await server.close()

    with WallClock() as clock:
        clock.run(main())


def test_parity_is_left_out_on_a_pty_and_wrong_rates_are_refused(kit) -> None:
    async def main():
        line = LineSettings(baud=19200, parity="E")
        server = ModbusServer({1: kit.Bank()}, clock, framing="rtu", line=line)
        path = await server.serve_pty()
        client = ModbusClient.serial(clock, path, line, name="line", timeout_s=1.0)
        await client.connect()
        assert await client.read_holding(1, 0, 2) == bytes(4)
        client.close()
        odd = ModbusClient.serial(clock, path, LineSettings(baud=12345), name="x", timeout_s=0.3)
        with pytest.raises(ModbusLostError, match="12345 baud"):
            await odd.connect()
        await server.close()

    with WallClock() as clock:
        clock.run(main())
