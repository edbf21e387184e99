"""The rig file: buses, devices and what each of them serves.

Only models: nothing in here connects. `scenarios.rigs` loads a file with line numbers.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ...sim.config import DurationS, Model

_ID: Final = r"^[a-z][a-z0-9_-]{0,47}$"
_IEEE: Final = r"^[0-9a-f]{2}(:[0-9a-f]{2}){7}$"
_SERVES: Final = r"^(grid|pv|battery|household|witness|(load|charger)\.(\*|[a-z][a-z0-9_]{0,31}))$"

Port = Annotated[int, Field(ge=0, le=65535)]
Parity = Literal["none", "even", "odd"]
Origin = Literal["simulated", "played", "uncontrolled"]


class _Bus(Model):
    id: str = Field(pattern=_ID)
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


class RigDevice(Model):
    """A device on a bus."""

    id: str = Field(pattern=_ID)
    profile: str
    """Name of a shipped device profile, or the path of one."""
    bus: str
    unit: int | None = Field(None, ge=1, le=255)
    """Modbus unit id; null: the profile's."""
    ieee: str | None = Field(None, pattern=_IEEE)
    """Zigbee address; null, where it is emulated: made up from the id."""
    serves: tuple[Annotated[str, Field(pattern=_SERVES)], ...] = ()
    """What of the site it is: `grid`, `pv`, `battery`, `witness`, `load.<id>`, `charger.<id>`.
    `load.*` stands for one device a load of the scenario (emulated ones only)."""
    emulated: bool = False
    """Whether wattbench plays the device; else it is a real one at the bus's address."""
    serial: str | None = None
    """Expected serial number; verified before the first write."""
    firmware: str | None = None


class Rig(Model):
    """A rig."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    station: str = Field("", max_length=80)
    operator: str = Field("", max_length=80)
    buses: tuple[Bus, ...] = Field(min_length=1, max_length=64)
    devices: tuple[RigDevice, ...] = Field(min_length=1, max_length=512)

    @model_validator(mode="after")
    def _joined(self) -> Self:
        for section, items in (("buses", self.buses), ("devices", self.devices)):
            seen: set[str] = set()
            for index, item in enumerate(items):
                if item.id in seen:
                    raise PydanticCustomError(
                        "duplicate",
                        "id '{name}' is used twice; allowed: each id once",
                        {"name": item.id, "at": [section, index, "id"]},
                    )
                seen.add(item.id)
        buses = {bus.id for bus in self.buses}
        for index, device in enumerate(self.devices):
            if device.bus not in buses:
                raise PydanticCustomError(
                    "reference",
                    "there is no bus '{name}'; allowed: {known}",
                    {
                        "name": device.bus,
                        "known": ", ".join(sorted(buses)),
                        "at": ["devices", index, "bus"],
                    },
                )
        return self

    def bus(self, name: str) -> Bus:
        """Return the bus with an id."""
        return next(bus for bus in self.buses if bus.id == name)
