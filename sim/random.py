"""Named random generators: every draw of a run descends from the scenario's seed by name."""

from __future__ import annotations

import hashlib

import numpy as np


def key(seed: int, *names: str) -> int:
    """Return a 64-bit key for a seed and a path of names, the same on every machine."""
    text = "/".join((str(int(seed)), *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return the generator that belongs to a seed and a path of names (``"pv", "clouds"``)."""
    return np.random.Generator(np.random.Philox(key=key(seed, *names)))
