"""What ``wattbench list`` shows of the library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .extends import read_tree
from .library import SUITES, names
from .source import read_document


@dataclass(frozen=True, slots=True)
class Entry:
    """A scenario of the library: its name with folder (``export/clear_day``), kind and title.

    The kind of a suite is ``suite``.
    """

    name: str
    kind: str
    title: str
    path: Path


def entries(root: Path | None = None) -> list[Entry]:
    """Return the scenarios of the library (of the folder ``root``), sorted by name.

    Kind and title are what the files say; a file with mistakes is listed too.
    """
    found = []
    for name, path in names(root).items():
        tree = read_tree(path)
        keys = tree.root.plain() if tree.root is not None else {}
        kind = str(keys.get("kind") or "discriminating")
        found.append(Entry(name, kind, str(keys.get("title") or ""), path))
    return found


def suites(root: Path | None = None) -> list[Entry]:
    """Return the suites that come with the package (of the folder ``root``), sorted by name."""
    found = []
    for name, path in names(root if root is not None else SUITES).items():
        document = read_document(path)
        keys = document.root.plain() if document.root is not None else {}
        found.append(Entry(name, "suite", str(keys.get("title") or ""), path))
    return found
