"""A listening socket whose connections stay within what the process can watch.

asyncio's own server takes every connection that comes: half-open TLS handshakes without number,
and descriptors beyond those that `select(2)`, on which the wall clock waits, knows of.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

from .handshake import Handshake

_BACKLOG: Final = 128
_SOCKET_BUFFER: Final = 65536
_MAX_DESCRIPTOR: Final = 1000
"""`select(2)` knows those below 1024; some are left for files."""
_LAST_DESCRIPTOR: Final = 1015
_PAUSE_S: Final = 1.0
_HANDSHAKE_S: Final = 10
_SHUTDOWN_S: Final = 2


class ServeError(Exception):
    """An address cannot be listened at."""


class Listener:
    """Takes connections until it is closed.

    Args:
        host: Address or name of this machine.
        port: TCP port; 0: one that the system chooses.
        make: Makes the server's end of a connection.
        context: Of TLS; None: plain TCP.
        make_room: Closes one of the connections made here; is called when the process is out of
            descriptors.
        max_handshakes: TLS connections that may be in their handshake; one more closes the oldest.

    Raises:
        ServeError: The address is taken, or not this machine's.
    """

    def __init__(
        self,
        host: str,
        port: int,
        make: Callable[[], asyncio.Protocol],
        make_room: Callable[[], None],
        context: ssl.SSLContext | None = None,
        max_handshakes: int = 128,
    ) -> None:
        self._make = make
        self._make_room = make_room
        self._context = context
        self._max_handshakes = max_handshakes
        self._tasks: dict[asyncio.Task[None], None] = {}
        """Connections that are being made, the oldest first."""
        self._retry: asyncio.TimerHandle | None = None
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._sock = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ServeError(f"{host}, port {port}: cannot be listened at: {reason}") from error
        # Connections inherit these: a client that does not read takes little memory here, too.
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        self._sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock, self._accept)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        name = self._sock.getsockname()
        return str(name[0]), int(name[1])

    def close(self) -> None:
        """Take no more connections; those that are open stay."""
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock)
        self._sock.close()
        if self._retry is not None:
            self._retry.cancel()
        for task in self._tasks:
            task.cancel()

    def _accept(self) -> None:
        full = False
        for _ in range(_BACKLOG):
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # the process or the system is out of descriptors
                self._make_room()
                self._loop.remove_reader(self._sock)
                self._retry = self._loop.call_later(_PAUSE_S, self._resume)
                return
            if connection.fileno() > _MAX_DESCRIPTOR:
                if not full:  # once a turn: a flood must not empty the server
                    self._make_room()
                    full = True
                if connection.fileno() > _LAST_DESCRIPTOR:
                    connection.close()
                    continue
            if self._context is not None and len(self._tasks) >= self._max_handshakes:
                # Whoever does not go on with a handshake must not keep out those who do.
                oldest = next(iter(self._tasks))
                del self._tasks[oldest]
                oldest.cancel()
            connection.setblocking(False)
            task = self._loop.create_task(self._take(connection))
            self._tasks[task] = None
            task.add_done_callback(partial(self._done, connection))

    def _done(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            connection.close()  # nobody may have begun with it

    def _resume(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock, self._accept)

    async def _take(self, connection: socket.socket) -> None:
        try:
            if self._context is None:
                await self._loop.connect_accepted_socket(self._make, connection)
            else:
                await self._shake_hands(connection, self._context)
        except OSError:  # a handshake that failed or took too long; its transport is closed
            connection.close()

    async def _shake_hands(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        handshake = Handshake(
            self._make(), context, handshake_s=_HANDSHAKE_S, shutdown_s=_SHUTDOWN_S
        )
        transport, _ = await self._loop.connect_accepted_socket(lambda: handshake, connection)
        try:
            await handshake.done
        except asyncio.CancelledError:
            transport.abort()
            raise
