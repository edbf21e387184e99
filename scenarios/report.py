"""What ``wattbench check`` tells of a file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import library
from .errors import ScenarioError, ScenarioErrors
from .load import load_scenario

if TYPE_CHECKING:
    from .model import Scenario


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A checked file: its scenario, or what is wrong with it."""

    path: str
    scenario: Scenario | None
    errors: tuple[ScenarioError, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the file is valid."""
        return not self.errors

    def with_problem(self, problem: str) -> CheckResult:
        """Return the result with what is wrong in a file that it names ('': nothing)."""
        if not problem:
            return self
        return CheckResult(self.path, None, (ScenarioError(self.path, 1, 1, "", problem),))

    def as_dict(self, *, resolved: bool) -> dict[str, Any]:
        """Return the result as plain values for JSON, on request with the resolved scenario."""
        row: dict[str, Any] = {
            "path": self.path,
            "ok": self.ok,
            "errors": [error.as_dict() for error in self.errors],
        }
        if self.scenario is not None:
            row |= {"name": self.scenario.name, "hash": self.scenario.hash()}
            if resolved:
                row["resolved"] = self.scenario.resolved()
        return row


def check_report(argument: str) -> CheckResult:
    """Check a file, or a scenario of the library by name."""
    try:
        path = library.locate(argument)
        return CheckResult(str(path), load_scenario(path))
    except library.UnknownScenarioError as problem:
        return CheckResult(argument, None, (ScenarioError(argument, 1, 1, "", str(problem)),))
    except ScenarioErrors as problem:
        return CheckResult(str(path), None, problem.errors)


def resolved_yaml(scenario: Scenario, path: str | Path) -> str:
    """Return the resolved scenario as a YAML document that can be loaded again."""
    return f"---\n# {path}, resolved; hash {scenario.hash()}\n{yaml_text(scenario.resolved())}"


def yaml_text(content: Mapping[str, Any], *, leaves_in_line: bool = False) -> str:
    """Return plain values as YAML, in their order; on request the innermost ones in one line."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None if leaves_in_line else False
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    yaml.width = 100
    yaml.dump(content, text)
    return text.getvalue()
