"""The Modbus client: the only module that knows pymodbus.

pymodbus changes its interface between minor versions; whatever it needs to be told stays here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from ...sim.clock import Clock
from .. import memory

# Its errors come back as exceptions below; without a handler Python would print them as well.
logging.getLogger("pymodbus").addHandler(logging.NullHandler())


class ModbusError(Exception):
    """A request brought no usable answer."""


class ModbusSilentError(ModbusError):
    """No answer within the time-out, or no connection."""


class ModbusRefusedError(ModbusError):
    """The device answered with an exception code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ModbusClient:
    """Reads registers of the units behind one address, one request at a time."""

    def __init__(self, client: AsyncModbusTcpClient, name: str) -> None:
        self._client = client
        self._name = name

    @classmethod
    def in_memory(
        cls,
        clock: Clock,
        server: Callable[[], asyncio.Protocol],
        *,
        name: str,
        one_way_us: int,
        timeout_s: float,
    ) -> ModbusClient:
        """Return a client of a server in memory; `server()` makes its end of each connection.

        Must be called in a coroutine that the clock runs. `one_way_us` is the delay of a message
        in each direction, `timeout_s` what the client waits for an answer, in simulated time.
        """
        client = AsyncModbusTcpClient(name, name=name, timeout=timeout_s, retries=0)
        context = client.ctx

        async def create() -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
            near = memory.connect(clock, context, server(), one_way_us)  # type: ignore[arg-type]
            return near, context

        # Instead of the loop's `create_connection`, the only place where it would open a socket.
        context.call_create = create
        return cls(client, name)

    async def connect(self) -> None:
        """Open the connection; raises `ModbusSilentError` when nobody answers."""
        if not await self._client.connect():
            raise ModbusSilentError(f"{self._name}: no connection")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    async def read_input(self, unit: int, address: int, count: int) -> bytes:
        """Return `count` input registers (function 4) as bytes, high byte first."""
        request = self._client.read_input_registers(address, count=count, device_id=unit)
        return await self._registers(request, unit, address, count)

    async def read_holding(self, unit: int, address: int, count: int) -> bytes:
        """Return `count` holding registers (function 3) as bytes, high byte first."""
        request = self._client.read_holding_registers(address, count=count, device_id=unit)
        return await self._registers(request, unit, address, count)

    async def _registers(
        self, request: Awaitable[ModbusPDU], unit: int, address: int, count: int
    ) -> bytes:
        where = f"{self._name}, unit {unit}, registers {address}…{address + count - 1}"
        try:
            answer = await request
        except ConnectionException as error:
            raise ModbusSilentError(f"{where}: no connection") from error
        except ModbusException as error:
            raise ModbusSilentError(f"{where}: no answer") from error
        if answer.isError():
            code = int(getattr(answer, "exception_code", 0))
            raise ModbusRefusedError(f"{where}: refused with code {code}", code)
        if len(answer.registers) != count:
            raise ModbusError(f"{where}: {len(answer.registers)} registers came back")
        return b"".join(register.to_bytes(2, "big") for register in answer.registers)
