import asyncio
import struct
import time

import numpy as np
import pytest

from wattbench.hil.modbus import sdm630
from wattbench.hil.modbus.client import ModbusClient, ModbusRefusedError, ModbusSilentError
from wattbench.hil.modbus.echo import EchoMeter
from wattbench.sim.clock import VirtualClock, WallClock
from wattbench.sim.edge.meter import METER_FIELDS, MeterReading

S = 1_000_000


def sample(first: float = 1000.0) -> MeterReading:
    return MeterReading(first + 1.25 * np.arange(METER_FIELDS), 7 * S, 7 * S + 500_000)


class Wire(asyncio.Transport):
    """Collects what a meter answers."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True


def meter(reading: MeterReading | None = None) -> tuple[EchoMeter, Wire]:
    protocol, wire = EchoMeter(lambda: reading), Wire()
    protocol.connection_made(wire)
    return protocol, wire


def request(transaction: int, unit: int, function: int, address: int, count: int) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, unit, function, address, count)


def test_total_power_is_float32_high_word_first() -> None:
    protocol, wire = meter(sample())
    protocol.data_received(request(7, 1, 4, 52, 2))
    expected = struct.pack(">f", 1000.0 + 1.25 * 3)
    assert wire.sent == bytes.fromhex("0007 0000 0007 01 04 04") + expected


def test_pieces_and_several_requests_at_once_are_each_answered_in_order() -> None:
    stream = request(1, 1, 4, 0, 2) + request(2, 1, 4, 2, 2) + request(3, 2, 4, 52, 2)
    whole, whole_wire = meter(sample())
    whole.data_received(stream)
    pieces, pieces_wire = meter(sample())
    for k in range(len(stream)):
        pieces.data_received(stream[k : k + 1])
    assert whole_wire.sent == pieces_wire.sent
    assert len(whole_wire.sent) == 3 * 13
    assert [whole_wire.sent[13 * k + 1] for k in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("unit", "function", "address", "count", "code"),
    [
        (1, 4, 0, 61, 3),
        (1, 4, 0, 0, 3),
        (1, 4, 376, 4, 2),
        (1, 3, 0, 2, 2),
        (1, 3, 0xF002, 4, 2),
        (1, 16, 0, 2, 1),
        (9, 4, 0, 2, 11),
    ],
)
def test_refusals_carry_the_function_and_a_code(unit, function, address, count, code) -> None:
    protocol, wire = meter(sample())
    protocol.data_received(request(1, unit, function, address, count))
    assert wire.sent[7:] == bytes((function | 0x80, code))


def test_a_meter_without_a_sample_is_busy_and_its_stamp_is_minus_one() -> None:
    protocol, wire = meter(None)
    protocol.data_received(request(1, 1, 4, 0, 2) + request(2, 1, 3, 0xF000, 4))
    assert wire.sent[7:9] == bytes((0x84, 6))
    assert sdm630.decode_stamp(wire.sent[-8:]) == -1


@pytest.mark.parametrize("frame", ["0001 0001 0006", "0001 0000 0001", "0001 0000 00ff"])
def test_what_cannot_be_a_frame_closes_the_connection(frame: str) -> None:
    protocol, wire = meter(sample())
    protocol.data_received(bytes.fromhex(frame) + bytes(6))
    assert wire.closed
    assert wire.sent == b""


def test_half_a_float_is_cut_as_on_the_wire() -> None:
    values = sample().values
    whole = sdm630.encode_block(1, 52, 2, values)
    assert sdm630.encode_block(1, 53, 1, values) == whole[2:]
    assert sdm630.encode_block(1, 52, 1, values) == whole[:2]
    assert sdm630.encode_block(1, 0, 60, values)[104:108] == whole


def test_blocks_bring_every_field() -> None:
    values = sample().values
    got = np.full(METER_FIELDS, np.nan)
    for block in sdm630.BLOCKS:
        data = sdm630.encode_block(block.unit, block.address, block.count, values)
        sdm630.decode_block(block, data, got)
    np.testing.assert_allclose(got, values, rtol=2**-23)


def ask(clock, one_way_us: int = 1000) -> list[tuple[int, bytes]]:
    """Read ten times, once a second, with the client in use; return time and bytes."""
    log: list[tuple[int, bytes]] = []

    def now() -> MeterReading:
        return sample(first=clock.now_us // S)

    async def main() -> None:
        client = ModbusClient.in_memory(
            clock, lambda: EchoMeter(now), name="meter", one_way_us=one_way_us, timeout_s=0.5
        )
        await client.connect()
        for k in range(1, 11):
            await clock.sleep_until(k * S)
            data = await client.read_input(1, 52, 2)
            log.append((clock.now_us, data))
        client.close()

    clock.run(main())
    return log


def test_client_in_virtual_time_is_deterministic() -> None:
    with VirtualClock() as first, VirtualClock() as second:
        got = ask(first)
        assert got == ask(second)
    assert [t_us for t_us, _ in got] == [k * S + 2000 for k in range(1, 11)]


def test_client_reads_the_same_values_in_both_clocks() -> None:
    with VirtualClock() as virtual, WallClock(factor=20) as wall:
        assert [data for _, data in ask(virtual)] == [data for _, data in ask(wall)]


def test_time_out_of_a_silent_device_passes_in_virtual_time() -> None:
    """The connection stands, nobody answers: the client's second costs nothing."""

    async def main() -> int:
        client = ModbusClient.in_memory(
            clock, asyncio.Protocol, name="meter", one_way_us=0, timeout_s=1.0
        )
        await client.connect()
        begin_us = clock.now_us
        with pytest.raises(ModbusSilentError, match="no answer"):
            await client.read_input(1, 0, 2)
        client.close()
        return clock.now_us - begin_us

    with VirtualClock() as clock:
        started = time.perf_counter()
        assert clock.run(main()) == S
        assert time.perf_counter() - started < 0.1


def test_refusal_is_told_from_silence() -> None:
    async def main() -> None:
        client = ModbusClient.in_memory(
            clock, lambda: EchoMeter(lambda: None), name="meter", one_way_us=0, timeout_s=1.0
        )
        await client.connect()
        with pytest.raises(ModbusRefusedError) as caught:
            await client.read_input(1, 0, 2)
        assert caught.value.code == 6
        client.close()

    with VirtualClock() as clock:
        clock.run(main())
