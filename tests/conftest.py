"""Set-up for all tests: repeatable properties, a second try in real time, golden traces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# For tests/plugin; pytest takes it from the first conftest.py alone.
pytest_plugins = ["pytester"]

# One commit, one result: the cases of a property follow from its source. To search for others:
# pytest --hypothesis-profile=default. Nor does it depend on how busy the machine is: no deadline.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# Tests that talk through the machine's sockets, terminals and processes depend on when it lets them
# run. One of them that fails is tried once more, and both are reported; all others have one try.
_TESTS = Path(__file__).resolve().parent
_REAL_TIME = tuple(
    _TESTS / folder
    for folder in (
        "cli",
        "docs",
        "e2e",
        "hil/emulation",
        "hil/fingerprint",
        "hil/latency",
        "hil/modbus",
        "hil/rigs",
        "hil/wirefaults",
        "hil/zigbee",
        "plugin",
        "wire",
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of the real-time folders a second try."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in _REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that writes golden traces anew."""
    parser.addoption("--update-golden", action="store_true", help="write golden traces anew")
