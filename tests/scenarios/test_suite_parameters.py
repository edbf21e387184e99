"""Parameter files in suites: the same key, the same errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattbench.scenarios.errors import ScenarioErrors
from wattbench.scenarios.suite_loading import load_suite

SUITE = """\
scenarios: [export/clear_day]
policies: [{kind: pi, parameters: lab.yaml, kp: 0.4}]
baselines: [{kind: zero}, {kind: pi}]
seeds: [1, 2]
"""
LAB = "parameters: {kind: pi, kp: 0.3, deadband_w: 33}\n"


def test_a_suites_policies_take_them(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(LAB)
    (tmp_path / "suite.yaml").write_text(SUITE)
    suite = load_suite(tmp_path / "suite.yaml")
    (policy,) = suite.strata[0].experiment.policies
    assert policy.label == "pi-own"
    assert policy.model_dump(include={"kp", "deadband_w"}) == {"kp": 0.4, "deadband_w": 33.0}
    assert suite.config.policies == (policy,)


def test_a_bad_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("parameters:\n  kind: pi\n  kp: much\n")
    (tmp_path / "suite.yaml").write_text(SUITE)
    with pytest.raises(ScenarioErrors) as caught:
        load_suite(tmp_path / "suite.yaml")
    (error,) = caught.value.errors
    assert str(error).startswith(f"{file}:3:7: parameters.kp:")
