"""Clear skies that were computed before.

The libraries that know where the sun stands take most of a second to import; a run of an hour takes
hardly longer. So a clear sky is kept on disk under a digest of all that it depends on. A file that
is missing, damaged or cannot be written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..cache import cache_home

_KEPT = 256
_DIGEST_BYTES = 32


def stored(
    what: Mapping[str, object],
    shape: tuple[int, ...],
    compute: Callable[[], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return ``compute()``, or the same array from an earlier call with the same ``what``.

    Args:
        what: all that the array depends on, versions of libraries included; JSON can hold it.
        shape: of the array; a file of another one is not used.
        compute: returns the array.
    """
    text = json.dumps(what, sort_keys=True)
    path = cache_home() / f"clear-sky-{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"
    found = _read(path, shape)
    if found is not None:
        return found
    array = compute()
    with contextlib.suppress(OSError):
        _write(path, array)
    return array


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
            return None
        array = np.load(io.BytesIO(data[_DIGEST_BYTES:]), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.float64 else None


def _write(path: Path, array: NDArray[np.float64]) -> None:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    data = content.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(data).digest() + data)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    _tidy(path.parent)


def _tidy(folder: Path) -> None:
    """Drop the files written longest ago, if there are many."""
    with contextlib.suppress(OSError):  # another process may be tidying up as well
        files = sorted(folder.glob("clear-sky-*.npy"), key=lambda file: file.stat().st_mtime)
        for file in files[: max(0, len(files) - _KEPT)]:
            file.unlink()
