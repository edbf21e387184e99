"""``extends``: a scenario takes over another one and overrides keys.

Mappings merge key by key; lists and scalars replace. A mapping that names another ``kind`` than
the one it overrides replaces it whole, since its keys mean something else. Each value keeps the
place of the file that wrote it. ``name`` is not taken over: two scenarios never share one.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field
from pathlib import Path

from . import library
from .errors import ScenarioError, shorten
from .source import Node, read_document

EXTENDS = "extends"


@dataclass(slots=True)
class Tree:
    """A scenario's merged tree: None where nothing could be read.

    ``complete`` is False when a file of the chain is missing or broken; then keys that seem to be
    missing may well stand there.
    """

    root: Node | None
    errors: list[ScenarioError] = field(default_factory=list)
    complete: bool = True


def read_tree(path: Path) -> Tree:
    """Read a scenario file and all that it extends."""
    tree = _read(path, ())
    if tree.root is not None:
        tree.root.number()
    return tree


def merge(base: Node, over: Node) -> Node:
    """Return ``base`` overridden by ``over``."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    kind, other = base.value.get("kind"), over.value.get("kind")
    if kind is not None and other is not None and kind.value != other.value:
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, over.place, over.key_place)


def _read(path: Path, chain: tuple[Path, ...]) -> Tree:
    document = read_document(path)
    tree = Tree(document.root, document.errors, document.root is not None)
    if document.root is None or not isinstance(document.root.value, dict):
        return tree
    reference = document.root.value.pop(EXTENDS, None)
    if reference is None or reference.spoiled:
        return tree
    base = _base(path, reference, (*chain, path), EXTENDS)
    tree.errors.extend(base.errors)
    tree.complete = base.complete
    if base.root is not None:
        # The scenario's kind says how it is judged; it does not name another set of keys.
        tree.root = merge_roots(base.root, document.root)
    return tree


def merge_roots(base: Node, over: Node) -> Node:
    """Return a scenario's tree overridden by another one; the name is not taken over."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    merged = {key: node for key, node in base.value.items() if key != "name"}
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, over.place, over.key_place)


def read_base(path: Path, reference: Node, field: str) -> Tree:
    """Read the scenario, and all that it extends, that a ``field`` of the file ``path`` names."""
    return _base(path, reference, (path,), field)


def _base(path: Path, reference: Node, chain: tuple[Path, ...], field: str) -> Tree:
    """Read the file that a field such as ``extends`` in the file ``path`` refers to."""

    def wrong(message: str) -> Tree:
        return Tree(None, [ScenarioError.at(reference.place, field, message)], complete=False)

    if not isinstance(reference.value, str):
        what = shorten(reference.plain())
        return wrong(f"got {what}; allowed: the path of a YAML file or the name of a scenario")
    try:
        target = resolve(reference.value, path.parent)
        identities = [os.path.realpath(file) for file in chain]
        if os.path.realpath(target) in identities:
            names = [file.name for file in chain[identities.index(os.path.realpath(target)) :]]
            return wrong(f"cycle: {' → '.join([*names, target.name])}")
        if target.is_dir():
            what = f"{shorten(reference.value)} is a folder"
            return wrong(f"{what}; allowed: the path of a YAML file or the name of a scenario")
        if not target.is_file():
            return wrong(f"no such file: {shorten(reference.value)}{_nearest_file(target)}")
    except library.UnknownScenarioError as problem:
        return wrong(str(problem))
    except (OSError, ValueError) as problem:
        return wrong(f"cannot be read: {problem}")
    return _read(target, chain)


def resolve(reference: str, directory: Path) -> Path:
    """Return the file of a reference: a path relative to ``directory``, or a library name.

    Raises `library.UnknownScenarioError` for a name that is not in the library.
    """
    if library.is_path(reference):
        return Path(os.path.normpath(directory / reference))
    return library.find(reference)


def _nearest_file(target: Path) -> str:
    if not target.parent.is_dir():
        return ""
    files = (file for file in target.parent.iterdir() if file.suffix in library.SUFFIXES)
    names = [file.name for file in files if file.is_file()]
    near = difflib.get_close_matches(target.name, names, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
