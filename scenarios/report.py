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
    from .suite import Suite


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A checked file: its scenario or suite, or what is wrong with it."""

    path: str
    found: Scenario | Suite | None
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
        if self.found is not None:
            row |= {"name": self.found.name, "hash": self.found.hash()}
            if resolved:
                row["resolved"] = self.found.resolved()
        return row

    def scenarios(self) -> tuple[Scenario, ...]:
        """Return the scenario, or those of the suite as they run."""
        from .model import Scenario

        if self.found is None or isinstance(self.found, Scenario):
            return () if self.found is None else (self.found,)
        return tuple(stratum.experiment for stratum in self.found.strata)


def check_report(argument: str) -> CheckResult:
    """Check a file, or a scenario or suite of the library by name."""
    try:
        path, what = library.locate_any(argument)
        if what == "suite" or (not what and _is_suite(path)):
            from .suite_loading import load_suite

            return CheckResult(str(path), load_suite(path))
        return CheckResult(str(path), load_scenario(path))
    except library.UnknownScenarioError as problem:
        return CheckResult(argument, None, (ScenarioError(argument, 1, 1, "", str(problem)),))
    except ScenarioErrors as problem:
        return CheckResult(str(path), None, problem.errors)


def _is_suite(path: Path) -> bool:
    from .suite_loading import is_suite

    return is_suite(path)


def resolved_yaml(found: Scenario | Suite, path: str | Path) -> str:
    """Return what was found as a YAML document with all defaults; a scenario loads again."""
    return f"---\n# {path}, resolved; hash {found.hash()}\n{yaml_text(found.resolved())}"


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
