"""Ways to a coordinator: a serial port, TCP, or memory. No threads.

A serial port is 8N1, without flow control unless asked for, and locked, so that two programs never
talk to one stick. On a pseudo terminal the baud rate means nothing and the modem lines do not
exist; neither is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ....sim.clock import Clock
from ...memory import connect as join_in_memory
from ...serialport import LineError, SerialTransport, open_port
from .link import Connect, LinkDownError

_MOST_UNSENT: Final = 65536
"""A port that takes no bytes while so many wait is dead."""


def in_memory(
    clock: Clock, server: Callable[[], asyncio.Protocol], one_way_us: int = 1000
) -> Connect:
    """Return the way to a coordinator in this process, for both clocks."""

    async def connect(protocol: asyncio.Protocol) -> asyncio.Transport:
        return join_in_memory(clock, protocol, server(), one_way_us)

    return connect


def tcp(host: str, port: int, timeout_s: float = 5.0) -> Connect:
    """Return the way to a coordinator behind TCP; raises `LinkDownError` when nobody is there."""

    async def connect(protocol: asyncio.Protocol) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                transport, _ = await loop.create_connection(lambda: protocol, host, port)
        except TimeoutError:
            raise LinkDownError(f"no coordinator at {host}:{port} within {timeout_s:g} s") from None
        except OSError as error:
            raise LinkDownError(f"no coordinator at {host}:{port}: {error}") from error
        return transport

    return connect


def serial(path: str, baud_rate: int = 115200, hardware_flow: bool = False) -> Connect:
    """Return the way to a coordinator on a serial port; raises `LinkDownError`."""

    async def connect(protocol: asyncio.Protocol) -> asyncio.Transport:
        try:
            fd = open_port(path, baud_rate, hardware_flow=hardware_flow)
        except LineError as error:
            raise LinkDownError(str(error)) from error
        loop = asyncio.get_running_loop()
        return SerialTransport(loop, fd, protocol, path, keep=_MOST_UNSENT)

    return connect
