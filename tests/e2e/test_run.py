"""`wattbench run` from a scenario file to verdicts, and every way in which it ends early."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from wattbench.agents.policy import POLICIES, Policy, PolicyConfig, register
from wattbench.commands.rehearsal import what_fails
from wattbench.commands.run import RunOptions, judge, run
from wattbench.evaluation.record import RecordError, RecordWriter, read_record
from wattbench.hil.bench import Bench, new_folder
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.report import check_report
from wattbench.sim.export.plant import ExportPlant

SCENARIO = """
name: site
title: Nine hundred seconds of a summer noon
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 2000}
    - {id: b1, phase: b, rated_power_w: 2000}
    - {id: c1, phase: c, rated_power_w: 2000}
profiles:
  pv: {kind: generated, sky: partly_cloudy}
clock: {start: 2025-06-21T12:00:00, duration_s: 900}
policies: [{kind: pi}]
baselines: [{kind: zero}]
limits:
  - {metric: export_energy, max: 100 kWh}
  - {metric: export_energy, vs: zero, max_ratio: 0.95}
faults:
  - {kind: meter_freeze, start_s: 300, duration_s: 60}
  - {kind: load_stuck_on, load: b1, start_s: 500, duration_s: 60}
seeds: [1]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SCENARIO)
    return path


def one_object(capsys: pytest.CaptureFixture[str]) -> dict:
    """Return the only object on stdout."""
    return json.loads(capsys.readouterr().out)


def test_json_is_one_object_of_the_stated_shape(scenario, tmp_path, capsys) -> None:
    code = run(RunOptions(str(scenario), tmp_path / "out"), as_json=True)
    shown = one_object(capsys)
    assert code == 0
    assert shown["verdict"] == "PASS"
    assert shown["exit_code"] == 0
    (only,) = shown["runs"]
    assert set(only) == {
        "policy", "seed", "path", "verdict", "speed_x_realtime", "measurements", "bracket",
    }  # fmt: skip
    assert (only["policy"], only["seed"], only["verdict"]) == ("pi", 1, "PASS")
    assert only["speed_x_realtime"] > 100
    assert only["measurements"]["export_energy@1"] > 0
    folder = Path(only["path"])
    assert folder == tmp_path / "out" / "site" / "pi-seed1"
    for name in ("record.json", "events.jsonl", "timing.parquet", "measurements.json"):
        assert (folder / name).is_file()
    assert (folder / "report.html").stat().st_size > 10_000
    assert "<testsuite" in (folder / "junit.xml").read_text()
    assert (tmp_path / "out" / "site" / "baseline-zero-seed1" / "record.json").is_file()


def test_record_holds_its_baseline_and_the_faults(scenario, tmp_path, capsys) -> None:
    run(RunOptions(str(scenario), tmp_path), as_json=True)
    record = read_record(tmp_path / "site" / "pi-seed1")
    zero = read_record(tmp_path / "site" / "baseline-zero-seed1")
    stored = record.header.baselines["zero"]["export_energy@1"]
    assert stored == zero.stored_measurements["export_energy@1"]
    faults = [
        (e["t_sim_us"], e["kind"], e["fault"], e.get("load"))
        for e in record.events
        if e["kind"].startswith("fault")
    ]
    assert faults == [
        (300_000_000, "fault_start", "meter_freeze", None),
        (360_000_000, "fault_end", "meter_freeze", None),
        (500_000_000, "fault_start", "load_stuck_on", "b1"),
        (560_000_000, "fault_end", "load_stuck_on", "b1"),
    ]
    # The frozen meter is older than the policy's limit for most of the minute.
    stale = record.stream("commands")["kind"] == 3
    assert 50 <= stale.sum() <= 60
    assert {"staleness_start", "staleness_end"} <= {e["kind"] for e in record.events}
    assert record.header.scenario["clock"]["duration_s"] == 900
    assert record.header.status == "completed"
    assert record.header.speed_x_realtime > 0


def test_judging_the_folder_alone_gives_the_same_verdict(scenario, tmp_path, capsys) -> None:
    code = run(RunOptions(str(scenario), tmp_path, policies=("pi", "always_on")), as_json=True)
    first = one_object(capsys)
    assert [r["verdict"] for r in first["runs"]] == ["PASS", "PASS"]
    assert judge([tmp_path / "site"], as_json=True) == code
    again = one_object(capsys)
    assert {(r["path"], r["verdict"]) for r in again["runs"]} == {
        (r["path"], r["verdict"]) for r in first["runs"]
    }
    assert (tmp_path / "site" / "report.html").is_file()


def test_failing_limit_is_exit_code_1(scenario, tmp_path, capsys) -> None:
    assert run(RunOptions(str(scenario), tmp_path, policies=("zero",)), as_json=False) == 1
    shown = capsys.readouterr()
    assert "FAIL" in shown.out
    assert "(zero)" in shown.out
    assert "report.html" in shown.out
    assert "× real time" in shown.err


def test_same_seed_twice_gives_the_same_trace_files(scenario, tmp_path, capsys) -> None:
    for _ in range(2):
        run(RunOptions(str(scenario), tmp_path), as_json=True)
    first, second = tmp_path / "site" / "pi-seed1", tmp_path / "site-2" / "pi-seed1"
    for name in ("truth", "readings", "commands"):
        path = f"trace/{name}.parquet"
        assert (first / path).read_bytes() == (second / path).read_bytes()
    assert (first / "events.jsonl").read_bytes() == (second / "events.jsonl").read_bytes()
    headers = [read_record(folder).header for folder in (first, second)]
    assert headers[0].trace_sha256 == headers[1].trace_sha256


def test_seeds_policies_and_rig_of_the_command_line_are_in_the_record(
    scenario, tmp_path, capsys
) -> None:
    options = RunOptions(str(scenario), tmp_path, policies=("smith",), seeds=(5, 6), rig="emulated")
    run(options, as_json=True)
    shown = one_object(capsys)
    assert [(r["policy"], r["seed"]) for r in shown["runs"]] == [("smith", 5), ("smith", 6)]
    header = read_record(Path(shown["runs"][1]["path"])).header
    assert header.rig_name == "export"
    assert header.scenario["rig"] == "emulated"
    assert header.scenario["seeds"] == [5, 6]
    assert [p["kind"] for p in header.scenario["policies"]] == ["smith"]


def test_bytes_and_function_calls_agree_within_float32(scenario, tmp_path, capsys) -> None:
    """The policy never commands, so both rigs see one and the same plant."""
    for rig in ("direct", "emulated"):
        run(RunOptions(str(scenario), tmp_path / rig, policies=("zero",), rig=rig), as_json=True)
    records = [
        read_record(tmp_path / rig / "site" / "zero-seed1") for rig in ("direct", "emulated")
    ]
    direct, emulated = (record.stream("truth") for record in records)
    for column in direct:
        np.testing.assert_array_equal(emulated[column], direct[column])
    direct, emulated = (record.stream("readings") for record in records)
    for column in ("total.power_w", "a.power_w", "b.power_w", "c.power_w", "b.voltage_v"):
        name = f"meter.{column}"
        np.testing.assert_allclose(emulated[name], direct[name], rtol=2**-23, equal_nan=True)


def test_wall_clock_runs_the_same_scenario(tmp_path, scenario, capsys) -> None:
    text = SCENARIO.replace("duration_s: 900", "duration_s: 20")
    text = text[: text.index("faults:")] + "seeds: [1]\n"
    scenario.write_text(text)
    run(RunOptions(str(scenario), tmp_path, policies=("zero",), clock="virtual"), as_json=True)
    options = RunOptions(str(scenario), tmp_path, policies=("zero",), clock="wall", factor=20)
    assert run(options, as_json=True) in {0, 1}
    virtual, wall = (read_record(tmp_path / folder / "zero-seed1") for folder in ("site", "site-2"))
    assert wall.header.clock_mode == "wall"
    assert 5 < wall.header.speed_x_realtime <= 20.0
    for column in ("pv.power_w", "grid.a.power_w", "grid.net.export_energy_wh"):
        np.testing.assert_array_equal(wall.stream("truth")[column], virtual.stream("truth")[column])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"policies": ("smiht",)}, "did you mean 'smith'"),
        ({"policies": ("nowhere.onnx",)}, "nowhere.onnx: no such file"),
        ({"clock": "walls"}, "--clock is 'walls'; allowed: virtual, wall"),
        ({"rig": "real"}, "no rig 'real' comes with the package"),
        ({"rig": "emulatde"}, "did you mean 'emulated'"),
        ({"factor": 10.0}, "give --clock wall too"),
        ({"clock": "wall", "factor": -1.0}, "--factor is -1"),
        ({"seeds": (-1,)}, "--seed"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(
    scenario, tmp_path, capsys, options, said
) -> None:
    assert run(RunOptions(str(scenario), tmp_path / "out", **options), as_json=True) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert json.loads(shown.out) == {
        "verdict": None, "exit_code": 2, "runs": [], "error": shown.err[len("wattbench: ") : -1],
    }  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_unknown_scenario_and_invalid_file_are_exit_code_2(tmp_path, capsys) -> None:
    assert run(RunOptions("no_such_scenario", tmp_path), as_json=False) == 2
    assert "no_such_scenario" in capsys.readouterr().err
    broken = tmp_path / "broken.yaml"
    broken.write_text(SCENARIO.replace("phase: b", "phase: q"))
    assert run(RunOptions(str(broken), tmp_path), as_json=False) == 2
    assert "broken.yaml:8:" in capsys.readouterr().err


def test_folder_that_cannot_be_made_is_one_line(scenario, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in ("file", "file/below"):
        assert run(RunOptions(str(scenario), tmp_path / place), as_json=False) == 2
        shown = capsys.readouterr()
        assert shown.err.startswith("wattbench: cannot write to")
        assert shown.err.count("\n") == 1


def test_folder_of_an_earlier_run_is_never_touched(tmp_path) -> None:
    names = [new_folder(tmp_path, "site").name for _ in range(3)]
    assert names == ["site", "site-2", "site-3"]


class StrangeConfig(PolicyConfig):
    """A policy of the tests that answers properly for a while."""

    kind: Literal["strange"] = "strange"
    answer: Literal["nan", "shape", "raise", "none", "signal", "hang"] = "nan"


class Strange(Policy):
    action = "phase_targets"

    def __init__(self, config, site) -> None:
        self.answer = config.answer

    def reset(self, seed: int) -> None:
        self.steps = 0

    def decide(self, observation) -> np.ndarray:
        self.steps += 1
        if self.steps < 60:
            return np.array([1000.0, 1000.0, 1000.0])
        if self.answer == "raise":
            raise ZeroDivisionError("no sun")
        if self.answer in {"signal", "hang"}:
            os.kill(os.getpid(), signal.SIGINT)
            if self.answer == "hang":  # hears nothing until somebody insists
                time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            return np.zeros(3)
        return {
            "nan": np.array([1000.0, np.nan, 0.0]),
            "shape": np.zeros(7),
            "none": None,
        }[self.answer]


@pytest.fixture
def strange():
    register(StrangeConfig, Strange)
    yield StrangeConfig
    del POLICIES["strange"]


def run_strange(scenario: Path, out: Path, policy: PolicyConfig, measure=lambda record: {}):
    experiment = load_scenario(scenario)
    experiment = experiment.model_copy(update={"policies": (policy,), "baselines": ()})
    (result,) = Bench(experiment, out, measure=measure).run()
    return result


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("answer", ["nan", "shape", "raise", "none"])
def test_policy_that_fails_leaves_safe_loads_and_a_record(
    strange, scenario, tmp_path, answer
) -> None:
    result = run_strange(scenario, tmp_path, strange(answer=answer))
    assert result.outcome.cause == "policy"
    record = read_record(result.folder)
    assert record.header.status == "error"
    assert "policy 'strange', step" in record.header.reason
    assert record.header.safe_state.confirmed is True
    commands = record.stream("commands")
    assert commands["kind"][-1] == 3
    assert [commands[f"guarded.{name}_w"][-1] for name in ("a1", "b1", "c1")] == [0, 0, 0]
    truth = record.stream("truth")
    assert max(truth[f"load.{name}.power_w"][-1] for name in ("a1", "b1", "c1")) < 1.0
    assert truth["load.a1.power_w"].max() > 500.0
    kinds = [event["kind"] for event in record.events]
    assert kinds[-3:] == ["run_stopped", "safe_state_command", "safe_state"]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("answer", ["signal", "hang"])
def test_signal_in_the_midst_of_a_decision(strange, scenario, tmp_path, answer) -> None:
    before = signal.getsignal(signal.SIGINT)
    result = run_strange(scenario, tmp_path, strange(answer=answer))
    assert result.outcome.cause == "signal"
    header = read_record(result.folder).header
    assert header.status == "aborted"
    assert header.reason == "stopped by SIGINT"
    assert header.safe_state.confirmed is True
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_error_inside_is_recorded_as_one(strange, scenario, tmp_path, monkeypatch) -> None:
    def broken(self, t_us):
        if t_us > 60_000_000:
            raise ArithmeticError("a bug")

    monkeypatch.setattr("wattbench.sim.export.plant.ExportPlant.reports_w", broken)
    result = run_strange(scenario, tmp_path, strange())
    assert result.outcome.cause == "inside"
    header = read_record(result.folder).header
    assert (header.status, header.reason) == ("error", "ArithmeticError: a bug")
    assert header.safe_state.confirmed is True


def test_full_disk_is_one_line_after_the_loads_are_safe(
    scenario, tmp_path, capsys, monkeypatch
) -> None:
    sent = []
    event, send = RecordWriter.event, ExportPlant.send

    def full(self, t_sim_us, kind, **data):
        if t_sim_us > 100_000_000:
            raise RecordError("cannot write the record: No space left on device")
        event(self, t_sim_us, kind, **data)

    def note(self, t_us, power_w):
        sent.append(power_w.tolist())
        return send(self, t_us, power_w)

    monkeypatch.setattr(RecordWriter, "event", full)
    monkeypatch.setattr(ExportPlant, "send", note)
    options = RunOptions(str(scenario), tmp_path, policies=("always_on",))
    assert run(options, as_json=False) == 5
    shown = capsys.readouterr()
    (line,) = [line for line in shown.err.splitlines() if line.startswith("wattbench: ")]
    assert "No space left on device" in line
    assert sent[-1] == [0.0, 0.0, 0.0]
    (folder,) = (tmp_path / "site").iterdir()
    assert read_record(folder).header.status == "error"


def test_crashing_policy_is_exit_code_5_and_the_next_one_still_runs(
    scenario, tmp_path, capsys
) -> None:
    options = RunOptions(str(scenario), tmp_path, policies=("crash_early", "pi"))
    assert run(options, as_json=True) == 5
    shown = one_object(capsys)
    assert shown["verdict"] == "ERROR"
    assert [(r["policy"], r["verdict"]) for r in shown["runs"]] == [
        ("crash_early", "ERROR"),
        ("pi", "PASS"),
    ]


def start(scenario: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """Start a run paced by the wall clock and wait until it is under way."""
    code = "from wattbench.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(scenario), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--clock", "wall", "--factor", "10", "--json", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("site/*.partial/events.jsonl")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the run did not start"
        time.sleep(0.05)
    time.sleep(1.0)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_in_safe_state_and_a_closed_record(scenario, tmp_path, number) -> None:
    process = start(scenario, tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert "Traceback" not in err
    shown = json.loads(out)
    assert shown["verdict"] == "ABORTED"
    assert shown["exit_code"] == 4
    (folder,) = (tmp_path / "site").iterdir()
    record = read_record(folder)
    assert record.header.status == "aborted"
    assert record.header.reason == f"stopped by {number.name}"
    assert record.header.safe_state.confirmed is True
    assert judge([folder], as_json=False) == 4


@pytest.mark.slow
def test_kill_9_leaves_a_record_that_says_interrupted(scenario, tmp_path) -> None:
    process = start(scenario, tmp_path)
    process.kill()
    process.communicate(timeout=60)
    (folder,) = (tmp_path / "site").iterdir()
    assert folder.name.endswith(".partial")
    header = read_record(folder).header
    assert header.status == "interrupted"
    assert header.safe_state.confirmed is None
    assert judge([folder], as_json=False) == 4


def endless_network(folder: Path) -> Path:
    """Return an ONNX file, encoder beside it, whose graph loops for ever."""
    onnx = pytest.importorskip("onnx")
    make, floats = onnx.helper, onnx.TensorProto.FLOAT
    body = make.make_graph(
        [
            make.make_node("Identity", ["go"], ["go_on"]),
            make.make_node("Add", ["sum", "sum"], ["more"]),
        ],
        "body",
        [
            make.make_tensor_value_info("turn", onnx.TensorProto.INT64, []),
            make.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            make.make_tensor_value_info("sum", floats, [1, 3]),
        ],
        [
            make.make_tensor_value_info("go_on", onnx.TensorProto.BOOL, []),
            make.make_tensor_value_info("more", floats, [1, 3]),
        ],
    )
    constants = [
        onnx.numpy_helper.from_array(np.array(2**62, dtype=np.int64), "turns"),
        onnx.numpy_helper.from_array(np.array(True), "yes"),
    ]
    graph = make.make_graph(
        [make.make_node("Loop", ["turns", "yes", "x"], ["y"], body=body)],
        "endless",
        [make.make_tensor_value_info("x", floats, [1, 3])],
        [make.make_tensor_value_info("y", floats, [1, 3])],
        constants,
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    path = folder / "endless.onnx"
    onnx.save(model, path)
    inputs = [{"feature": f"grid_power_{phase}_w", "offset": 0, "scale": 1} for phase in "abc"]
    output = {"action": "phase_targets", "scale_w": 1, "low_w": 0, "high_w": 4500}
    encoder = {"version": 1, "inputs": inputs, "output": output}
    path.with_suffix(".json").write_text(json.dumps(encoder))
    return path


@pytest.mark.slow
def test_second_signal_gets_through_to_a_network_that_never_returns(scenario, tmp_path) -> None:
    code = "from wattbench.cli import main; main()"
    network = str(endless_network(tmp_path))
    words = ["run", str(scenario), "--out", str(tmp_path), "--policy", network]
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=-1, text=True)
    deadline = time.monotonic() + 120
    maps = Path(f"/proc/{process.pid}/maps")
    while "onnxruntime" not in maps.read_text():
        assert time.monotonic() < deadline, "the network was not loaded"
        time.sleep(0.05)
    time.sleep(5.0)  # the network is tried before anything runs
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()  # it computes for ever if the signals did not get through
    assert process.returncode == 7, err
    assert "gave up" in err
    assert "Traceback" not in err


def test_what_a_crashed_baseline_measured_is_no_yardstick(scenario, tmp_path, capsys) -> None:
    text = SCENARIO.replace("[{kind: zero}]", "[{kind: zero}, {kind: crash_early}]")
    scenario.write_text(text.replace("vs: zero", "vs: crash_early"))
    code = run(RunOptions(str(scenario), tmp_path), as_json=True)
    (only,) = one_object(capsys)["runs"]
    assert only["verdict"] == "ERROR"
    assert code == 5


def test_bad_network_is_found_before_anything_runs(scenario, tmp_path, capsys) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(b"\x08\x07")
    path.with_suffix(".json").write_text("{}")
    code = run(RunOptions(str(scenario), tmp_path, policies=("pi", str(path))), as_json=False)
    assert code == 2
    assert "cut" in capsys.readouterr().err
    assert not (tmp_path / "site").exists(), "a refused run leaves a folder"
    scenario.write_text(
        SCENARIO.replace("[{kind: pi}]", "[{kind: onnx, path: cut.onnx, encoder: cut.json}]")
    )
    result = check_report(str(scenario))
    assert result.ok
    assert "cut" in what_fails(result.found)


def test_full_disk_at_the_reports_keeps_records_and_verdict(
    scenario, tmp_path, capsys, monkeypatch
) -> None:
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wattbench.evaluation.report.write_report", full)
    code = run(RunOptions(str(scenario), tmp_path), as_json=False)
    shown = capsys.readouterr()
    assert code == 5
    assert "cannot write the reports (No space left on device)" in shown.err
    assert "free some space" in shown.err
    assert "PASS" in shown.out


def test_judging_tells_of_every_folder_that_it_cannot_judge(scenario, tmp_path, capsys) -> None:
    assert run(RunOptions(str(scenario), tmp_path), as_json=True) == 0
    capsys.readouterr()
    site = tmp_path / "site"
    cut = shutil.copytree(site / "pi-seed1", tmp_path / "cut")
    (cut / "trace" / "commands.parquet").unlink()
    (cut / "timing.parquet").unlink()
    assert judge([cut], as_json=True) == 5
    (row,) = one_object(capsys)["runs"]
    assert row["judgement"]["problems"] == [
        "trace/ was changed after the run (commands missing): its hash differs from the record's",
        "timing.parquet is missing",
    ]
    lost = shutil.copytree(site / "pi-seed1", tmp_path / "lost")
    (lost / "record.json").unlink()
    only = tmp_path / "only"
    shutil.copytree(site / "baseline-zero-seed1", only / "baseline-zero-seed1")
    assert judge([site, lost, only, tmp_path / "none"], as_json=True) == 2
    shown = one_object(capsys)
    assert shown["verdict"] is None
    assert [row["policy"] for row in shown["runs"]] == ["pi"]
    lines = shown["error"].splitlines()
    assert lines[0].startswith(f"{lost}/record.json is missing")
    assert f"name it: {only}/baseline-zero-seed1" in lines[1]
    assert lines[2].startswith(f"{tmp_path}/none/record.json is missing")
    assert judge([only / "baseline-zero-seed1"], as_json=False) == 5
    assert "(it has: none, as a baseline's own record)" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_a_run_stopped_in_a_baseline_says_what_was_not_run(
    strange, scenario, tmp_path, capsys, monkeypatch
) -> None:
    experiment = load_scenario(scenario)
    stopped = experiment.model_copy(update={"baselines": (strange(answer="signal"),)})
    monkeypatch.setattr("wattbench.commands.run._scenario", lambda options: stopped)
    assert run(RunOptions("site", tmp_path), as_json=False) == 4
    shown = capsys.readouterr()
    assert "strange · seed 1: aborted, 0:01:01 simulated" in shown.err
    lines = shown.out.splitlines()
    assert "ABORTED  (strange), seed 1: stopped by SIGINT" in lines
    assert any(line.startswith("  safe state: the plant's truth shows") for line in lines)
    assert f"  {tmp_path}/site/baseline-strange-seed1" in lines
    assert lines[-1] == "Not run: pi, seed 1"


@pytest.mark.slow
def test_a_signal_after_the_verdict_does_not_change_the_exit_code(scenario, tmp_path) -> None:
    code = "from wattbench.cli import main; main()"
    words = ["run", str(scenario), "--out", str(tmp_path)]
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", code, *words], stdout=-1, stderr=-1, text=True
        )
        assert process.stdout is not None
        while "report.html" not in process.stdout.readline():
            assert process.poll() is None
        time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode in {0, 4}, err
        assert process.returncode == 0 or f"stopped by {number.name}" in err


@pytest.mark.slow
def test_workers_of_a_killed_audit_end(tmp_path) -> None:
    code = "from wattbench.cli import main; main()"
    words = ["audit", "cloud_edges", "--seeds", "2", "--jobs", "2", "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=-1, stderr=-1, start_new_session=True
    )
    deadline = time.monotonic() + 240
    while len(list(tmp_path.glob("*/*/*"))) < 2:
        assert time.monotonic() < deadline, "the audit did not start"
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while left := alive_in_group(process.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def alive_in_group(group: int) -> list[str]:
    """Return the command lines of a process group's members that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, member_of = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(member_of) == group and state != "Z":
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue  # it has just ended
    return found
