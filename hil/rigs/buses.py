"""Buses of a rig: where devices are reached, and how the line is set."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from ...sim.config import DurationS, Model

ID: Final = r"^[a-z][a-z0-9_-]{0,47}$"
"""What buses and devices are called."""


def _digits(value: Any) -> Any:
    """Take a whole number written as text, as an environment variable has it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    return value


Digits: Final = BeforeValidator(_digits, json_schema_input_type=int | str)
"""Lets a number be given as text too: environment variables are texts."""

Port = Annotated[int, Digits, Field(ge=0, le=65535)]
Parity = Literal["none", "even", "odd"]


class _Bus(Model):
    id: str = Field(pattern=ID)
    timeout_s: DurationS = Field(0.5, gt=0, le=30)
    """How long an answer is waited for."""


class ModbusTcpBus(_Bus):
    """Modbus TCP: a device, or a gateway with devices behind it, at an address."""

    kind: Literal["modbus-tcp"] = "modbus-tcp"
    host: str = "127.0.0.1"
    port: Port = 502
    """0, where the devices are emulated: any free one."""


class ModbusTlsBus(_Bus):
    """Modbus TCP Security: both ends show a certificate."""

    kind: Literal["modbus-tls"] = "modbus-tls"
    host: str = "127.0.0.1"
    port: Port = 802
    ca_path: str
    certificate_path: str
    key_path: str


class ModbusRtuBus(_Bus):
    """A serial line with devices on it."""

    kind: Literal["modbus-rtu"] = "modbus-rtu"
    path: str | None = None
    """Of the serial port; null, where the devices are emulated: a pseudo terminal."""
    baud_rate: int = Field(9600, ge=300, le=1_000_000)
    parity: Parity = "none"
    stop_bits: Literal[1, 2] = 1


class ZnpBus(_Bus):
    """A Zigbee coordinator that speaks ZNP, on a serial port or behind TCP."""

    kind: Literal["znp"] = "znp"
    path: str | None = None
    """Of the serial port; null: `host` and `port`, or a pseudo terminal where it is emulated."""
    host: str | None = None
    port: Port | None = None
    baud_rate: int = Field(115200, ge=9600, le=1_000_000)
    channel: int = Field(15, ge=11, le=26)
    pan_id: int | None = Field(None, ge=1, le=0xFFFE)
    """null: whatever network the coordinator has, or any."""


class Zigbee2MqttBus(_Bus):
    """Zigbee devices through zigbee2mqtt and its MQTT broker."""

    kind: Literal["zigbee2mqtt"] = "zigbee2mqtt"
    host: str = "127.0.0.1"
    port: Port = 1883
    base_topic: str = "zigbee2mqtt"
    user: str | None = None
    password: str | None = None


Bus = Annotated[
    ModbusTcpBus | ModbusTlsBus | ModbusRtuBus | ZnpBus | Zigbee2MqttBus,
    Field(discriminator="kind"),
]
