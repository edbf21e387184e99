"""Where hosts reach the emulated coordinator: a TCP port, or a pseudo-terminal.

Parity and rate mean nothing on a pseudo-terminal; hosts should use 8N1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from ...serialport import PtyPort


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


class PtyEndpoint:
    """A pseudo-terminal with one protocol behind it, plugged in until `close`.

    `path` is what a host opens: the link, if there is one. Raises `LineError` when the link cannot
    be made. Use on a loop that watches files (the wall clock's).
    """

    def __init__(self, protocol: asyncio.Protocol, link: Path | None = None) -> None:
        self._port = PtyPort(lambda: protocol, link)
        self._port.plug()
        self.path = self._port.path

    def close(self) -> None:
        """Take the port away: the path is gone, as after pulling a USB stick."""
        self._port.unplug()
