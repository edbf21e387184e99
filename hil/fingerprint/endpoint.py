"""Where a device is, as a user writes it, and a client of it.

::

    127.0.0.1:1502/1                       Modbus TCP, unit 1
    modbus-tcp://inverter.lan:502/3        the same with its name
    modbus-rtu:///dev/ttyUSB0/1?baud=9600&parity=even&stop_bits=1
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from ...sim.clock import Clock
from ..modbus.client import ModbusClient
from ..modbus.line import LineSettings

TIMEOUT_S: Final = 2.0
_BARE: Final = re.compile(r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d+)?(/\d+)?$")
_PARITIES: Final = {"none": "N", "even": "E", "odd": "O"}
_FORMS: Final = "allowed: HOST[:PORT][/UNIT], modbus-tcp://…, modbus-rtu:///dev/…/UNIT?baud=9600"


class EndpointError(ValueError):
    """A text that names no endpoint; one line says what is allowed."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address of one Modbus unit."""

    host: str = ""
    port: int = 502
    path: str = ""
    """Of a serial port; empty: TCP."""
    unit: int | None = None
    """None: what the profile says."""
    line: LineSettings = field(default_factory=LineSettings)

    def __str__(self) -> str:
        where = (
            f"modbus-rtu://{self.path}" if self.path else f"modbus-tcp://{self.host}:{self.port}"
        )
        return where if self.unit is None else f"{where}/{self.unit}"

    def client(self, clock: Clock) -> ModbusClient:
        """Return a client of it, not connected yet."""
        if self.path:
            return ModbusClient.serial(
                clock, self.path, self.line, name=self.path, timeout_s=TIMEOUT_S
            )
        name = f"{self.host}:{self.port}"
        return ModbusClient.tcp(clock, self.host, self.port, name=name, timeout_s=TIMEOUT_S)


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint that a text names.

    Raises:
        EndpointError: it names none.
    """
    if "://" not in text:
        if not _BARE.match(text):
            raise EndpointError(f"'{text}' is no endpoint; {_FORMS}")
        text = f"modbus-tcp://{text}"
    parts = urlsplit(text)
    try:
        if parts.scheme == "modbus-tcp" and parts.hostname:
            unit = _unit(parts.path.strip("/"), text)
            return Endpoint(host=parts.hostname, port=parts.port or 502, unit=unit)
    except ValueError as error:
        if isinstance(error, EndpointError):
            raise
        raise EndpointError(f"'{text}': the port must be from 1 to 65535") from None
    if parts.scheme == "modbus-rtu" and not parts.netloc and parts.path:
        path, _, last = parts.path.rpartition("/")
        if not last.isdigit():
            path, last = parts.path, ""
        return Endpoint(path=path, unit=_unit(last, text), line=_line(parts.query, text))
    raise EndpointError(f"'{text}' is no endpoint; {_FORMS}")


def _unit(text: str, whole: str) -> int | None:
    if not text:
        return None
    if not text.isdigit() or not 1 <= int(text) <= 255:
        raise EndpointError(f"'{whole}': the unit must be from 1 to 255")
    return int(text)


def _line(query: str, whole: str) -> LineSettings:
    given = dict(parse_qsl(query, keep_blank_values=True))
    try:
        baud = int(given.pop("baud", "9600"))
        parity = _PARITIES[given.pop("parity", "none")]
        stop_bits = int(given.pop("stop_bits", "1"))
    except (ValueError, KeyError):
        baud = stop_bits = 0
        parity = ""
    if given or not 300 <= baud <= 1_000_000 or stop_bits not in {1, 2}:
        raise EndpointError(
            f"'{whole}': allowed after '?': baud=300…1000000, parity=none|even|odd, stop_bits=1|2"
        )
    return LineSettings(baud, parity, stop_bits)  # type: ignore[arg-type]
