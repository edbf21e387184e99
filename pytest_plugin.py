"""The pytest plugin: scenarios are tests, and a fixture runs one from a test of yours.

Every pytest of an environment with wattbench loads this module, so it imports nothing that takes
time until a scenario is found. What runs is in `commands.testing`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

import pytest

if TYPE_CHECKING:
    from .agents.policy import PolicyConfig
    from .commands.testing import RunStore, ScenarioRun
    from .scenarios.model import Scenario

#: Folders in which, named on the command line, every scenario is a test.
FOLDERS: Final = frozenset({"scenarios", "suites"})

_SUFFIXES = frozenset({".yaml", ".yml"})
_MOST_BYTES = 512 * 1024  # a longer file is no scenario
_KEY = re.compile(r"""^["']?([A-Za-z_]\w*)["']?[ \t]*:(?=\s|$)""", re.MULTILINE)
#: Top-level keys that other tools' files hardly have.
_TELLING = frozenset(
    {"plant", "clock", "edge", "profiles", "rig", "policies", "baselines", "faults", "objective",
     "limits", "seeds", "audit"}
)  # fmt: skip
_KEPT_SESSIONS = 3
_CACHED = "wattbench"

_Kind = Literal["scenario", ""]


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

        A run that was made in this session already, with the same scenario, policy and seed, is
        not made again.

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
        "files that are tests wherever pytest comes across them, as patterns relative to the root "
        "folder: scenarios/*.yaml",
        type="args",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of scenario tests."""
    config.addinivalue_line("markers", "wattbench: a scenario, run and judged by wattbench")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a scenario's file, if it is one and somebody asked for it."""
    config = parent.config
    if file_path.suffix not in _SUFFIXES or file_path.name.startswith(("_", ".")):
        return None
    named = _is_named(file_path, config)
    if not (named or _is_asked_for(file_path, config)):
        return None
    if not kind_of(file_path, named=named):
        return None
    return ScenarioFile.from_parent(parent, path=file_path)


def _arguments(config: pytest.Config) -> Iterable[Path]:
    """Yield the files and folders that the command line, or `testpaths`, names."""
    for argument in config.args:
        path = config.invocation_params.dir / str(argument).partition("::")[0]
        yield Path(os.path.normpath(path))


def _is_named(path: Path, config: pytest.Config) -> bool:
    return path in _arguments(config)


def _is_asked_for(path: Path, config: pytest.Config) -> bool:
    """Whether a setting matches a file, or a folder of scenarios that it lies in is named."""
    patterns = config.getini("wattbench_scenarios")
    below_root = Path(os.path.relpath(path, config.rootpath)).as_posix()
    if any(fnmatch.fnmatch(below_root, pattern) for pattern in patterns):
        return True
    for folder in _arguments(config):
        if folder not in path.parents:
            continue
        bases = (config.rootpath, config.invocation_params.dir)
        below = [folder.relative_to(base).parts for base in bases if base in folder.parents]
        if FOLDERS.intersection((folder.name, *(part for parts in below for part in parts))):
            return True
    return False


def kind_of(path: Path, *, named: bool = False) -> _Kind:
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
    if {"plant", "clock"} <= keys or (named and keys & {"plant", "extends"}):
        return "scenario"
    if "extends" in keys and (keys & _TELLING or keys <= {"extends", "name", "title", "kind"}):
        return "scenario"
    return ""


class ScenarioFile(pytest.File):
    """A scenario; its items are its policies, each on each of its seeds."""

    def collect(self) -> Iterable[pytest.Item]:
        """Load the scenario and yield a test per seed and policy."""
        _use_own_cache()
        from .scenarios.errors import ScenarioErrors
        from .scenarios.load import load_scenario

        try:
            scenario = load_scenario(_shown(self.path, self.config))
        except ScenarioErrors as problem:
            raise self.CollectError(str(problem)) from None
        for seed in scenario.seeds:
            for policy in scenario.policies:
                yield RunItem.from_parent(
                    self,
                    name=f"{policy.label}[seed {seed}]",
                    scenario=scenario,
                    policy=policy,
                    seed=seed,
                )


class RunItem(pytest.Item):
    """One policy in one scenario on one seed; it passes if the verdict is PASS."""

    def __init__(
        self, *, scenario: Scenario, policy: PolicyConfig, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.scenario = scenario
        self.policy = policy
        self.seed = seed
        self.add_marker(pytest.mark.wattbench)

    def runtest(self) -> None:
        """Run, judge, report each limit as a property."""
        run = _store(self.config).run(self.scenario, self.policy, self.seed)
        self.user_properties.extend(run.properties())
        if not run.passed:
            raise _NotPassedError(run.text())

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any
    ) -> Any:
        """Return the table of limits, or what is wrong with the scenario, without a traceback."""
        from .commands.testing import ScenarioTestError

        if isinstance(excinfo.value, (_NotPassedError, ScenarioTestError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, *args, **kwargs)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return file, line and heading."""
        return self.path, None, f"{self.path.name}::{self.name}"


class _NotPassedError(Exception):
    """The verdict is not PASS; the text holds every limit."""


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
        from .commands.testing import chosen_policy

        beside = here / scenario
        loaded = store.load(beside if beside.is_file() else scenario, overrides)
        experiment, chosen = chosen_policy(loaded, policy)
        return store.run(experiment, chosen, experiment.seeds[0] if seed is None else seed)

    return run


_STORE = pytest.StashKey["RunStore"]()


def _store(config: pytest.Config) -> RunStore:
    """Return the runs of this session; its folder is made with the first."""
    if _STORE not in config.stash:
        _use_own_cache()
        from .commands.testing import RunStore

        config.stash[_STORE] = RunStore(_session_folder(config))
    return config.stash[_STORE]


def _session_folder(config: pytest.Config) -> Path:
    """Make and return the session's folder; processes of pytest-xdist share one."""
    worker = cast("dict[str, Any]", getattr(config, "workerinput", {}))
    name = f"session-{worker.get('testrunuid', uuid.uuid4().hex)[:8]}"
    chosen = config.getoption("--wattbench-out")
    if chosen:
        folder = config.invocation_params.dir / chosen / name
    elif (cache := getattr(config, "cache", None)) is not None:
        folder = Path(cache.mkdir(_CACHED)) / name
        _tidy(folder.parent, keep=name)
    else:
        folder = Path(tempfile.gettempdir()) / f"wattbench-{os.getuid()}" / name
        _tidy(folder.parent, keep=name)
    return folder


def _tidy(home: Path, keep: str) -> None:
    """Remove the records of all but the last sessions."""
    with contextlib.suppress(OSError):
        others = [path for path in home.glob("session-*") if path.name != keep]
        others.sort(key=lambda path: path.stat().st_mtime)
        for old in others[: max(0, len(others) + 1 - _KEPT_SESSIONS)]:
            shutil.rmtree(old, ignore_errors=True)


def _use_own_cache() -> None:
    """Give a process of pytest-xdist a cache of compiled kernels of its own.

    Two processes that write one can mix up its entries.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and "NUMBA_CACHE_DIR" not in os.environ:
        from .sim.cache import cache_home

        os.environ["NUMBA_CACHE_DIR"] = str(cache_home() / worker)


def _shown(path: Path, config: pytest.Config) -> Path:
    """Return a path as it is shown: relative to where pytest was called, if it lies there."""
    here = config.invocation_params.dir
    return path.relative_to(here) if path.is_relative_to(here) else path
