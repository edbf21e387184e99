"""`wattbench tune`: its file, made again byte for byte; what it says; how it stops."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wattbench.cli import app
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.parameters import load_parameters

HERE = Path(__file__).parent / "tuning"
SMALL = ("threshold", "suite.yaml", "--budget", "48")
PNG = b"\x89PNG"


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def reproducible(text: str) -> str:
    """Return a parameter file without what depends on versions: of packages, of the models."""
    kept = text[: text.index("  versions:")]
    return "\n".join(line for line in kept.splitlines() if not line.startswith("    hash: "))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The small case, tuned in this process: its file, and what was printed."""
    out = tmp_path_factory.mktemp("tuned") / "small.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(HERE)
        code, shown, _ = run("tune", *SMALL, "--jobs", 1, "--out", out)
    assert code == 0
    return out, shown


def test_the_small_case_is_made_again_byte_for_byte(small: tuple[Path, str]) -> None:
    """Made by ``cd tests/cli/tuning && wattbench tune threshold suite.yaml --budget 48
    --out small.yaml``."""
    stored = (HERE / "small.yaml").read_text(encoding="utf-8")
    assert reproducible(small[0].read_text(encoding="utf-8")) == reproducible(stored)


@pytest.mark.slow
def test_the_number_of_jobs_changes_nothing(
    small: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)
    out = tmp_path / "small.yaml"
    assert run("tune", *SMALL, "--jobs", 2, "--out", out)[0] == 0
    assert out.read_bytes() == small[0].read_bytes()


def test_the_file_can_be_read_and_says_what_was_gained(small: tuple[Path, str]) -> None:
    provenance = load_parameters(small[0]).provenance
    assert provenance is not None
    assert provenance.used_simulations == 48
    assert provenance.tuned_objective_ratio < provenance.default_objective_ratio
    (part,) = provenance.training
    assert (part.scenario, part.search_seeds) == ("ten_minutes", (1001, 1002))
    assert part.final_seeds == tuple(range(1003, 1009))
    assert part.tuned_objective_wh < part.default_objective_wh
    gain = provenance.reduction
    assert gain is not None
    assert (gain.pairs, gain.scenarios) == (6, 1)
    assert gain.low < gain.estimate < gain.high < 1.0
    ratio = provenance.tuned_objective_ratio / provenance.default_objective_ratio
    assert gain.estimate == pytest.approx(1.0 - ratio, rel=1e-4)


def test_the_front_is_drawn_and_everything_named(small: tuple[Path, str]) -> None:
    out, shown = small
    picture = out.with_suffix(".png")
    assert picture.read_bytes().startswith(PNG)
    assert str(picture) in shown
    assert shown.splitlines()[-1] == str(out)
    assert not list(out.parent.glob("*.partial"))


def test_a_scenario_takes_the_file_as_its_head_says(
    small: tuple[Path, str], tmp_path: Path
) -> None:
    _, entry, _ = small[0].read_text().split("\n", 2)
    shutil.copy(small[0], tmp_path)
    case = tmp_path / "case.yaml"
    case.write_text(
        f"extends: {HERE / 'ten_minutes.yaml'}\naudit: null\npolicies:\n{entry.removeprefix('#')}\n"
    )
    (policy,) = load_scenario(case).policies
    assert policy == load_parameters(small[0]).parameters.model_copy(
        update={"name": "threshold-own"}
    )


def test_run_takes_the_file_as_a_policy(small: tuple[Path, str], tmp_path: Path) -> None:
    arguments = ("--policy", small[0], "--policy", "threshold", "--out", tmp_path, "--json")
    code, out, _ = run("run", HERE / "ten_minutes.yaml", *arguments)
    assert code in {0, 1}
    assert [row["policy"] for row in json.loads(out)["runs"]] == ["threshold-own", "threshold"]


def test_run_takes_a_shipped_file(tmp_path: Path) -> None:
    arguments = ("--policy", "tuned-pi", "--out", tmp_path, "--json")
    code, out, _ = run("run", HERE / "ten_minutes.yaml", *arguments)
    assert code in {0, 1}
    (row,) = json.loads(out)["runs"]
    assert row["policy"] == "pi-tuned"
    values = load_parameters(Path(__file__).parents[2] / "fixtures/tuned/pi.yaml").parameters
    header = json.loads((Path(row["path"]) / "record.json").read_text())
    assert header["policy"] == {**values.model_dump(mode="json"), "name": "pi-tuned"}


def test_run_names_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("parameters:\n  kind: pi\n  kp: much\n")
    code, _, err = run("run", HERE / "ten_minutes.yaml", "--policy", file)
    assert code == 2
    assert err.startswith(f"wattbench: {file}:3:7: parameters.kp:")
    code, _, err = run("run", HERE / "ten_minutes.yaml", "--policy", "tuned-pj")
    assert code == 2
    assert "no parameters 'pj' come with the package; allowed: pi, smith" in err


def test_json(tmp_path: Path) -> None:
    out = tmp_path / "few.yaml"
    arguments = (HERE / "ten_minutes.yaml", "--budget", 6, "--jobs", 1, "--out", out, "--json")
    code, shown, _ = run("tune", "threshold", *arguments)
    assert code == 0
    found = json.loads(shown)
    assert (found["exit_code"], found["used_simulations"], found["file"]) == (0, 6, str(out))
    (chosen,) = [point for point in found["finalists"] if point["chosen"]]
    assert found["parameters"] == chosen["parameters"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pj", "partly_cloudy"), "no policy 'pj'; did you mean 'pi'? allowed: pi, smith"),
        (("zero", "partly_cloudy"), "a policy of kind 'zero' has nothing to tune; allowed: pi"),
        (("pi", "partly_cludy"), "did you mean 'export/partly_cloudy'"),
        (("pi", "partly_cloudy"), "a budget of 3 simulations is too small; allowed: at least 9"),
        (("pi", "nowhere.yaml"), "nowhere.yaml:1:1: no such file"),
        (("pi", "."), "cannot be read"),
    ],
)
def test_what_cannot_be_tuned_is_said_in_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("tune", *arguments, "--budget", 3, "--jobs", 1)
    assert (code, out) == (2, "")
    assert message in err
    assert not list(tmp_path.glob("*.yaml"))


def test_names_of_all_kinds_stay_in_the_comment(tmp_path: Path) -> None:
    folder = tmp_path / "two\nlines: x"
    folder.mkdir()
    suite, out = folder / "ten minutes.yaml", tmp_path / "1: a.yaml"
    suite.write_text(f"extends: {HERE / 'ten_minutes.yaml'}\naudit: null\n")
    assert run("tune", "threshold", suite, "--budget", 6, "--jobs", 1, "--out", out)[0] == 0
    provenance = load_parameters(out).provenance
    assert provenance is not None
    assert shlex.split(provenance.command)[2:4] == ["threshold", str(suite)]
    assert '{kind: threshold, parameters: "1: a.yaml"}' in out.read_text()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("mine.yaml", "parameters: {kind: threshold}\n", "mine.yaml is there already, and is no"),
        ("mine.yaml", "name: a scenario\n", "mine.yaml is there already, and is no file"),
        ("mine.png", "a picture", "mine.png is there already"),
    ],
)
def test_what_no_search_has_made_is_not_written_over(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    there = tmp_path / name
    there.write_text(text)
    arguments = (HERE / "ten_minutes.yaml", "--budget", 6, "--out", tmp_path / "mine.yaml")
    code, _, err = run("tune", "threshold", *arguments)
    assert code == 2
    assert told in err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert there.read_text() == text


def test_a_search_may_replace_an_earlier_one(small: tuple[Path, str], tmp_path: Path) -> None:
    out = Path(shutil.copy(small[0], tmp_path))
    arguments = (HERE / "ten_minutes.yaml", "--budget", 6, "--jobs", 1, "--out", out)
    assert run("tune", "threshold", *arguments)[0] == 0
    assert load_parameters(out).provenance.used_simulations == 6


@pytest.mark.slow
def test_a_killed_worker_ends_it_with_what_was_found(tmp_path: Path) -> None:
    out, journal = tmp_path / "small.yaml", tmp_path / "small.yaml.partial"
    command = [sys.executable, "-m", "wattbench", "tune", *SMALL, "--jobs", "2", "--out", str(out)]
    with subprocess.Popen(command, cwd=HERE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(24000):
            if journal.exists() and len(journal.read_text().splitlines()) > 2:
                break
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [k for k in children if b"spawn_main" in Path(f"/proc/{k}/cmdline").read_bytes()]
        os.kill(int(workers[0]), signal.SIGKILL)
        _, err = process.communicate()
    assert process.returncode == 5, err
    assert "a worker process was killed" in err
    assert f"{journal}; --resume goes on from there" in err


@pytest.mark.slow
def test_ctrl_c_leaves_what_was_found_and_resume_goes_on(
    small: tuple[Path, str], tmp_path: Path
) -> None:
    out, journal = tmp_path / "small.yaml", tmp_path / "small.yaml.partial"
    command = [sys.executable, "-m", "wattbench", "tune", *SMALL, "--jobs", "1", "--out", str(out)]
    with subprocess.Popen(
        command, cwd=HERE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        for _ in range(6000):
            if journal.exists() and len(journal.read_text().splitlines()) > 2:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 4, err
    assert f"{journal}; --resume goes on from there" in err
    assert not out.exists()
    done = subprocess.run([*command, "--resume"], cwd=HERE, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == small[0].read_bytes()
    assert not journal.exists()
