"""What the frames of a tape say, bus by bus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import znp_meaning
from .meaning import Meaning
from .modbus_meaning import ModbusMeaning
from .model import TapeFrame, TapeHeader

if TYPE_CHECKING:
    from ..devices.fields import FieldMap
    from ..devices.model import DeviceProfile


class Decoder:
    """Understands frames in the order of the tape, since answers are read through their requests.

    Args:
        header: of the tape; says which device has which profile.
        profiles: by the names that the header gives; values of others stay registers.
    """

    def __init__(
        self, header: TapeHeader, profiles: Mapping[str, DeviceProfile] | None = None
    ) -> None:
        self._header = header
        self._profiles = profiles or {}
        self._modbus: dict[str, ModbusMeaning] = {}

    def meaning(self, frame: TapeFrame) -> Meaning:
        """Return what a frame says; never raises."""
        if frame.kind == "znp":
            return znp_meaning.read(frame.data)
        if not frame.kind.startswith("modbus"):
            return Meaning(f"{len(frame.data)} bytes")
        reader = self._modbus.get(frame.bus)
        if reader is None:
            maps, one_table = self._maps(frame.bus)
            reader = self._modbus[frame.bus] = ModbusMeaning(frame.kind, maps, one_table)
        return reader.read(frame.direction, frame.data)

    def _maps(self, bus: str) -> tuple[dict[int, FieldMap], frozenset[int]]:
        from ..devices.fields import resolve

        found: dict[int, FieldMap] = {}
        one_table = set()
        for device in self._header.devices:
            profile = self._profiles.get(device.profile)
            if device.bus == bus and profile is not None and profile.modbus is not None:
                unit = device.unit if device.unit is not None else profile.modbus.unit
                found[unit] = resolve(profile)
                if profile.modbus.same_tables:
                    one_table.add(unit)
        return found, frozenset(one_table)
