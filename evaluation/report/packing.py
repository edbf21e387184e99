"""Packing of number arrays and texts into one page: integers, deltas, deflate, base64."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEVEL = 6
_LIMIT = {2: 2**15 - 1, 4: 2**31 - 1}


def deflate_text(data: bytes, level: int = _LEVEL) -> str:
    """Return ``data`` in zlib format as base64; browsers inflate it (DecompressionStream)."""
    return base64.b64encode(zlib.compress(data, level)).decode("ascii")


class Packer:
    """Collects arrays into one byte string and hands out references into it.

    An array is divided by its quantum, rounded, and stored as differences of consecutive 16 or 32
    bit integers, low bytes first, then the higher ones: smooth series then deflate well.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: NDArray[Any], quantum: float) -> dict[str, float]:
        """Append an array; return where it lies: offset, count, bytes each, quantum.

        Values come back rounded to the quantum, which is enlarged when the range needs it. NaN
        and infinities come back as missing.
        """
        values = np.asarray(values, dtype=np.float64)
        finite = np.isfinite(values)
        largest = float(np.abs(values[finite]).max()) if finite.any() else 0.0
        quantum = max(quantum, largest / _LIMIT[4])
        width = 2 if round(largest / quantum) <= _LIMIT[2] else 4
        whole = np.where(
            finite, np.rint(np.where(finite, values, 0.0) / quantum), -_LIMIT[width] - 1
        )
        numbers = whole.astype(f"<i{width}")
        deltas = numbers.copy()
        deltas[1:] -= numbers[:-1]
        data = deltas.view(np.uint8).reshape(-1, width).T.tobytes()
        reference = {"o": self._size, "n": len(numbers), "b": width, "q": quantum}
        self._parts.append(data)
        self._size += len(data)
        return reference

    def text(self) -> str:
        """Return everything added so far, deflated, as base64."""
        return deflate_text(b"".join(self._parts))


def script_json(value: Any) -> str:
    """Return JSON that is safe inside a script element: no NaN, no ``<``, ``>`` or ``&``.

    Raises ValueError if the value holds NaN or an infinity.
    """
    text = json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
