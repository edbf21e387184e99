"""A heater on Modbus TCP and on a pty, in a process of its own; run as a script.

Prints a line of JSON with its addresses. Takes words on standard input and answers each with a
line of JSON that says how it is: `state`, `stick` (power stays as it is), `free`, `serial NAME`,
`power W`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence

from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.modbus.unit import ILLEGAL_ADDRESS, ModbusRefusal
from wattbench.sim.clock import WallClock

DEAD_TIME_S = 0.2


class Heater:
    """Power follows the set-point after a dead time."""

    functions = frozenset({3, 16})
    max_read_registers = 125

    def __init__(self) -> None:
        self.serial = "H-1"
        self.power_w = 0
        self.stuck = False
        self.writes = 0
        self.temperature = 453
        self._commands: list[tuple[float, int]] = []

    def step(self) -> None:
        now_s = time.monotonic()
        while self._commands and self._commands[0][0] <= now_s:
            value = self._commands.pop(0)[1]
            if not self.stuck:
                self.power_w = value

    def command(self, value: int) -> None:
        self.writes += 1
        self._commands.append((time.monotonic() + DEAD_TIME_S, value))

    def read_registers(self, table: str, address: int, count: int, t_us: int) -> bytes:
        self.step()
        registers = {1000: self.power_w, 1001: self.power_w, 1002: self.temperature}
        text = self.serial.encode().ljust(16, b"\0")
        for k in range(8):
            registers[1010 + k] = int.from_bytes(text[2 * k : 2 * k + 2], "big")
        wanted = range(address, address + count)
        if not set(wanted) <= set(registers):
            raise ModbusRefusal(ILLEGAL_ADDRESS)
        return b"".join(registers[a].to_bytes(2, "big") for a in wanted)

    def write_registers(self, address: int, data: bytes, t_us: int, function: int) -> None:
        if address != 1000 or len(data) != 2:
            raise ModbusRefusal(ILLEGAL_ADDRESS)
        self.step()
        self.command(int.from_bytes(data, "big"))

    def read_bits(self, table: str, address: int, count: int, t_us: int) -> Sequence[bool]:
        raise ModbusRefusal(ILLEGAL_ADDRESS)

    def write_bits(self, address: int, values: Sequence[bool], t_us: int, function: int) -> None:
        raise ModbusRefusal(ILLEGAL_ADDRESS)

    def identification(self) -> Mapping[int, bytes]:
        return {}

    def hold_us(self, t_us: int, function: int) -> int | None:
        return 0


def obey(heater: Heater, line: str) -> dict[str, object]:
    word, _, rest = line.partition(" ")
    heater.step()
    if word == "stick":
        heater.stuck = True
    elif word == "free":
        heater.stuck = False
    elif word == "serial":
        heater.serial = rest
    elif word == "power":
        heater.power_w = int(rest)
    elif word == "temperature":
        heater.temperature = int(rest)
    return {"power_w": heater.power_w, "writes": heater.writes}


async def serve(clock: WallClock) -> None:
    heater = Heater()
    tcp = ModbusServer({1: heater}, clock)
    host, port = await tcp.serve_tcp()
    rtu = ModbusServer({1: heater}, clock, framing="rtu")
    path = await rtu.serve_pty()
    print(json.dumps({"host": host, "port": port, "path": path}), flush=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(obey(heater, line.decode().strip())), flush=True)


if __name__ == "__main__":
    with WallClock() as clock:
        clock.run(serve(clock))
