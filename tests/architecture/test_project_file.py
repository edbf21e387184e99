"""pyproject.toml says what there is: packages, data files, dependencies, pinned versions."""

from __future__ import annotations

import ast
import fnmatch
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("agents", "commands", "evaluation", "fixtures", "hil", "scenarios", "sim")

#: Distributions whose module has another name.
MODULE_OF = {"ruamel.yaml": "ruamel"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def package_files() -> list[Path]:
    files = [path for path in ROOT.iterdir() if path.suffix in {".py", ".typed"}]
    for room in ROOMS:
        files += [path for path in (ROOT / room).rglob("*") if path.is_file()]
    return [path for path in files if "__pycache__" not in path.parts]


def name_of(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return match.group()


GOLDEN = ROOT / "fixtures" / "golden"
"""Reference traces of the tests; nothing that is installed needs them."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_is_listed(project: dict[str, Any]) -> None:
    folders = {path.parent for path in package_files() if path.name == "__init__.py"}
    found = {".".join(("wattbench", *folder.relative_to(ROOT).parts)) for folder in folders}
    assert set(project["tool"]["setuptools"]["packages"]) == found
    without_init = {path.parent for path in package_files() if path.suffix == ".py"} - folders
    assert not without_init, f"no __init__.py in {without_init}"


def test_every_data_file_is_shipped(project: dict[str, Any]) -> None:
    patterns = []
    for package, globs in project["tool"]["setuptools"]["package-data"].items():
        folder = package.replace(".", "/").removeprefix("wattbench").lstrip("/")
        patterns += [f"{folder}/{glob}".lstrip("/") for glob in globs]
    missed = [
        str(path.relative_to(ROOT))
        for path in package_files()
        if path.suffix != ".py"
        and GOLDEN not in path.parents
        and not any(
            fnmatch.fnmatch(str(path.relative_to(ROOT)), pattern.replace("**/", "*"))
            for pattern in patterns
        )
    ]
    assert not missed, f"no pattern in [tool.setuptools.package-data] covers {missed}"


def test_imports_and_dependencies_agree(project: dict[str, Any]) -> None:
    imported = set()
    for path in package_files():
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.split(".")[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("resources.files"):
                imported |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    third_party = imported - set(sys.stdlib_module_names) - {"wattbench"}
    declared = {name_of(item) for item in project["project"]["dependencies"]}
    modules = {MODULE_OF.get(name, name) for name in declared}
    # pydantic_core is the part of pydantic that holds its error type; who loads pytest's plugin has
    # pytest.
    assert third_party - {"pydantic_core", "pytest"} <= modules, "imported, but not a dependency"
    assert modules <= third_party, "a dependency that nothing imports"


def test_one_version(project: dict[str, Any]) -> None:
    line = f'__version__ = "{project["project"]["version"]}"'
    assert line in (ROOT / "__init__.py").read_text().splitlines()


def test_torch_belongs_to_training_alone(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    assert [name for name, items in extras.items() if "torch==2.13.0" in items] == ["train"]
    others = project["project"]["dependencies"] + extras["dev"]
    assert not [item for item in others if name_of(item).startswith("torch")]


def test_every_dependency_is_pinned(project: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", pin) for pin in pins)
    pinned = {canonical(pin.split("==")[0]) for pin in pins}
    assert len(pinned) == len(pins), "pinned twice"
    wanted = list(project["project"]["dependencies"])
    for items in project["project"]["optional-dependencies"].values():
        wanted += items
    assert {canonical(name_of(item)) for item in wanted} <= pinned
