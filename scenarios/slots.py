"""What a configuration model allows at a place: found from its annotations, told in words.

Error messages, the scenario reference and the checks of unknown keys all read the models through
this module, so they say the same.
"""

from __future__ import annotations

import datetime as dt
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ..sim.config import Quantity

DISCRIMINATOR = "kind"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that takes a value: an annotation without its wrappers, and its constraints.

    ``members`` are the alternatives of a union without None, one for a plain annotation.
    """

    members: tuple[Any, ...]
    metadata: tuple[Any, ...] = ()
    nullable: bool = False
    field: FieldInfo | None = None

    @property
    def annotation(self) -> Any:
        """The only alternative, or None for a union."""
        return self.members[0] if len(self.members) == 1 else None

    @property
    def model(self) -> type[BaseModel] | None:
        """The model whose keys a mapping here takes, None if there are several or none."""
        return self.annotation if is_model(self.annotation) else None

    @property
    def kinds(self) -> dict[str, type[BaseModel]]:
        """The models told apart by ``kind``, by that kind; empty if there are none."""
        kinds: dict[str, type[BaseModel]] = {}
        for member in self.members:
            if is_model(member) and DISCRIMINATOR in member.model_fields:
                for name in literals(member.model_fields[DISCRIMINATOR].annotation):
                    kinds[str(name)] = member
        return kinds

    @property
    def unit(self) -> str | None:
        """The unit of a number here, None if it carries none."""
        for item in self.metadata:
            if isinstance(item, Quantity):
                return item.unit
        return None

    @property
    def default(self) -> Any:
        """The default, `PydanticUndefined` if the key is required."""
        if self.field is None or self.field.is_required():
            return PydanticUndefined
        return self.field.get_default(call_default_factory=True)

    @property
    def null_means(self) -> bool:
        """Whether null is worth writing here: the key's description says what it means."""
        text = self.field.description if self.field is not None else None
        return self.nullable and "null" in (text or "")

    def items(self) -> Slot | None:
        """Return the slot of a list's items, None if no list goes here."""
        arguments = typing.get_args(self.annotation)
        if typing.get_origin(self.annotation) in {tuple, list, frozenset, set} and arguments:
            return slot_of(arguments[0])
        return None

    def values(self) -> Slot | None:
        """Return the slot of a dictionary's values, None if no dictionary goes here."""
        if typing.get_origin(self.annotation) in {dict, Mapping}:
            return slot_of(typing.get_args(self.annotation)[1])
        return None

    def keys(self) -> tuple[str, ...]:
        """Return the keys that a mapping here may have, in the order of the model."""
        return tuple(self.model.model_fields) if self.model is not None else ()

    def key(self, name: str) -> Slot | None:
        """Return the slot of a key, None if the model has no such key."""
        if self.model is None or name not in self.model.model_fields:
            return None
        return field_slot(self.model.model_fields[name])

    def bound(self, *names: str) -> float | None:
        """Return the first constraint of these names (``ge``, ``gt`` …), None if there is none."""
        for item in self.metadata:
            for name in names:
                value = getattr(item, name, None)
                if isinstance(value, int | float):
                    return value
        return None


def is_model(annotation: Any) -> typing.TypeGuard[type[BaseModel]]:
    """Return whether an annotation is a model class."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def literals(annotation: Any) -> tuple[Any, ...]:
    """Return the values of a ``Literal``, empty for anything else."""
    return typing.get_args(annotation) if typing.get_origin(annotation) is Literal else ()


def slot_of(
    annotation: Any, metadata: tuple[Any, ...] = (), field: FieldInfo | None = None
) -> Slot:
    """Return the slot of an annotation: ``Annotated`` and ``None`` taken off, unions flattened."""
    members: list[Any] = []
    found = list(metadata)
    nullable = False
    for member, extra in _flatten(annotation):
        if member is type(None):
            nullable = True
            continue
        members.append(member)
        for item in extra:
            found.extend(item.metadata if isinstance(item, FieldInfo) else (item,))
    return Slot(tuple(members), tuple(found), nullable, field)


def field_slot(field: FieldInfo) -> Slot:
    """Return the slot of a model's field."""
    return slot_of(field.annotation, tuple(field.metadata), field)


def _flatten(annotation: Any, extra: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    if isinstance(annotation, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        yield from _flatten(annotation.__value__, extra)
        return
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _flatten(annotation.__origin__, (*extra, *annotation.__metadata__))
    elif origin in {typing.Union, types.UnionType}:
        for member in typing.get_args(annotation):
            yield from _flatten(member, extra)
    else:
        yield annotation, extra


@dataclass(frozen=True, slots=True)
class Located:
    """Where an error of pydantic is: the path in the data, the slot there and the one above it."""

    path: tuple[str | int, ...]
    slot: Slot | None
    above: Slot | None


def locate(root: Slot, location: tuple[str | int, ...]) -> Located:
    """Follow a location that pydantic reports; the names of union members in it are left out."""
    path: list[str | int] = []
    slot: Slot | None = root
    above: Slot | None = None
    for step in location:
        if slot is not None and len(slot.members) > 1:
            slot = _member(slot, step)
            continue
        if step == "[key]":
            continue
        above, slot = slot, _below(slot, step)
        path.append(step)
    return Located(tuple(path), slot, above)


def _member(slot: Slot, label: str | int) -> Slot:
    """Return the slot of the union's member that pydantic calls ``label``."""
    if label in slot.kinds:
        return slot_of(slot.kinds[str(label)])
    for member in slot.members:
        if getattr(member, "__name__", "") == label:
            return slot_of(member, slot.metadata)
    return slot_of(Any, slot.metadata)


def _below(slot: Slot | None, step: str | int) -> Slot | None:
    if slot is None:
        return None
    if isinstance(step, int):
        arguments = typing.get_args(slot.annotation)
        if typing.get_origin(slot.annotation) is tuple and Ellipsis not in arguments:
            return slot_of(arguments[step]) if step < len(arguments) else None
        return slot.items()
    return slot.key(step) or slot.values()


def number_text(value: float) -> str:
    """Return a number without needless zeros: ``230``, ``0.2``, ``1e+06`` as ``1000000``."""
    if isinstance(value, int) or (
        math.isfinite(value) and value == int(value) and abs(value) < 1e15
    ):
        return str(int(value))
    return f"{value:.12g}"


def range_text(slot: Slot) -> str:
    """Return the range of numbers in words (``0 … 100``, ``more than 0``), empty if none."""
    low, high = slot.bound("ge"), slot.bound("le")
    above, below = slot.bound("gt"), slot.bound("lt")
    unit = f" {slot.unit}" if slot.unit not in {None, "1"} else ""
    step = slot.bound("multiple_of")
    if low is not None and high is not None:
        bounds = [f"{number_text(low)} … {number_text(high)}{unit}"]
    else:
        words = {"at least": low, "more than": above, "at most": high, "less than": below}
        bounds = [f"{word} {number_text(n)}" for word, n in words.items() if n is not None]
        bounds[-1:] = [f"{last}{unit}" for last in bounds[-1:]]
    if step is not None:
        bounds.append(f"a multiple of {number_text(step)}{unit}")
    return ", ".join(bounds)


def stand_in(slot: Slot) -> Any:
    """Return a value that the slot takes, to go on with where one is missing; None if unknown."""
    values = literals(slot.annotation)
    if values:
        return values[0]
    if slot.annotation is bool:
        return False
    if slot.annotation not in {int, float}:
        return None
    low, above = slot.bound("ge"), slot.bound("gt")
    high, below = slot.bound("le"), slot.bound("lt")
    edges = [edge for edge in (low, high, above, below) if edge is not None]
    for value in (sum(edges) / max(len(edges), 1), 1, *edges):
        fits = (low is None or value >= low) and (above is None or value > above)
        if fits and (high is None or value <= high) and (below is None or value < below):
            return int(value) if slot.annotation is int else value
    return None


def type_text(slot: Slot) -> str:
    """Return in words what kind of value goes here, without its range."""
    words = [_member_text(slot, member) for member in slot.members]
    if slot.kinds and all(is_model(member) for member in slot.members):
        words = (
            [f"a mapping with kind: {', '.join(slot.kinds)}"] if len(slot.members) > 1 else words
        )
    if slot.null_means:
        words.append("null")
    return " or ".join(dict.fromkeys(words))


def allowed_text(slot: Slot) -> str:
    """Return in words what is allowed here: type, unit, range."""
    limits = range_text(slot)
    if not limits:
        unit = f" in {slot.unit}" if slot.unit not in {None, "1"} else ""
        return type_text(slot).replace("a number", f"a number{unit}", 1)
    kind = "a whole number" if slot.annotation is int else "a number"
    return f"{kind}, {limits}" + (", or null" if slot.null_means else "")


def _member_text(slot: Slot, member: Any) -> str:
    values = literals(member)
    if values:
        return ", ".join(
            str(value).lower() if isinstance(value, bool) else str(value) for value in values
        )
    if is_model(member):
        return "a mapping"
    if typing.get_origin(member) in {tuple, list, frozenset, set}:
        return _list_text(slot, member)
    if typing.get_origin(member) in {dict, Mapping}:
        return "a mapping"
    plain = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        Path: "the path of a file",
        dt.datetime: "a time such as 2025-06-21T10:00:00",
        dt.date: "a date such as 2025-06-21",
    }
    if member is str:
        pattern = next(
            (item.pattern for item in slot.metadata if getattr(item, "pattern", None)), None
        )
        return f"a text matching {pattern}" if pattern else "a text"
    return plain.get(member, "a value")


def _list_text(slot: Slot, member: Any) -> str:
    arguments = typing.get_args(member)
    if arguments and typing.get_origin(member) is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)} items"
    low, high = slot.bound("min_length"), slot.bound("max_length")
    if low and high:
        return f"a list of {number_text(low)} … {number_text(high)} items"
    if low:
        return f"a list of at least {number_text(low)} item{'s' if low > 1 else ''}"
    return f"a list of at most {number_text(high)} items" if high else "a list"
