"""Bounds that were computed before.

A bound is kept on disk under a digest of all that it depends on, the code included. A file that is
missing, damaged or cannot be written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from ...cache import ROOT, cache_home
from .model import Bound, Schedule

_KEPT: Final = 512
_DIGEST_BYTES: Final = 32
_SOURCES: Final = ("sim",)
_PREFIX: Final = "bound-"


def stored(what: Mapping[str, Any], compute: Callable[[], Bound]) -> Bound:
    """Return ``compute()``, or the same bound from an earlier call with the same ``what``.

    Args:
        what: all that the bound depends on besides this code; JSON can hold it.
        compute: returns the bound; what it raises is not kept.
    """
    text = json.dumps({**what, "code": code_digest()}, sort_keys=True)
    path = cache_home() / f"{_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
    found = _read(path)
    if found is not None:
        return found
    bound = compute()
    with contextlib.suppress(OSError):
        _write(path, bound)
    return bound


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return a digest of the code that bounds come from: the whole simulation, and HiGHS."""
    import importlib.metadata

    digest = hashlib.sha256(importlib.metadata.version("highspy").encode())
    for folder in _SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> Bound | None:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
            return None
        with np.load(io.BytesIO(data[_DIGEST_BYTES:]), allow_pickle=False) as content:
            about = json.loads(str(content["about"]))
            schedule = Schedule(content["times_us"], content["setpoint_w"])
        about["notes"] = tuple(about["notes"])
        return Bound(schedule=schedule, **about)
    except (OSError, ValueError, TypeError, KeyError, EOFError):
        return None


def _write(path: Path, bound: Bound) -> None:
    about = {
        "objective_wh": bound.objective_wh,
        "with_budget_wh": bound.with_budget_wh,
        "no_budget_reason": bound.no_budget_reason,
        "max_changes_per_min": bound.max_changes_per_min,
        "notes": bound.notes,
        "solver": dict(bound.solver),
    }
    content = io.BytesIO()
    schedule = bound.schedule
    np.savez_compressed(
        content,
        about=np.array(json.dumps(about)),
        times_us=schedule.times_us,
        setpoint_w=schedule.setpoint_w,
    )
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
        files = sorted(folder.glob(f"{_PREFIX}*.npz"), key=lambda one: one.stat().st_mtime)
        for file in files[: max(0, len(files) - _KEPT)]:
            file.unlink()
