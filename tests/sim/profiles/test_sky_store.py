"""Clear skies kept on disk: the same numbers, and never a wrong one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from wattbench.sim.profiles import sky_store
from wattbench.sim.profiles.config import GeneratedPv, Site
from wattbench.sim.profiles.pv import clear_sky
from wattbench.sim.profiles.sky_store import stored

WHAT = {"place": [48.1, 11.6], "pvlib": "1"}
ARRAY = np.arange(6.0).reshape(2, 3)


class Computed:
    """Counts how often the array was computed."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> np.ndarray:
        self.times += 1
        return ARRAY


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_second_call_reads_what_the_first_computed(home) -> None:
    compute = Computed()
    for _ in range(3):
        assert stored(WHAT, (2, 3), compute).tobytes() == ARRAY.tobytes()
    assert compute.times == 1
    stored(WHAT | {"pvlib": "2"}, (2, 3), compute)
    assert compute.times == 2
    assert len(list(home.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:40],
        lambda data: b"",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ],
)
def test_a_damaged_file_is_computed_anew(home, damage) -> None:
    stored(WHAT, (2, 3), Computed())
    (file,) = home.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    compute = Computed()
    assert stored(WHAT, (2, 3), compute).tobytes() == ARRAY.tobytes()
    assert compute.times == 1
    stored(WHAT, (2, 3), compute)
    assert compute.times == 1, "the damaged file was not replaced"


def test_an_array_of_another_shape_is_not_used(home) -> None:
    stored(WHAT, (2, 3), Computed())
    compute = Computed()
    stored(WHAT, (3, 2), compute)
    assert compute.times == 1


def test_a_place_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    compute = Computed()
    for _ in range(2):
        assert stored(WHAT, (2, 3), compute).tobytes() == ARRAY.tobytes()
    assert compute.times == 2


def test_old_files_are_dropped(home, monkeypatch) -> None:
    monkeypatch.setattr(sky_store, "_KEPT", replace(sky_store._KEPT, most=3))
    for number in range(5):
        stored({"number": number}, (2, 3), Computed())
        for age, file in enumerate(sorted(home.iterdir(), key=lambda f: f.stat().st_mtime)):
            os.utime(file, (number * 10 + age, number * 10 + age))
    assert len(list(home.glob("*.npy"))) == 3
    compute = Computed()
    stored({"number": 4}, (2, 3), compute)
    assert compute.times == 0


def test_a_sky_is_the_same_from_the_store(home) -> None:
    site = Site(latitude_deg=48.1, longitude_deg=11.6, altitude_m=520)
    pv = GeneratedPv(kind="generated", sky="clear", azimuth_deg=160, tilt_deg=25)
    start = datetime(2025, 6, 20, 10, 0, 17, tzinfo=UTC)
    first = clear_sky(site, pv, start, 900)
    again = clear_sky(site, pv, start, 900)
    assert len(list(home.iterdir())) == 1
    for name in ("global_horizontal", "beam_horizontal", "beam_on_plane"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.beam_on_plane.max() > 100
    for other, moved in (
        (site.model_copy(update={"altitude_m": 0.0}), pv),
        (site, pv.model_copy(update={"tilt_deg": 35.0})),
        (site, pv.model_copy(update={"linke_turbidity": 5.0})),
    ):
        sky = clear_sky(other, moved, start, 900)
        assert sky.beam_on_plane.tobytes() != first.beam_on_plane.tobytes()


def test_runs_that_begin_together_share_a_sky(home) -> None:
    site = Site(latitude_deg=48.1, longitude_deg=11.6)
    pv = GeneratedPv(kind="generated", sky="clear")
    start = datetime(2025, 6, 20, 10, 0, 17, tzinfo=UTC)
    long = clear_sky(site, pv, start, 7200)
    before = {file: file.read_bytes() for file in home.iterdir()}
    short = clear_sky(site, pv, start, 60)
    assert short.beam_on_plane.tobytes() == long.beam_on_plane[:61].tobytes()
    clear_sky(site, pv, start, 2 * 86400)
    assert {file: file.read_bytes() for file in before} == before
    assert len(list(home.iterdir())) == 2


def test_a_stored_sky_needs_no_slow_library(home) -> None:
    code = (
        "import sys\n"
        "from datetime import UTC, datetime\n"
        "from wattbench.sim.profiles.config import GeneratedPv, Site\n"
        "from wattbench.sim.profiles.pv import clear_sky\n"
        "clear_sky(Site(latitude_deg=48.0, longitude_deg=11.0), GeneratedPv(sky='clear'),"
        " datetime(2025, 6, 20, 10, tzinfo=UTC), 60)\n"
        "print(sorted({'pandas', 'pvlib'} & set(sys.modules)))\n"
    )
    seen = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [run.stdout.strip() for run in seen] == ["['pandas', 'pvlib']", "[]"]
