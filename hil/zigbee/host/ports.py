"""Ways to a coordinator: a serial port, TCP, or memory. No threads.

A serial port is a file that the loop watches; 8N1, no flow control unless asked for, and an
exclusive lock, so that two programs never talk to one stick. On a pseudo terminal the baud rate
means nothing and the modem lines do not exist; neither is an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import termios
from collections.abc import Callable
from typing import Final

from ....sim.clock import Clock
from ...memory import connect as join_in_memory
from .link import Connect, LinkDownError

_READ: Final = 4096
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
            descriptor = _open(path, baud_rate, hardware_flow)
        except BlockingIOError as error:
            raise LinkDownError(f"{path} is in use by another program") from error
        except (OSError, termios.error) as error:
            raise LinkDownError(f"{path} cannot be opened: {error}") from error
        transport = SerialTransport(descriptor, protocol)
        protocol.connection_made(transport)
        return transport

    return connect


def _open(path: str, baud_rate: int, hardware_flow: bool) -> int:
    speed = getattr(termios, f"B{baud_rate}", None)
    if speed is None:
        raise OSError(f"{baud_rate} baud is not a rate that this system knows")
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        control |= termios.CRTSCTS if hardware_flow else 0
        # Without HUPCL a close leaves the modem lines alone; some sticks reset with them.
        settings = termios.tcgetattr(descriptor)
        special = settings[6]
        special[termios.VMIN], special[termios.VTIME] = 1, 0
        raw = [0, 0, control, 0, speed, speed, special]
        termios.tcsetattr(descriptor, termios.TCSANOW, raw)
        termios.tcflush(descriptor, termios.TCIOFLUSH)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class SerialTransport(asyncio.Transport):
    """A serial port as a transport of the running loop."""

    def __init__(self, descriptor: int, protocol: asyncio.Protocol) -> None:
        """Take over an open, non-blocking descriptor."""
        super().__init__()
        self._descriptor = descriptor
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._unsent = b""
        self._closing = False
        self._loop.add_reader(descriptor, self._readable)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; what the port does not take at once is kept."""
        if self._closing:
            return
        if self._unsent:
            self._unsent += bytes(data)
            if len(self._unsent) > _MOST_UNSENT:
                self._lost(OSError("the port takes no more bytes"))
            return
        sent = self._send(bytes(data))
        if not self._closing and sent < len(data):
            self._unsent = bytes(data)[sent:]
            self._loop.add_writer(self._descriptor, self._writable)

    def close(self) -> None:
        """Close the port."""
        self._lost(None)

    def abort(self) -> None:
        """Close the port at once."""
        self._lost(None)

    def is_closing(self) -> bool:
        """Return whether the port is closed."""
        return self._closing

    def _send(self, data: bytes) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._lost(error)
            return 0

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, _READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._lost(OSError("end of file"))

    def _writable(self) -> None:
        self._unsent = self._unsent[self._send(self._unsent) :]
        if not self._unsent and not self._closing:
            self._loop.remove_writer(self._descriptor)

    def _lost(self, error: OSError | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._loop.call_soon(self._protocol.connection_lost, error)
