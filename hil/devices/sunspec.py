"""SunSpec: layouts of models, and how a client finds them on a device.

A device shows "SunS" at a base address, behind it models back to back: id, length, points; the end
is id 0xFFFF. Layouts are data in ``fixtures/sunspec`` (published by the SunSpec Alliance).
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from . import codec

LAYOUTS_FOLDER: Final = Path(__file__).parents[2] / "fixtures" / "sunspec"

MARKER: Final = b"SunS"
END: Final = 0xFFFF
BASES: Final = (0, 40000, 50000)
_MAX_MODELS: Final = 100


class SunspecError(ValueError):
    """A model is unknown, a point is not in it, or a device shows no models."""


@dataclass(frozen=True, slots=True)
class LayoutPoint:
    """A point of a model: `offset` counts registers from the model's ID."""

    name: str
    offset: int
    type: str
    width: int
    scale_point: str | None
    """Name of the point with its scale factor."""
    writable: bool
    allowed: tuple[int, ...] = ()
    """Numbers that an enumeration has, if it can be written."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A model with its groups repeated as often as a device has them."""

    id: int
    points: Mapping[str, LayoutPoint]
    length: int
    """Registers behind ID and L, as L says."""


def layout(model: int, counts: tuple[tuple[str, int], ...] = ()) -> Layout:
    """Return the layout of a model; ``counts`` are pairs of counting point and number.

    Raises `SunspecError` for a model whose layout is not there.
    """
    return _layout(model, tuple(sorted(counts)))


@functools.lru_cache(maxsize=256)
def _layout(model: int, counts: tuple[tuple[str, int], ...]) -> Layout:
    points: dict[str, LayoutPoint] = {}
    end = _flatten(_definition(model), "", 0, {}, dict(counts), points)
    return Layout(model, points, end - 2)


@functools.cache
def _definition(model: int) -> dict[str, Any]:
    # YAML of our own making, so it needs no places for errors.
    from ruamel.yaml import YAML

    path = LAYOUTS_FOLDER / f"{model}.yaml"
    if not path.is_file():
        known = ", ".join(sorted((file.stem for file in LAYOUTS_FOLDER.glob("*.yaml")), key=int))
        raise SunspecError(f"there is no layout of SunSpec model {model}; allowed: {known}")
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(path)
    return data


def _flatten(
    group: Mapping[str, Any],
    prefix: str,
    offset: int,
    outer: Mapping[str, str],
    counts: Mapping[str, int],
    points: dict[str, LayoutPoint],
) -> int:
    """Add a group's points to ``points``; return the offset behind it.

    ``outer`` are the names around it by short name: a scale factor is looked up outwards.
    """
    names = {**outer, **{point["name"]: prefix + point["name"] for point in group["points"]}}
    for point in group["points"]:
        name, kind = prefix + point["name"], point["type"]
        width = codec.width_of(kind, point.get("size", 1))
        factor = names.get(point["sf"]) if "sf" in point else None
        writable = point.get("access") == "rw"
        allowed = tuple(point.get("values", ()))
        points[name] = LayoutPoint(name, offset, kind, width, factor, writable, allowed)
        offset += width
    for inner in group.get("groups", ()):
        count = inner.get("count")
        for index in range(1 if count is None else counts.get(str(count), 0)):
            label = inner["name"] if count is None else f"{inner['name']}[{index}]"
            offset = _flatten(inner, f"{prefix}{label}.", offset, names, counts, points)
    return offset


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model that a device shows."""

    id: int
    address: int
    """Of its ID register."""
    length: int


def discover(
    bases: tuple[int, ...] = BASES,
) -> Generator[tuple[int, int], bytes | None, tuple[FoundModel, ...]]:
    """Walk through the models of a device, without any input or output of its own.

    Yields (address, count) of holding registers to read and takes their bytes, or None if the
    device refused. Returns the models in order. Raises `SunspecError` if there are none, or if the
    chain is broken.
    """
    for base in bases:
        if (yield base, 2) == MARKER:
            break
    else:
        raise SunspecError(f"no SunSpec models at {', '.join(map(str, bases))}")
    found: list[FoundModel] = []
    address = base + 2
    while len(found) < _MAX_MODELS:
        data = yield address, 2
        if data is None or len(data) != 4:
            raise SunspecError(f"the chain of models breaks off at register {address}")
        number, length = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:], "big")
        if number == END:
            return tuple(found)
        found.append(FoundModel(number, address, length))
        address += 2 + length
        if address > 65534:
            raise SunspecError("the chain of models leads past register 65535")
    raise SunspecError(f"the chain of models has no end within {_MAX_MODELS} models")
