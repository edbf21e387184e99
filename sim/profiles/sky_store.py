"""Clear skies that were computed before.

The libraries that know where the sun stands take most of a second to import; a run of an hour takes
hardly longer. So a clear sky is kept on disk under a digest of all that it depends on.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..kept import Kept

_KEPT: Final = Kept("clear-sky-", ".npy", 256)


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
    path = _KEPT.path(what)
    found = _array_of(_KEPT.read(path), shape)
    if found is not None:
        return found
    array = compute()
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    _KEPT.write(path, content.getvalue())
    return array


def _array_of(data: bytes | None, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    if data is None:
        return None
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.float64 else None
