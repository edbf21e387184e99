"""Tapes to test with."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_SPEC = importlib.util.spec_from_file_location("tapes_module", Path(__file__).parent / "tapes.py")
assert _SPEC is not None
assert _SPEC.loader is not None
_TAPES = importlib.util.module_from_spec(_SPEC)
# Tests are no package; property tests, which take no fixtures per example, import it by this name.
sys.modules["tapes_module"] = _TAPES
_SPEC.loader.exec_module(_TAPES)


@pytest.fixture(scope="session")
def tapes() -> ModuleType:
    """Return the module with the tapes."""
    return _TAPES
