"""mbpoll (Debian, on libmodbus), unmodified, against the server: TCP and RTU on a pty."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import struct

import pytest

from wattbench.hil.modbus.line import LineSettings
from wattbench.hil.modbus.pdu import FUNCTIONS
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.modbus.unit import ILLEGAL_ADDRESS, ModbusRefusal
from wattbench.sim.clock import WallClock

MBPOLL = shutil.which("mbpoll")


@pytest.fixture(autouse=True)
def _tool() -> None:
    if MBPOLL is None:
        reason = "mbpoll is missing: apt install mbpoll"
        if os.environ.get("WATTBENCH_WIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


class Bank:
    """A hundred registers and bits; input register n holds n, float 3.25 at 40."""

    functions = FUNCTIONS

    def __init__(self) -> None:
        self.holding = bytearray(200)
        self.input = bytearray(struct.pack(">100H", *range(100)))
        self.input[80:84] = struct.pack(">f", 3.25)
        self.coils = [False] * 100

    def _check(self, end: int) -> None:
        if end > 100:
            raise ModbusRefusal(ILLEGAL_ADDRESS)

    def read_registers(self, table, address, count, t_us):
        self._check(address + count)
        return bytes(getattr(self, table)[2 * address : 2 * (address + count)])

    def write_registers(self, address, data, t_us, function):
        self._check(address + len(data) // 2)
        self.holding[2 * address : 2 * address + len(data)] = data

    def read_bits(self, table, address, count, t_us):
        self._check(address + count)
        return self.coils[address : address + count]

    def write_bits(self, address, values, t_us, function):
        self._check(address + len(values))
        self.coils[address : address + len(values)] = values

    def identification(self):
        return {0: b"wattbench"}

    def hold_us(self, t_us, function):
        return 0


async def mbpoll(*words: object) -> tuple[int, str]:
    assert MBPOLL is not None
    process = await asyncio.create_subprocess_exec(
        MBPOLL,
        "-1",
        *map(str, words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def values(output: str) -> dict[int, str]:
    """Return what was printed, by address."""
    return {int(a): v for a, v in re.findall(r"^\[(\d+)\]:\s+(\S+)", output, re.MULTILINE)}


def run(line: bool, script) -> ModbusServer:
    """Run `script(*words)` with mbpoll's words for reaching a server of units 1 and 2."""
    with WallClock() as clock:
        settings = LineSettings(38400) if line else None
        framing = "rtu" if line else "tcp"
        server = ModbusServer({1: Bank(), 2: Bank()}, clock, framing=framing, line=settings)

        async def main() -> None:
            if line:
                path = await server.serve_pty()
                reach = ["-m", "rtu", "-b", 38400, "-P", "none", path]
            else:
                host, port = await server.serve_tcp()
                reach = ["-m", "tcp", "-p", port, host]
            await script(reach)
            await server.close()

        clock.run(main())
    return server


@pytest.mark.parametrize("line", [False, True], ids=["tcp", "rtu"])
def test_reads_and_writes_of_every_kind(line: bool) -> None:
    async def script(reach) -> None:
        code, output = await mbpoll("-0", "-t", 3, "-r", 10, "-c", 50, *reach)
        assert code == 0, output
        assert values(output) == {
            k: v for k, v in values(output).items() if k in (40, 41) or v == str(k)
        }
        assert len(values(output)) == 50
        code, output = await mbpoll("-0", "-B", "-t", "3:float", "-r", 40, *reach)
        assert values(output) == {40: "3.25"}
        for written in ([7], [1, 2, 3, 32767]):
            code, output = await mbpoll("-0", "-t", 4, "-r", 5, *reach, *written)
            assert code == 0, output
            code, output = await mbpoll("-0", "-t", 4, "-r", 5, "-c", len(written), *reach)
            assert values(output) == {5 + k: str(v) for k, v in enumerate(written)}
        for coils in ([1], [1, 0, 1, 1, 0, 0, 0, 0, 1]):
            code, output = await mbpoll("-0", "-t", 0, "-r", 3, *reach, *coils)
            assert code == 0, output
            for kind in (0, 1):
                code, output = await mbpoll("-0", "-t", kind, "-r", 3, "-c", len(coils), *reach)
                assert [int(v) for v in values(output).values()] == coils

    assert run(line, script).statistics.exceptions == 0


@pytest.mark.parametrize("line", [False, True], ids=["tcp", "rtu"])
def test_refusals_and_units_that_are_not_there(line: bool) -> None:
    async def script(reach) -> None:
        _, output = await mbpoll("-0", "-t", 4, "-r", 99, "-c", 2, *reach)
        assert "Illegal data address" in output
        _, output = await mbpoll("-0", "-o", 0.3, "-a", 9, "-t", 4, *reach)
        assert ("timed out" if line else "Target device failed to respond") in output
        code, output = await mbpoll("-0", "-a", "1,2", "-t", 3, "-r", 1, "-c", 2, *reach)
        assert (code, output.count("[1]:")) == (0, 2)

    run(line, script)
