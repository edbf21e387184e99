"""`wattbench compare` and `wattbench replay`: what they print, their exit codes, every mistake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wattbench.cli import app
from wattbench.commands.compare_shown import lines
from wattbench.commands.run import RunOptions
from wattbench.commands.run import run as run_scenario
from wattbench.evaluation.divergence import Difference, Divergence, Moment
from wattbench.evaluation.run_difference import RunComparison, Side
from wattbench.evaluation.streams import open_parquet

SITE = """
name: site
plant:
  kind: export
  pv: {peak_power_w: 4 kW}
  loads:
    - {id: a1, phase: a, rated_power_w: 2 kW}
    - {id: b1, phase: b, rated_power_w: 2 kW}
profiles: {pv: {kind: generated, sky: partly_cloudy}}
clock: {start: 2025-06-21T12:00:00, duration_s: 2 min}
policies: [{kind: pi}, {kind: smith}, {kind: always_on, name: heat}]
faults: [{kind: meter_freeze, start_s: 40, duration_s: 20}]
limits: [{metric: import_energy, max: 60 Wh}]
seeds: [1]
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of three runs of one scenario: pi, smith, heat."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "site.yaml").write_text(SITE)
    run_scenario(RunOptions(str(folder / "site.yaml"), folder / "out"), as_json=True)
    return folder / "out" / "site"


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_a_run_is_identical_with_itself(runs) -> None:
    code, out, err = call("compare", runs / "pi-seed1", runs / "pi-seed1")
    assert (code, err) == (0, "")
    assert "Traces: identical, byte for byte (same hash)" in out
    assert "No regression." in out


def test_two_policies_part_somewhere_and_it_is_told_where(runs) -> None:
    code, out, _ = call(
        "compare", runs / "pi-seed1", runs / "smith-seed1", "--tolerance", "objective=1000%"
    )
    assert code == 0
    assert "They differ in: policy (pi, smith)" in out
    assert "Traces part at " in out
    assert "(2025-06-21T10:0" in out
    assert "commands decided." in out


def test_a_value_that_b_no_longer_has_is_a_regression(runs, tmp_path) -> None:
    """Without the baseline zero nothing says how much import a policy added."""
    for name, baselines in (("with", "[{kind: zero}]"), ("without", "[]")):
        path = tmp_path / name / "site.yaml"
        path.parent.mkdir()
        path.write_text(SITE.replace("seeds: [1]", f"baselines: {baselines}\nseeds: [1]"))
        run_scenario(RunOptions(str(path), tmp_path / name, policies=("pi",)), as_json=True)
    a, b = (tmp_path / name / "site" / "pi-seed1" for name in ("with", "without"))
    held = ("--tolerance", "added_import_energy=10 Wh")
    code, out, _ = call("compare", a, b, *held)
    assert (code, "  added_import_energy@1: no value in B" in out) == (1, True)
    assert call("compare", b, a, *held)[0] == 0
    assert call("compare", a, b, "--tolerance", "objective=1%")[0] == 0, "it is not held"


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (229.10000000000002, 230.5, "229.1 V, 230.5 V"),
        (229.10000000000002, 229.1, "229.10000000000002 V, 229.09999999999999 V"),
        (None, 31_000_000.0, "no row, 31000000 V"),
    ],
)
def test_values_have_as_many_digits_as_tell_them_apart(a, b, said) -> None:
    side = Side("run", "pi", "PASS", {})
    first = Difference("truth", "voltage_v", "V", a, b)
    moment = Moment(1_000_000, "2025-06-21T12:00:01Z", first, ())
    found = RunComparison(side, side, (), (), Divergence(False, moment))
    assert f"Traces part at 1 s (2025-06-21T12:00:01Z): truth voltage_v: {said}" in lines(found)


def test_json_is_one_object_with_the_same_content(runs) -> None:
    code, out, _ = call("compare", runs / "pi-seed1", runs / "heat-seed1", "--json")
    shown = json.loads(out)
    assert code == shown["exit_code"] == 1
    assert shown["kind"] == "runs"
    assert shown["differ_in"] == ["policy (pi, heat)"]
    assert (shown["a"]["verdict"], shown["b"]["verdict"]) == ("PASS", "FAIL")
    assert "verdict: PASS became FAIL" in shown["regressions"]
    first = shown["divergence"]["first"]
    assert first["first"]["stream"] == "commands"
    a, b = (open_parquet("c", runs / f"{p}-seed1/trace/commands.parquet") for p in ("pi", "heat"))
    column, row = first["first"]["column"], first["t_sim_us"] // 1_000_000
    assert (a[column][row], b[column][row]) == (first["first"]["a"], first["first"]["b"])
    assert (a[column][:row] == b[column][:row]).all()
    imported = shown["measurements"]["import_energy@1"]
    assert imported["difference"] == pytest.approx(imported["b"] - imported["a"])
    assert imported["regression"]


def test_events_before_the_difference_are_shown(runs, tmp_path) -> None:
    (tmp_path / "site.yaml").write_text(SITE.replace("start_s: 40", "start_s: 50"))
    run_scenario(RunOptions(str(tmp_path / "site.yaml"), tmp_path, ("pi",)), as_json=True)
    code, out, _ = call("compare", runs / "pi-seed1", tmp_path / "site" / "pi-seed1")
    assert code in {0, 1}
    assert "They differ in: scenario (site: faults[0].start_s)" in out
    before = out[out.index("Events before, A:") :]
    assert "40 s  fault_start  fault meter_freeze" in before.partition("Events before, B:")[0]
    assert before.partition("Events before, B:")[2].lstrip().startswith("none")


def test_tolerances_come_from_a_file_too_and_the_command_line_wins(runs, tmp_path) -> None:
    file = tmp_path / "tolerances.yaml"
    file.write_text("import_energy: 1 Wh\nexport_energy: 1000 %\n")
    folders = runs / "pi-seed1", runs / "heat-seed1"
    code, out, _ = call("compare", *folders, "--tolerances", file, "--json")
    found = json.loads(out)["regressions"]
    assert code == 1
    assert [line.partition(":")[0] for line in found] == ["verdict", "import_energy@1"]
    code, out, _ = call(
        "compare", *folders, "--tolerances", file, "--tolerance", "import_energy=5 kWh", "--json"
    )
    assert json.loads(out)["regressions"] == ["verdict: PASS became FAIL"]


def test_a_golden_trace_is_kept_held_and_updated(runs, tmp_path) -> None:
    golden = tmp_path / "golden"
    code, _, err = call("compare", "--golden", golden, runs / "pi-seed1")
    assert code == 2
    assert "--update keeps a run there" in err
    assert call("compare", "--golden", golden, runs / "pi-seed1", "--update")[0] == 0
    code, out, _ = call("compare", "--golden", golden, runs / "pi-seed1")
    assert (code, "the same in every value compared" in out) == (0, True)
    code, out, _ = call("compare", "--golden", golden, runs / "smith-seed1")
    assert code == 1
    assert "the trace is not the golden one" in out
    assert call("compare", "--golden", golden, runs / "smith-seed1", "--update")[0] == 0
    assert call("compare", "--golden", golden, runs / "smith-seed1")[0] == 0


def test_a_damaged_record_is_told_and_ends_with_5(runs, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs / "pi-seed1", copy)
    events = copy / "events.jsonl"
    events.write_text(events.read_text() + "{}\n")
    code, out, err = call("compare", runs / "pi-seed1", copy)
    assert (code, out) == (5, "")
    assert err == f"wattbench: {copy}: events.jsonl was changed after the run: its hash differs " \
                  "from the record's\n"  # fmt: skip
    assert call("replay", copy, "--policy", "pi")[0] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pi-seed1"], "give two runs or two suites"),
        (["pi-seed1", "gone"], "is missing"),
        (["pi-seed1", "."], "holds 3 runs"),
        (["pi-seed1", "smith-seed1", "--golden", "g"], "give one folder"),
        (["pi-seed1", "smith-seed1", "--update"], "give --golden FOLDER too"),
        (["pi-seed1", "--golden", "g", "--every", "5"], "give it with --update"),
        (["pi-seed1", "smith-seed1", "--every", "5"], "--golden … --update"),
        (["pi-seed1", "smith-seed1", "--tolerance", "export_energy"], "expected METRIC=VALUE"),
        (["pi-seed1", "smith-seed1", "--tolerance", "export=5%"], "no metric 'export'"),
        (["pi-seed1", "smith-seed1", "--tolerances", "gone.yaml"], "no such file"),
        (["pi-seed1", "smith-seed1", "--tolerances", "list.yaml"], "expected metrics"),
        (["pi-seed1", "smith-seed1", "--tolerances", "bad.yaml"], "bad.yaml:2:1: objective: 'x'"),
        (["pi-seed1", "smith-seed1", "--tolerances", "torn.yaml"], "torn.yaml:"),
        (["pi-seed1", "a_suite"], "give two of a kind"),
    ],
)
def test_mistakes_are_told_in_a_line(runs, tmp_path, monkeypatch, arguments, message) -> None:
    for name in ("pi-seed1", "smith-seed1", "heat-seed1"):
        shutil.copytree(runs / name, tmp_path / name)
    (tmp_path / "list.yaml").write_text("- export_energy\n")
    (tmp_path / "bad.yaml").write_text("export_energy: 5 %\nobjective: x\n")
    (tmp_path / "torn.yaml").write_text("export_energy: [5\n")
    (tmp_path / "a_suite").mkdir()
    (tmp_path / "a_suite" / "suite.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    code, out, err = call("compare", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("wattbench: ")
    assert err.count("\n") == 1
    code, out, _ = call("compare", *arguments, "--json")
    assert (code, json.loads(out)["exit_code"]) == (2, 2)


@pytest.mark.parametrize("policy", ["pi", "smith"])
def test_a_run_shown_to_its_own_policy_leads_to_its_own_decisions(runs, policy) -> None:
    code, out, err = call("replay", runs / f"{policy}-seed1", "--policy", policy)
    assert (code, err) == (0, "")
    assert "counterfactual: what it would have decided, not what would have happened" in out
    assert "Same commands in all 120 steps, and its decisions in every bit." in out


def test_another_policys_differences_are_told_and_kept(runs, tmp_path) -> None:
    out = tmp_path / "other"
    code, printed, _ = call("replay", runs / "pi-seed1", "--policy", "heat", "--json", "--out", out)
    shown = json.loads(printed)
    assert code == 0
    assert shown["label"].startswith("counterfactual")
    assert (shown["recorded_policy"], shown["policy"], shown["steps"]) == ("pi", "heat", 120)
    kept = json.loads((out / "counterfactual.json").read_text())
    assert kept == {key: value for key, value in shown.items() if key != "exit_code"}
    steps = open_parquet("steps", out / "counterfactual.parquet")
    differs = (steps["recorded.a1_w"] != steps["guarded.a1_w"]) | (
        steps["recorded.b1_w"] != steps["guarded.b1_w"]
    )
    assert shown["differing"] == differs.sum() > 0
    assert shown["first"]["from_us"] == steps["t_sim_us"][differs][0]
    a1 = next(gap for gap in shown["actuators"] if gap["name"] == "a1")
    apart = steps["guarded.a1_w"] - steps["recorded.a1_w"]
    assert a1["mean_w"] == pytest.approx(abs(apart).mean())
    assert a1["max_w"] == abs(apart).max()
    assert a1["bias_w"] == pytest.approx(apart.mean())
    assert shown["not_asked"] == (~steps["asked"].astype(bool)).sum() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "pi"], "give a run's folder, or a log"),
        (["pi-seed1", "--policy", "pj"], "no policy 'pj'; did you mean 'pi'?"),
        (["pi-seed1", "--policy", "pi", "--log", "x"], "not both"),
        (["pi-seed1", "--policy", "pi", "--site", "x"], "leave --site and --format out"),
        (["--log", "x", "--policy", "pi"], "--log needs --site"),
        (["--log", "x.csv", "--site", "export/demo", "--policy", "pi"], "no such file"),
        (["--log", "x.csv", "--site", "export/dem", "--policy", "pi"], "did you mean"),
        (
            ["--log", "x", "--site", "demo", "--policy", "pi", "--format", "f"],
            "f:1:1: no such file",
        ),
        (["gone", "--policy", "pi"], "is missing"),
        (["pi-seed1", "--policy", "gone.onnx"], "no such file"),
    ],
)
def test_mistakes_with_replay_are_told(runs, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(runs)
    code, out, err = call("replay", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_log_is_shown_to_a_policy(tmp_path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    log = tmp_path / "log"
    log.mkdir()
    lines = ["time;a;b;c"]
    lines += [f"2025-06-21 12:{s // 60:02}:{s % 60:02}.3;1,2;0,1;0,2" for s in range(120)]
    (log / "meter.csv").write_text("\n".join(lines) + "\n")
    command = '2025-06-21 12:00:10;"[[0], [500], []]"'
    (log / "commands.csv").write_text(f"time;command\n{command}\n")
    form = tmp_path / "format.yaml"
    form.write_text(
        "time_column: time\nseparator: ;\ndecimal: ','\npower_unit: kW\nsign: export_positive\n"
        "columns: {grid_power_a: a, grid_power_b: b, grid_power_c: c}\n"
    )
    options = ["--log", log, "--site", tmp_path / "site.yaml", "--format", form]
    code, out, err = call("replay", *options, "--policy", "pi", "--json")
    shown = json.loads(out)
    assert (code, err) == (0, "")
    assert shown["recorded_policy"] == "the logged controller"
    assert shown["start_utc"] == "2025-06-21T10:00:01+00:00"
    # what stood before the first command nobody knows: 10 s of 119 are not compared
    assert (shown["steps"], shown["decisions_identical"]) == (110, None)
    told = "\n".join(shown["notes"])
    assert "grid power is export_positive" in told
    assert "no voltages: taken as 230 V" in told

    form.write_text(form.read_text() + "command_unit: kW\n")
    code, _, err = call("replay", *options, "--policy", "pi")
    assert code == 2
    assert f"{log / 'commands.csv'}:2: 2025-06-21 12:00:10: a command of 500 kW" in err
    form.write_text("power: kW\n")
    code, _, err = call("replay", *options, "--policy", "pi")
    assert code == 2
    assert f"{form}:1:1: power: unknown key; allowed: time_column" in err
