"""Compiled kernels: their options, and a cache that follows everything they are made of."""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
import pytest
import wattbench
from wattbench.sim.compiled import (
    cache_folder,
    compiled,
    compiled_parallel,
    kernel_sources,
    prange,
)


@compiled
def ratio(a: float, b: float) -> float:
    return a / b


@compiled_parallel
def ratios(values: np.ndarray, by: float) -> None:
    for i in prange(values.shape[0]):
        values[i] = ratio(values[i], by)


def test_division_by_zero_gives_infinity_as_in_numpy() -> None:
    assert ratio(1.0, 0.0) == np.inf
    assert np.isnan(ratio(0.0, 0.0))


def test_parallel_loop_gives_the_same_bits_as_one_by_one() -> None:
    values = np.random.default_rng(1).normal(size=1000)
    alone = np.array([ratio(value, 3.7) for value in values])
    ratios(values, 3.7)
    assert values.tobytes() == alone.tobytes()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a kernel that takes a function and a constant from other files."""
    files = {
        "sim/compiled.py": "",
        "sim/edge/kernel.py": (
            "from ..compiled import compiled\n"
            "from .random import (\n    bits,\n    uniform,\n)\n"
            "from . import sizes\n"
        ),
        "sim/edge/random.py": "from ..deep import SHIFT\n",
        "sim/edge/sizes.py": "N = 3\n",
        "sim/deep.py": "SHIFT = 1\n",
        "sim/other.py": "import numpy\n",
        "agents/policy.py": "from ..sim.other import x\n",
    }
    for name, text in files.items():
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "package"


def test_sources_are_kernels_and_all_that_they_import(package: Path) -> None:
    found = {path.relative_to(package).as_posix() for path in kernel_sources(package)}
    assert found == {
        "sim/compiled.py",
        "sim/deep.py",
        "sim/edge/kernel.py",
        "sim/edge/random.py",
        "sim/edge/sizes.py",
    }


def test_cache_moves_when_a_constant_in_another_file_changes(package: Path, tmp_path: Path) -> None:
    before = cache_folder(package, tmp_path)
    assert cache_folder(package, tmp_path) == before
    (package / "sim" / "other.py").write_text("import numpy as np\n")
    assert cache_folder(package, tmp_path) == before
    (package / "sim" / "deep.py").write_text("SHIFT = 2\n")
    assert cache_folder(package, tmp_path) != before


def test_only_the_newest_caches_are_kept(package: Path, tmp_path: Path) -> None:
    for shift in range(10):
        (package / "sim" / "deep.py").write_text(f"SHIFT = {shift}\n")
        cache_folder(package, tmp_path).mkdir()
    assert len(list(tmp_path.glob("kernels-*"))) == 5


def test_kernels_of_this_package_use_that_folder() -> None:
    root = Path(wattbench.__file__).resolve().parent
    folder = cache_folder(root, Path(numba.config.CACHE_DIR).parent)
    assert Path(numba.config.CACHE_DIR) == folder
    assert root / "sim" / "edge" / "random.py" in kernel_sources(root)
