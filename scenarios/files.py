"""Which texts of a configuration name files. Light: rig files are read without any plant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from .source import Step

FILE_KEYS: Final = frozenset({"path", "encoder"})
"""Keys, or last words of keys, whose text is the path of a file."""


def files_of(value: Any, path: Step = ()) -> Iterator[tuple[Step, Path]]:
    """Yield where a configuration names files, and which.

    A file is named by a field of type `Path`, or by a text whose key ends in one of `FILE_KEYS`.
    """
    if isinstance(value, Path):
        yield path, value
    elif isinstance(value, str) and names_file(path):
        yield path, Path(value)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from files_of(getattr(value, name), (*path, name))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from files_of(item, (*path, index))


def names_file(path: Step) -> bool:
    """Return whether the key at the end of a path is one that names a file."""
    key = path[-1] if path else None
    return isinstance(key, str) and key.rsplit("_", 1)[-1] in FILE_KEYS
