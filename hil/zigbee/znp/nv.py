"""Non-volatile memory of the emulated coordinator, and the file that it survives in.

Items of the old kind have a 16-bit number; those of the extended tables a system, an item and an
entry. Which exist before a network is formed, and how long they are, is what hosts look at to find
out which chip and firmware they talk to: this is a CC2652 with aligned structures. Item numbers
are those of Z-Stack 3.x (public in TI's SDK headers and in zigbee-herdsman, MIT).
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from ..binary import u16, u32

EXTADDR: Final = 0x01
STARTUP_OPTION: Final = 0x03
NIB: Final = 0x21
EXTENDED_PAN_ID: Final = 0x2D
ACTIVE_KEY: Final = 0x3A
ALTERNATE_KEY: Final = 0x3B
APS_USE_EXT_PANID: Final = 0x47
APS_LINK_KEY_TABLE: Final = 0x4C
ON_A_NETWORK: Final = 0x55
PRECONFIGURED_KEY: Final = 0x62
PRECONFIGURED_KEYS_ENABLE: Final = 0x63
NETWORK_KEY: Final = 0x82
PAN_ID: Final = 0x83
CHANNELS: Final = 0x84
LOGICAL_TYPE: Final = 0x87
ZDO_DIRECT_CB: Final = 0x8F
TRUST_CENTER_SEED: Final = 0x101

#: System number of Z-Stack, and its extended tables.
ZSTACK: Final = 1
ADDRESS_TABLE: Final = 1
TRUST_CENTER_TABLE: Final = 4
APS_KEY_TABLE: Final = 6
SECURITY_TABLE: Final = 7

CLEAR_CONFIG: Final = 0x01
CLEAR_NETWORK: Final = 0x02

_TABLES: Final = {
    ADDRESS_TABLE: (48, b"\x00\xff\xff\xff" + b"\xff" * 8),
    TRUST_CENTER_TABLE: (48, bytes(16) + b"\xff\x00\x00\x00"),
    APS_KEY_TABLE: (16, bytes(24)),
    SECURITY_TABLE: (12, bytes(12)),
}
_LINK_KEYS: Final = 16
_FREE_LINK_KEY: Final = b"\xfe\xff\x00\x00\x00\x00"

Extended = tuple[int, int, int]


def _configuration() -> dict[int, bytes]:
    """Return the items that "clear configuration" puts back."""
    return {
        0x04: b"\x0a",  # start delay
        0x24: u16(3000),  # poll rates, for end devices
        0x25: u16(100),
        0x26: u16(100),
        0x27: u16(1000),
        0x28: b"\x02",  # retries
        0x29: b"\x02",
        0x2A: b"\x02",  # stack profile: Zigbee Pro
        0x2B: b"\x07",  # how long messages for sleeping children are kept
        0x2C: b"\x1e",  # route expiry
        EXTENDED_PAN_ID: b"\xff" * 8,
        0x2E: b"\x02",  # broadcast retries
        0x2F: b"\x05",
        0x30: b"\x1e",  # broadcast delivery time
        0x31: b"\x00",  # network mode
        0x32: b"\x01",  # concentrator
        0x33: b"\x78",  # concentrator discovery time
        0x34: b"\x0a",
        0x36: b"\x01",  # concentrator route cache
        0x37: b"\x01",
        0x38: b"\xff",  # source route expiry
        0x39: b"\x05",
        0x3D: b"\x01",
        0x3E: b"\x00",  # child ageing
        0x43: b"\x03",
        0x44: u16(6000),  # wait for an acknowledgement
        0x45: b"\x02",
        0x46: u16(1600),
        APS_USE_EXT_PANID: bytes(8),
        0x48: b"\x01",
        0x61: b"\x01",  # security
        PRECONFIGURED_KEY: bytes(16),
        PRECONFIGURED_KEYS_ENABLE: b"\x00",
        0x64: b"\x01",
        0x65: b"\x01",
        0x6D: b"\x01",
        PAN_ID: b"\xff\xff",
        CHANNELS: u32(0x00000800),
        0x86: b"\x03",  # scan duration
        LOGICAL_TYPE: b"\x00",
        0x88: u16(20),
        0x89: u16(0),
        ZDO_DIRECT_CB: b"\x00",
    }


def _link_keys() -> bytes:
    return u16(_LINK_KEYS) + _FREE_LINK_KEY * _LINK_KEYS


def _empty_tables() -> dict[Extended, bytes]:
    return {
        (ZSTACK, table, entry): empty
        for table, (entries, empty) in _TABLES.items()
        for entry in range(entries)
    }


class NvMemory:
    """The items, by number; `changed` counts writes."""

    def __init__(self, ieee: int, seed: bytes) -> None:
        self.items: dict[int, bytes] = {}
        self.extended: dict[Extended, bytes] = {}
        self.changed = 0
        self._ieee = ieee.to_bytes(8, "little")
        self._seed = seed
        self.factory()

    def factory(self) -> None:
        """Put everything back to how the chip left the factory."""
        self.items.clear()
        self.extended.clear()
        self.complete()

    def complete(self) -> None:
        """Create what is missing, as the firmware does when it boots; hosts delete a lot."""
        defaults = {
            EXTADDR: self._ieee,
            STARTUP_OPTION: b"\x00",
            NETWORK_KEY: bytes(24),
            TRUST_CENTER_SEED: self._seed,
            APS_LINK_KEY_TABLE: _link_keys(),
            **_configuration(),
        }
        for item, value in defaults.items():
            self.items.setdefault(item, value)
        for key, empty in _empty_tables().items():
            self.extended.setdefault(key, empty)
        self.changed += 1

    def clear_configuration(self) -> None:
        """Put the network's settings back to defaults."""
        self.items.update(_configuration())
        self.changed += 1

    def clear_network(self) -> None:
        """Forget the network and everybody in it."""
        for item in (NIB, ON_A_NETWORK, ACTIVE_KEY, ALTERNATE_KEY):
            self.items.pop(item, None)
        self.items[NETWORK_KEY] = bytes(24)
        self.items[APS_LINK_KEY_TABLE] = _link_keys()
        self.extended = _empty_tables()
        self.changed += 1

    def get(self, item: int, default: bytes = b"") -> bytes:
        """Return an item, or `default` when it does not exist."""
        return self.items.get(item, default)

    def put(self, item: int, value: bytes) -> None:
        """Write an item, creating it."""
        self.items[item] = value
        self.changed += 1

    def delete(self, item: int) -> bool:
        """Delete an item; return whether it existed."""
        self.changed += 1
        return self.items.pop(item, None) is not None

    def put_extended(self, key: Extended, value: bytes) -> None:
        """Write an entry of an extended table, creating it."""
        self.extended[key] = value
        self.changed += 1

    def patch(self, old: bytes, offset: int, data: bytes) -> bytes | None:
        """Return `old` with `data` at `offset`, None when it does not fit."""
        if offset + len(data) > len(old):
            return None
        return old[:offset] + data + old[offset + len(data) :]

    def entries(self, table: int) -> list[tuple[Extended, bytes]]:
        """Return the entries of an extended table, in order."""
        keys = sorted(key for key in self.extended if key[:2] == (ZSTACK, table))
        return [(key, self.extended[key]) for key in keys]

    def remember_device(self, ieee: int, nwk: int) -> None:
        """Enter a device into the address and trust-center tables, if there is room."""
        name = ieee.to_bytes(8, "little")
        self.forget_device(ieee)
        self._enter(ADDRESS_TABLE, slice(4, 12), b"\x03\xff" + u16(nwk) + name)
        self._enter(TRUST_CENTER_TABLE, slice(8, 16), bytes(8) + name + b"\x02\x00\x00\x00")

    def forget_device(self, ieee: int) -> None:
        """Clear a device's entries."""
        name = ieee.to_bytes(8, "little")
        for table, where in ((ADDRESS_TABLE, slice(4, 12)), (TRUST_CENTER_TABLE, slice(8, 16))):
            for key, entry in self.entries(table):
                if entry[where] == name:
                    self.put_extended(key, _TABLES[table][1])

    def _enter(self, table: int, where: slice, entry: bytes) -> None:
        for key, old in self.entries(table):
            if old[where] in {bytes(8), b"\xff" * 8}:
                self.put_extended(key, entry)
                return

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "items": {f"{item:04x}": value.hex() for item, value in sorted(self.items.items())},
            "extended": {
                "/".join(map(str, key)): value.hex() for key, value in sorted(self.extended.items())
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: It is something else.
        """
        items = {int(item, 16): bytes.fromhex(value) for item, value in state["items"].items()}
        extended = {_key(name): bytes.fromhex(value) for name, value in state["extended"].items()}
        self.items, self.extended = items, extended
        self.changed += 1


def _key(name: str) -> Extended:
    system, item, entry = (int(part) for part in name.split("/"))
    return system, item, entry


class NvFileError(ValueError):
    """The file of a coordinator's memory cannot be read."""


def load_state(path: Path) -> dict[str, Any] | None:
    """Return what was saved, None when there is no file.

    Raises:
        NvFileError: The file is not one of a coordinator's memory.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise not_a_memory(path, str(error)) from error
    if not isinstance(state, dict) or state.get("format") != 1:
        raise not_a_memory(path, "'format' is not 1")
    return state


def not_a_memory(path: Path, why: str) -> NvFileError:
    """Return the error for a file that is something else."""
    return NvFileError(
        f"'{path}' is not the memory of an emulated coordinator: {why}. Delete it to start with "
        "an empty one, or name another file"
    )


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a memory; whoever reads meanwhile sees the old one or the new one, whole."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"format": 1, **state}, file, indent=1)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
