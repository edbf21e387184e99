"""Loading: from a file to a scenario, or to everything that is wrong with it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Place, ScenarioError, ScenarioErrors
from .extends import read_tree
from .source import Node

if TYPE_CHECKING:
    from .model import Scenario


_SUITES_OWN = frozenset({"variants", "training_seeds", "interval_limits"})
_SCENARIOS_OWN = frozenset({"plant", "extends", "clock"})


def is_suite_root(root: Node) -> bool:
    """Return whether a file's tree is meant to be a suite rather than a scenario, by its keys."""
    keys = root.value if isinstance(root.value, dict) else {}
    if "scenarios" in keys:
        return True
    return not _SCENARIOS_OWN & keys.keys() and bool(_SUITES_OWN & keys.keys())


def is_scenario_root(root: Node) -> bool:
    """Return whether a file's tree is meant to be a scenario rather than a suite, by its keys."""
    keys = root.value if isinstance(root.value, dict) else {}
    return not is_suite_root(root) and bool(_SCENARIOS_OWN & keys.keys())


def load_scenario(path: str | Path) -> Scenario:
    """Read and validate a scenario file.

    ``path`` stands in errors as it is given (`library.locate` turns names of the library into
    paths). The scenario has all that it extends merged in and paths of files made absolute.

    Raises `ScenarioErrors`: everything that is wrong with the file and those it extends.
    """
    from .parameters import expand
    from .scenario_validation import ScenarioValidation

    path = Path(path)
    tree = read_tree(path)
    errors = list(tree.errors)
    if tree.root is None:
        raise ScenarioErrors(errors)
    if is_suite_root(tree.root):
        place = tree.root.find(("scenarios",))[0].key_place
        message = "this is a suite, and a scenario is wanted; a suite is run by: wattbench suite"
        raise ScenarioErrors([ScenarioError.at(place, "", f"{message} {shlex.quote(str(path))}")])
    _set_name(tree.root, path)
    errors += expand(tree.root)
    _drop_stale_audit(tree.root, path)
    validation = ScenarioValidation(tree.root, complete=tree.complete)
    errors += validation.errors
    if errors or validation.result is None:
        raise ScenarioErrors(sorted(errors, key=lambda error: _order(error, path)))
    return validation.result


def _drop_stale_audit(root: Node, path: Path) -> None:
    """Drop an audit that was taken over with other policies than those that there are now.

    It says which of them must pass or fail in the library's own scenario. One that names policies
    that are still there goes on to be checked, and so does a file's own.
    """
    audit = root.child("audit")
    if audit is None or not isinstance(audit.value, dict) or not isinstance(root.value, dict):
        return
    sections = [node for key in ("policies", "baselines") if (node := root.child(key)) is not None]
    file = audit.key_place.file
    if file == str(path) or all(node.key_place.file == file for node in sections):
        return
    items = [item for node in sections for _, item in node.children()]
    named = [item.child("name") or item.child("kind") for item in items]
    names = {node.value for node in named if node is not None}
    broken = audit.child("broken")
    wanted = [audit.child("passing"), *(node for _, node in (broken.children() if broken else ()))]
    if any(node is not None and node.value not in names for node in wanted):
        del root.value["audit"]


def _order(error: ScenarioError, path: Path) -> tuple[bool, str, int, int]:
    """Sort by position, the file itself before those it extends."""
    return error.file != str(path), error.file, error.line, error.column


def _set_name(root: Node, path: Path) -> None:
    """Name a scenario that does not name itself after its file."""
    if isinstance(root.value, dict) and "name" not in root.value:
        name = re.sub(r"[^a-z0-9_.-]", "_", path.stem.lower()).strip("_.-")[:64] or "scenario"
        place = Place(str(path))
        root.value["name"] = Node(name, place, place, path=("name",))
