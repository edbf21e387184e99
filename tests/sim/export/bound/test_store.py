"""The cache: the same bound again, and a damaged file costs time only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wattbench.sim.export.bound.model import Bound, BoundError, Schedule
from wattbench.sim.export.bound.store import stored

BOUND = Bound(
    12.5,
    None,
    "stale",
    7,
    Schedule(np.array([0, 5_000_000]), np.array([[1.0, 2.0], [0.5, 0.25]])),
    ("a note",),
    {"status": "Optimal", "gap": 1e-9},
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))


def never() -> Bound:
    raise AssertionError("computed again")


def same(found: Bound) -> bool:
    plain = all(
        getattr(found, name) == getattr(BOUND, name)
        for name in Bound.__slots__
        if name != "schedule"
    )
    return (
        plain
        and np.array_equal(found.schedule.times_us, BOUND.schedule.times_us)
        and np.array_equal(found.schedule.setpoint_w, BOUND.schedule.setpoint_w)
    )


def test_the_second_time_nothing_is_computed() -> None:
    assert same(stored({"seed": 1}, lambda: BOUND))
    assert same(stored({"seed": 1}, never))


def test_anything_that_differs_is_computed() -> None:
    stored({"seed": 1}, lambda: BOUND)
    with pytest.raises(AssertionError, match="computed again"):
        stored({"seed": 2}, never)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_file_is_computed_again(damage: str, tmp_path: Path) -> None:
    stored({"seed": 1}, lambda: BOUND)
    (path,) = tmp_path.glob("bound-*.npz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes({"cut": data[:-7], "flipped": data, "empty": b""}[damage])
    assert same(stored({"seed": 1}, lambda: BOUND))
    assert same(stored({"seed": 1}, never))


def test_a_failure_is_not_kept() -> None:
    def fail() -> Bound:
        raise BoundError("no")

    with pytest.raises(BoundError):
        stored({"seed": 1}, fail)
    assert same(stored({"seed": 1}, lambda: BOUND))
