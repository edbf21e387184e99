"""Compiled kernels: their options, and a cache that follows everything they are made of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
from wattbench.sim.edge.meter import quantise

ROOT = Path(wattbench.__file__).resolve().parent


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
def kernel(tmp_path: Path) -> Path:
    """The file of a kernel that takes a function and a constant from other files."""
    files = {
        "sim/compiled.py": "",
        "sim/edge/kernel.py": (
            "from ..compiled import compiled\n"
            "from .random import (\n    bits,\n    uniform,\n)\n"
            "from . import sizes\n"
        ),
        "sim/edge/__init__.py": "",
        "sim/edge/random.py": "from ..deep import SHIFT\n",
        "sim/edge/sizes.py": "N = 3\n",
        "sim/deep.py": "from .random import x\nSHIFT = 1\n",
        "sim/other.py": "import numpy\n",
    }
    for name, text in files.items():
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "package" / "sim" / "edge" / "kernel.py"


def test_sources_are_the_file_and_all_that_it_imports(kernel: Path) -> None:
    sim = kernel.parents[1]
    assert [path.relative_to(sim).as_posix() for path in kernel_sources(kernel)] == [
        "compiled.py",
        "deep.py",
        "edge/kernel.py",
        "edge/random.py",
        "edge/sizes.py",
    ]


def test_cache_moves_when_a_constant_in_another_file_changes(kernel: Path, tmp_path: Path) -> None:
    before = cache_folder(kernel, tmp_path)
    assert cache_folder(kernel, tmp_path) == before
    (kernel.parents[1] / "other.py").write_text("import numpy as np\n")
    assert cache_folder(kernel, tmp_path) == before
    (kernel.parents[1] / "deep.py").write_text("SHIFT = 2\n")
    assert cache_folder(kernel, tmp_path) != before


def test_only_the_newest_caches_of_a_file_are_kept(kernel: Path, tmp_path: Path) -> None:
    (tmp_path / "kernels-another-0").mkdir()
    for shift in range(10):
        (kernel.parents[1] / "deep.py").write_text(f"SHIFT = {shift}\n")
        cache_folder(kernel, tmp_path).mkdir()
    assert len(list(tmp_path.glob("kernels-kernel-*"))) == 5
    assert (tmp_path / "kernels-another-0").exists()


def test_kernels_are_cached_in_the_folder_of_their_file() -> None:
    assert quantise(2.4, 1.0) == 2.0
    folder = Path(quantise.stats.cache_path).parent
    assert folder == cache_folder(ROOT / "sim" / "edge" / "meter.py", folder.parent)
    # Whoever else uses numba in this process is left alone.
    assert not str(numba.config.CACHE_DIR).startswith(str(folder))


SHARED = """\
import json, pathlib, sys, time
from wattbench.sim.compiled import compiled, when_compiling

@compiled
def first_and_size(values):
    return 10.0 * values[0] + len(values)

told = []
when_compiling(lambda: told.append(1))
mine, here = json.loads(sys.argv[1]), pathlib.Path(__file__).parent
(here / f"ready{mine[0]}").touch()
while not (here / "go").exists():
    time.sleep(0.001)
found = [first_and_size((float(k),) * k) for k in mine]
stats = first_and_size.stats
hits, misses = sum(stats.cache_hits.values()), sum(stats.cache_misses.values())
print(json.dumps([found, hits, misses, len(told)]))
"""


def test_processes_that_compile_at_once_share_one_cache(tmp_path: Path) -> None:
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def start(sizes: list[int]) -> subprocess.Popen[str]:
        command = [sys.executable, str(script), json.dumps(sizes)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    sizes = list(range(1, 13))
    both = [start(sizes[::2]), start(sizes[1::2])]
    while not all((tmp_path / f"ready{first}").exists() for first in (1, 2)):
        assert all(process.poll() is None for process in both)
    (tmp_path / "go").touch()
    for process, mine in zip(both, (sizes[::2], sizes[1::2]), strict=True):
        assert json.loads(process.communicate()[0]) == [[11.0 * k for k in mine], 0, 6, 1]
    # What either has compiled is found under its own types.
    after = start(sizes)
    assert json.loads(after.communicate()[0]) == [[11.0 * k for k in sizes], 12, 0, 0]
