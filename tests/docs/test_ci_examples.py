"""The pipelines offered to users: valid YAML, and commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

CI = Path(__file__).resolve().parents[2] / "docs" / "ci"
CALL = re.compile(r"^\s*wattbench (\w+)(.*)$", re.MULTILINE)


def load(name: str) -> Any:
    return YAML(typ="safe").load((CI / name).read_text())


def scripts(name: str) -> str:
    document = load(name)
    if "jobs" in document:
        steps = [step for job in document["jobs"].values() for step in job["steps"]]
        return "\n".join(step["run"] for step in steps if "run" in step)
    jobs = [job for job in document.values() if "script" in job]
    return "\n".join(line for job in jobs for line in job["script"])


@pytest.mark.parametrize("name", sorted(path.name for path in CI.glob("*.yml")))
def test_commands_and_options_exist(name: str) -> None:
    calls = CALL.findall(scripts(name).replace("\\\n", " "))
    assert {command for command, _ in calls} >= {"check", "run"}
    for command, rest in calls:
        shown = subprocess.run(
            [sys.executable, "-c", "from wattbench.cli import main; main()", command, "--help"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert shown.returncode == 0, f"{name}: wattbench {command}: {shown.stderr}"
        for option in re.findall(r"(--[a-z-]+)", rest):
            assert option in shown.stdout, f"{name}: wattbench {command} has no {option}"


def test_junit_is_published_whatever_the_verdict() -> None:
    steps = load("github-actions.yml")["jobs"]["judge"]["steps"]
    (publish,) = [step for step in steps if "report_paths" in step.get("with", {})]
    assert publish["if"] == "always()"
    assert load("gitlab-ci.yml")["wattbench"]["artifacts"]["when"] == "always"
