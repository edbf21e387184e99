"""Where hosts reach the emulated coordinator: a TCP port, or a pseudo-terminal.

The pseudo-terminal is set raw on both ends before anybody writes, and its host end stays open
here, else the last host to close it would leave us reading errors. Parity and rate mean nothing on
it; hosts should use 8N1.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Final

#: What is kept for a host that does not read; more is lost, as on a serial line.
_MOST_WAITING: Final = 64 * 1024
_CHUNK: Final = 4096


async def serve_tcp(
    factory: Callable[[], asyncio.Protocol], host: str = "127.0.0.1", port: int = 0
) -> asyncio.Server:
    """Listen for hosts; port 0: any free one.

    The caller closes the server. Raises `OSError` when the address is not to be had.
    """
    return await asyncio.get_running_loop().create_server(factory, host, port)


def port_of(server: asyncio.Server) -> int:
    """Return the port that a server listens on."""
    return int(server.sockets[0].getsockname()[1])


class PtyEndpoint(asyncio.Transport):
    """A serial port without wires: hosts open `path`, a protocol answers.

    One connection for as long as it lives; who opens and closes the path is not seen. `link` is a
    name for it in the file system, replaced if it is a link already. Use on a loop that watches
    files (the wall clock's).
    """

    def __init__(self, protocol: asyncio.Protocol, link: Path | None = None) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._master, self._slave = os.openpty()
        self._waiting = b""
        self._closed = False
        self._link = link
        try:
            tty.setraw(self._master)
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            self.path = os.ttyname(self._slave)
            if link is not None:
                _point(link, self.path)
        except OSError:
            os.close(self._master)
            os.close(self._slave)
            raise
        self._loop.add_reader(self._master, self._readable)
        protocol.connection_made(self)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if data:
            self._protocol.data_received(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; what the host does not fetch is lost beyond 64 KiB."""
        if self._closed or not data:
            return
        if self._waiting:
            if len(self._waiting) + len(data) <= _MOST_WAITING:
                self._waiting += bytes(data)
            return
        left = self._put(bytes(data))
        if left:
            self._waiting = left
            self._loop.add_writer(self._master, self._writable)

    def _put(self, data: bytes) -> bytes:
        try:
            return data[os.write(self._master, data) :]
        except BlockingIOError:
            return data

    def _writable(self) -> None:
        self._waiting = self._put(self._waiting)
        if not self._waiting:
            self._loop.remove_writer(self._master)

    def is_closing(self) -> bool:
        """Return whether the port is gone."""
        return self._closed

    def close(self) -> None:
        """Take the port away: the path is gone, as after pulling a USB stick."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._master)
        if self._waiting:
            self._loop.remove_writer(self._master)
        os.close(self._master)
        os.close(self._slave)
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()
        self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Take the port away at once."""
        self.close()


def _point(link: Path, target: str) -> None:
    if link.is_symlink():
        link.unlink()
    link.symlink_to(target)
