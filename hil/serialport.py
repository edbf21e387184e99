"""Serial ports as transports: real ones, and pseudo terminals that can be pulled out.

Linux only (termios), and without threads: a port is a file that the loop watches. A pseudo
terminal has no baud rate, no parity and no modem lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

Parity = Literal["N", "E", "O"]

_READ_SIZE: Final = 4096


class LineError(Exception):
    """A serial port or a link to one cannot be opened as asked."""


def open_port(
    path: str,
    baud: int,
    parity: Parity = "N",
    stop_bits: int = 1,
    *,
    hardware_flow: bool = False,
) -> int:
    """Open and set a serial port; returns its descriptor, non-blocking.

    The port is locked against others that lock it too. On a pseudo terminal, which knows no
    parity, parity is left out.

    Raises:
        LineError: There is no such port, it is in use, or it cannot do the settings.
    """
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise LineError(f"{path}: {baud} baud: not a rate that this system knows")
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise LineError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _configure(fd, speed, parity, stop_bits, hardware_flow)
        termios.tcflush(fd, termios.TCIOFLUSH)
    except BlockingIOError as error:
        os.close(fd)
        raise LineError(f"{path}: in use, another program has locked it") from error
    except (OSError, termios.error) as error:
        os.close(fd)
        reason = error.args[-1] if error.args else error
        raise LineError(
            f"{path}: cannot be set to {baud} baud, 8{parity}{stop_bits}: {reason}"
        ) from error
    return fd


def _configure(fd: int, speed: int, parity: Parity, stop_bits: int, hardware_flow: bool) -> None:
    attributes: list[Any] = termios.tcgetattr(fd)
    flow = getattr(termios, "CRTSCTS", 0)
    # Without HUPCL a close leaves the modem lines alone; some sticks reset with them.
    flags = attributes[2] & ~(termios.PARENB | termios.PARODD | termios.CSTOPB | termios.CSIZE)
    flags &= ~(termios.HUPCL | flow)
    flags |= termios.CS8 | termios.CREAD | termios.CLOCAL | (flow if hardware_flow else 0)
    if stop_bits == 2:
        flags |= termios.CSTOPB
    if parity != "N" and not os.ttyname(fd).startswith("/dev/pts/"):
        flags |= termios.PARENB | (termios.PARODD if parity == "O" else 0)
    special = attributes[6]
    special[termios.VMIN], special[termios.VTIME] = 1, 0
    # Raw: no echo, no characters that mean anything, no other flow control.
    attributes = [0, 0, flags, 0, speed, speed, special]
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


class SerialTransport(asyncio.Transport):
    """An open terminal as a transport.

    Args:
        loop: that watches it.
        fd: an open descriptor, taken over.
        protocol: whose `connection_made` is called at once.
        name: for messages.
        keep: how many bytes that find the buffer of the system full wait for room; a port that
            takes none while more than these wait is given up. 0: bytes that find no room are lost,
            as on a line without flow control, and counted in `lost_bytes`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        protocol: asyncio.Protocol,
        name: str,
        *,
        keep: int = 0,
    ) -> None:
        super().__init__({"name": name})
        self._loop = loop
        self._fd = fd
        self._protocol = protocol
        self._keep = keep
        self._unsent = b""
        self.lost_bytes = 0
        os.set_blocking(fd, False)
        protocol.connection_made(self)
        if self._fd >= 0:
            loop.add_reader(fd, self._readable)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send what the system takes at once; the rest waits, or is lost."""
        if self._fd < 0 or not data:
            return
        if self._unsent:
            self._unsent += bytes(data)
            if len(self._unsent) > self._keep:
                self._lost(OSError("the port takes no more bytes"))
            return
        rest = self._sent(data)
        if not rest or self._fd < 0:
            return
        if not self._keep:
            self.lost_bytes += len(rest)
            return
        self._unsent = rest
        self._loop.add_writer(self._fd, self._writable)

    def is_closing(self) -> bool:
        """Return whether the port is closed."""
        return self._fd < 0

    def close(self) -> None:
        """Close the port; its protocol learns of it in the next turn of the loop."""
        self._lost(None)

    def abort(self) -> None:
        """Close the port."""
        self._lost(None)

    def _sent(self, data: bytes | bytearray | memoryview) -> bytes:
        """Send; return what there was no room for."""
        try:
            return bytes(data[os.write(self._fd, data) :])
        except (BlockingIOError, InterruptedError):
            return bytes(data)
        except OSError as error:
            self._lost(error)
            return b""

    def _writable(self) -> None:
        self._unsent = self._sent(self._unsent)
        if not self._unsent and self._fd >= 0:
            self._loop.remove_writer(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._lost(OSError("end of file"))

    def _lost(self, error: OSError | None) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        with contextlib.suppress(OSError):
            os.close(fd)
        self._loop.call_soon(self._protocol.connection_lost, error)


class PtyPort:
    """A pseudo terminal that can be pulled out and put back, like a USB adapter.

    The other end's path changes with every `plug`; give a `link` to have one that does not.
    """

    def __init__(self, make: Callable[[], asyncio.Protocol], link: Path | None = None) -> None:
        self._make = make
        self._link = link
        self._slave = -1
        self._transport: SerialTransport | None = None
        self.path = "" if link is None else str(link)
        """The device file a client opens: the link, if there is one."""

    @property
    def plugged(self) -> bool:
        """Return whether the terminal is there."""
        return self._slave >= 0

    def plug(self) -> None:
        """Open the terminal; raises `LineError` when the link cannot be made."""
        if self.plugged:
            return
        master, slave = os.openpty()
        # Before anyone writes: with echo on, bytes come back and 0x0D and 0x03 are eaten. The
        # slave stays open: after its last close the master would read errors.
        tty.setraw(master)
        tty.setraw(slave)
        name = os.ttyname(slave)
        try:
            self.path = name if self._link is None else _link(self._link, name)
        except LineError:
            os.close(master)
            os.close(slave)
            raise
        self._slave = slave
        self._transport = SerialTransport(
            asyncio.get_running_loop(), master, self._make(), self.path
        )

    def unplug(self) -> None:
        """Close the terminal: whoever has it open reads its end, nobody can open it again."""
        if not self.plugged:
            return
        slave, self._slave = self._slave, -1
        if self._link is not None and _target(self._link) == os.ttyname(slave):
            self._link.unlink(missing_ok=True)
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        os.close(slave)


def _target(link: Path) -> str:
    with contextlib.suppress(OSError):
        return str(link.readlink())
    return ""


def _link(link: Path, target: str) -> str:
    """Let `link` point to `target` in one step; returns its path."""
    if link.exists() and not link.is_symlink():
        raise LineError(f"{link}: there is a file already; name a path that is free")
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
    except OSError as error:
        raise LineError(f"{link}: the link to {target} cannot be made: {error.strerror}") from error
    return str(link)
