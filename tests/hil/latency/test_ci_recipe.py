"""The pipelines of the recipe: valid YAML, options that exist, rules that are rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from wattbench.commands.apps.bench import app
from wattbench.hil.latency.gates import parse_rule
from wattbench.hil.latency.measure import SPANS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "ci" / "latency.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def scripts(document) -> str:
    if "jobs" in document:
        steps = [step for job in document["jobs"].values() for step in job["steps"]]
        return "\n".join(step["run"] for step in steps if "run" in step)
    return "\n".join(line for job in document.values() for line in job["script"])


@pytest.mark.parametrize("block", BLOCKS, ids=["github", "gitlab"])
def test_commands_and_options_exist(block: str) -> None:
    text = scripts(YAML(typ="safe").load(block)).replace("\\\n", " ")
    calls = re.findall(r"wattbench bench latency (.*)$", text, re.MULTILINE)
    assert calls
    shown = CliRunner().invoke(app, ["latency", "--help"], terminal_width=200).output
    for call in calls:
        for option in re.findall(r"(--[a-z-]+)", call):
            assert option in shown, option
        for rule in re.findall(r"--fail (\S+)", call):
            parse_rule(rule, SPANS)


def test_undecided_is_no_failure() -> None:
    github, gitlab = (YAML(typ="safe").load(block) for block in BLOCKS)
    assert '"$code" -eq 3' in scripts(github)
    assert gitlab["latency"]["allow_failure"]["exit_codes"] == 3
