"""Loading: from a file to a scenario, or to everything that is wrong with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Place, ScenarioError, ScenarioErrors
from .extends import read_tree
from .source import Node

if TYPE_CHECKING:
    from .model import Scenario


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
    _set_name(tree.root, path)
    errors += expand(tree.root)
    validation = ScenarioValidation(tree.root, complete=tree.complete)
    errors += validation.errors
    if errors or validation.result is None:
        raise ScenarioErrors(sorted(errors, key=lambda error: _order(error, path)))
    return validation.result


def _order(error: ScenarioError, path: Path) -> tuple[bool, str, int, int]:
    """Sort by position, the file itself before those it extends."""
    return error.file != str(path), error.file, error.line, error.column


def _set_name(root: Node, path: Path) -> None:
    """Name a scenario that does not name itself after its file."""
    if isinstance(root.value, dict) and "name" not in root.value:
        name = re.sub(r"[^a-z0-9_.-]", "_", path.stem.lower()).strip("_.-")[:64] or "scenario"
        place = Place(str(path))
        root.value["name"] = Node(name, place, place, path=("name",))
