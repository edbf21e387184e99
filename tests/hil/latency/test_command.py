"""`bench latency` as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wattbench.commands.latency import LatencyOptions, latency
from wattbench.hil.world import World


@pytest.fixture
def canned(monkeypatch, made):
    """Replace the measuring by a made-up measurement."""

    def use(**what) -> None:
        monkeypatch.setattr(
            "wattbench.hil.latency.measure.measure", lambda *_, **__: made.run(**what)
        )

    use()
    return use


def before(tmp_path: Path, canned, **what) -> Path:
    path = tmp_path / "before.json"
    canned(seed=7, **what)
    assert latency(LatencyOptions("direct", json_path=path)) == 0
    return path


def test_the_table_and_the_file(canned, tmp_path: Path, capsys) -> None:
    path = tmp_path / "latency.json"
    assert latency(LatencyOptions("direct", json_path=path)) == 0
    shown = capsys.readouterr().out
    for word in ("answer_to_command", "÷ reference", "p99", "0 ticks missed", str(path)):
        assert word in shown
    names = [entry["name"] for entry in json.loads(path.read_text())["benchmarks"]]
    assert names == ["step", "answer_to_command", "infer", "reference"]


@pytest.mark.parametrize(
    ("now", "rules", "code"),
    [
        ({}, ("p50:1.3x", "ratio:1.2x"), 0),
        ({"own": 2.0}, ("p50:1.3x",), 1),
        ({"own": 2.0}, ("ratio:1.3x",), 1),
        ({"machine": 2.0}, ("p50:1.3x",), 3),
        ({"machine": 2.0}, ("ratio:1.3x",), 0),
        ({"machine": 2.0, "own": 2.0}, ("p50:1.3x", "ratio:1.3x"), 1),
        ({"wander": 4.0}, ("ratio:1.3x",), 3),
        ({"own": 2.0}, (), 0),
    ],
)
def test_exit_codes_of_a_comparison(canned, tmp_path, capsys, now, rules, code) -> None:
    path = before(tmp_path, canned)
    canned(seed=8, **now)
    assert latency(LatencyOptions("direct", compare=path, fail=rules)) == code
    shown = capsys.readouterr().out
    for rule in rules:
        assert f"answer_to_command.{rule}" in shown


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fail": ("p50:1.3x",)}, "--compare"),
        ({"fail": ("p99:1.3x",)}, "tails are shown"),
        ({"compare": Path("/no/such.json")}, "No such file"),
        ({"json_path": Path("/no/such/folder/x.json")}, "--json"),
        ({"period_s": 0.3}, "multiples of 0.2"),
        ({"period_s": float("nan")}, "multiples of 0.2"),
        ({"deadline_s": -1.0}, "--deadline"),
        ({"seconds": 5.0}, "ten periods"),
        ({"policy": "nobody"}, "no policy 'nobody'"),
        ({"scenario": "nothing"}, "nothing"),
        ({"rig": "no_such_rig"}, "no_such_rig"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(canned, capsys, change, said) -> None:
    assert latency(LatencyOptions(**{"rig": "direct", **change})) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"benchmarks": []}'])
def test_a_file_that_is_not_ours(canned, tmp_path: Path, capsys, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    options = LatencyOptions("direct", compare=path, fail=("p50:1.3x",))
    assert latency(options) == 2
    assert str(path) in capsys.readouterr().err


def test_a_file_without_the_span(canned, tmp_path: Path, capsys) -> None:
    path = before(tmp_path, canned)
    options = LatencyOptions("direct", compare=path, fail=("bus_read.p50:2x",))
    assert latency(options) == 2
    assert "no measurement of 'bus_read'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("rig", ["direct", "emulated"])
def test_ctrl_c_is_one_line_and_exit_4(rig: str) -> None:
    """To the whole process group, as a terminal sends it, while the measuring begins."""
    words = (
        "import sys; from wattbench.hil.progress import shown;"
        "import wattbench.hil.latency.measure as m;"
        "from wattbench.commands.latency import *;"
        "real = m._execute;"
        "m._execute = lambda *a, **k: (print('begins', flush=True), real(*a, **k))[1];"
        f"sys.exit(latency(LatencyOptions({rig!r}, seconds=60)))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    time.sleep(1.5)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 4, errors
    assert "Traceback" not in errors
    assert errors.count("wattbench: ") == 1
    assert "wattbench: stopped by SIGINT" in errors


@pytest.mark.slow
def test_a_real_measurement(tmp_path: Path) -> None:
    """Ten seconds of the rig without bytes: every tick is there, and so is its reference."""
    path = tmp_path / "latency.json"
    words = (
        "import sys; from pathlib import Path;"
        "from wattbench.commands.latency import *;"
        f"sys.exit(latency(LatencyOptions('direct', policy='smith', seconds=8, period_s=0.2,"
        f" json_path=Path({str(path)!r}))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(path.read_text())
    said = content["wattbench_latency"]
    assert said["steps"] + said["skipped"] >= 36
    by_name = {entry["name"]: entry for entry in content["benchmarks"]}
    assert set(by_name) >= {"step", "start", "answer_to_command", "infer", "guard", "reference"}
    for name, entry in by_name.items():
        # The start is known to a microsecond: it may be on time.
        assert entry["stats"]["min"] > 0 or name == "start"
    data, reference = (
        by_name["step"]["stats"]["data"],
        by_name["step"]["extra_info"]["reference_s"],
    )
    assert len(data) == len(reference) == said["steps"]


@pytest.mark.slow
def test_on_the_emulated_rig_it_begins_when_the_rig_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of the minute that opening may take is skipped, as in any run."""
    began_us: list[tuple[int, int]] = []
    real = World.begin

    def begin(world: World) -> None:
        before_us = world.clock.now_us
        real(world)
        began_us.append((before_us, world.clock.now_us))

    monkeypatch.setattr(World, "begin", begin)
    path = tmp_path / "latency.json"
    assert latency(LatencyOptions("emulated", seconds=10, json_path=path)) == 0
    ((before_us, after_us),) = began_us
    assert before_us < after_us
    said = json.loads(path.read_text())["wattbench_latency"]
    assert said["steps"] + said["skipped"] >= 6
