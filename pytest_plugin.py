"""The pytest plugin: scenarios and suites are tests, and a fixture runs one from a test of yours.

Every pytest of an environment with wattbench loads this module, so it imports nothing that takes
time until a scenario is found. What is collected and run then is in `commands.testing`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

import pytest

if TYPE_CHECKING:
    from .commands.testing.result import ScenarioRun
    from .commands.testing.store import RunStore

#: Folders in which, named on the command line, every scenario and suite is collected.
FOLDERS: Final = frozenset({"scenarios", "suites"})

_SUFFIXES = frozenset({".yaml", ".yml"})
_MOST_BYTES = 512 * 1024  # a longer file is no scenario
_KEY = re.compile(r"""^["']?([A-Za-z_]\w*)["']?[ \t]*:(?=\s|$)""", re.MULTILINE)
#: Keys of a scenario, and of a suite, that files of other tools hardly have beside the others.
_OF_SCENARIOS = frozenset(
    {"plant", "clock", "edge", "profiles", "rig", "policies", "baselines", "faults", "objective",
     "limits", "seeds", "audit"}
)  # fmt: skip
_OF_SUITES = frozenset({"policies", "baselines", "seeds", "training_seeds", "interval_limits"})
_KEPT_SESSIONS = 3


class WattbenchRun(Protocol):
    """Type of the fixture `wattbench_run`."""

    def __call__(
        self,
        scenario: str | Path,
        policy: str | None = None,
        seed: int | None = None,
        **overrides: Any,
    ) -> ScenarioRun:
        """Run one policy in a scenario on one seed, its baselines before it, and judge the record.

        What was run in this session already, the same policy on the same seed in the same scenario,
        is not run again.

        Args:
            scenario: its file (relative to the test's folder) or its name in the library.
            policy: as for ``wattbench run --policy``: one of the scenario's policies or baselines,
                a kind of policy, or a .onnx file; None: the scenario's only policy.
            seed: None: the scenario's first.
            overrides: keys of the scenario, merged as `extends` merges: mappings key by key,
                lists and single values replace. ``clock={"duration_s": 60}``.

        Raises:
            ScenarioTestError: scenario, policy or overrides cannot be used; it says why.

        """
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's option and its setting."""
    group = parser.getgroup("wattbench")
    group.addoption(
        "--wattbench-out",
        metavar="DIR",
        help="folder that the records of scenario tests go to, each session's in one of its own "
        "(default: in pytest's cache folder, the last three sessions)",
    )
    parser.addini(
        "wattbench_scenarios",
        "scenarios and suites that are tests wherever pytest comes across them: patterns of files, "
        "relative to the root folder, such as scenarios/*.yaml",
        type="args",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of scenario tests."""
    config.addinivalue_line("markers", "wattbench: a scenario, run and judged by wattbench")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the file of a scenario or suite, if it is one and somebody asked for it."""
    if file_path.suffix not in _SUFFIXES or file_path.name.startswith(("_", ".")):
        return None
    named = file_path in _arguments(parent.config)
    if not (named or _is_asked_for(file_path, parent.config)):
        return None
    kind = kind_of(file_path, named=named)
    if not kind:
        return None
    store = _store(parent.config)
    from .commands.testing.items import ScenarioFile, SuiteFile

    node = SuiteFile if kind == "suite" else ScenarioFile
    return node.from_parent(parent, path=file_path, store=store)


def _arguments(config: pytest.Config) -> Iterable[Path]:
    """Yield the files and folders that the command line, or `testpaths`, names."""
    for argument in config.args:
        path = config.invocation_params.dir / str(argument).partition("::")[0]
        yield Path(os.path.normpath(path))


def _is_asked_for(path: Path, config: pytest.Config) -> bool:
    """Whether a setting matches a file, or a folder of scenarios that it lies in is named."""
    below_root = Path(os.path.relpath(path, config.rootpath)).as_posix()
    patterns = config.getini("wattbench_scenarios")
    if any(fnmatch.fnmatch(below_root, pattern) for pattern in patterns):
        return True
    bases = (config.rootpath, config.invocation_params.dir)
    for folder in _arguments(config):
        if folder not in path.parents:
            continue
        below = [folder.relative_to(base).parts for base in bases if base in folder.parents]
        if FOLDERS.intersection((folder.name, *(part for parts in below for part in parts))):
            return True
    return False


def kind_of(path: Path, *, named: bool = False) -> Literal["scenario", "suite", ""]:
    """Return what a YAML file is by its top-level keys, empty for what is none of wattbench's.

    Reads the text alone, so that a file that is no valid YAML is still known for what it was meant
    to be.

    Args:
        path: the file.
        named: whether somebody named this very file; then fewer keys are enough.

    """
    try:
        with path.open("rb") as file:
            keys = set(_KEY.findall(file.read(_MOST_BYTES).decode("utf-8", "replace")))
    except OSError:
        return ""
    if "scenarios" in keys and (named or keys & _OF_SUITES):
        return "suite"
    if {"plant", "clock"} <= keys or (named and keys & {"plant", "extends"}):
        return "scenario"
    if "extends" in keys and (keys & _OF_SCENARIOS or keys <= {"extends", "name", "title", "kind"}):
        return "scenario"
    return ""


@pytest.fixture
def wattbench_run(request: pytest.FixtureRequest) -> WattbenchRun:
    """Run a scenario and return verdict, limits, measurements and the record; see WattbenchRun."""
    here = request.path.parent

    def run(
        scenario: str | Path,
        policy: str | None = None,
        seed: int | None = None,
        **overrides: Any,
    ) -> ScenarioRun:
        __tracebackhide__ = True
        store = _store(request.config)
        from .commands.testing.store import ScenarioTestError, chosen_policy

        beside = here / scenario
        try:
            loaded = store.load(beside if beside.is_file() else scenario, overrides)
            experiment, chosen = chosen_policy(loaded, policy)
            return store.run(experiment, chosen, experiment.seeds[0] if seed is None else seed)
        except ScenarioTestError as problem:
            raise problem.with_traceback(None) from None  # where it was found is of no use

    return run


_STORE = pytest.StashKey["RunStore"]()


def _store(config: pytest.Config) -> RunStore:
    """Return the runs of this session; its folder is made with the first."""
    if _STORE not in config.stash:
        from .commands.testing.store import RunStore
        from .sim.compiled import when_compiling

        folder = _session_folder(config)
        when_compiling(lambda: _say_compiling(config, folder))
        config.stash[_STORE] = RunStore(folder)
    return config.stash[_STORE]


def _session_folder(config: pytest.Config) -> Path:
    """Return the session's folder, the same in all processes of pytest-xdist; it is not made."""
    worker = cast("dict[str, Any]", getattr(config, "workerinput", {}))
    name = f"session-{worker.get('testrunuid', uuid.uuid4().hex)[:8]}"
    chosen = config.getoption("--wattbench-out")
    if chosen:
        return Path(config.invocation_params.dir, chosen, name)
    cache = getattr(config, "cache", None)  # None without pytest's cache provider
    if cache is not None:
        home = Path(cache.mkdir("wattbench"))
    else:
        home = Path(tempfile.gettempdir()) / f"pytest-wattbench-{os.getuid()}"
    _tidy(home, name)
    return home / name


def _tidy(home: Path, name: str) -> None:
    """Remove the records of all sessions but this one and the last two before it."""
    with contextlib.suppress(OSError):
        others = [path for path in home.glob("session-*") if path.name != name]
        others.sort(key=lambda path: path.stat().st_mtime)
        for old in others[: max(0, len(others) + 1 - _KEPT_SESSIONS)]:
            shutil.rmtree(old, ignore_errors=True)


def _say_compiling(config: pytest.Config, session: Path) -> None:
    """Say on the terminal, once a session, why the first test takes so long.

    Of pytest-xdist's processes each that has to compile would say it; their errors reach the
    terminal, what they print does not.
    """
    from .sim.cache import cache_home

    try:
        session.mkdir(parents=True, exist_ok=True)
        (session / ".compiling").touch(exist_ok=False)
    except OSError:
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        print(
            "\nwattbench: compiling the kernels of this version, which takes a minute or two; "
            f"from then on they are found in {cache_home()}",
            file=sys.stderr,
            flush=True,
        )
