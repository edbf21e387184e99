"""Where what was compiled or computed before is kept."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cache_home() -> Path:
    """Return NUMBA_CACHE_DIR, a folder beside the code, or one in the user's cache folder."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if os.access(ROOT, os.W_OK):
        return ROOT / "__pycache__"
    given = os.environ.get("XDG_CACHE_HOME")
    return Path(given or os.path.expanduser("~/.cache")) / "wattbench"  # noqa: PTH111  never raises
