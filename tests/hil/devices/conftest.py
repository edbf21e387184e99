"""Devices built from shipped profiles and from small ones of a test's own."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from wattbench.hil.devices import fields
from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.fields import Field, Value
from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.devices.source import ConstantSource, DeviceSource
from wattbench.hil.modbus.unit import ModbusRefusal
from wattbench.scenarios.devices import load_device_profile

S = 1_000_000


class Bench:
    """A device, its source, and a client that reads and writes field by field."""

    def __init__(
        self, profile: DeviceProfile | str, source: DeviceSource | None = None, **options: Any
    ) -> None:
        self.profile = load_device_profile(profile) if isinstance(profile, str) else profile
        self.source = source if source is not None else ConstantSource()
        self.device = EmulatedDevice(self.profile, self.source, **options)
        self.t_us = 0

    @property
    def map(self) -> fields.FieldMap:
        return fields.resolve(self.profile)

    @property
    def commands(self) -> list[tuple[str, float, int]]:
        assert isinstance(self.source, ConstantSource)
        return self.source.commands

    @property
    def last(self) -> tuple[str, float]:
        """The newest command's quantity and value."""
        quantity, value, _ = self.commands[-1]
        return quantity, value

    def raw(self, item: Field) -> bytes:
        table = item.table
        assert table in {"holding", "input"}
        return self.device.read_registers(table, item.address, item.width, self.t_us)

    def read(self, name: str) -> Value | None:
        """Read a quantity, or a register by its name."""
        item = self.map.reading(name) or self.map.named[name]
        return fields.decode(item, self.raw(item), self.exponent(item))

    def exponent(self, item: Field) -> int | None:
        if item.scale_name is None:
            return 0
        scale = self.map.named[item.scale_name]
        value = fields.decode(scale, self.raw(scale))
        return int(value) if isinstance(value, float) else None

    def write(self, name: str, value: Value) -> None:
        """Write a quantity, or a register by its name."""
        item = self.map.named.get(name) or self.map.writing(name)
        assert item is not None
        data = fields.encode(item, value, self.exponent(item) or 0)
        self.device.write_registers(item.address, data, self.t_us, 16)

    def at(self, t_s: float) -> Bench:
        """Go on to a time."""
        self.t_us = round(t_s * S)
        return self


@pytest.fixture
def bench() -> type[Bench]:
    return Bench


def refusal(action: Any, *arguments: Any) -> int:
    """Return the exception code that a device refuses an action with."""
    with pytest.raises(ModbusRefusal) as refused:
        action(*arguments)
    return refused.value.code


def float32(value: float) -> bytes:
    return struct.pack(">f", value)


def profile_of(**modbus: Any) -> DeviceProfile:
    """Return a profile with a Modbus map and whatever else is told."""
    others = {key: modbus.pop(key) for key in ("timing", "actuators", "ratings") if key in modbus}
    return DeviceProfile.model_validate(
        {
            "name": "mine",
            "kind": "meter",
            "identity": {"manufacturer": "Mine", "model": "One", "serial": "1"},
            "modbus": modbus,
            **others,
        }
    )
