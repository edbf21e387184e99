"""Slow clients: they hold connections to a server and send a request a byte at a time.

The attack of the slow loris, which a device with four sockets does not survive; an emulated server
must, and the client that matters must still be served or be told that it is not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from ..modbus.framing import rtu_frame, tcp_frame
from .frames import BusKind, mt_frame

Connect = Callable[[asyncio.Protocol], Awaitable[asyncio.BaseTransport]]
"""Opens a connection to a bus for a protocol."""

_RETRY_S: Final = 1.0


def slow_request(kind: BusKind) -> bytes:
    """Return what is dribbled: a harmless request of the bus's protocol."""
    read = bytes((3, 0, 0, 0, 1))
    if kind == "modbus-rtu":
        return rtu_frame(1, read)
    if kind == "znp":
        return mt_frame(bytes((0x21, 0x01)))
    return tcp_frame(1, 1, read)


class SlowClients:
    """A number of slow clients of one bus.

    Args:
        connect: opens a connection.
        kind: of the bus.
        connections: how many clients there are.
        period_s: time between two bytes of a client, in seconds of the clock.
    """

    def __init__(self, connect: Connect, kind: BusKind, connections: int, period_s: float) -> None:
        self._connect = connect
        self._request = slow_request(kind)
        self._connections = connections
        self._period_s = period_s
        self._tasks: list[asyncio.Task[None]] = []
        self.bytes_sent = 0
        self.refused = 0
        """Connections that the server did not take, or closed."""

    def start(self) -> None:
        """Begin; must be called in the loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._client(number), name=f"slow client {number}")
            for number in range(self._connections)
        ]

    def stop(self) -> None:
        """Close all connections."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _client(self, number: int) -> None:
        # Not all at once: the server sees a byte of some client all the time.
        await asyncio.sleep(self._period_s * number / self._connections)
        while True:
            await self._hold()
            self.refused += 1
            await asyncio.sleep(_RETRY_S)

    async def _hold(self) -> None:
        try:
            transport = await self._connect(asyncio.Protocol())
        except OSError:
            return
        try:
            place = 0
            while not transport.is_closing():
                # The last byte never comes: the request stays half.
                part = self._request[place : place + 1]
                if place < len(self._request) - 1 and isinstance(transport, asyncio.WriteTransport):
                    transport.write(part)
                    self.bytes_sent += 1
                    place += 1
                await asyncio.sleep(self._period_s)
        finally:
            with contextlib.suppress(OSError):
                transport.close()
