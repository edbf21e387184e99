"""A connection in memory: two asyncio transports joined by nothing but the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from ..sim.clock import Clock


class MemoryTransport(asyncio.Transport):
    """One end of a connection; what is written arrives at the other end after a fixed delay."""

    def __init__(self, clock: Clock, one_way_us: int) -> None:
        super().__init__()
        self._clock = clock
        self._one_way_us = one_way_us
        self._closing = False
        self._protocol: asyncio.Protocol | None = None
        self._peer: MemoryTransport | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; after `close` they are dropped."""
        if not self._closing and data:
            self._after(partial(self._peer_receives, bytes(data)))

    def close(self) -> None:
        """Close both ends; each protocol learns of it as it would from a socket."""
        if self._closing:
            return
        self._closing = True
        self._clock.schedule(self._clock.now_us, lambda: self._lost(None))
        if self._peer is not None:
            self._after(self._peer.close)

    def abort(self) -> None:
        """Close at once; nothing is buffered on the way."""
        self.close()

    def is_closing(self) -> bool:
        """Return whether the connection is closed or about to be."""
        return self._closing

    def _after(self, callback: Callable[[], object]) -> None:
        self._clock.schedule(self._clock.now_us + self._one_way_us, callback)

    def _peer_receives(self, data: bytes) -> None:
        peer = self._peer
        if peer is not None and peer._protocol is not None and not peer._closing:
            peer._protocol.data_received(data)

    def _lost(self, error: Exception | None) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(error)


def connect(
    clock: Clock, client: asyncio.Protocol, server: asyncio.Protocol, one_way_us: int
) -> MemoryTransport:
    """Join two protocols and return the client's transport.

    `one_way_us` is what a message takes in each direction, in microseconds of the clock.
    """
    near, far = MemoryTransport(clock, one_way_us), MemoryTransport(clock, one_way_us)
    near._peer, far._peer = far, near
    near._protocol, far._protocol = client, server
    server.connection_made(far)
    client.connection_made(near)
    return near
