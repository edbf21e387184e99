"""A run's tape in the place of its devices: the same readings and decisions, without the rig."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wattbench.commands.run import RunOptions, run
from wattbench.evaluation.record import Record, read_record
from wattbench.hil.tape.model import TapeHeader
from wattbench.hil.tape.reader import TapeReader
from wattbench.hil.tape.writer import Tape

SITE = """
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 2000}
    - {id: b1, phase: b, rated_power_w: 2000}
profiles:
  pv: {kind: generated, sky: partly_cloudy}
clock: {start: 2025-06-21T12:00:00, duration_s: 120}
policies: [{kind: pi}]
baselines: [{kind: zero}]
limits: [{metric: export_energy, max: 100 kWh}]
faults: [{kind: bus_drop, target: meter_lan, probability: 0.3, start_s: 30, duration_s: 30}]
"""
RIG = """
name: bench
buses:
  - {id: meter_line, kind: modbus-rtu, baud_rate: 19200}
  - {id: heat, kind: modbus-tcp, port: 0}
  - {id: mesh, kind: znp}
  - {id: sun, kind: modbus-tcp, port: 0}
devices:
  - {id: meter, profile: eastron_sdm630, bus: meter_line, emulated: true, serves: [grid]}
  - {id: elwa, profile: mypv_ac_elwa_2, bus: heat, emulated: true, serves: [load.a1]}
  - {id: other, profile: zigbee_heater, bus: mesh, emulated: true, serves: [load.b1]}
  - {id: inverter, profile: sunspec_inverter, bus: sun, emulated: true, serves: [pv]}
"""


@pytest.fixture
def carried_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that runs the site and returns (exit code, record, what was said)."""

    def go(text: str = SITE, policy: str = "pi", **options: Any) -> tuple[int, Record, str]:
        path = tmp_path / "site.yaml"
        path.write_text(text)
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        code = run(RunOptions(str(path), out, **options), as_json=True)
        (folder,) = (out / "site").glob(f"{policy}-*")
        return code, read_record(folder), capsys.readouterr().err

    return go


def events(record: Record, *kinds: str) -> list[dict[str, Any]]:
    return [event for event in record.events if event["kind"] in kinds]


def assert_alike(record: Record, again: Record) -> None:
    """Hold readings and commands of two runs against each other, values and times."""
    for stream in ("readings", "commands"):
        before, after = record.stream(stream), again.stream(stream)
        for name, column in before.items():
            if name.startswith("effective."):
                assert (after[name] == -1).all(), "nobody knows when a device acted"
            else:
                np.testing.assert_array_equal(after[name], column, err_msg=name)


@pytest.mark.parametrize("rig", ["emulated", "own"])
def test_the_same_readings_and_decisions_come_out(
    carried_out: Any, tmp_path: Path, rig: str
) -> None:
    """Values and times; over a serial line, to heaters on a wire and behind a coordinator."""
    text = SITE
    if rig == "own":
        (tmp_path / "bench.yaml").write_text(RIG)
        rig = str(tmp_path / "bench.yaml")
        text = SITE.replace("meter_lan", "meter_line")
    code, record, _ = carried_out(text, rig=rig, tape=True)
    assert code == 0
    assert len(events(record, "meter_silent_start")) > 0, "the field problem"
    code, again, _ = carried_out(text, replay=record.folder)
    assert_alike(record, again)
    told = "meter_silent_start", "meter_silent_end", "stale_start", "stale_end", "device_identity"
    assert events(again, *told) == events(record, *told)
    assert events(again, "replay_missed", "replay_altered", "replay_held") == []
    assert code == 3, "while the meter was silent nobody saw what flowed"
    assert max(again.header.unseen_s.values()) > 5.0
    assert again.header.status == "completed"
    said = again.header.rig
    assert said["replay"]["tape"] == "tape.pcapng"
    assert len(said["replay"]["sha256"]) == 64
    assert said["name"] == record.header.rig["name"]
    assert said["truth"] == "grid meter"
    assert again.header.unpaired
    assert not again.header.baselines
    # What flowed at the connection is what the meter said.
    shown = record.stream("readings")["meter.a.power_w"][-1]
    assert again.stream("truth")["grid.a.power_w"][-1] == pytest.approx(shown)


def test_other_commands_than_then_are_told_and_do_not_count(carried_out: Any) -> None:
    _, record, _ = carried_out(rig="emulated", tape=True)
    code, again, _ = carried_out(
        policy="threshold", replay=record.folder / "tape.pcapng", policies=("threshold",)
    )
    assert code == 4
    assert again.header.status == "aborted"
    assert "commands are not those on the tape, at first mesh" in again.header.reason
    assert events(again, "replay_altered")
    assert events(again, "safe_state_command") == [], "there is nothing to be made safe"
    # The meter goes on as it did, so that what became of it can be seen.
    assert len(again.stream("readings")["t_sim_us"]) == 120


def test_a_tape_that_ends_early_does_not_count(carried_out: Any, tmp_path: Path) -> None:
    _, record, _ = carried_out(rig="emulated", tape=True)
    whole = (record.folder / "tape.pcapng").read_bytes()
    cut = tmp_path / "cut.pcapng"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    code, again, _ = carried_out(replay=cut)
    assert code == 4
    assert "the tape ends at second" in again.header.reason
    assert events(again, "replay_held")


def test_a_tape_without_a_rig_needs_one(tmp_path: Path, carried_out: Any, capsys: Any) -> None:
    _, record, _ = carried_out(rig="emulated", tape=True)
    reader = TapeReader(record.folder / "tape.pcapng")
    header = reader.header
    bare = TapeHeader(header.start_utc_us, header.clock, header.buses, header.devices, {})
    path = tmp_path / "bare.pcapng"
    with Tape(path, bare) as tape:
        for frame in reader:
            tape.frame(frame.bus, frame.direction, frame.t_us, frame.data)
    options = RunOptions(str(tmp_path / "site.yaml"), tmp_path / "bare", replay=path)
    assert run(options, as_json=False) == 2
    assert "does not say which rig it is of; give it by --rig FILE" in capsys.readouterr().err
    _, again, _ = carried_out(replay=path, rig="export", policies=("pi",))
    assert_alike(record, again)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rig": "direct"}, "plays the devices of a rig"),
        ({"clock": "wall"}, "in virtual time"),
        ({"policies": ("pi", "zero")}, "a tape is of one run"),
        ({"replay": Path("nowhere.pcapng")}, "nowhere.pcapng: No such file"),
    ],
)
def test_what_cannot_be_replayed(
    carried_out: Any, tmp_path: Path, capsys: Any, options: dict[str, Any], said: str
) -> None:
    text = SITE.replace("duration_s: 120", "duration_s: 10").partition("faults:")[0]
    _, record, _ = carried_out(text, rig="emulated", tape=True)
    given = {"replay": record.folder} | options
    assert run(RunOptions(str(tmp_path / "site.yaml"), tmp_path / "x", **given), as_json=False) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def on_time(record: Record) -> bool:
    """Return whether every tick came when it was due: so late that the next poll is not due yet, a
    tick is no longer what a replay, whose ticks are exact, makes of it."""
    assert record.timing is not None
    begun_s = record.timing["t_mono_ns"] / 1e9
    late_s = begun_s - np.arange(len(begun_s))
    return float(late_s.max() - late_s.min()) < 0.02


def distinct(decisions: NDArray[np.float64]) -> list[float]:
    """Return the decisions in their order, without those that repeat the one before, nor the row
    that closes a run, in which nothing is decided."""
    return [float(value) for value, _ in itertools.groupby(decisions[np.isfinite(decisions)])]


@pytest.mark.slow
def test_a_tape_of_real_devices_stands_for_them(
    carried_out: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured by the meter and the heaters comes out again, without lock or guardian."""
    monkeypatch.setenv("WATTBENCH_STATE", str(tmp_path / "state"))
    site = """
plant:
  kind: export
  loads: [{id: a1, phase: a, rated_power_w: 2000}]
clock: {start: 2025-06-21T12:00:00, duration_s: 12}
policies: [{kind: pi}]
limits: [{metric: export_energy, max: 100 kWh}]
"""
    played = tmp_path / "played.yaml"
    played.write_text(
        "buses: [{id: m, kind: modbus-tcp, port: 0}, {id: h, kind: modbus-tcp, port: 0}]\n"
        "devices:\n"
        "  - {id: meter, profile: eastron_sdm630, bus: m, emulated: true}\n"
        "  - {id: heater, profile: mypv_ac_elwa_2, bus: h, emulated: true}\n"
    )
    command = [sys.executable, "-m", "wattbench", "emulate", str(played)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ports = [json.loads(process.stdout.readline())["port"] for _ in range(2)]
            lab = tmp_path / "lab.yaml"
            lab.write_text(
                f"buses: [{{id: m, kind: modbus-tcp, port: {ports[0]}}}, "
                f"{{id: h, kind: modbus-tcp, port: {ports[1]}}}]\n"
                "devices:\n"
                "  - {id: meter, profile: eastron_sdm630, bus: m, serves: [grid]}\n"
                "  - {id: heater, profile: mypv_ac_elwa_2, bus: h, serves: [load.a1],\n"
                "     safe: {high_w: 50 W, waived: {name: Ada, reason: a test}}}\n"
                "quantities: {household: uncontrolled}\n"
            )
            for _ in range(4):
                _, record, _ = carried_out(site, rig=str(lab), clock="wall")
                if on_time(record):
                    break
        finally:
            process.terminate()
    assert record.header.status == "completed"
    code, again, _ = carried_out(site, replay=record.folder)
    assert code == 0, again.header.reason
    assert "lease" not in again.header.rig
    before, after = record.stream("readings"), again.stream("readings")
    np.testing.assert_array_equal(after["meter.a.power_w"], before["meter.a.power_w"])
    decided = distinct(record.stream("commands")["decided.a1_w"])
    # A tick that came late on a busy machine may have decided one step after the exact one.
    assert distinct(again.stream("commands")["decided.a1_w"]) == decided
    np.testing.assert_array_equal(
        again.stream("truth")["grid.a.power_w"], record.stream("truth")["grid.a.power_w"]
    )
