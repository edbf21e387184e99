"""What takes part in a run besides its configuration: packages, machine, revision."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any, Final

#: Packages that shape results.
_PACKAGES: Final = (
    *("numba", "numpy", "onnxruntime", "pandas", "pvlib"),
    *("pyarrow", "pydantic", "pymodbus", "scipy", "simpy"),
)
_SPEED_LOOPS: Final = 100_000


@functools.cache
def packages() -> dict[str, str]:
    """Return the versions of the packages that shape results, and of Python."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # an optional part that is not installed
            continue
    return found


@functools.cache
def machine() -> dict[str, Any]:
    """Return what kind of machine this is and how fast: millions of Python loops a second."""
    best_s = min(_loop_s() for _ in range(3))
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "processors": os.cpu_count() or 0,
        "python_mloops_per_s": round(_SPEED_LOOPS / best_s / 1e6, 2),
    }


@functools.cache
def git_revision() -> str | None:
    """Return the revision of a checkout that this package runs from, None if it is installed.

    A revision with uncommitted changes ends in ``-dirty``.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        shown = subprocess.run(  # noqa: S603 - a fixed command, found on the path like any tool
            command, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return shown.stdout.strip() or None


def _loop_s() -> float:
    begin = perf_counter()
    total = 0
    for number in range(_SPEED_LOOPS):
        total += number
    return max(perf_counter() - begin, 1e-9)
