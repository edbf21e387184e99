"""Base of the models in this package; `evaluation` imports no other package of wattbench."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A frozen model that refuses unknown keys and NaN."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def plain(value: Any) -> Any:
    """Return ``value`` as JSON types only: NumPy scalars and arrays converted, NaN and ±inf → None.

    Raises:
        TypeError: for anything else that JSON has no word for.

    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def json_text(value: Any, indent: int | None = 2) -> str:
    """Return strict JSON with sorted keys: equal data gives equal text."""
    separators = (",", ": ") if indent else (",", ":")
    return json.dumps(
        plain(value),
        sort_keys=True,
        indent=indent,
        separators=separators,
        allow_nan=False,
        ensure_ascii=False,
    )


def content_hash(value: Any) -> str:
    """Return the SHA-256 of ``value`` as canonical JSON: the identity of a configuration."""
    return hashlib.sha256(json_text(value, indent=None).encode()).hexdigest()


def content_hash_of_json(content: Any) -> str:
    """Return the `content_hash` of what was read from JSON, which needs no converting: quicker."""
    try:
        text = json.dumps(
            content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
        )
    except ValueError:  # NaN and ±inf, which Python reads though JSON has no word for them
        return content_hash(content)
    return hashlib.sha256(text.encode()).hexdigest()
