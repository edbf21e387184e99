"""Print the rates that the speed suite works out: a table of milliseconds says little of them."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Write a line for each figure beside the measured times."""
    session = getattr(config, "_benchmarksession", None)
    figures = [
        (bench.name, name, value)
        for bench in (session.benchmarks if session is not None else ())
        for name, value in bench.extra_info.items()
    ]
    if figures:
        terminalreporter.section("rates")
    for bench, name, value in figures:
        terminalreporter.write_line(f"{bench:<36} {name:<28} {value:>14,.0f}")
