"""The JSON is pytest-benchmark's, and holds what the gates need."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.stats import Stats

from wattbench.hil.latency.gates import measured_of
from wattbench.hil.latency.report import document, rows, stats

MACHINE = {"node": "n", "cpu": {"count": 2}}


def test_statistics_are_those_of_pytest_benchmark() -> None:
    values = np.random.default_rng(1).lognormal(-7, 0.5, 101)
    theirs = Stats()
    for value in values:
        theirs.update(value)
    ours = stats(values)
    for name in ("min", "max", "mean", "stddev", "rounds", "median", "total", "ops"):
        assert ours[name] == pytest.approx(getattr(theirs, name)), name
    assert set(ours) >= set(theirs.as_dict())


def test_pytest_benchmark_compares_two_files(made, tmp_path: Path) -> None:
    for name, own in (("a.json", 1.0), ("b.json", 1.5)):
        (tmp_path / name).write_text(json.dumps(document(made.run(own=own), MACHINE, None)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "a.json", "b.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "answer_to_command" in done.stdout
    assert "(1.50)" in done.stdout


def test_what_the_gates_need_survives_the_file(made) -> None:
    run = made.run()
    content = json.loads(json.dumps(document(run, MACHINE, "abc-dirty")))
    found = measured_of(content, "answer_to_command")
    np.testing.assert_allclose(found.values, run.spans["answer_to_command"].values / 1e9)
    np.testing.assert_allclose(found.reference, run.reference_ns / 1e9)
    assert content["commit_info"]["dirty"] is True
    said = content["wattbench_latency"]
    assert (said["steps"], said["deadline_misses"], said["skipped"]) == (200, 0, 0)


def test_rows_are_percentiles_and_ratios(made) -> None:
    run = made.run()
    found = {row["name"]: row for row in rows(run)}
    values = np.sort(run.spans["answer_to_command"].values)
    row = found["answer_to_command"]
    assert row["p50_s"] == values[99] / 1e9
    assert row["p99_s"] == values[197] / 1e9
    assert row["max_s"] == values[-1] / 1e9
    reference = np.sort(run.reference_ns)
    assert row["ratio"] == pytest.approx(values[99] / reference[99])
    assert found["reference"]["ratio"] == 1.0
    assert list(found)[:2] == ["step", "answer_to_command"]
    assert not math.isnan(found["reference_echo"]["p50_s"])
