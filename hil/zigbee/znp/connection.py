"""One connection of a host to the emulated coordinator: frames, faults, tape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from ....sim.clock import Clock
from ...wire import Tap, WireFault
from ..mt import MtFrame, MtParser


class Firmware(Protocol):
    """What a connection knows of the coordinator."""

    clock: Clock
    bus: str
    tap: Tap | None
    faults: WireFault | None

    def connected(self, connection: ZnpConnection) -> None:
        """Take note of a host."""

    def disconnected(self, connection: ZnpConnection) -> None:
        """Take note that a host has gone."""

    def handle(self, frame: MtFrame) -> None:
        """Take a frame from a host."""


class ZnpConnection(asyncio.Protocol):
    """The coordinator's end of a serial line or socket.

    With faults every frame passes through them, in either direction; what they leave of a request
    goes through a second parser, since it may be more or less than a frame.
    """

    def __init__(self, firmware: Firmware) -> None:
        self._firmware = firmware
        self._line = MtParser()
        self._inside = MtParser()
        self._transport: asyncio.WriteTransport | None = None
        self._detach: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the host's place, unless the bus is unplugged."""
        firmware = self._firmware
        self._transport = cast(asyncio.WriteTransport, transport)
        if firmware.faults is not None:
            if not firmware.faults.accepts(firmware.bus, firmware.clock.now_us):
                self.close()
                return
            self._detach = firmware.faults.attach(firmware.bus, self._write, self.close)
        firmware.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the host."""
        self._transport = None
        if self._detach is not None:
            self._detach()
            self._detach = None
        self._firmware.disconnected(self)

    def close(self) -> None:
        """Drop the host."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes, however cut; what is no frame is skipped."""
        firmware = self._firmware
        for frame in self._line.feed(data):
            if firmware.tap is None and firmware.faults is None:
                firmware.handle(frame)
                continue
            raw, t_us = frame.encode(), firmware.clock.now_us
            if firmware.tap is not None:
                firmware.tap.frame(firmware.bus, "request", t_us, raw)
            if firmware.faults is None:
                firmware.handle(frame)
            else:
                self._bend(firmware.faults, raw, t_us)

    def _bend(self, faults: WireFault, raw: bytes, t_us: int) -> None:
        for one in faults.requests(self._firmware.bus, t_us, raw):
            self._after(one.delay_us, self._write if one.back else self._take, one.data)

    def _take(self, data: bytes) -> None:
        for frame in self._inside.feed(data):
            self._firmware.handle(frame)

    def _after(self, delay_us: int, act: Callable[[bytes], None], data: bytes) -> None:
        if delay_us <= 0:
            act(data)
        else:
            clock = self._firmware.clock
            clock.schedule(clock.now_us + delay_us, lambda: act(data))

    def send(self, frame: MtFrame) -> None:
        """Send a frame to the host."""
        firmware, raw = self._firmware, frame.encode()
        if firmware.faults is None:
            self._write(raw)
            return
        for one in firmware.faults.answers(firmware.bus, firmware.clock.now_us, raw):
            self._after(one.delay_us, self._write, one.data)

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        firmware = self._firmware
        if firmware.tap is not None:
            firmware.tap.frame(firmware.bus, "answer", firmware.clock.now_us, data)
        self._transport.write(data)
