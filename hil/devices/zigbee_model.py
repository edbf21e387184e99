"""The Zigbee side of a device profile: endpoints, clusters, attributes, reporting, sleep."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ...sim.config import DurationS, Model
from .modbus_model import QUANTITY

Id16 = Annotated[int, Field(ge=0, le=0xFFFF)]
ZclType = Literal[
    "bool",
    "map8",
    "map16",
    "map32",
    "uint8",
    "uint16",
    "uint24",
    "uint32",
    "uint48",
    "int8",
    "int16",
    "int24",
    "int32",
    "enum8",
    "enum16",
    "single",
    "string",
]


class Reporting(Model):
    """How an attribute is reported until a host configures it otherwise."""

    min_s: DurationS = Field(1.0, ge=0, le=65535)
    max_s: DurationS = Field(300.0, ge=0, le=65535)
    change: float = Field(0.0, ge=0)
    """Least change that is reported, raw as on the wire."""


class Attribute(Model):
    """An attribute of a cluster: a quantity, or a fixed value.

    A quantity's value is ``raw × multiplier / divisor``, in its own SI unit.
    """

    endpoint: int = Field(1, ge=1, le=240)
    cluster: Id16
    id: Id16
    type: ZclType
    name: str = Field("", max_length=48)
    quantity: str | None = Field(None, pattern=QUANTITY)
    """null: the attribute is a setting or constant with a `value`."""
    value: float | str | None = None
    """Raw, after a reset; null: not known until set."""
    access: Literal["r", "rw"] = "r"
    multiplier: float = Field(1.0, gt=0)
    divisor: float = Field(1.0, gt=0)
    manufacturer_code: Id16 | None = None
    """null: an attribute of the standard."""
    reporting: Reporting | None = None
    """null: not reported until a host configures it."""
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.quantity is not None and self.value is not None:
            raise PydanticCustomError("attribute", "value and quantity exclude each other")
        return self


class Endpoint(Model):
    """An endpoint with its simple descriptor."""

    id: int = Field(1, ge=1, le=240)
    profile_id: Id16 = 0x0104
    device_id: Id16
    server_clusters: tuple[Id16, ...] = ()
    """Input clusters: what the device serves."""
    client_clusters: tuple[Id16, ...] = ()
    """Output clusters: what it uses, for instance time or firmware updates."""
    groups: tuple[Id16, ...] = ()
    """Groups that it belongs to from the factory on."""


class ZigbeeMap(Model):
    """What a device says over Zigbee."""

    manufacturer_code: Id16
    power_source: Literal["mains", "battery"] = "mains"
    router: bool = True
    """Whether it passes on messages of others; false: an end device."""
    sleepy: bool = False
    """Whether it listens only when it polls its parent."""
    poll_interval_s: DurationS = Field(7.5, gt=0, le=3600)
    """How often a sleepy device asks its parent for messages."""
    endpoints: tuple[Endpoint, ...] = Field(min_length=1, max_length=32)
    attributes: tuple[Attribute, ...] = Field((), max_length=500)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        clusters = {point.id: point.server_clusters for point in self.endpoints}
        if len(clusters) < len(self.endpoints):
            raise PydanticCustomError("endpoints", "endpoints must have different ids")
        if self.sleepy and self.router:
            raise PydanticCustomError(
                "sleepy", "sleepy devices cannot be routers; allowed: router: false"
            )
        seen: set[tuple[int, int, int, int | None]] = set()
        for index, item in enumerate(self.attributes):
            key = (item.endpoint, item.cluster, item.id, item.manufacturer_code)
            text = f"0x{item.cluster:04X}/0x{item.id:04X}"
            at = {"name": text, "at": ["attributes", index]}
            if item.cluster not in clusters.get(item.endpoint, ()):
                raise PydanticCustomError(
                    "attribute", "attribute {name} is in a cluster that its endpoint lacks", at
                )
            if key in seen:
                raise PydanticCustomError("attribute", "attribute {name} is there twice", at)
            seen.add(key)
        return self
