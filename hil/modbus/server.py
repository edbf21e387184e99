"""A Modbus server: any number of units behind TCP, TLS, RTU over TCP, a pty or a serial port.

Everything runs on asyncio, without threads, on either clock. `protocol()` is one connection, to be
joined to a client in memory or by a loop; the `serve_…` methods open sockets and ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from ...sim.clock import Clock, to_us
from ..serialport import LineError, PtyPort, SerialTransport
from ..wire import Tap, WireFault
from .line import LineSettings, open_serial
from .listener import Listener, ServeError
from .rtu_session import RtuSession
from .serving import Member
from .statistics import Statistics
from .tcp_session import TcpSession
from .unit import Unit

__all__ = ["ModbusServer", "ServeError", "Statistics"]

MODBUS_PORT: Final = 502
MODBUS_TLS_PORT: Final = 802

_BUFFER: Final = 16384
_RETRY_S: Final = 0.25
_SILENT_US: Final = 30_000_000
_MOMENT_S: Final = 1e-6
"""Not 0: the virtual clock passes on to what is scheduled only when nobody is ready."""


class ModbusServer:
    """Serves units on one bus.

    Args:
        units: Devices by unit id; may change while serving. Anything that has `get` like a dict.
        clock: Time of requests; timers run on the loop that serves.
        bus: Name in tapes, faults and logs.
        framing: `tcp`, or `rtu` (serial lines, RTU over TCP).
        unknown_unit: On TCP, whether a request to a unit that is not there stays unanswered or is
            refused with code 11, as a gateway does. On a line it always stays unanswered.
        line: Baud rate and the like; None: bytes on a pty or in memory take no time.
        tap: Is told of every frame.
        faults: Bend what passes. If they also have `quiet(bus, t_us) -> bool`, requests that come
            while it is true pass them by, which makes them nearly free.
        max_connections: One more closes that which has been silent the longest, or, if none was
            for half a minute, that which has sent requests for the shortest time.
        idle_timeout_s: A connection without requests for so long is closed.
    """

    def __init__(
        self,
        units: Mapping[int, Unit],
        clock: Clock,
        *,
        bus: str = "modbus",
        framing: Literal["tcp", "rtu"] = "tcp",
        unknown_unit: Literal["silent", "gateway"] = "gateway",
        line: LineSettings | None = None,
        tap: Tap | None = None,
        faults: WireFault | None = None,
        max_connections: int = 128,
        idle_timeout_s: float = 300.0,
    ) -> None:
        self.units = units
        self.clock = clock
        self.bus = bus
        self.framing = framing
        self.unknown_unit = unknown_unit
        self.line = line
        self.statistics = Statistics()
        self.plain = tap is None and faults is None
        """Whether neither tape nor faults are to be asked."""
        self._tap = tap
        self._faults = faults
        self._quiet: Callable[[str, int], bool] | None = getattr(faults, "quiet", None)
        self._max_connections = max_connections
        self._idle_us = to_us(idle_timeout_s)
        self._buffer: memoryview | None = None
        self._sessions: set[Member] = set()
        self._listeners: list[Listener] = []
        self._ptys: list[PtyPort] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._on = True
        self._closed = False

    @property
    def buffer(self) -> memoryview:
        """What sockets are read into; one for all, since what is read is used up at once."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(_BUFFER))
        return self._buffer

    @property
    def tap(self) -> Tap | None:
        """The tape; may be set while serving."""
        return self._tap

    @tap.setter
    def tap(self, tap: Tap | None) -> None:
        self._tap = tap
        self.plain = self._tap is None and self._faults is None

    @property
    def faults(self) -> WireFault | None:
        """The faults; may be set while serving."""
        return self._faults

    @faults.setter
    def faults(self, faults: WireFault | None) -> None:
        self._faults = faults
        self._quiet = getattr(faults, "quiet", None)
        self.plain = self._tap is None and self._faults is None
        for session in self._sessions:
            session.attach()

    def quiet(self) -> bool:
        """Return whether the faults do nothing now and no tape runs."""
        quiet = self._quiet
        return quiet is not None and self._tap is None and quiet(self.bus, self.clock.now_us)

    @property
    def connections(self) -> int:
        """Number of connections and lines that are open."""
        return len(self._sessions)

    def protocol(self) -> asyncio.Protocol:
        """Return the server's end of one new connection.

        In virtual time an answer on a line comes in one piece, when its last byte is through:
        pieces would tell a client nothing and cost an event each.
        """
        if self.framing == "rtu":
            return RtuSession(self, self.line, in_pieces=self.clock.mode != "virtual")
        return TcpSession(self)

    async def serve_tcp(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listen; returns host and port, chosen by the system when `port` is 0.

        Raises `ServeError` when the address is taken or not this machine's.
        """
        return self._listen(host, port, None, None)

    async def serve_tls(
        self,
        context: ssl.SSLContext,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        roles: Mapping[str, frozenset[int]] | None = None,
    ) -> tuple[str, int]:
        """Listen for TLS connections (`tls.server_context`); returns host and port.

        `roles` are the function codes that each role in a client's certificate may use; any other
        is refused as illegal, and so is everything without a role. None: all may do everything.
        """
        return self._listen(host, port, context, roles)

    def _listen(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        roles: Mapping[str, frozenset[int]] | None,
    ) -> tuple[str, int]:
        def make() -> asyncio.Protocol:
            if self.framing == "tcp":
                return TcpSession(self, roles)
            return self.protocol()

        listener = Listener(host, port, make, self.make_room, context, self._max_connections)
        self._listeners.append(listener)
        return listener.address

    async def serve_pty(self, link: Path | str | None = None) -> str:
        """Open a pseudo terminal; returns the path that a client opens as its serial port.

        `link` is a path that leads to it, also after it was pulled out and put back, when the
        terminal itself may have another name. While the bus is off the port is not there yet, and
        without a link its path is empty. Raises `LineError` when it cannot be made.
        """
        port: PtyPort

        def pulled() -> None:
            port.unplug()
            self._replug(port)

        def make() -> asyncio.Protocol:
            return RtuSession(self, self.line, lasting=True, pulled=pulled)

        port = PtyPort(make, Path(link) if link is not None else None)
        self._ptys.append(port)
        if self.accepts():
            port.plug()
        else:
            self._replug(port)
        return port.path

    async def serve_serial(self, path: str) -> None:
        """Serve on a serial port of this machine, with the settings of `line`.

        A port that vanishes is opened again when it is back. Raises `LineError` when it cannot be
        opened now.
        """
        settings = self.line or LineSettings()
        self._open_serial(path, settings)

    def _open_serial(self, path: str, settings: LineSettings) -> None:
        def retry() -> None:
            with contextlib.suppress(LineError):
                self._open_serial(path, settings)
                return
            self._call_later(retry)

        session = _PortSession(self, settings, lambda: self._call_later(retry))
        fd = open_serial(path, settings)
        SerialTransport(asyncio.get_running_loop(), fd, session, path)

    def _replug(self, port: PtyPort) -> None:
        """Put a terminal back as soon as the bus is on again."""

        def retry() -> None:
            if self.accepts():
                with contextlib.suppress(LineError):
                    port.plug()
                    return
            self._call_later(retry)

        self._call_later(retry)

    def _call_later(self, callback: object) -> None:
        if self._closed:
            return
        assert callable(callback)

        def run() -> None:
            self._timers.discard(handle)
            if not self._closed:
                callback()

        handle = asyncio.get_running_loop().call_later(_RETRY_S, run)
        self._timers.add(handle)

    def accepts(self) -> bool:
        """Return whether the bus is on."""
        faults = self._faults
        return (
            self._on
            and not self._closed
            and (faults is None or faults.accepts(self.bus, self.clock.now_us))
        )

    def switch(self, on: bool) -> None:
        """Switch the bus off (connections close, new ones are refused, ports vanish) or on."""
        self._on = on
        if not on:
            for session in list(self._sessions):
                session.drop()

    def send(self, data: bytes) -> None:
        """Put bytes that nobody asked for on every connection."""
        for session in list(self._sessions):
            session.send(data)

    def opened(self, session: Member) -> bool:
        """Take a session in; returns False when it is to be closed again."""
        if not self.accepts():
            self.statistics.refused += 1
            return False
        passing = self._passing()
        if not session.lasting and len(passing) >= self._max_connections:
            self._give_up(passing)
        self._sessions.add(session)
        self.statistics.connections += 1
        if self._sweeping is None and not session.lasting:
            self._sweep_later(self._idle_us)
        return True

    def _passing(self) -> list[Member]:
        return [one for one in self._sessions if not one.lasting]

    def make_room(self) -> None:
        """Close a connection that has been silent since it was made, or for long, if there is any.

        Connections to other devices may have used the process's descriptors up; clients that poll
        do not pay for them.
        """
        silent_us = self.clock.now_us - _SILENT_US
        passing = self._passing()
        idle = [one for one in passing if one.last_us == one.born_us]
        self._give_up(idle or [one for one in passing if one.last_us < silent_us])

    def _give_up(self, passing: list[Member]) -> None:
        """Close the connection that is worth the least."""
        if passing:
            self.statistics.evicted += 1
            given_up = min(passing, key=self._worth)
            self._sessions.discard(given_up)
            given_up.drop()

    def _worth(self, session: Member) -> tuple[bool, int, int]:
        """Return by what a connection is kept: the least gives way to a new one.

        Those that were silent for long go first, then those that have sent requests for the
        shortest time: a flood of connections must not throw out a client that polls.
        """
        lately = self.clock.now_us - session.last_us < _SILENT_US
        return lately, session.last_us - session.born_us, session.last_us

    def _sweep_later(self, wait_us: int) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(max(wait_us, 0) * 1e-6, self._sweep)

    def _sweep(self) -> None:
        """Close the connections that were silent for too long; one timer looks after all."""
        self._sweeping = None
        now_us, next_us = self.clock.now_us, None
        for session in list(self._sessions):
            if session.lasting:
                continue
            due_us = session.last_us + self._idle_us
            if due_us <= now_us:
                self.statistics.timed_out += 1
                self._sessions.discard(session)
                session.drop()
            else:
                next_us = due_us if next_us is None else min(next_us, due_us)
        if next_us is not None:
            self._sweep_later(next_us - now_us)

    def lost(self, session: Member) -> None:
        """Forget a session."""
        self._sessions.discard(session)

    async def close(self) -> None:
        """Close every connection, socket and port; returns when they are closed."""
        self._closed = True
        for timer in self._timers:
            timer.cancel()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for listener in self._listeners:
            listener.close()
        for port in self._ptys:
            port.unplug()
        for session in list(self._sessions):
            session.drop()
        while self._sessions:
            await asyncio.sleep(_MOMENT_S)


class _PortSession(RtuSession):
    """A line on a real port, which keeps its own time; tells when it is lost."""

    def __init__(self, server: ModbusServer, line: LineSettings, lost: object) -> None:
        super().__init__(server, line, paced=False, lasting=True)
        self._when_lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        assert callable(self._when_lost)
        self._when_lost()
