"""Who may import whom: the layout's table, held against every import statement of the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("agents", "commands", "evaluation", "hil", "scenarios", "sim")

#: Per room, what it may import besides itself. Modules at the top (`cli`) may import everything.
ALLOWED = {
    "sim": (),
    "evaluation": (),
    "agents": ("sim",),
    "hil": ("sim", "agents", "evaluation.record"),
    # Models of rigs and device profiles are files of the language too; they import nothing heavy.
    "scenarios": (
        "sim",
        "agents",
        "evaluation.limits",
        "evaluation.suite.limits",
        "evaluation.verdict",
        "hil.rigs.model",
        "hil.devices",
    ),
    "commands": ("sim", "agents", "evaluation", "hil", "scenarios"),
}

#: Libraries that one module alone may know.
ONLY_IN = {
    "simpy": {"sim.event_loop"},
    "pymodbus": {"hil.modbus.client"},
    "aiomqtt": {"hil.zigbee.mqtt.session"},
}

#: Libraries that a core installation does not have.
NOWHERE = {"torch"}

#: Libraries too slow to import before it is known which command runs.
HEAVY = ("pandas", "pyarrow", "pvlib", "numba", "scipy", "onnxruntime", "plotly", "pydantic")


@dataclass(frozen=True)
class Import:
    """One imported name: from which module, what, and the line that says so."""

    module: str
    target: str
    inside: bool
    relative: bool
    line: int

    @property
    def where(self) -> str:
        return f"{self.module.replace('.', '/')}.py:{self.line}"


def modules() -> dict[str, Path]:
    """Return the package's modules by dotted name without the leading ``wattbench``."""
    found = {path.stem: path for path in ROOT.glob("*.py")}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """Yield the imports of a module; ``from . import x`` counts as x if that is a module."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    if name == "__init__":
        package = []
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                inside = alias.name.split(".")[0] == "wattbench"
                target = alias.name.removeprefix("wattbench").removeprefix(".")
                yield Import(name, target if inside else alias.name, inside, False, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            relative = node.level > 0
            inside = relative or base[:1] == ["wattbench"]
            if relative:
                base = package[: len(package) - node.level + 1] + base
            elif inside:
                base = base[1:]
            for alias in node.names:
                longer = ".".join([*base, alias.name])
                target = longer if inside and longer in known else ".".join(base)
                yield Import(name, target, inside, relative, node.lineno)


@pytest.fixture(scope="module")
def all_imports() -> list[Import]:
    known = modules()
    return [item for name, path in known.items() for item in imports(name, path, known)]


def within(target: str, prefixes: tuple[str, ...]) -> bool:
    return any(target == prefix or target.startswith(prefix + ".") for prefix in prefixes)


def test_rooms_import_only_whom_they_may(all_imports: list[Import]) -> None:
    wrong = []
    for item in all_imports:
        room = item.module.split(".")[0]
        if not item.inside or item.target in {"", room} or room not in ALLOWED:
            continue
        if not within(item.target, (room, *ALLOWED[room])):
            wrong.append(f"{item.where}: {room} must not import {item.target}")
    assert not wrong, "\n".join(wrong)


def test_the_package_itself_imports_nothing(all_imports: list[Import]) -> None:
    assert not [item.where for item in all_imports if item.module == "__init__"]


def test_every_way_to_import_is_seen(tmp_path: Path) -> None:
    source = "import simpy\nfrom ..sim import clock\nfrom . import loop\nfrom .. import cli\n"
    source += "def late():\n    from ..evaluation.report import page\n    import wattbench.sim\n"
    path = tmp_path / "bench.py"
    path.write_text(source)
    known = dict.fromkeys(("sim", "sim.clock", "hil", "hil.loop", "cli"), path)
    seen = [(item.target, item.inside) for item in imports("hil.bench", path, known)]
    assert sorted(seen) == [
        ("cli", True),
        ("evaluation.report", True),
        ("hil.loop", True),
        ("sim", True),
        ("sim.clock", True),
        ("simpy", False),
    ]


def test_imports_inside_the_package_are_relative(all_imports: list[Import]) -> None:
    wrong = [
        f"{item.where}: import {item.target or 'wattbench'} relatively"
        for item in all_imports
        if item.inside and not item.relative
    ]
    assert not wrong, "\n".join(wrong)


def test_libraries_stay_behind_their_adapter(all_imports: list[Import]) -> None:
    wrong = []
    for item in all_imports:
        library = item.target.split(".")[0]
        if item.inside:
            continue
        if library in NOWHERE:
            wrong.append(f"{item.where}: {library} is not part of a core installation")
        elif library in ONLY_IN and item.module not in ONLY_IN[library]:
            wrong.append(f"{item.where}: {library} belongs into {ONLY_IN[library]} alone")
    assert not wrong, "\n".join(wrong)


def test_no_cycles(all_imports: list[Import]) -> None:
    known = modules()
    graph: dict[str, set[str]] = {name: set() for name in known}
    for item in all_imports:
        if item.inside and item.target in known and item.target != item.module:
            graph[item.module].add(item.target)
    cycle = find_cycle(graph)
    assert cycle is None, " -> ".join(cycle or [])


def find_cycle(graph: dict[str, set[str]]) -> list[str] | None:
    """Return one cycle as a path that ends where it begins, or None."""
    done: set[str] = set()
    path: list[str] = []

    def visit(node: str) -> list[str] | None:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        path.append(node)
        for target in sorted(graph[node]):
            if (cycle := visit(target)) is not None:
                return cycle
        path.pop()
        done.add(node)
        return None

    for node in sorted(graph):
        if (cycle := visit(node)) is not None:
            return cycle
    return None


def test_a_cycle_would_be_found() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


def test_command_line_starts_without_heavy_libraries() -> None:
    code = "import sys, wattbench.cli; print('\\n'.join(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(shown.stdout.split())
    assert "wattbench.cli" in loaded
    assert not loaded.intersection(HEAVY), f"imported at start: {loaded.intersection(HEAVY)}"
