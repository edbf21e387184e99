"""The two decorators behind every compiled kernel.

Kernels are compiled by numba, cached on disk, and must give the same bits for one instance as for
four thousand. Hence the fixed options: no ``fastmath`` (it would reorder sums and fuse operations
as the vector width suggests) and NumPy's error model (a division by zero gives inf or NaN instead
of a branch that raises). A parallel kernel may split its instances over threads, but must not
reduce across them: the order of such a sum depends on the number of threads.

numba's cache notices a change of the file that a kernel stands in, but not of the functions and
constants that the kernel takes from other files; it would go on with the old ones. So the cache
lies in a folder that is named after the content of all files that kernels are made of.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

#: Loop over instances that ``compiled_parallel`` spreads over threads; a plain ``range`` elsewhere.
prange = numba.prange

_RELATIVE_IMPORT = re.compile(r"^from (\.+)([\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)
_GENERATIONS = 4
"""Caches of other states of the code that are kept: who switches between branches needs them."""


def compiled(function: F) -> F:
    """Compile ``function`` for the types it is called with and cache the result on disk.

    The type of the function is kept, so that checkers see its annotations.
    """
    return cast(F, numba.njit(function, cache=True, error_model="numpy"))


def compiled_parallel(function: F) -> F:
    """Compile like :func:`compiled`, with loops over :data:`prange` spread over threads.

    Each iteration must write only what belongs to it (its instance), for results to be the same
    for any number of threads.
    """
    return cast(F, numba.njit(function, cache=True, error_model="numpy", parallel=True))


def kernel_sources(root: Path) -> list[Path]:
    """Return the files that kernels are made of: those that import this module, and theirs.

    Args:
        root: folder of the package.
    """
    waiting = [root / "sim" / "compiled.py"]
    for room in ("sim", "agents"):
        for path in (root / room).rglob("*.py"):
            if "compiled import" in path.read_text(encoding="utf-8"):
                waiting.append(path)
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return sorted(found)


def _imported(path: Path) -> set[Path]:
    """Return the files of this package that a module imports at its top."""
    result = set()
    for dots, module, names in _RELATIVE_IMPORT.findall(path.read_text(encoding="utf-8")):
        base = path.parents[len(dots) - 1].joinpath(*filter(None, module.split(".")))
        modules = {base / f"{name}.py" for name in re.findall(r"\w+", names)}
        candidates = {path for path in modules if path.is_file()} or {
            base.with_suffix(".py"),
            base / "__init__.py",
        }
        result |= {candidate for candidate in candidates if candidate.is_file()}
    return result


def cache_folder(root: Path, home: Path) -> Path:
    """Return the folder in ``home`` for the present state of the code, and drop the oldest ones.

    Args:
        root: folder of the package.
        home: where all states have their folders.
    """
    digest = hashlib.sha256()
    for path in kernel_sources(root):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    folder = home / f"kernels-{digest.hexdigest()[:16]}"
    if not folder.exists():
        with contextlib.suppress(OSError):  # another process may be tidying up as well
            others = sorted(home.glob("kernels-*"), key=lambda other: other.stat().st_mtime)
            for other in others[: max(0, len(others) - _GENERATIONS)]:
                shutil.rmtree(other, ignore_errors=True)
    return folder


def _cache_home(root: Path) -> Path:
    """Return where caches go: NUMBA_CACHE_DIR, beside the code, or the user's cache folder."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if os.access(root, os.W_OK):
        return root / "__pycache__"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wattbench"


_ROOT = Path(__file__).resolve().parents[1]
cast(Any, numba.config).CACHE_DIR = str(cache_folder(_ROOT, _cache_home(_ROOT)))
