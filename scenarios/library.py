"""The library of scenarios that comes with the package, and how an argument names a scenario."""

from __future__ import annotations

import difflib
from pathlib import Path

ROOT = Path(__file__).parent / "library"
SUITES = Path(__file__).parent / "suites"
SUFFIXES = frozenset({".yaml", ".yml"})


class UnknownScenarioError(LookupError):
    """A name that no scenario (or no suite) of the library has, or more than one."""

    def __str__(self) -> str:
        return str(self.args[0])


def is_path(argument: str) -> bool:
    """Return whether an argument means a file rather than a name in the library."""
    return Path(argument).suffix in SUFFIXES or argument.startswith((".", "/", "~"))


def names(root: Path | None = None) -> dict[str, Path]:
    """Return the library's files by name, sorted. Files that start with ``_`` are fragments."""
    root = root if root is not None else ROOT
    files = (path for path in root.rglob("*") if path.suffix in SUFFIXES)
    found = {path.relative_to(root).with_suffix("").as_posix(): path for path in files}
    return {name: found[name] for name in sorted(found) if not Path(name).name.startswith("_")}


def find(name: str, root: Path | None = None, what: str = "scenario") -> Path:
    """Return the file of a scenario, named with or without its folder.

    ``root`` is the library's folder, by default that of the package; ``what`` is in it. Raises
    `UnknownScenarioError` with the nearest name.
    """
    known = names(root)
    if name in known:
        return known[name]
    matches = [full for full in known if full.rsplit("/", 1)[-1] == name]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise UnknownScenarioError(f"'{name}' is ambiguous; allowed: {', '.join(matches)}")
    short = {full.rsplit("/", 1)[-1]: full for full in known}
    other, command = (ROOT, "run") if what == "suite" else (SUITES, "suite")
    if name in {word for full in names(other) for word in (full, full.rsplit("/", 1)[-1])}:
        kind = "scenario" if what == "suite" else "suite"
        raise UnknownScenarioError(
            f"'{name}' is a {kind}, and a {what} is wanted; a {kind} is run by: "
            f"wattbench {command} {name}"
        )
    near = difflib.get_close_matches(name, [*known, *short], n=1)
    hint = f"; did you mean '{short.get(near[0], near[0])}'?" if near else ""
    raise UnknownScenarioError(
        f"no {what} '{name}' in the library{hint} (a file is given by its path, ending in .yaml)"
    )


def locate(argument: str, root: Path | None = None) -> Path:
    """Return the file that a command's argument means: an existing file, or a library name.

    Raises `UnknownScenarioError`; a path that does not exist is returned as it is, and reading it
    says so.
    """
    path = Path(argument).expanduser()
    if is_path(argument) or path.is_file():
        return path
    return find(argument, root)


def locate_suite(argument: str) -> Path:
    """Return the file of a suite that a command's argument means, as `locate` does."""
    path = Path(argument).expanduser()
    if is_path(argument) or path.is_file():
        return path
    return find(argument, SUITES, "suite")


def locate_any(argument: str) -> tuple[Path, str]:
    """Return the file that an argument means, a scenario's or a suite's, and which of both.

    Of a path that is not known: it is neither, and "" is returned. Raises `UnknownScenarioError`.
    """
    path = Path(argument).expanduser()
    if is_path(argument) or path.is_file():
        return path, ""
    try:
        return find(argument), "scenario"
    except UnknownScenarioError as problem:
        try:
            return find(argument, SUITES, "suite"), "suite"
        except UnknownScenarioError as other:
            if "did you mean" in str(other) and "did you mean" not in str(problem):
                raise
        raise
