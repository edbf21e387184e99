"""Bounds that were computed before.

A bound is kept on disk under a digest of all that it depends on, the code included.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np

from ...cache import ROOT
from ...kept import Kept
from .model import Bound, Schedule

_KEPT: Final = Kept("bound-", ".npz", 512)
_SOURCES: Final = ("sim",)


def stored(what: Mapping[str, Any], compute: Callable[[], Bound]) -> Bound:
    """Return ``compute()``, or the same bound from an earlier call with the same ``what``.

    Args:
        what: all that the bound depends on besides this code; JSON can hold it.
        compute: returns the bound; what it raises is not kept.
    """
    path = _KEPT.path({**what, "code": code_digest()})
    found = _bound_of(_KEPT.read(path))
    if found is not None:
        return found
    bound = compute()
    _KEPT.write(path, _bytes_of(bound))
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


def _bound_of(data: bytes | None) -> Bound | None:
    if data is None:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as content:
            about = json.loads(str(content["about"]))
            schedule = Schedule(content["times_us"], content["setpoint_w"])
        about["notes"] = tuple(about["notes"])
        return Bound(schedule=schedule, **about)
    except (OSError, ValueError, TypeError, KeyError, EOFError):
        return None


def _bytes_of(bound: Bound) -> bytes:
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
    return content.getvalue()
