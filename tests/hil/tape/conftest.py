"""Tapes to test with."""

from __future__ import annotations

from types import ModuleType

import pytest

from . import tapes as tapes_of_tests


@pytest.fixture(scope="session")
def tapes() -> ModuleType:
    """Return the module with the tapes."""
    return tapes_of_tests
