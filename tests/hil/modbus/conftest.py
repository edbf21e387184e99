"""A unit that keeps registers and bits, and a client's end that only collects bytes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from wattbench.hil.modbus.pdu import FUNCTIONS
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.modbus.unit import ILLEGAL_ADDRESS, ModbusRefusal


class Bank:
    """The first `size` registers and bits of each table; remembers when what was asked."""

    def __init__(self, size: int = 0x10000, functions=FUNCTIONS, hold_us=0) -> None:
        self.functions = frozenset(functions)
        self.size = size
        self.tables = {name: bytearray(2 * size) for name in ("holding", "input")}
        self.bits = {name: [False] * size for name in ("coil", "discrete")}
        self.objects = {0: b"wattbench", 1: b"bank", 2: b"1.0"}
        self.hold = hold_us
        self.asked: list[tuple[int, str, int]] = []

    def _check(self, address: int, count: int) -> None:
        if address + count > self.size:
            raise ModbusRefusal(ILLEGAL_ADDRESS)

    def read_registers(self, table, address, count, t_us):
        self._check(address, count)
        self.asked.append((t_us, "read", address))
        return bytes(self.tables[table][2 * address : 2 * (address + count)])

    def write_registers(self, address, data, t_us, function):
        self._check(address, len(data) // 2)
        self.asked.append((t_us, f"write {function}", address))
        self.tables["holding"][2 * address : 2 * address + len(data)] = data

    def read_bits(self, table, address, count, t_us):
        self._check(address, count)
        return self.bits[table][address : address + count]

    def write_bits(self, address, values, t_us, function):
        self._check(address, len(values))
        self.asked.append((t_us, f"write {function}", address))
        self.bits["coil"][address : address + len(values)] = values

    def identification(self):
        return self.objects

    def hold_us(self, t_us, function):
        return self.hold

    def put(self, table: str, address: int, *values: int) -> None:
        for k, value in enumerate(values):
            self.tables[table][2 * (address + k) : 2 * (address + k + 1)] = value.to_bytes(2, "big")

    def get(self, address: int, table: str = "holding") -> int:
        return int.from_bytes(self.tables[table][2 * address : 2 * address + 2], "big")


class Collector(asyncio.Protocol):
    """Keeps what comes and when."""

    def __init__(self, clock=None) -> None:
        self.clock = clock
        self.data = b""
        self.times: list[tuple[int, bytes]] = []
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.clock is not None:
            self.times.append((self.clock.now_us, data))

    def connection_lost(self, exc) -> None:
        self.lost = True


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    return SimpleNamespace(Bank=Bank, Collector=Collector)


@pytest.fixture
def one(kit):
    """Makes a server of one unit on a clock."""
    return lambda clock: ModbusServer({1: kit.Bank()}, clock)
