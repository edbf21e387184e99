"""pymodbus's client, unmodified, against the server: TCP, TLS, RTU over TCP and on a pty."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient, AsyncModbusTlsClient
from pymodbus.exceptions import ModbusException

from wattbench.hil.modbus.line import LineSettings
from wattbench.hil.modbus.pdu import FUNCTIONS
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.modbus.tls import client_context, create_certificates, server_context
from wattbench.hil.modbus.unit import ILLEGAL_ADDRESS, ModbusRefusal
from wattbench.sim.clock import WallClock

BUSES = ["tcp", "rtu over tcp", "pty", "tls"]


class Bank:
    """Two hundred registers and bits."""

    functions = FUNCTIONS

    def __init__(self) -> None:
        self.tables = {"holding": bytearray(400), "input": bytearray(range(200)) * 2}
        self.bits = {"coil": [False] * 200, "discrete": [k % 3 == 0 for k in range(200)]}

    def _check(self, end: int) -> None:
        if end > 200:
            raise ModbusRefusal(ILLEGAL_ADDRESS)

    def read_registers(self, table, address, count, t_us):
        self._check(address + count)
        return bytes(self.tables[table][2 * address : 2 * (address + count)])

    def write_registers(self, address, data, t_us, function):
        self._check(address + len(data) // 2)
        self.tables["holding"][2 * address : 2 * address + len(data)] = data

    def read_bits(self, table, address, count, t_us):
        self._check(address + count)
        return self.bits[table][address : address + count]

    def write_bits(self, address, values, t_us, function):
        self._check(address + len(values))
        self.bits["coil"][address : address + len(values)] = values

    def identification(self):
        return {0: b"wattbench", 1: b"bank", 2: b"1.0", 5: b"model" * 40, 6: b"user" * 40}

    def hold_us(self, t_us, function):
        return 0


async def connected(bus: str, server: ModbusServer, folder, **patience):
    """Serve on the bus; return a client of it."""
    if bus == "pty":
        client = AsyncModbusSerialClient(await server.serve_pty(), baudrate=38400, **patience)
    elif bus == "tls":
        made = create_certificates(folder)
        context = server_context(made.server, made.server_key, made.authority)
        host, port = await server.serve_tls(context)
        trusted = client_context(made.client, made.client_key, made.authority)
        client = AsyncModbusTlsClient(host, port=port, sslctx=trusted, **patience)
    else:
        framer = FramerType.RTU if bus == "rtu over tcp" else FramerType.SOCKET
        host, port = await server.serve_tcp()
        client = AsyncModbusTcpClient(host, port=port, framer=framer, **patience)
    assert await client.connect()
    return client


def run(bus: str, folder, script, **patience) -> ModbusServer:
    if bus == "tls" and shutil.which("openssl") is None:
        reason = "the program openssl is missing: apt install openssl"
        if os.environ.get("WATTBENCH_WIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with WallClock() as clock:
        framing = "rtu" if bus in {"pty", "rtu over tcp"} else "tcp"
        line = LineSettings(38400) if bus == "pty" else None
        units = {1: Bank(), 2: Bank()}
        server = ModbusServer(units, clock, framing=framing, line=line)

        async def main() -> None:
            client = await connected(bus, server, folder, **patience)
            async with asyncio.timeout(30):
                await script(client)
            client.close()
            await server.close()

        clock.run(main())
    return server


@pytest.mark.parametrize("bus", BUSES)
def test_every_function(bus: str, tmp_path) -> None:
    async def script(client) -> None:
        await client.write_registers(10, list(range(123)), device_id=1)
        answer = await client.read_holding_registers(10, count=123, device_id=1)
        assert answer.registers == list(range(123))
        answer = await client.read_input_registers(0, count=125, device_id=1)
        assert answer.registers[0] == 0x0001
        await client.write_register(5, 0xBEEF, device_id=1)
        await client.mask_write_register(address=5, and_mask=0xFF00, or_mask=0x12, device_id=1)
        answer = await client.readwrite_registers(
            read_address=5, read_count=2, write_address=6, values=[7], device_id=1
        )
        assert answer.registers == [0xBE12, 7]
        await client.write_coil(3, True, device_id=1)
        await client.write_coils(4, [True, False] * 9, device_id=1)
        answer = await client.read_coils(3, count=19, device_id=1)
        assert answer.bits[:19] == [True, *([True, False] * 9)]
        answer = await client.read_discrete_inputs(0, count=200, device_id=1)
        assert answer.bits[:200] == [k % 3 == 0 for k in range(200)]

    assert run(bus, tmp_path, script).statistics.exceptions == 0


@pytest.mark.parametrize("bus", BUSES)
def test_identification_follows_on(bus: str, tmp_path) -> None:
    async def script(client) -> None:
        answer = await client.read_device_information(read_code=1, object_id=0, device_id=1)
        assert answer.information == {0: b"wattbench", 1: b"bank", 2: b"1.0"}
        answer = await client.read_device_information(read_code=2, object_id=0, device_id=1)
        got = dict(answer.information)
        assert answer.more_follows == 0xFF
        answer = await client.read_device_information(
            read_code=2, object_id=answer.next_object_id, device_id=1
        )
        assert answer.more_follows == 0
        assert got | answer.information == Bank().identification()
        answer = await client.read_device_information(read_code=4, object_id=5, device_id=1)
        assert answer.information == {5: b"model" * 40}

    run(bus, tmp_path, script)


@pytest.mark.parametrize("bus", BUSES)
def test_refusals_and_silence(bus: str, tmp_path) -> None:
    async def script(client) -> None:
        answer = await client.read_holding_registers(199, count=2, device_id=2)
        assert (answer.isError(), answer.exception_code) == (True, 2)
        if bus in {"tcp", "tls"}:
            answer = await client.read_holding_registers(0, count=1, device_id=9)
            assert answer.exception_code == 11
        else:
            with pytest.raises(ModbusException):
                await client.read_holding_registers(0, count=1, device_id=9)

    run(bus, tmp_path, script, timeout=3.0, retries=0)


def test_broadcast_on_a_line(tmp_path) -> None:
    async def script(client) -> None:
        await client.write_register(7, 77, device_id=0, no_response_expected=True)
        for unit in (1, 2):
            answer = await client.read_holding_registers(7, count=1, device_id=unit)
            assert answer.registers == [77]

    assert run("pty", tmp_path, script).statistics.broadcasts == 1
