"""The attributes of an emulated device: what each holds, and what a write does.

An attribute is a quantity of the device's source, converted as its profile says (raw x multiplier
/ divisor is the quantity), or a setting that the device keeps. What the profile leaves out and
every device has (version, manufacturer, model …) is filled in here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ...devices.model import Attribute as AttributeProfile
from ...devices.model import DeviceProfile
from .. import zcl
from .. import zcl_types as types
from ..zcl_types import Value

TYPES: Final = {
    "bool": types.BOOLEAN,
    "map8": types.BITMAP8,
    "map16": types.BITMAP16,
    "map32": types.BITMAP32,
    "uint8": types.UINT8,
    "uint16": types.UINT16,
    "uint24": types.UINT24,
    "uint32": types.UINT32,
    "uint48": types.UINT48,
    "int8": types.INT8,
    "int16": types.INT16,
    "int24": types.INT24,
    "int32": types.INT32,
    "enum8": types.ENUM8,
    "enum16": types.ENUM16,
    "single": types.SINGLE,
    "string": types.STRING,
}
CLUSTER_REVISION: Final = 0xFFFD
#: From here on clusters belong to manufacturers.
_MANUFACTURER_CLUSTERS: Final = 0xFC00


class DeviceSource(Protocol):
    """Where a device's values come from and its commands go to; quantities are SI."""

    def measure(self, quantity: str, t_us: int) -> float | str | None:
        """Return what the device measures now; None: nothing to say."""

    def command(self, quantity: str, value: float, t_us: int) -> None:
        """Take over a set-point, a switch."""


@dataclass(frozen=True, slots=True)
class Key:
    """Which attribute: endpoint, cluster, number; of a manufacturer; of the client's side."""

    endpoint: int
    cluster: int
    attribute: int
    manufacturer: int | None = None
    client: bool = False


@dataclass(slots=True)
class Item:
    """An attribute of a device: its type, how it is read, what it accepts."""

    kind: int
    read: Callable[[int], Value]
    write: Callable[[Value, int], int] | None = None
    keep: bool = False
    """Whether its value survives a power cycle: a setting that can be written."""


class AttributeTable:
    """All attributes of a device."""

    def __init__(self, profile: DeviceProfile, source: DeviceSource) -> None:
        self._source = source
        self._items: dict[Key, Item] = {}
        self._aliases: dict[Key, Item] = {}
        self._settings: dict[Key, Value] = {}
        self._profiles: dict[Key, AttributeProfile] = {}
        assert profile.zigbee is not None
        for one in profile.zigbee.attributes:
            self._add_profiled(one)
        for endpoint in profile.zigbee.endpoints:
            self._fill_in(endpoint.id, endpoint.server_clusters, profile)

    def find(self, key: Key) -> Item | None:
        """Return an attribute; a manufacturer's cluster may be asked with or without its code."""
        item = self._items.get(key) or self._aliases.get(key)
        if item is None and key.cluster >= _MANUFACTURER_CLUSTERS:
            for known, candidate in self._items.items():
                same = (known.endpoint, known.cluster, known.attribute, known.client)
                if same == (key.endpoint, key.cluster, key.attribute, key.client):
                    self._aliases[key] = candidate
                    return candidate
        return item

    def holds(self, key: Key) -> bool:
        """Return whether there is an attribute under exactly this key."""
        return key in self._items

    def numbers(self, key: Key) -> list[tuple[int, int]]:
        """Return (number, type) of the attributes of a key's cluster, ascending."""
        place = (key.endpoint, key.cluster, key.client, key.manufacturer)
        return sorted(
            (known.attribute, item.kind)
            for known, item in self._items.items()
            if (known.endpoint, known.cluster, known.client, known.manufacturer) == place
        )

    def profiles(self) -> Iterable[tuple[Key, AttributeProfile]]:
        """Return the attributes that the profile lists."""
        return self._profiles.items()

    def add(self, key: Key, item: Item) -> None:
        """Add an attribute unless the profile has it."""
        self._items.setdefault(key, item)

    def add_setting(
        self, key: Key, kind: int, value: Value, *, writable: bool = False, keep: bool = False
    ) -> None:
        """Add a value that the device keeps, unless the profile has the attribute."""
        if key in self._items:
            return
        self._settings[key] = value

        def write(new: Value, t_us: int) -> int:
            self._settings[key] = new
            return zcl.SUCCESS

        self._items[key] = Item(
            kind, lambda _: self._settings[key], write if writable else None, keep or writable
        )

    def setting(self, key: Key) -> Value:
        """Return a value that the device keeps."""
        return self._settings.get(key)

    def set(self, key: Key, value: Value) -> None:
        """Change a value that the device keeps."""
        if key in self._settings:
            self._settings[key] = value

    def quantity(self, key: Key) -> str | None:
        """Return which quantity an attribute is, None for none."""
        profile = self._profiles.get(key)
        return None if profile is None else profile.quantity

    def command(self, key: Key, raw: float, t_us: int) -> None:
        """Command the quantity behind an attribute, from its raw value."""
        profile = self._profiles.get(key)
        if profile is not None and profile.quantity is not None:
            self._source.command(profile.quantity, raw * profile.multiplier / profile.divisor, t_us)

    def state(self) -> list[list[Any]]:
        """Return the settings that survive a power cycle."""
        return [
            [key.endpoint, key.cluster, key.attribute, key.manufacturer, self._settings[key]]
            for key, item in self._items.items()
            if item.keep and key in self._settings and not isinstance(self._settings[key], bytes)
        ]

    def restore(self, state: list[list[Any]]) -> None:
        """Take over settings that survived; those that no longer exist are dropped."""
        for endpoint, cluster, attribute, manufacturer, value in state:
            self.set(Key(endpoint, cluster, attribute, manufacturer), value)

    def _add_profiled(self, one: AttributeProfile) -> None:
        key = Key(one.endpoint, one.cluster, one.id, one.manufacturer_code)
        kind = TYPES[one.type]
        self._profiles[key] = one
        if one.quantity is None:
            value = self._constant(kind, one.value)
            self.add_setting(key, kind, value, writable=one.access == "rw")
            self._bound(key, one)
            return
        quantity = one.quantity

        def read(t_us: int) -> Value:
            return to_raw(kind, self._source.measure(quantity, t_us), one.divisor / one.multiplier)

        def write(value: Value, t_us: int) -> int:
            if not isinstance(value, int | float) or not _within(one, float(value)):
                return zcl.INVALID_VALUE
            self.command(key, float(value), t_us)
            return zcl.SUCCESS

        self._items[key] = Item(kind, read, write if one.access == "rw" else None)

    def _bound(self, key: Key, one: AttributeProfile) -> None:
        item = self._items[key]
        inner = item.write
        if inner is None or (one.low is None and one.high is None):
            return

        def write(value: Value, t_us: int) -> int:
            if isinstance(value, int | float) and not _within(one, float(value)):
                return zcl.INVALID_VALUE
            return inner(value, t_us)

        item.write = write

    @staticmethod
    def _constant(kind: int, value: float | str | None) -> Value:
        if value is None:
            return types.no_value(kind)
        if isinstance(value, str) or kind == types.SINGLE:
            return value
        return bool(value) if kind == types.BOOLEAN else round(value)

    def _fill_in(self, endpoint: int, clusters: Iterable[int], profile: DeviceProfile) -> None:
        assert profile.zigbee is not None
        mains = profile.zigbee.power_source == "mains"
        identity = profile.identity
        basics: list[tuple[int, int, Value]] = [
            (0x0000, types.UINT8, 3),  # version of the cluster library
            (0x0001, types.UINT8, 1),
            (0x0002, types.UINT8, 0),
            (0x0003, types.UINT8, 1),
            (0x0004, types.STRING, identity.manufacturer),
            (0x0005, types.STRING, identity.model),
            (0x0006, types.STRING, "20240101"),
            (0x0007, types.ENUM8, 1 if mains else 3),
            (0x000D, types.STRING, identity.serial),
            (0x4000, types.STRING, identity.firmware or "1.0"),
        ]
        for cluster in clusters:
            if cluster == zcl.BASIC:
                for number, kind, value in basics:
                    self.add_setting(Key(endpoint, cluster, number), kind, value)
            self.add_setting(Key(endpoint, cluster, CLUSTER_REVISION), types.UINT16, 1)


def _within(one: AttributeProfile, raw: float) -> bool:
    low = -math.inf if one.low is None else one.low
    high = math.inf if one.high is None else one.high
    return low <= raw <= high


def to_raw(kind: int, value: float | str | bool | None, factor: float) -> Value:
    """Return a measured value as an attribute's raw one, held within the range of its type."""
    if value is None:
        return types.no_value(kind)
    if kind == types.BOOLEAN:
        return bool(value)
    if isinstance(value, str) or kind == types.STRING:
        return str(value)
    if not math.isfinite(value):
        return types.no_value(kind)
    if kind in {types.SINGLE, types.DOUBLE}:
        return value * factor
    raw, bounds = round(value * factor), types.limits(kind)
    if bounds is None:
        return max(raw, 0)
    return min(max(raw, bounds[0]), bounds[1])
