"""An SDM630-like meter in memory: the plant's reading as Modbus TCP bytes.

Framing is that of Modbus TCP: transaction id, protocol id 0, length, unit, then the function.
Requests may come in pieces or several at once; each is answered, in order. What a real meter
refuses is refused with `function | 0x80` and a code; a frame that cannot be one (other protocol
id, impossible length) closes the connection, since its end cannot be found.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Final, cast

from ...sim.edge.meter import MeterReading
from . import sdm630

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
DEVICE_BUSY: Final = 6
GATEWAY_NO_ANSWER: Final = 11

_MBAP = struct.Struct(">HHHB")
_READ = struct.Struct(">HH")
_MAX_LENGTH = 254  # of the unit and the function with its data: 260 bytes less the first six


class _RefusalError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class EchoMeter(asyncio.Protocol):
    """The server's end of one connection; it samples `reading()` whenever it is asked.

    `reading` returns the newest published sample, or None before the first one. A measurement
    that is asked for before that is refused as busy; the stamp then reads −1.
    """

    def __init__(self, reading: Callable[[], MeterReading | None]) -> None:
        self._reading = reading
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport that answers go to."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and what came in halves."""
        self._transport = None
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer every whole request so far; keep the rest until more comes."""
        self._buffer += data
        while self._transport is not None and len(self._buffer) >= _MBAP.size:
            transaction, protocol, length, unit = _MBAP.unpack_from(self._buffer)
            if protocol != 0 or not 2 <= length <= _MAX_LENGTH:
                self._transport.close()
                self._buffer = b""
                return
            end = 6 + length
            if len(self._buffer) < end:
                return
            request, self._buffer = self._buffer[_MBAP.size : end], self._buffer[end:]
            answer = self._answer(unit, request)
            self._transport.write(_MBAP.pack(transaction, 0, len(answer) + 1, unit) + answer)

    def _answer(self, unit: int, request: bytes) -> bytes:
        function = request[0]
        try:
            data = self._registers(unit, function, request[1:])
        except _RefusalError as refusal:
            return bytes((function | 0x80, refusal.code))
        return bytes((function, len(data))) + data

    def _registers(self, unit: int, function: int, body: bytes) -> bytes:
        if unit not in sdm630.UNITS:
            raise _RefusalError(GATEWAY_NO_ANSWER)
        if function not in {sdm630.READ_HOLDING, sdm630.READ_INPUT}:
            raise _RefusalError(ILLEGAL_FUNCTION)
        if len(body) != _READ.size:
            raise _RefusalError(ILLEGAL_VALUE)
        address, count = _READ.unpack(body)
        if not 1 <= count <= sdm630.MAX_REGISTERS:
            raise _RefusalError(ILLEGAL_VALUE)
        if function == sdm630.READ_HOLDING:
            return self._stamp(address, count)
        if address + count > sdm630.INPUT_REGISTERS:
            raise _RefusalError(ILLEGAL_ADDRESS)
        reading = self._reading()
        if reading is None:
            raise _RefusalError(DEVICE_BUSY)
        return sdm630.encode_block(unit, address, count, reading.values)

    def _stamp(self, address: int, count: int) -> bytes:
        offset = address - sdm630.STAMP_ADDRESS
        if offset < 0 or offset + count > sdm630.STAMP_REGISTERS:
            raise _RefusalError(ILLEGAL_ADDRESS)
        reading = self._reading()
        stamp = sdm630.encode_stamp(-1 if reading is None else reading.sampled_us)
        return stamp[2 * offset : 2 * (offset + count)]
