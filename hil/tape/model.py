"""What a tape says about itself, and a frame on it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..wire import Direction

FORMAT: Final = "wattbench tape"
VERSION: Final = 1


class TapeError(Exception):
    """A file is no tape, or cannot be read or written; the message names it."""


@dataclass(frozen=True, slots=True)
class TapeBus:
    """A bus: its name in the rig, its kind (`modbus-tcp`, `modbus-rtu`, `znp`, …), its address."""

    name: str
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TapeDevice:
    """A device on a bus, so that frames can be told by its profile."""

    id: str
    bus: str
    profile: str
    unit: int | None = None
    ieee: str | None = None


@dataclass(frozen=True, slots=True)
class TapeHeader:
    """What stands before the frames.

    Attributes:
        start_utc_us: UTC of simulated time 0, microseconds since 1970.
        clock: `virtual` or `wall`; only the latter has monotonic times.
        buses: of the rig, in its order.
        devices: of the rig.
        about: whatever else is to be known: run, seed, hashes.
    """

    start_utc_us: int
    clock: str
    buses: tuple[TapeBus, ...]
    devices: tuple[TapeDevice, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Return the header as JSON, the same text for the same content."""
        content = {"format": FORMAT, "version": VERSION} | dataclasses.asdict(self)
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> TapeHeader:
        """Read what `text` wrote. Raises ValueError if it is something else."""
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError("not the header of a tape")
        if content.get("version") != VERSION:
            raise ValueError(f"version {content.get('version')} of the format; known: {VERSION}")
        try:
            return cls(
                int(content["start_utc_us"]),
                str(content["clock"]),
                tuple(TapeBus(**bus) for bus in content["buses"]),
                tuple(TapeDevice(**device) for device in content["devices"]),
                dict(content["about"]),
            )
        except (KeyError, TypeError) as problem:
            raise ValueError(f"a header of a tape with something missing: {problem}") from problem


@dataclass(frozen=True, slots=True)
class TapeFrame:
    """A frame: when it was on the wire (simulated time), where, which way, and its bytes."""

    number: int
    t_us: int
    bus: str
    kind: str
    direction: Direction
    data: bytes
    monotonic_ns: int | None = None
    note: str = ""
