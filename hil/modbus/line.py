"""Serial lines: how long bytes take on them, and ports (pseudo terminal or real) as transports.

Linux only (termios). A pseudo terminal has no baud rate, no parity and no modem lines, so the time
on the wire is computed from `LineSettings` and kept by whoever writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import termios
import tty
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

Parity = Literal["N", "E", "O"]

_READ_SIZE: Final = 4096
_FIXED_SILENCE_US: Final = 1750.0
_FAST_BAUD: Final = 19200


class LineError(Exception):
    """A serial port or a link to one cannot be opened as asked."""


@dataclass(frozen=True, slots=True)
class LineSettings:
    """A serial line's settings, and the times that follow from them.

    Attributes:
        baud: Bits a second.
        parity: None, even or odd.
        stop_bits: One or two.
        burst_s: What a receiver collects before it hands bytes on (a USB adapter: 16 ms). Answers
            are passed on in pieces of this duration, each when its last bit is through.
    """

    baud: int = 9600
    parity: Parity = "N"
    stop_bits: int = 1
    burst_s: float = 0.016

    def __post_init__(self) -> None:
        """Refuse what no line can have."""
        if self.baud < 1 or self.parity not in {"N", "E", "O"} or self.stop_bits not in {1, 2}:
            raise LineError(
                f"{self.baud} baud, parity {self.parity}, {self.stop_bits} stop bits: a line has a "
                "positive baud rate, parity N, E or O and 1 or 2 stop bits"
            )

    @property
    def byte_us(self) -> float:
        """Duration of a byte in µs: start bit, eight data bits, parity, stop bits."""
        return (9 + (self.parity != "N") + self.stop_bits) * 1e6 / self.baud

    @property
    def silence_us(self) -> float:
        """Silence between frames in µs: 3.5 bytes, above 19200 baud 1.75 ms."""
        return 3.5 * self.byte_us if self.baud <= _FAST_BAUD else _FIXED_SILENCE_US

    def duration_us(self, size: int) -> int:
        """Return how long `size` bytes are on the wire, in µs."""
        return round(size * self.byte_us)


class SerialTransport(asyncio.Transport):
    """An open terminal as a transport.

    A line has no flow control: bytes that find the buffer of the system full, since nobody reads
    them, are lost, and counted in `lost_bytes`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fd: int, protocol: asyncio.Protocol, name: str
    ) -> None:
        super().__init__({"name": name})
        self._loop = loop
        self._fd = fd
        self._protocol = protocol
        self.lost_bytes = 0
        os.set_blocking(fd, False)
        protocol.connection_made(self)
        if self._fd >= 0:
            loop.add_reader(fd, self._readable)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send what the system takes at once; the rest is lost."""
        if self._fd < 0 or not data:
            return
        try:
            self.lost_bytes += len(data) - os.write(self._fd, data)
        except (BlockingIOError, InterruptedError):
            self.lost_bytes += len(data)
        except OSError as error:
            self._lost(error)

    def is_closing(self) -> bool:
        """Return whether the port is closed."""
        return self._fd < 0

    def close(self) -> None:
        """Close the port; its protocol learns of it in the next turn of the loop."""
        self._lost(None)

    def abort(self) -> None:
        """Close the port."""
        self._lost(None)

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
            self._lost(None)

    def _lost(self, error: OSError | None) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._loop.remove_reader(fd)
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


def open_serial(path: str, settings: LineSettings) -> int:
    """Open and set a serial port; returns its descriptor, non-blocking.

    The port is locked against others that lock it too. On a pseudo terminal, which knows no
    parity, parity is left out.

    Raises:
        LineError: There is no such port, it is in use, or it cannot do the settings.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise LineError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _configure(fd, settings)
        termios.tcflush(fd, termios.TCIOFLUSH)
    except BlockingIOError as error:
        os.close(fd)
        raise LineError(f"{path}: another program has locked it") from error
    except (OSError, termios.error) as error:
        os.close(fd)
        reason = error.args[-1] if error.args else error
        raise LineError(
            f"{path}: cannot be set to {settings.baud} baud, 8{settings.parity}"
            f"{settings.stop_bits}: {reason}"
        ) from error
    except LineError:
        os.close(fd)
        raise
    return fd


def _configure(fd: int, settings: LineSettings) -> None:
    speed = getattr(termios, f"B{settings.baud}", None)
    if speed is None:
        raise LineError(f"{settings.baud} baud: not a rate that this system knows")
    tty.setraw(fd)
    attributes: list[Any] = termios.tcgetattr(fd)
    flags = attributes[2] & ~(termios.PARENB | termios.PARODD | termios.CSTOPB | termios.CSIZE)
    flags |= termios.CS8 | termios.CREAD | termios.CLOCAL
    flags &= ~getattr(termios, "CRTSCTS", 0)
    if settings.stop_bits == 2:
        flags |= termios.CSTOPB
    if settings.parity != "N" and not os.ttyname(fd).startswith("/dev/pts/"):
        flags |= termios.PARENB | (termios.PARODD if settings.parity == "O" else 0)
    attributes[2] = flags
    attributes[4] = attributes[5] = speed
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
