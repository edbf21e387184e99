"""The commands `check`, `schema` and `list`: what they print, where, and their exit codes."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

import wattbench
from wattbench.cli import app
from wattbench.scenarios import library, schema

SCENARIO = """\
title: A test
plant:
  kind: export
  loads: [{id: a1, phase: a, rated_power_w: 3 kW}]
clock: {start: 2025-06-21T10:00:00, duration_s: 1 h}
policies: [{kind: pi}]
limits: [{metric: export_energy, max: 1 kWh}]
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text(SCENARIO.replace("kind: pi", "kind: pj").replace("1 h", "1 kW"))
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_check_says_ok(good: Path) -> None:
    assert run("check", good) == (0, f"{good}: ok (good)\n", "")


def test_check_tells_all_errors_of_all_files(good: Path, bad: Path, tmp_path: Path) -> None:
    code, out, err = run("check", bad, good, tmp_path / "nowhere.yaml")
    assert code == 2
    assert out == f"{good}: ok (good)\n"
    lines = err.splitlines()
    assert lines[0].startswith(f"{bad}:5:49: clock.duration_s: wrong unit 'kW'")
    assert lines[1].startswith(f"{bad}:6:19: policies[0].kind: unknown kind 'pj'")
    assert lines[2] == f"{tmp_path / 'nowhere.yaml'}:1:1: no such file"
    assert len(lines) == 3


def test_check_resolved_prints_yaml(good: Path) -> None:
    code, out, _ = run("check", "--resolved", good)
    assert code == 0
    content = YAML(typ="safe", pure=True).load(out)
    assert content["clock"]["duration_s"] == 3600.0
    assert content["plant"]["loads"][0]["rated_power_w"] == 3000.0


def test_check_json_is_one_object(good: Path, bad: Path) -> None:
    code, out, err = run("check", "--json", "--resolved", good, bad)
    assert (code, err) == (2, "")
    content = json.loads(out)
    assert content["ok"] is False
    first, second = content["files"]
    assert first["ok"] is True
    assert len(first["hash"]) == 64
    assert first["resolved"]["name"] == "good"
    assert second["errors"][0]["field"] == "clock.duration_s"
    assert (second["errors"][0]["line"], second["errors"][0]["column"]) == (5, 49)


def test_check_takes_library_names(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "ROOT", good.parent)
    assert run("check", "good")[0] == 0
    code, _, err = run("check", "goood")
    assert code == 2
    assert "did you mean 'good'?" in err


def test_check_needs_a_file() -> None:
    assert run("check")[0] == 2
    assert run("check", "--nonsense", "x.yaml")[0] == 2


def test_schema_writes_and_checks(tmp_path: Path) -> None:
    target = tmp_path / "scenario.json"
    assert run("schema", "--check", "--out", target)[0] == 1
    assert run("schema", "--out", target)[:2] == (0, f"{target}: written\n")
    assert target.read_text() == schema.schema_text()
    assert run("schema", "--check", "--out", target) == (0, "", "")
    target.write_text("{}")
    assert run("schema", "--check", "--out", target) == (1, "", f"{target}: out of date\n")


def test_list_shows_one_line_each(good: Path, bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "ROOT", good.parent)
    code, out, _ = run("list")
    assert code == 0
    lines = [line.split(maxsplit=2) for line in out.splitlines()]
    assert lines[:2] == [
        ["bad", "discriminating", "A test"],
        ["good", "discriminating", "A test"],
    ]
    assert ["smoke_export", "suite"] in [line[:2] for line in lines[2:]]
    shown = json.loads(run("list", "--json")[1])
    assert shown["scenarios"][1] == {"name": "good", "kind": "discriminating", "title": "A test"}
    assert "smoke_export" in [suite["name"] for suite in shown["suites"]]


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, wattbench.cli; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    for heavy in ("numpy", "numba", "pandas", "pydantic", "ruamel.yaml", "pvlib", "onnxruntime"):
        assert heavy not in modules


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put back what `main` does with signals."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("problem", "code", "said"),
    [
        (RuntimeError("boom"), 5, "error inside: RuntimeError: boom (WATTBENCH_TRACEBACK=1 "),
        (OSError(errno.EISDIR, "Is a directory", "x"), 2, "cannot write x: Is a directory"),
        (OSError(errno.ENOSPC, "No space left"), 5, "cannot write what was found: No space left"),
    ],
)
def test_unexpected_exception_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    handlers: None,
    problem: Exception,
    code: int,
    said: str,
) -> None:
    from wattbench import cli

    def explode(**_: object) -> None:
        raise problem

    monkeypatch.setattr(cli, "app", explode)
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"wattbench: {said}")


def test_version() -> None:
    assert run("--version") == (0, f"wattbench {wattbench.__version__}\n", "")


def test_check_opens_what_a_scenario_names(good: Path, tmp_path: Path) -> None:
    network = "{kind: onnx, path: cut.onnx, encoder: cut.json}"
    (tmp_path / "cut.onnx").write_bytes(b"no network")
    (tmp_path / "cut.json").write_text("{}")
    good.write_text(SCENARIO.replace("{kind: pi}", network))
    code, out, err = run("check", good)
    assert (code, out) == (2, "")
    assert err.startswith(f"{good}:1:1: policy 'onnx': ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["run", "demo", "--seed", "x"], ["judge"], ["run"]])
def test_wrong_usage_is_one_json_object_too(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wattbench", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    said = json.loads(done.stdout)
    assert (said["verdict"], said["exit_code"], said["runs"]) == (None, 2, [])
    assert f"Error: {said['error']}" in done.stderr


SUITE = "scenarios: [export/clear_day]\nvariants: [{name: plain}]\nseeds: [1]\n"


@pytest.mark.parametrize("command", ["run", "bound"])
def test_a_suite_is_no_scenario(command: str, tmp_path: Path) -> None:
    suite = tmp_path / "my_suite.yaml"
    suite.write_text(SUITE)
    code, _, err = run(command, suite)
    assert code == 2
    assert err == (
        f"wattbench: {suite}:1:1: this is a suite, and a scenario is wanted; a suite is run by: "
        f"wattbench suite {suite}\n"
    )


def test_a_scenario_is_no_suite(good: Path, tmp_path: Path) -> None:
    code, _, err = run("suite", good, "--out", tmp_path / "runs")
    assert code == 2
    assert err == (
        f"wattbench: {good}:1:1: this is a scenario, and a suite is wanted; a scenario is run by: "
        f"wattbench run {good}\n"
    )


def test_the_bound_is_of_a_run_in_a_suites_folder(tmp_path: Path) -> None:
    suite = tmp_path / "my_suite"
    for name in ("smith-seed1", "smith-seed2", "baseline-zero-seed1"):
        folder = suite / "runs" / "roof" / name
        folder.mkdir(parents=True)
        (folder / "record.json").write_text("{}")
    (suite / "suite.json").write_text("{}")
    code, _, err = run("bound", suite)
    assert code == 2
    assert err == (
        f"wattbench: {suite} is the folder of 2 judged runs, and a bound is of one scenario and "
        f"seed; name one: {suite / 'runs' / 'roof' / 'smith-seed1'}\n"
    )
