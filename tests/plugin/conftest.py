"""A user's repository with scenarios in it, and pytest in a process of its own over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wattbench.sim.cache import cache_home

ROOF = """\
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 2000}
    - {id: b1, phase: b, rated_power_w: 2000}
profiles: {pv: {kind: generated, sky: clear}}
clock: {start: 2025-06-21T12:00:00, duration_s: 60}
policies: [{kind: smith}, {kind: pi}]
baselines: [{kind: zero}]
limits:
  - {metric: export_energy, vs: zero, max_ratio: 0.95}
  - {metric: safety_violations, max: 0}
seeds: [1, 2]
"""

Pytest = Callable[..., pytest.RunResult]


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load no plugin that is not named; use the kernels that are compiled already."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache_home()))


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    """A folder with a scenario in `scenarios`, and what else lies in repositories."""
    scenarios = pytester.mkdir("scenarios")
    (scenarios / "roof.yaml").write_text(ROOF)
    return pytester.path


@pytest.fixture
def run_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Pytest:
    """Run pytest with this plugin, and those named, in a process of its own."""
    alone(monkeypatch)

    def run(*words: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "wattbench.pytest_plugin", *words, timeout=300)

    return run
