"""Encoders: from features to a network's input, and from its output to an action. Stateless.

An encoder is a JSON file beside the network:

    {"version": 1,
     "inputs": [{"feature": "surplus_total_w", "offset": 0, "scale": 3000, "clip": 5}, …],
     "output": {"action": "phase_targets", "offset_w": 0, "scale_w": 1500, "low_w": 0,
                "high_w": 5000}}

Input = clip((feature − offset) / scale, −clip, clip).
Action in W = clip(offset_w + scale_w · output, low_w, high_w).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ..sim.compiled import compiled
from ..sim.config import Model, PowerW
from .feature_names import UnknownFeatureError, feature_indices

_MAX_BYTES = 1_000_000
_MOST_SHOWN = 60
"""Characters of a wrong value."""

#: What is expected, by the first word of pydantic's name of the error.
_TYPES = {
    "float": "a number",
    "string": "a text",
    "tuple": "a list [...]",
    "model": "a mapping {...}",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


class EncoderError(ValueError):
    """An encoder file cannot be used; the message says where and why."""


class InputRule(Model):
    """How one feature becomes one input of the network."""

    feature: str
    """A name out of `feature_names.FEATURE_NAMES`."""
    offset: float = 0.0
    """In the feature's unit."""
    scale: float = Field(1.0, gt=0)
    """In the feature's unit: this much becomes 1."""
    clip: float = Field(10.0, gt=0)
    """Greatest absolute value after scaling."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            feature_indices([self.feature])
        except UnknownFeatureError as error:
            raise PydanticCustomError("feature", "{text}", {"text": str(error)}) from error
        return self


class OutputRule(Model):
    """How the network's outputs become an action."""

    action: Literal["phase_targets", "phase_deltas", "actuator_power"]
    """What the outputs are: one a phase, or one an actuator."""
    offset_w: PowerW = 0.0
    scale_w: PowerW = Field(1.0, gt=0)
    """Watts that an output of 1 adds."""
    low_w: PowerW = Field(-100_000.0)
    """Least action."""
    high_w: PowerW = Field(100_000.0)
    """Greatest action."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high_w < self.low_w:
            raise PydanticCustomError("order", "high_w must not be less than low_w", {})
        return self


class EncoderConfig(Model):
    """An encoder file."""

    version: Literal[1] = 1
    inputs: tuple[InputRule, ...] = Field(min_length=1, max_length=10_000)
    output: OutputRule


def load_encoder(path: Path) -> EncoderConfig:
    """Read an encoder; raise :class:`EncoderError` with one line if it cannot be used."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        what = "is a folder; allowed: a file" if path.is_dir() else error.strerror or error
        raise EncoderError(f"{path}: {what}") from error
    if len(data) > _MAX_BYTES:
        raise EncoderError(f"{path}: larger than {_MAX_BYTES} bytes, which is no encoder")
    try:
        return EncoderConfig.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(
            f"[{part}]" if isinstance(part, int) else f".{_one_line(part)}" for part in first["loc"]
        ).lstrip(".")
        raise EncoderError(f"{path}: {place + ': ' if place else ''}{_said(first)}") from error


def _said(error: Mapping[str, Any]) -> str:
    """Return in words what pydantic found: what is wrong; what is allowed."""
    kind, value, context = str(error["type"]), error["input"], error.get("ctx") or {}
    if kind == "extra_forbidden":
        return _unknown_key(error["loc"])
    if kind == "json_invalid":
        return f"not JSON: {context['error']}"
    if kind == "missing":
        return "required key is missing"
    if kind == "finite_number":
        return "not a finite number; allowed: a number"
    if kind == "literal_error":
        return f"got {_shown(value)}; allowed: {str(context['expected']).replace(chr(39), '')}"
    if kind in {"too_short", "too_long"}:
        bound = "at least" if kind == "too_short" else "at most"
        length = context.get("min_length", context.get("max_length"))
        return f"has {context['actual_length']} items; allowed: {bound} {length}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{_shown(value)} is out of range; allowed: {words} {context[name]:g}"
    expected = _TYPES.get(kind.partition("_")[0])
    if expected is not None and kind.endswith(("_type", "_parsing")):
        return f"got {_shown(value)}; allowed: {expected}"
    return str(error["msg"])


def _unknown_key(place: tuple[str | int, ...]) -> str:
    parts: dict[str | int, type[Model]] = {"inputs": InputRule, "output": OutputRule}
    model = parts[place[0]] if len(place) > 1 else EncoderConfig
    keys = list(model.model_fields)
    near = get_close_matches(str(place[-1]), keys, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown key; allowed: {', '.join(keys)}{hint}"


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = f"'{_one_line(value)}'" if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _one_line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)[1:-1]


@compiled
def _encode(values: Any, indices: Any, rules: Any, out: Any) -> None:
    for j in range(indices.shape[0]):
        offset, scale, clip = rules[0, j], rules[1, j], rules[2, j]
        for i in range(values.shape[1]):
            scaled = (values[indices[j], i] - offset) / scale
            out[i, j] = min(max(scaled, -clip), clip)


class Encoder:
    """Encodes features of any number of instances and decodes the network's outputs."""

    def __init__(self, config: EncoderConfig) -> None:
        """Look the features up."""
        self.config = config
        rules = config.inputs
        self._indices = np.array(feature_indices([rule.feature for rule in rules]), dtype=np.int64)
        self._rules = np.array(
            [[r.offset for r in rules], [r.scale for r in rules], [r.clip for r in rules]]
        )
        self.inputs = len(rules)
        """Number of inputs of the network."""

    def encode(self, values: NDArray[np.float64], out: NDArray[np.float32]) -> None:
        """Fill ``out`` [N, inputs] from features [F, N]."""
        _encode(values, self._indices, self._rules, out)

    def decode(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return actions in W from the network's outputs, in their shape.

        What is not finite stays so: clipped, a broken network would look like a working one.
        """
        rule = self.config.output
        watts = outputs.astype(np.float64) * rule.scale_w + rule.offset_w
        clipped = np.minimum(np.maximum(watts, rule.low_w), rule.high_w)
        return np.where(np.isfinite(watts), clipped, watts)
