"""Mending a tree that is being validated, so that validation can go on behind a mistake."""

from __future__ import annotations

from typing import Any

from . import messages
from .source import Node, Step


class Workpiece:
    """A tree and what was done to it; paths that are kept are those of the file as written.

    Attributes:
        cut: what was cut out or put in; that it is missing now is not the writer's mistake.
        tainted: what lost a part or got a stand-in; how its parts fit together says nothing.
        added: where a stand-in was put.

    """

    def __init__(self, tree: Node) -> None:
        """Take over ``tree``, without what reading the file has already reported."""
        self.tree = tree
        self.cut: set[Step] = set()
        self.tainted: set[Step] = set()
        self.added: set[Step] = set()
        self._cut_spoiled(tree)

    def cut_out(self, path: Step) -> bool:
        """Cut out what is at ``path`` in the tree; return whether there was something."""
        node, depth = self.tree.find(path)
        if depth < len(path) or not path:
            return False
        above, _ = self.tree.find(path[:-1])
        self.cut.add(node.path)
        self.tainted.add(above.path)
        _delete(above, path[-1])
        return True

    def add(self, path: Step, own: Step, value: Any) -> bool:
        """Put a stand-in under a key."""
        above, depth = self.tree.find(path[:-1])
        if depth < len(path) - 1 or not isinstance(above.value, dict):
            return False
        self.added.add(own)
        self.cut.add(own)
        self.tainted.add(above.path)
        above.value[str(path[-1])] = Node(value, above.place, above.key_place, path=own)
        return True

    def rename(self, path: Step, keys: tuple[str, ...]) -> bool:
        """Give an unknown key the name that was meant, or drop it."""
        above, _ = self.tree.find(path[:-1])
        key = str(path[-1])
        if not isinstance(above.value, dict) or key not in above.value:
            return False
        node = above.value.pop(key)
        meant = messages.meant_key(key, node.plain(), keys)
        if meant is not None and meant[0] not in above.value:
            name, value = meant
            if not isinstance(node.value, dict | list):
                node.value = value
            above.value[name] = node
            self.cut.add((*above.path, name))
        return True

    def _cut_spoiled(self, node: Node) -> None:
        """Cut out what reading the file has already reported."""
        for step, child in reversed(node.children()):
            if not child.spoiled:
                self._cut_spoiled(child)
                continue
            self.cut.add(child.path)
            self.tainted.add(node.path)
            _delete(node, step)


def _delete(above: Node, step: str | int) -> None:
    if isinstance(above.value, dict):
        del above.value[str(step)]
    elif isinstance(above.value, list):
        del above.value[int(step)]
