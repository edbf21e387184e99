"""Synthetic judged suites, of any size, with whatever a suite may contain."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattbench.evaluation.bracket import Bracket
from wattbench.evaluation.statistics import Interval
from wattbench.evaluation.suite.judgement import (
    Comparison,
    IntervalLimitResult,
    Rate,
    SuiteJudgement,
)
from wattbench.evaluation.suite.results import Cell, RunRow, SuiteIdentity
from wattbench.evaluation.verdict import ExitCode, Verdict

METRICS = (
    "objective@1",
    "export_energy@1",
    "import_energy@1",
    "unserved_energy@1",
    "peak_export_1min@1",
    "command_changes_per_min_worst@1",
)


def interval(estimate: float, half: float, pairs: int = 80, strata: int = 8) -> Interval:
    return Interval(estimate, estimate - half, estimate + half, 0.95, pairs, strata)


def no_interval() -> Interval:
    return Interval(math.nan, math.nan, math.nan, 0.95, 0, 0)


def make_row(cell: Cell, rng: np.random.Generator, verdict: str | None = "PASS") -> RunRow:
    """Return a finished run; its second limit is missed where it failed."""
    export_wh = float(rng.uniform(200, 900))
    bound_wh = export_wh * (0.8 if verdict == "FAIL" else 1.4)
    values = (export_wh * 1.3, export_wh, 700.0, 0.0, 900.0 + export_wh, 7.0)
    limits: list[dict[str, Any]] = []
    if not cell.baseline:
        limits = [
            {"metric": "command_changes_per_min_worst@1", "limit": "changes ≤ 10", "vs": None,
             "direction": "max", "measured": 7.0, "bound": 10.0, "unit": "1/min",
             "verdict": "PASS", "reason": ""},
            {"metric": "export_energy@1", "limit": "export_energy ≤ pi − 10 %", "vs": "pi",
             "direction": "max", "measured": export_wh, "bound": bound_wh, "unit": "Wh",
             "verdict": verdict, "reason": ""},
        ]  # fmt: skip
    return RunRow(
        cell=cell,
        status="completed",
        verdict=None if cell.baseline else verdict,
        exit_code=None if cell.baseline else int(verdict == "FAIL"),
        reason="export_energy ≤ pi − 10 %" if verdict == "FAIL" else "",
        limits=tuple(limits),
        measurements=dict(zip(METRICS, values, strict=True)),
        duration_s=3600.0,
        elapsed_s=0.4,
        trace_sha256="ab" * 32,
    )


def bracket_of(**content: Any) -> Bracket:
    """Return a bracket of some run."""
    return Bracket(**{"trace_sha256": "ab" * 32, **content})


def make_suite(
    folder: Path,
    scenarios: int = 3,
    policies: tuple[str, ...] = ("smith", "gate"),
    seeds: int = 4,
    *,
    failing: tuple[str, ...] = ("gate",),
    **changes: Any,
) -> SuiteJudgement:
    """Return a judged suite whose records' folders exist; ``changes`` replace its fields."""
    rng = np.random.default_rng(7)
    names = [f"cloudy_{i:02}" for i in range(scenarios)]
    labels = [(policy, False) for policy in policies] + [("pi", True)]
    plan = tuple(
        Cell(name, "", policy, seed, baseline)
        for name in names
        for seed in range(1, seeds + 1)
        for policy, baseline in labels
    )
    rows = []
    for cell in plan:
        missed = cell.policy in failing and cell.seed == 2
        rows.append(make_row(cell, rng, "FAIL" if missed else "PASS"))
        (folder / cell.folder).mkdir(parents=True, exist_ok=True)
    judged = list(policies)
    comparisons = tuple(
        Comparison(
            policy=policy,
            baseline="pi",
            metric=metric,
            reduction=interval(0.2 + 0.1 * i, 0.05),
            interquartile_mean=interval(0.21 + 0.1 * i, 0.04),
            probability_of_improvement=interval(0.8, 0.1),
            by_stratum={name: interval(float(rng.normal(0.2, 0.1)), 0.08, 10, 1) for name in names},
        )
        for metric in METRICS[:3]
        for i, policy in enumerate(judged)
    )
    limits = tuple(
        IntervalLimitResult(
            policy=policy,
            text="export_energy vs pi: reduction ≥ 10 %, lower bound",
            metric="export_energy@1",
            unit="1",
            interval=interval(0.2 - 0.08 * i, 0.05),
            bound=0.1,
            upper=False,
            verdict=Verdict.PASS if i == 0 else Verdict.INCONCLUSIVE,
            reason="" if i == 0 else "the interval straddles the bound; about 12 further seeds",
            further_seeds=None if i == 0 else 12,
        )
        for i, policy in enumerate(judged)
    )
    rates = tuple(
        Rate(policy, "safety_violations@1", 0.0, 12.0, 0.25,
             "0 safety violations in 12 h: rate < 1 in 4 h at 95 %")
        for policy in judged
    )  # fmt: skip
    brackets = {
        name: (
            bracket_of(
                policy=judged[0],
                tuned_pi="pi-tuned",
                objective_wh={"zero": 5000.0, "pi-tuned": 940.0, judged[0]: 800.0,
                              "replayed optimum": 90.0, "bound": 59.0},
                lifted={"dead_time": 500.0},
                lifted_how={"dead_time": "lifted: no delay"},
            ),
        )
        for name in names
    }  # fmt: skip
    fields: dict[str, Any] = {
        "folder": folder,
        "identity": SuiteIdentity(
            name="acceptance",
            title="Acceptance of an export policy",
            suite={},
            suite_hash="cd" * 32,
            plan=plan,
            wattbench_version="0.1.0",
            git_revision="ef" * 20,
            packages={"numpy": "2.4.6"},
            machine={"cpu_count": 2, "processor": "x86_64"},
        ),
        "verdict": Verdict.FAIL if failing else Verdict.PASS,
        "exit_code": ExitCode.FAIL if failing else ExitCode.PASS,
        "rows": tuple(rows),
        "interval_limits": limits,
        "comparisons": comparisons,
        "rates": rates,
        "brackets": brackets,
        "warnings": ("clock: virtual, so that latency was not judged",),
    }
    return SuiteJudgement(**(fields | changes))


MakeSuite = Callable[..., SuiteJudgement]


@pytest.fixture
def suite_of(tmp_path: Path) -> MakeSuite:
    """Return a function that makes a judged suite in this test's folder."""
    return lambda *args, **changes: make_suite(tmp_path / "acceptance", *args, **changes)
