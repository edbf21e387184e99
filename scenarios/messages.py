"""What pydantic found, said so that the writer of a scenario can mend it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import shorten
from .slots import DISCRIMINATOR, Slot, allowed_text, literals, number_text, range_text

#: Key endings that name a unit which keys never end in: the ending used instead, and the unit as
#: it may be written behind a number.
UNIT_ENDINGS: dict[str, tuple[str, str]] = {
    "kw": ("w", "kW"),
    "mw": ("w", "MW"),
    "kwp": ("w", "kW"),
    "wp": ("w", "W"),
    "kwh": ("wh", "kWh"),
    "mwh": ("wh", "MWh"),
    "kvar": ("var", "kvar"),
    "kv": ("v", "kV"),
    "mv": ("v", "mV"),
    "ma": ("a", "mA"),
    "mohm": ("ohm", "mohm"),
    "ms": ("s", "ms"),
    "us": ("s", "us"),
    "sec": ("s", "s"),
    "seconds": ("s", "s"),
    "min": ("s", "min"),
    "minutes": ("s", "min"),
    "h": ("s", "h"),
    "hours": ("s", "h"),
    "days": ("s", "d"),
    "km": ("m", "km"),
    "m3": ("l", "m3"),
    "percent": ("", "%"),
    "pct": ("", "%"),
}

#: What stands behind a decimal comma: digits, with a unit or not.
_BEHIND_COMMA = r"\d+(?:\s*[^\d\s,]\S{0,5})?"
_REST_OF_NUMBER = re.compile(_BEHIND_COMMA)
_COMMA_NUMBER = re.compile(rf"([-+]?\d+),({_BEHIND_COMMA})")

_OUT_OF_RANGE = frozenset(
    {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of"}
)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that ``word`` most likely stands for, None if none is near."""
    by_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), list(by_case), n=1, cutoff=0.6)
    return by_case[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the hint at the nearest known word, empty if none is near."""
    near = nearest(word, known)
    return f"; did you mean '{near}'?" if near is not None else ""


def meant_key(key: str, value: Any, known: Iterable[str]) -> tuple[str, Any] | None:
    """Return the key and value that an unknown key most likely stands for, None if none is near.

    ``rated_power_kw: 3`` becomes ``rated_power_w: 3 kW``.
    """
    if _rest_of_number(key, value):
        return None
    names = list(known)
    base, _, ending = key.rpartition("_")
    if base and ending.lower() in UNIT_ENDINGS:
        own_ending, unit = UNIT_ENDINGS[ending.lower()]
        near = nearest(f"{base}_{own_ending}".rstrip("_"), names)
        if near is not None and (not own_ending or near.endswith(f"_{own_ending}")):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            text = f"{number_text(value)} {unit}" if number and math.isfinite(value) else value
            return near, text
    near = nearest(key, names)
    return (near, value) if near is not None else None


def unknown_key(key: str, value: Any, known: tuple[str, ...], homes: Mapping[str, str]) -> str:
    """Return the message of an unknown key; ``homes`` are the places of keys elsewhere."""
    allowed = f"; allowed: {', '.join(known)}" if known else ""
    meant = meant_key(key, value, known)
    if meant is not None:
        name, text = meant
        shown = f"{name}: {text}" if text is not value and isinstance(text, str) else name
        return f"unknown key{allowed}; did you mean '{shown}'?"
    if _rest_of_number(key, value):
        return f"unknown key{allowed}; did you mean a number with a decimal point, not a comma?"
    if key in homes:
        return f"unknown key{allowed}; did you mean '{homes[key]}'?"
    return f"unknown key{allowed}"


def missing_key(slot: Slot | None) -> str:
    """Return the message of a missing key."""
    allowed = f"; allowed: {allowed_text(slot)}" if slot is not None else ""
    return f"required key is missing{allowed}"


def wrong_value(error: Mapping[str, Any], value: Any, slot: Slot | None) -> str:
    """Return the message of a value that its slot refuses.

    ``error`` is pydantic's details (``type``, ``msg``, ``ctx``), ``value`` the plain value as the
    file has it, ``slot`` what goes there, None if unknown.
    """
    kind, context = str(error["type"]), error.get("ctx") or {}
    allowed = f"; allowed: {allowed_text(slot)}" if slot is not None else ""
    if kind == "quantity_unit":
        return str(error["msg"]) + _unit_hint(context)
    if kind == "quantity":
        return f"got {_described(value)}{allowed}{_point_hint(value)}"
    if kind == "finite_number":
        shown = "NaN" if isinstance(value, float) and math.isnan(value) else shorten(value)
        return f"{shown} is not a finite number{allowed}"
    if kind in _OUT_OF_RANGE:
        limits = range_text(slot) if slot is not None else ""
        return f"{shorten(value)} is out of range" + (f"; allowed: {limits}" if limits else "")
    if kind == "literal_error":
        words = [str(item) for member in slot.members for item in literals(member)] if slot else []
        return f"got {shorten(value)}{allowed}{did_you_mean(str(value), words)}"
    if kind in {"too_short", "too_long"}:
        count = len(value) if isinstance(value, list | str) else "too few or many"
        return f"has {count} item{'' if count == 1 else 's'}{allowed}"
    if kind == "string_pattern_mismatch":
        return f"got {shorten(value)}{allowed}"
    if kind.endswith(("_type", "_parsing", "_from_date_parsing")):
        hint = _point_hint(value) if kind.startswith("float_") else ""
        return f"got {_described(value)}{allowed}{hint}"
    hint = _point_hint(value) if kind == "limit_quantity" else ""
    return _own_words(str(error["msg"]), context, value) + hint


def wrong_kind(value: Any, slot: Slot) -> str:
    """Return the message of a ``kind`` that the union at a place does not have."""
    kinds = list(slot.kinds)
    hint = did_you_mean(value, kinds) if isinstance(value, str) else ""
    return f"unknown kind {shorten(value)}; allowed: {', '.join(kinds)}{hint}"


def missing_kind(slot: Slot) -> str:
    """Return the message of a mapping that does not say which kind it is."""
    return f"required key is missing; allowed: {', '.join(slot.kinds)}"


def merged_union(messages: list[str], value: Any, slot: Slot) -> str:
    """Return one message for a value that every member of a union refuses."""
    if len(messages) == 1:
        return messages[0]
    return f"got {_described(value)}; allowed: {allowed_text(slot)}"


def is_kind_error(kind: str) -> bool:
    """Return whether a type of error is about the ``kind`` of a union."""
    return kind in {"union_tag_invalid", "union_tag_not_found"}


def field_in_message(message: str, known: Iterable[str]) -> str | None:
    """Return the key that a model's own message begins with, None if it begins otherwise."""
    first = message.split(" ", 1)[0].strip("'`,:")
    return first if first in set(known) and first != DISCRIMINATOR else None


def place_inside(error: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return the way from a model to the part that its own message is about, as its context has it.

    Empty if the message is about the whole.
    """
    return tuple((error.get("ctx") or {}).get("at") or ())


def _own_words(message: str, context: Mapping[str, Any], value: Any) -> str:
    """Return a validator's own message; a list in ``ctx['allowed']`` gives the nearest word."""
    text = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if text.startswith("Input should "):
        text = f"got {shorten(value)}; allowed: {text.removeprefix('Input should ')}"
    words = context.get("allowed")
    if isinstance(words, list | tuple) and isinstance(value, str) and "did you mean" not in text:
        text += did_you_mean(value, [str(word) for word in words])
    return text


def _unit_hint(context: Mapping[str, Any]) -> str:
    spellings = str(context.get("spellings", "")).split(", ")
    got = str(context.get("got", ""))
    same = [spelling for spelling in spellings if spelling.lower() == got.lower()]
    return f"; did you mean '{same[0]}'?" if same else ""


def _rest_of_number(key: str, value: Any) -> bool:
    """Return whether a key is what YAML makes of ``{power_w: 9,5 kW}`` behind the comma."""
    return value is None and _REST_OF_NUMBER.fullmatch(key) is not None


def _point_hint(value: Any) -> str:
    match = _COMMA_NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return ""
    return f"; did you mean '{match[1]}.{match[2]}', with a decimal point?"


def _described(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {shorten(value)}"
    if isinstance(value, bool):
        return f"the truth value {shorten(value)}"
    if isinstance(value, int | float):
        return f"the number {shorten(value)}"
    return shorten(value)
