"""Which files become tests: scenarios and suites that somebody asked for, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattbench.pytest_plugin import _tidy, kind_of

from .conftest import ROOF, Pytest

FOREIGN = {
    "docker-compose.yaml": "services:\n  web:\n    extends: {service: base}\n    image: x\n",
    "gitlab-ci.yml": "stages: [test]\njudge:\n  extends: .base\n  script: [make]\n",
    "eslintrc.yaml": "extends: airbnb\nrules: {semi: off}\n",
    "artillery.yaml": "config: {target: x}\nscenarios:\n  - flow: []\n",
    "mkdocs.yml": "site_name: x\nplugins: [search]\nextra: {clock: 1, plant: 2}\n",
    "list.yaml": "- plant: {}\n- clock: {}\n",
    "broken.yaml": "\tplant: [\n",
    "rig.yaml": "name: lab\nbuses: {}\ndevices: []\n",
    "binary.yaml": "\x00\x01plant\n",
}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (ROOF, "scenario"),
        ("extends: demo\n", "scenario"),
        ("extends: demo\nname: mine\nseeds: [4]\n", "scenario"),
        ("plant: {kind: export\nclock: [\n", "scenario"),
        ("'plant': {}\n\"clock\": {}\n", "scenario"),
        ("plant: {kind: export}\npolicies: [{kind: pi}]\n", ""),
        ("scenarios: [demo]\nseeds: [1]\n", "suite"),
        ("scenarios: [demo]\n", ""),
        *((text, "") for text in FOREIGN.values()),
    ],
)
def test_a_file_is_known_by_its_keys(text: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert kind_of(path) == kind


def test_who_names_a_file_means_it(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for text, kind in (("plant: {}\n", "scenario"), ("scenarios: []\n", "suite"), ("a: 1\n", "")):
        path.write_text(text)
        assert kind_of(path, named=True) == kind
    assert kind_of(tmp_path / "gone.yaml", named=True) == ""


@pytest.fixture
def repository(project: Path) -> Path:
    """A repository with scenarios in three places, parts, foreign files and a test."""
    scenarios = project / "scenarios"
    (scenarios / "_part.yaml").write_text(ROOF)
    (scenarios / "deep").mkdir()
    (scenarios / "deep" / "more.yml").write_text("extends: ../roof.yaml\nseeds: [3]\n")
    for name, text in FOREIGN.items():
        (scenarios / name).write_text(text)
    (project / "other").mkdir()
    (project / "other" / "case.yaml").write_text(ROOF.replace("[1, 2]", "[7]"))
    (project / "tests").mkdir()
    (project / "tests" / "data.yaml").write_text(ROOF)
    (project / "tests" / "test_mine.py").write_text("def test_mine(): pass\n")
    return project


MINE = "tests/test_mine.py::test_mine"
DEEP = [f"scenarios/deep/more.yml::{name}[seed 3]" for name in ("smith", "pi")]
ROOFS = [f"scenarios/roof.yaml::{name}[seed {k}]" for k in (1, 2) for name in ("smith", "pi")]
CASE = [f"other/case.yaml::{name}[seed 7]" for name in ("smith", "pi")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["scenarios"], [*DEEP, *ROOFS]),
        (["scenarios/deep", "tests"], [*DEEP, MINE]),
        (["other/case.yaml"], CASE),
        (["scenarios/roof.yaml::pi[seed 2]"], ROOFS[3:]),
        (["scenarios", "-k", "more and smith"], DEEP[:1]),
        (["scenarios", "tests", "-m", "not wattbench"], [MINE]),
        (["-o", "wattbench_scenarios=other/*.yaml scenarios/deep/*"], [*CASE, *DEEP, MINE]),
    ],
)
def test_scenarios_that_are_asked_for_are_tests(
    repository: Path, run_pytest: Pytest, words: list[str], expected: list[str]
) -> None:
    done = run_pytest("--collect-only", "-q", *words)
    assert done.ret == 0, done.stdout.str()
    assert [line for line in done.outlines if "::" in line] == expected
    assert not (repository / ".pytest_cache" / "d" / "wattbench" / "session").exists()


HEAVY = """
import sys
def pytest_sessionfinish():
    names = ("numpy", "pandas", "pydantic", "numba", "pyarrow", "ruamel", "wattbench.commands")
    print("loaded:", [name for name in names if name in sys.modules])
"""


@pytest.mark.parametrize("words", [[], ["."], ["tests"], ["other"]])
def test_nothing_else_is_disturbed(repository: Path, run_pytest: Pytest, words: list[str]) -> None:
    (repository / "conftest.py").write_text(HEAVY)
    done = run_pytest("--collect-only", "-q", *words)
    assert [line for line in done.outlines if "::" in line] == (
        [] if words == ["other"] else [MINE]
    )
    assert "loaded: []" in done.stdout.str()


def test_mistakes_are_one_block_each_with_file_and_line(project: Path, run_pytest: Pytest) -> None:
    (project / "scenarios" / "typo.yaml").write_text(
        "extends: ./roof.yaml\npolices: [{kind: pi}]\nlimits: [{metric: export_enrgy, max: 1}]\n"
    )
    (project / "scenarios" / "syntax.yaml").write_text("plant: {kind: export\nclock: [\n")
    (project / "scenarios" / "suite.yaml").write_text("scenarios: [./rof.yaml]\nseeds: [1]\n")
    done = run_pytest("scenarios")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.assert_outcomes(errors=3)
    done.stdout.fnmatch_lines_random(
        [
            "scenarios/typo.yaml:2:1: polices: unknown key*did you mean 'policies'?",
            "scenarios/typo.yaml:3:19: limits*.metric: no metric 'export_enrgy'*",
            "scenarios/syntax.yaml:2:6: YAML syntax: *",
            "scenarios/suite.yaml:1:13: scenarios*no such file: './rof.yaml'*'roof.yaml'?",
        ]
    )
    assert "Traceback" not in done.stdout.str()
    assert "store.py" not in done.stdout.str()


def test_last_three_sessions_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"session-{number}").mkdir()
        (tmp_path / f"session-{number}" / "x").write_text("")
    _tidy(tmp_path, "session-now")
    assert len(list(tmp_path.iterdir())) == 2
    _tidy(tmp_path / "gone", "session-now")


@pytest.mark.parametrize("words", [[], ["-p", "xdist", "-n", "2"]])
def test_that_kernels_are_compiled_is_said_once(
    project: Path, run_pytest: Pytest, words: list[str]
) -> None:
    (project / "test_slow.py").write_text(
        "import pathlib, pytest\n"
        "from wattbench.pytest_plugin import _say_compiling\n"
        "@pytest.mark.parametrize('k', range(4))\n"
        "def test_slow(request, k):\n"
        "    _say_compiling(request.config, pathlib.Path('session').absolute())\n"
    )
    done = run_pytest("test_slow.py", *words)
    done.assert_outcomes(passed=4)
    said = "compiling the kernels of this version, which takes a minute or two; from then on"
    assert done.stderr.str().count(said) == 1
