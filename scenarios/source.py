"""YAML with positions: a file becomes a tree of nodes that know the line and column they came from.

Only plain data is read (mappings with text keys, lists, texts, numbers, truth values, null).
Whatever a file holds, reading ends in a tree and a list of errors, never in another exception.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Place, ScenarioError, shorten

MAX_BYTES = 512 * 1024
MAX_NODES = 50_000
MAX_DEPTH = 40
MAX_DIGITS = 18

Scalar = str | int | float | bool | None
Step = tuple[str | int, ...]

_CORE = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({_CORE + "str", _CORE + "timestamp"})


@dataclass(slots=True)
class Node:
    """A value of a file: a mapping, a list or a scalar.

    ``place`` is where the value starts, ``key_place`` where the key or list item that holds it
    does. ``spoiled`` marks a value that was reported already: nothing more is said about it.
    ``path`` is the way from the root, set by `number` once the tree is complete.
    """

    value: dict[str, Node] | list[Node] | Scalar
    place: Place
    key_place: Place
    spoiled: bool = False
    path: Step = ()

    def plain(self) -> Any:
        """Return the tree as plain Python values; spoiled values are None."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, step: str | int) -> Node | None:
        """Return the value under a key or an index, None if there is none."""
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None

    def find(self, path: Step) -> tuple[Node, int]:
        """Return the deepest node along ``path`` and how many steps led there."""
        node, depth = self, 0
        for step in path:
            below = node.child(step)
            if below is None:
                break
            node, depth = below, depth + 1
        return node, depth

    def children(self) -> list[tuple[str | int, Node]]:
        """Return keys or indices and the nodes under them."""
        if isinstance(self.value, dict):
            return list(self.value.items())
        if isinstance(self.value, list):
            return list(enumerate(self.value))
        return []

    def number(self, path: Step = ()) -> None:
        """Write into each node its path from here."""
        self.path = path
        for step, child in self.children():
            child.number((*path, step))

    def copy(self) -> Node:
        """Return a tree of its own that can be cut without changing this one."""
        value: Any = self.value
        if isinstance(value, dict):
            value = {key: child.copy() for key, child in value.items()}
        elif isinstance(value, list):
            value = [child.copy() for child in value]
        return Node(value, self.place, self.key_place, self.spoiled, self.path)


def dotted(path: Step) -> str:
    """Return a path as text: ``plant.loads[0].phase``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


@dataclass(slots=True)
class Document:
    """A file that was read: its tree (None if there is none) and what is wrong with it."""

    root: Node | None
    errors: list[ScenarioError] = field(default_factory=list)


def read_document(path: Path) -> Document:
    """Read a YAML file; ``path`` as given becomes the file name of all places."""
    text, error = _read_text(path)
    if error is not None:
        return Document(None, [error])
    tree, error = _compose(text, str(path))
    if error is not None:
        return Document(None, [error])
    start = Place(str(path))
    if tree is None:
        return Document(
            None, [ScenarioError.at(start, "", "the file is empty; allowed: a mapping")]
        )
    builder = _Builder(str(path))
    root = builder.build(tree, None, (), ())
    if root is None or builder.count > MAX_NODES:
        return Document(None, builder.errors)
    if not isinstance(root.value, dict):
        what = "the file holds " + ("a list" if isinstance(root.value, list) else "a single value")
        error = ScenarioError.at(root.place, "", f"{what}; allowed: a mapping (key: value)")
        return Document(None, [*builder.errors, error])
    return Document(root, builder.errors)


def _read_text(path: Path) -> tuple[str, ScenarioError | None]:
    start = Place(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return "", ScenarioError.at(start, "", "no such file")
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        return "", ScenarioError.at(start, "", f"cannot be read: {reason}")
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // 1024} KiB; allowed: a scenario in YAML"
        return "", ScenarioError.at(start, "", message)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        place = _place_in(data[: problem.start].decode("utf-8", "replace"), str(path))
        message = f"byte 0x{data[problem.start]:02x} is not UTF-8; allowed: text in UTF-8"
        return "", ScenarioError.at(place, "", message)
    for offset, char in enumerate(text):
        if (char < " " and char not in "\t\n\r") or char == "\x7f":
            message = f"control character 0x{ord(char):02x}; allowed: text in UTF-8"
            return "", ScenarioError.at(_place_in(text[:offset], str(path)), "", message)
    return text, None


def _place_in(before: str, file: str) -> Place:
    """Return the place right behind ``before``."""
    return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _compose(text: str, file: str) -> tuple[Any, ScenarioError | None]:
    """Return ruamel's node tree of the only document in ``text``."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return YAML(typ="safe", pure=True).compose(text), None
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        return None, ScenarioError.at(place, "", _syntax_message(problem, text, place))
    except RecursionError:
        message = f"nested too deeply; allowed: {MAX_DEPTH} levels"
        return None, ScenarioError.at(Place(file), "", message)
    except Exception as problem:  # the parser raises all sorts of things on garbage
        return None, ScenarioError.at(Place(file), "", f"not YAML: {problem}")


def _syntax_message(problem: Any, text: str, place: Place) -> str:
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if line[place.column - 1 : place.column] == "\t" or line[: place.column].strip(" ") == "\t":
        return "tab character used as indentation; allowed: blanks"
    what = str(problem.problem or problem.context or "cannot be parsed")
    context = f" {problem.context}" if problem.problem and problem.context else ""
    return f"YAML syntax:{context} {what}" if context else f"YAML syntax: {what}"


class _Builder:
    """Turns ruamel's nodes into ours; aliases are expanded, within a budget."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[ScenarioError] = []
        self.count = 0

    def build(
        self,
        source: Any,
        key: Any,
        path: Step,
        above: tuple[int, ...],
    ) -> Node | None:
        """Return the node of ``source``; None once the budget is spent (said once)."""
        self.count += 1
        place = self._place(source)
        key_place = self._place(key) if key is not None else place
        if self.count > MAX_NODES:
            if self.count == MAX_NODES + 1:
                self._error(key_place, path, f"more than {MAX_NODES} values, aliases expanded")
            return None
        if id(source) in above:
            return self._spoil(place, key_place, path, "alias of a value that contains itself")
        if len(above) >= MAX_DEPTH:
            return self._spoil(place, key_place, path, f"more than {MAX_DEPTH} levels deep")
        tag = str(source.tag)
        inside = (*above, id(source))
        if source.id == "mapping" and tag == _CORE + "map":
            return Node(self._mapping(source, path, inside), place, key_place)
        if source.id == "sequence" and tag == _CORE + "seq":
            return Node(self._sequence(source, path, inside), place, key_place)
        if source.id != "scalar" or not tag.startswith(_CORE):
            message = f"tag {shorten(tag)} is not allowed; allowed: plain values without a tag"
            return self._spoil(place, key_place, path, message)
        if source.value == "" and source.style is None:
            place = key_place  # nothing is written there; the parser's place is a later line
        try:
            return Node(_scalar(tag, source.value), place, key_place)
        except ValueError as problem:
            return self._spoil(place, key_place, path, str(problem))

    def _mapping(self, source: Any, path: Step, inside: tuple[int, ...]) -> dict[str, Node]:
        children: dict[str, Node] = {}
        for key, value in source.value:
            place = self._place(key)
            if key.id != "scalar":
                self._error(place, path, "a key must be a text, not a list or mapping")
                continue
            name = str(key.value)
            if str(key.tag) == _CORE + "merge":
                message = "merge keys are not supported; allowed: extends, or an alias as a value"
                self._error(place, (*path, name), message)
                continue
            if name in children:
                first = children[name].key_place
                message = f"key stands twice in one mapping; first in line {first.line}"
                self._error(place, (*path, name), message)
                continue
            child = self.build(value, key, (*path, name), inside)
            if child is None:
                break
            children[name] = child
        return children

    def _sequence(self, source: Any, path: Step, inside: tuple[int, ...]) -> list[Node]:
        children: list[Node] = []
        for index, value in enumerate(source.value):
            child = self.build(value, None, (*path, index), inside)
            if child is None:
                break
            children.append(child)
        return children

    def _place(self, source: Any) -> Place:
        return Place(self.file, source.start_mark.line + 1, source.start_mark.column + 1)

    def _error(self, place: Place, path: Step, message: str) -> None:
        self.errors.append(ScenarioError.at(place, dotted(path), message))

    def _spoil(self, place: Place, key_place: Place, path: Step, message: str) -> Node:
        self._error(place, path, message)
        return Node(None, place, key_place, spoiled=True)


def _scalar(tag: str, text: str) -> Scalar:
    """Return the value of a scalar; raise ValueError with a message for what is not plain."""
    kind = tag.removeprefix(_CORE)
    if tag in _TEXT_TAGS:
        return text
    if kind == "null":
        return None
    if kind == "bool":
        if text.lower() not in {"true", "false"}:
            raise ValueError(f"{shorten(text)} is not a truth value; allowed: true, false")
        return text.lower() == "true"
    if kind == "int":
        return _integer(text)
    if kind == "float":
        number = text.lower().replace("_", "")
        if number.lstrip("+-") in {".inf", ".nan"}:
            return math.nan if number.endswith("nan") else float(number.replace(".", ""))
        try:
            return float(number)
        except ValueError:
            raise ValueError(f"{shorten(text)} is not a number") from None
    raise ValueError(f"tag '!!{kind}' is not allowed; allowed: plain values without a tag")


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    if len(digits) > MAX_DIGITS:
        message = f"{shorten(text, 24)} is too large; allowed: at most {MAX_DIGITS} digits"
        raise ValueError(message)
    try:
        return int(digits, 0 if digits.lstrip("+-")[1:2] in {"x", "o", "b"} else 10)
    except ValueError:
        raise ValueError(f"{shorten(text)} is not a whole number") from None
