"""The two decorators behind every compiled kernel.

Kernels are compiled by numba, cached on disk, and must give the same bits for one instance as for
four thousand. Hence the fixed options: no ``fastmath`` (it would reorder sums and fuse operations
as the vector width suggests) and NumPy's error model (a division by zero gives inf or NaN instead
of a branch that raises). A parallel kernel may split its instances over threads, but must not
reduce across them: the order of such a sum depends on the number of threads.

Processes share a cache, with a lock a function around each reading and writing of it: without, two
that compile different types of one function at once could write both under one number, and the
index would call the one the other.

numba's cache notices a change of the file that a kernel stands in, but not of the functions and
constants that the kernel takes from other files; it would go on with the old ones. So the kernels
of a file are cached in a folder that is named after the content of this file and of all that it
imports from the package.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

from .cache import ROOT, cache_home

F = TypeVar("F", bound=Callable[..., Any])

#: Loop over instances that ``compiled_parallel`` spreads over threads; a plain ``range`` elsewhere.
prange = numba.prange

_RELATIVE_IMPORT = re.compile(r"^from (\.+)([\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)
_GENERATIONS = 4
"""Caches of earlier states of a file that are kept: who switches between branches needs them."""


def compiled(function: F) -> F:
    """Compile ``function`` for the types it is called with and cache the result on disk.

    The type of the function is kept, so that checkers see its annotations.
    """
    return _compile(function)


def compiled_parallel(function: F) -> F:
    """Compile like :func:`compiled`, with loops over :data:`prange` spread over threads.

    Each iteration must write only what belongs to it (its instance), for results to be the same
    for any number of threads.
    """
    return _compile(function, parallel=True)


def _compile(function: F, *, parallel: bool = False) -> F:
    config = cast(Any, numba.config)
    before = config.CACHE_DIR
    # The folder is looked up while a function is decorated; other libraries keep theirs.
    folder = _folder_of(function.__code__.co_filename)
    config.CACHE_DIR = folder or ""
    try:
        made = numba.njit(function, error_model="numpy", parallel=parallel)
        if folder is not None:
            made._cache = _SharedCache(function)  # type: ignore[no-untyped-call]
        return cast(F, made)
    finally:
        config.CACHE_DIR = before


class _SharedCache(FunctionCache):
    """A function's cache on disk that any number of processes may read and write at once."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what is cached for a signature, None if it is still to be compiled."""
        with self._locked(fcntl.LOCK_SH):
            found = super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        if found is None:
            _tell_once()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write what was compiled for a signature."""
        with self._locked(fcntl.LOCK_EX):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Hold the function's lock, which is free again when its process ends."""
        path = Path(self.cache_path, f"{self._impl.filename_base}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, how)
            yield


_listeners: list[Callable[[], None]] = []


def when_compiling(tell: Callable[[], None]) -> None:
    """Call ``tell`` when this process first has to compile what no other has left in the cache."""
    _listeners.append(tell)


def _tell_once() -> None:
    while _listeners:
        _listeners.pop()()


@lru_cache(maxsize=256)
def _folder_of(file: str) -> str | None:
    """Return where a file's kernels are cached; None if nothing can be written there."""
    folder = cache_folder(Path(file).resolve(), cache_home())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except (OSError, RuntimeError):
        usable = False
    if not usable:
        _say_once(f"{folder.parent} cannot be written")
    return str(folder) if usable else None


@lru_cache(maxsize=1)
def _say_once(why: str) -> None:
    mend = "kernels are compiled anew by every command; set NUMBA_CACHE_DIR to a folder of yours"
    print(f"wattbench: {why}: {mend}", file=sys.stderr)


def cache_folder(path: Path, home: Path) -> Path:
    """Return the folder in ``home`` for the kernels of a file as it is now; drop the oldest ones.

    Args:
        path: the file, absolute.
        home: where all files and all of their states have their folders.
    """
    digest = hashlib.sha256()
    for source in kernel_sources(path):
        digest.update(source.read_bytes())
    where = path.with_suffix("").parts[len(ROOT.parts) :] if ROOT in path.parents else [path.stem]
    name = "-".join(("kernels", *where))
    folder = home / f"{name}-{digest.hexdigest()[:16]}"
    if not folder.exists():
        with contextlib.suppress(OSError):  # another process may be tidying up as well
            others = sorted(home.glob(f"{name}-*"), key=lambda other: other.stat().st_mtime)
            for other in others[: max(0, len(others) - _GENERATIONS)]:
                shutil.rmtree(other, ignore_errors=True)
    return folder


def kernel_sources(path: Path) -> list[Path]:
    """Return a file and all that it imports relatively, directly or not, in a fixed order."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        source = waiting.pop()
        if source not in found:
            found.add(source)
            waiting += _imported(source)
    return sorted(found)


@lru_cache(maxsize=1024)
def _text(path: Path, _mtime_ns: int) -> str:
    return path.read_text(encoding="utf-8")


def _imported(path: Path) -> set[Path]:
    """Return the files of the package that a module imports at its top."""
    result = set()
    for dots, module, names in _RELATIVE_IMPORT.findall(_text(path, path.stat().st_mtime_ns)):
        base = path.parents[len(dots) - 1].joinpath(*filter(None, module.split(".")))
        modules = {base / f"{name}.py" for name in re.findall(r"\w+", names)}
        candidates = {candidate for candidate in modules if candidate.is_file()} or {
            base.with_suffix(".py"),
            base / "__init__.py",
        }
        result |= {candidate for candidate in candidates if candidate.is_file()}
    return result
