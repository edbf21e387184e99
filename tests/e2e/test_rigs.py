"""The same scenario on rig `direct` and on rig `emulated`, in virtual time: what agrees, what not.

Every value passes registers of 32 bit and every command a codec, so that measurements agree to
float32 where nothing is commanded. Where something is, the runs drift apart by the milliseconds
that requests take: a command leaves a little later, and the mesh draws other random numbers for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from wattbench.agents.policy import POLICIES, Policy, PolicyConfig, register
from wattbench.commands.run import RunOptions, run
from wattbench.commands.setup import setup_of
from wattbench.evaluation.record import Record, read_record
from wattbench.hil.bench import Bench
from wattbench.scenarios.library import locate
from wattbench.scenarios.load import load_scenario

S = 1_000_000
SITE = """
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 2000}
    - {id: b1, phase: b, rated_power_w: 2000}
    - {id: c1, phase: c, rated_power_w: 2000}
profiles:
  pv: {kind: generated, sky: partly_cloudy}
clock: {start: 2025-06-21T12:00:00, duration_s: 300}
policies: [{kind: pi}]
limits: [{metric: export_energy, max: 100 kWh}]
"""


@pytest.fixture
def carried_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that runs a scenario on a rig and returns (exit code, record)."""

    def go(text: str, rig: str = "emulated", **options: Any) -> tuple[int, Record]:
        path = tmp_path / "site.yaml"
        path.write_text(text)
        out = tmp_path / f"{rig}-{len(list(tmp_path.iterdir()))}"
        code = run(RunOptions(str(path), out, rig=rig, **options), as_json=True)
        capsys.readouterr()
        (folder,) = (out / "site").iterdir()
        return code, read_record(folder)

    return go


def events(record: Record, kind: str) -> list[dict[str, Any]]:
    return [event for event in record.events if event["kind"] == kind]


def energies(record: Record) -> tuple[float, float]:
    truth = record.stream("truth")
    return truth["grid.net.export_energy_wh"][-1], truth["grid.net.import_energy_wh"][-1]


def test_one_seed_is_one_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.yaml"
    faults = (
        "faults: [{kind: bus_drop, target: mesh, probability: 0.1, start_s: 60, duration_s: 60}]"
    )
    path.write_text(SITE + faults)
    hashes = []
    for k, seed in enumerate((1, 1, 2)):
        out = tmp_path / str(k)
        run(RunOptions(str(path), out, rig="emulated", seeds=(seed,)), as_json=True)
        (folder,) = (out / "site").iterdir()
        hashes.append(read_record(folder).header.trace_sha256)
        if k == 1:
            for name in ("trace/truth.parquet", "trace/commands.parquet", "events.jsonl"):
                first = tmp_path / "0" / "site" / folder.name / name
                assert (folder / name).read_bytes() == first.read_bytes()
    capsys.readouterr()
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def noon(name: str, minutes: int = 10) -> str:
    """Return a library scenario, ten minutes of its noon, with nothing to compare it with."""
    base = load_scenario(locate(f"export/{name}"))
    document = {
        "extends": f"export/{name}",
        "clock": {"start": f"{base.clock.start:%Y-%m-%d}T11:55:00", "duration_s": 60 * minutes},
        "baselines": [],
        "audit": None,
        "seeds": [1],
        "limits": [{"metric": "export_energy", "max": "1000 kWh"}],
    }
    return json.dumps(document)


def both(carried_out: Any, text: str, policy: str) -> tuple[Record, Record]:
    direct, emulated = (
        carried_out(text, rig, policies=(policy,)) for rig in ("direct", "emulated")
    )
    assert direct[0] == emulated[0] == 0
    return direct[1], emulated[1]


def assert_same_truth(direct: Record, emulated: Record) -> None:
    one, other = direct.stream("truth"), emulated.stream("truth")
    for column in one:
        np.testing.assert_array_equal(other[column], one[column], err_msg=column)


def assert_same_readings(direct: Record, emulated: Record) -> None:
    one, other = direct.stream("readings"), emulated.stream("readings")
    for column in one:
        if column.startswith("meter.") and column.endswith(("power_w", "voltage_v")):
            np.testing.assert_allclose(
                other[column], one[column], rtol=2**-23, atol=1e-3, equal_nan=True, err_msg=column
            )


@pytest.mark.parametrize("name", ["clear_day", "cloud_edges", "hot_tanks", "oven_evening"])
def test_library_scenarios_side_by_side(carried_out: Any, name: str) -> None:
    """Set-points that never change are refreshed at the same ticks on both rigs."""
    direct, emulated = both(carried_out, noon(name), "zero")
    assert_same_truth(direct, emulated)
    assert_same_readings(direct, emulated)
    kinds = [record.stream("commands")["kind"] for record in (direct, emulated)]
    np.testing.assert_array_equal(kinds[1], kinds[0])


def test_controlled_site_side_by_side(carried_out: Any) -> None:
    """Every load changes its set-point often: energies agree, single samples need not.

    Bytes take some ten milliseconds each way, so that a sample may be seen one tick later.
    """
    direct, emulated = both(carried_out, noon("cloud_edges"), "pi")
    one, other = (np.array(energies(record)) for record in (direct, emulated))
    throughput = emulated.stream("truth")["pv.power_w"].sum() / 3600.0
    assert np.abs(one - other).max() < 0.02 * throughput
    for record in (direct, emulated):
        commands = record.stream("commands")
        sent = commands["seq"] >= 0
        assert sent.sum() > 20
        assert set(commands["status"][sent]) == {0}
        for name in ("a1", "b1", "c1"):
            acked, effective = commands[f"acked.{name}_us"], commands[f"effective.{name}_us"]
            took = effective[sent & (effective >= 0)] - commands["sent_us"][sent & (effective >= 0)]
            assert (effective[sent] >= 0).mean() > 0.9
            assert (acked[sent] >= 0).mean() > 0.9
            assert (took > 0).all()
            assert (acked[~sent] == -1).all()


def test_the_effects_of_a_broadcast_are_those_of_the_plant(carried_out: Any) -> None:
    """Coming by bytes, a set-point acts as late as one by function call does, on the average."""
    delays = []
    for record in both(carried_out, noon("clear_day"), "pi"):
        commands = record.stream("commands")
        names = [name for name in commands if name.startswith("effective.")]
        took = [commands[n] - commands["sent_us"] for n in names]
        known = [t[commands[n] >= 0] for t, n in zip(took, names, strict=True)]
        delays.append(np.concatenate(known).mean() / S)
    assert delays[1] == pytest.approx(delays[0], rel=0.1)


REPORTS = "edge: {device: {report_period_s: 10}}\n" + SITE


def test_loads_report_their_power(carried_out: Any) -> None:
    _, record = carried_out(REPORTS, policies=("always_on",))
    readings, truth = record.stream("readings"), record.stream("truth")
    for name in ("a1", "b1", "c1"):
        report_w, power_w = readings[f"load.{name}.report_w"], truth[f"load.{name}.power_w"]
        assert np.isfinite(report_w[60:]).all()
        # As old as a period and the way, so compared with where it stands still.
        steady = np.ptp(power_w[100:]) < 50.0
        assert steady
        np.testing.assert_allclose(report_w[120:], power_w[120:], atol=50.0)
        assert len(np.unique(report_w)) >= 3


def test_without_a_period_loads_report_nothing(carried_out: Any) -> None:
    _, record = carried_out(SITE)
    assert not [name for name in record.stream("readings") if name.endswith("report_w")]


CHARGERS = """
plant:
  kind: export
  loads: [{id: a1, phase: a, rated_power_w: 1000, tank: null}]
  chargers:
    - {id: one, phases: a, sessions: [{plug_in_s: 0, unplug_s: 500, energy_wh: 400}]}
    - {id: three, phases: abc, sessions: [{plug_in_s: 30, unplug_s: 550, energy_wh: 700}]}
profiles: {pv: {kind: generated, sky: partly_cloudy}}
clock: {start: 2025-06-21T12:00:00, duration_s: 600}
policies: [{kind: pi}]
limits: [{metric: export_energy, max: 100 kWh}]
"""


@pytest.mark.parametrize("policy", ["always_on", "pi"])
def test_chargers(carried_out: Any, policy: str) -> None:
    direct, emulated = both(carried_out, CHARGERS, policy)
    one, other = direct.stream("truth"), emulated.stream("truth")
    for name in ("one", "three"):
        column = f"charger.{name}.power_w"
        assert other[column].sum() == pytest.approx(one[column].sum(), rel=0.05)
        assert other[column].max() > 1000.0
    if policy == "always_on":
        for column in one:
            np.testing.assert_array_equal(other[column], one[column], err_msg=column)


BATTERY = """
plant:
  kind: export
  loads: [{id: a1, phase: a, rated_power_w: 1000, tank: null}]
  battery: {mode: MODE, max_charge_w: 5000, max_discharge_w: 4000, capacity_wh: 10000}
  pv: {curtailable: true}
profiles: {pv: {kind: generated, sky: partly_cloudy}}
clock: {start: 2025-06-21T12:00:00, duration_s: 300}
policies: [{kind: pi}]
limits: [{metric: export_energy, max: 100 kWh}]
"""


@pytest.mark.parametrize("mode", ["commanded", "local"])
def test_battery(carried_out: Any, mode: str) -> None:
    direct, emulated = both(carried_out, BATTERY.replace("MODE", mode), "pi")
    one, other = direct.stream("truth"), emulated.stream("truth")
    np.testing.assert_allclose(other["battery.power_w"], one["battery.power_w"], atol=5.0)
    assert other["battery.power_w"].min() < -1000.0
    commands = emulated.stream("commands")
    assert ("guarded.battery_w" in commands.units) == (mode == "commanded")


class StepsConfig(PolicyConfig):
    """A policy of the tests: set-points that follow a plan, whatever is read."""

    kind: Literal["steps"] = "steps"


class Steps(Policy):
    """Limits the sun to 2 kW and discharges 3 kW in the second minute, then lets both go."""

    action = "actuator_power"

    def __init__(self, config: StepsConfig, site: Any) -> None:
        self.ids = [actuator.id for actuator in site.actuators]

    def reset(self, seed: int) -> None:
        self.steps = 0

    def decide(self, observation: Any) -> np.ndarray:
        self.steps += 1
        within = 60 <= self.steps < 120
        wanted = {"a1": 500.0, "pv": 2000.0 if within else 8000.0}
        wanted["battery"] = 3000.0 if within else 0.0
        return np.array([wanted[name] for name in self.ids])


@pytest.fixture
def steps() -> Iterator[StepsConfig]:
    register(StepsConfig, Steps)
    yield StepsConfig()
    del POLICIES["steps"]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_battery_and_sun_follow_their_commands(steps: StepsConfig, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(BATTERY.replace("MODE", "commanded"))
    scenario = load_scenario(path).model_copy(update={"policies": (steps,), "rig": "emulated"})
    bench = Bench(scenario, tmp_path, measure=lambda r: {}, rig=setup_of("emulated", scenario))
    (result,) = bench.run()
    assert result.outcome.status == "completed"
    record = read_record(result.folder)
    truth, commands = record.stream("truth"), record.stream("commands")
    assert (np.abs(truth["pv.power_w"][70:118] - 2000.0) < 10.0).all()
    assert (truth["pv.power_w"][:55] > 2500.0).all()
    assert (truth["pv.power_w"][130:] > 2500.0).all()
    assert (np.abs(truth["battery.power_w"][90:118] - 3000.0) < 10.0).all()
    assert (np.abs(truth["battery.power_w"][150:]) < 10.0).all()
    # Where a device held a set-point already, nothing was written: it is confirmed all the same.
    changed = np.flatnonzero(np.diff(commands["guarded.pv_w"])) + 1
    assert len(changed) == 2
    assert (commands["effective.pv_us"][changed] > 0).all()
    assert (commands["acked.battery_us"][changed] > 0).all()


EDGE_FAULTS = SITE + "faults:\n"


def test_broadcasts_are_lost_on_both_rigs(carried_out: Any) -> None:
    text = EDGE_FAULTS + "  - {kind: broadcast_loss, probability: 1, start_s: 100, duration_s: 60}"
    for record in both(carried_out, text, "pi"):
        commands = record.stream("commands")
        t_s = commands["t_sim_us"] / S
        sent = (commands["seq"] >= 0) & (t_s > 100) & (t_s < 160)
        assert sent.any()
        assert (commands["status"][sent] == 0).all()
        for name in ("a1", "b1", "c1"):
            assert (commands[f"effective.{name}_us"][sent] == -1).all()
            assert (commands[f"acked.{name}_us"][sent] == -1).all()
        late = (commands["seq"] >= 0) & (t_s > 165)
        assert (commands["effective.a1_us"][late] > 0).any()


def test_a_coordinator_that_restarts_refuses_on_both_rigs(carried_out: Any) -> None:
    text = EDGE_FAULTS + "  - {kind: coordinator_restart, start_s: 100, duration_s: 60}"
    for record in both(carried_out, text, "pi"):
        commands = record.stream("commands")
        t_s = commands["t_sim_us"] / S
        tried = (commands["status"] >= 0) & (t_s > 100) & (t_s < 159)
        assert tried.any()
        assert (commands["status"][tried] == 2).all()
        assert (commands["seq"][tried] == -1).all()
        after = (commands["status"] >= 0) & (t_s > 165)
        assert (commands["status"][after] == 0).all()


def test_a_full_broadcast_table_is_status_1_on_both_rigs(carried_out: Any) -> None:
    site = SITE.replace("duration_s: 300", "duration_s: 120")
    text = "edge: {mesh: {broadcast_table_s: 20, broadcast_table_entries: 2}}\n" + site
    for record in both(carried_out, text, "dither"):
        commands = record.stream("commands")
        assert {0, 1} <= set(commands["status"].tolist())
        assert (commands["seq"][commands["status"] == 1] == -1).all()


METER_FAULTS = [
    "{kind: meter_freeze, start_s: 100, duration_s: 30}",
    "{kind: meter_missing, start_s: 100, duration_s: 30}",
    "{kind: meter_offset, offset_w: 500, start_s: 100, duration_s: 30}",
    "{kind: meter_wrong_sign, start_s: 100, duration_s: 30}",
]


@pytest.mark.parametrize("fault", METER_FAULTS)
def test_faults_of_the_meter_reach_the_registers(carried_out: Any, fault: str) -> None:
    direct, emulated = both(carried_out, EDGE_FAULTS + f"  - {fault}", "zero")
    assert_same_truth(direct, emulated)
    assert_same_readings(direct, emulated)


def test_a_frozen_meter_stays_stale_when_its_counters_are_read(carried_out: Any) -> None:
    """Counters are read every ten seconds: the first time they say what was before the freeze."""
    text = EDGE_FAULTS + "  - {kind: meter_freeze, start_s: 105, duration_s: 60}"
    one, other = (events(record, "staleness_start") for record in both(carried_out, text, "pi"))
    assert len(one) == len(other) == 1
    assert other[0]["t_sim_us"] == pytest.approx(one[0]["t_sim_us"], abs=0.2 * S)


#: Fault, target, whether it silences the meter so that its reading becomes stale.
BUS_FAULTS_OF_A_RUN = [
    ("bus_delay", "meter_lan", "delay_s: 0.1", False),
    ("bus_delay", "meter_lan", "delay_s: 3", True),
    ("bus_delay", "mesh", "delay_s: 0.2", False),
    ("bus_jitter", "meter_lan", "delay_s: 0.2", False),
    ("bus_drop", "meter_lan", "probability: 1", True),
    ("bus_drop", "meter_lan", "probability: 1, direction: answer", True),
    ("bus_drop", "mesh", "probability: 1", False),
    ("bus_drop", "inverter_lan", "probability: 1", False),
    ("bus_duplicate", "meter_lan", "probability: 1", False),
    ("bus_duplicate", "mesh", "probability: 1", False),
    ("bus_corrupt", "meter_lan", "probability: 0.2, part: header", False),
    ("bus_corrupt", "mesh", "probability: 0.2", False),
    ("bus_bad_crc", "mesh", "probability: 0.5", False),
    ("bus_wrong_transaction", "meter_lan", "probability: 1", True),
    ("bus_exception", "meter_lan", "probability: 1, code: 4", True),
    ("bus_exception", "meter_lan", "probability: 1, code: 6", True),
    ("bus_exception", "mesh", "probability: 0.5", False),
    ("bus_disconnect", "meter_lan", "", True),
    ("bus_disconnect", "mesh", "", False),
    ("port_vanish", "meter_lan", "", True),
    ("port_vanish", "mesh", "", False),
    ("device_reboot", "grid_meter", "", True),
    ("device_reboot", "inverter", "", False),
    ("device_reboot", "heater-a1", "", False),
    ("device_reboot", "mesh", "", False),
    ("value_stuck", "grid_meter", "", True),
    ("value_stuck", "grid_meter", "quantity: power_w", False),
    ("value_stuck", "heater-b1", "", False),
    ("bus_babble", "meter_lan", "", False),
    ("bus_babble", "mesh", "", False),
    ("slow_client", "meter_lan", "", False),
    ("slow_client", "mesh", "", False),
]


@pytest.mark.parametrize(("kind", "target", "parameters", "stale"), BUS_FAULTS_OF_A_RUN)
def test_a_run_survives_each_fault_of_a_bus(
    carried_out: Any, kind: str, target: str, parameters: str, stale: bool
) -> None:
    """Twenty seconds of a fault: the staleness rule acts where readings stand still, and ends.

    How the loop fares under longer ones is in the documentation of faults on the wire.
    """
    more = f", {parameters}" if parameters else ""
    fault = f"  - {{kind: {kind}, target: {target}, start_s: 100, duration_s: 20{more}}}"
    code, record = carried_out(EDGE_FAULTS + fault)
    assert (code, record.header.status) == (0, "completed")
    assert [e["target"] for e in events(record, "fault_start")] == [target]
    begins, ends = events(record, "staleness_start"), events(record, "staleness_end")
    assert len(begins) == len(ends)
    commands, readings = record.stream("commands"), record.stream("readings")
    t_s = commands["t_sim_us"] / S
    if stale:
        assert 104 <= begins[0]["t_sim_us"] / S <= 107
        assert ends[-1]["t_sim_us"] / S <= 152
        within = (t_s > 107) & (t_s < 119)
        assert (commands["kind"][within] == 3).all()
        assert (commands["guarded.a1_w"][within] == 0).all()
    elif target != "meter_lan":
        assert not begins
    # No value that was read is one that the meter did not have.
    power_w = readings["meter.total.power_w"]
    truth = record.stream("truth")
    grid_w = sum(truth[f"grid.{phase}.power_w"] for phase in "abc")
    known = np.isfinite(power_w)
    assert power_w[known].min() > grid_w.min() - 500.0
    assert power_w[known].max() < grid_w.max() + 500.0
    # In the end everything is as it should be.
    last = commands["status"][t_s > 160]
    assert set(last.tolist()) <= {-1, 0}
    assert readings["meter.age_s"][-1] < 2.0


def test_a_meter_that_stays_away_ends_the_run_safely(carried_out: Any) -> None:
    fault = "  - {kind: bus_disconnect, target: meter_lan, start_s: 100, duration_s: 100}"
    code, record = carried_out(EDGE_FAULTS + fault)
    assert code == 6
    assert record.header.status == "aborted"
    assert record.header.reason == "lost grid_meter: no answer for 30 s"
    assert record.header.safe_state.confirmed is True
    assert record.stream("commands")["guarded.a1_w"][-1] == 0.0


def test_a_heater_without_power_hears_no_broadcast(carried_out: Any) -> None:
    fault = "  - {kind: device_reboot, target: heater-a1, start_s: 20, duration_s: 60}"
    _, record = carried_out(EDGE_FAULTS + fault, policies=("always_on",))
    commands = record.stream("commands")
    t_s = commands["t_sim_us"] / S
    within = (commands["seq"] >= 0) & (t_s > 20) & (t_s < 78)
    assert within.any()
    assert (commands["effective.a1_us"][within] == -1).all()
    assert (commands["acked.a1_us"][within] == -1).all()
    assert (commands["effective.b1_us"][within] > 0).all()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("{kind: bus_drop, target: heater, S}", "no bus or device 'heater'; allowed: grid_meter"),
        ("{kind: bus_drop, target: meter_lam, S}", "no bus or device 'meter_lam'"),
        ("{kind: bus_bad_crc, target: meter_lan, S}", "modbus-tcp has no check in its frames"),
        ("{kind: bus_drop, target: heater-a1, S}", "allowed: target 'mesh'"),
        ("{kind: device_reboot, target: meter_lan, S}", "'meter_lan' is no emulated device"),
        (
            "{kind: value_stuck, target: grid_meter, quantity: power, S}",
            "'grid_meter' has no quantity 'power'",
        ),
        ("{kind: value_stuck, target: battery, S}", "no bus or device 'battery'"),
    ],
)
def test_faults_that_the_rig_cannot_have_are_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, said: str
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(EDGE_FAULTS + "  - " + fault.replace("S}", "start_s: 1, duration_s: 9}"))
    assert run(RunOptions(str(path), tmp_path / "out", rig="emulated"), as_json=False) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "fault 0" in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_direct_refuses_faults_of_a_bus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(EDGE_FAULTS + "  - {kind: bus_drop, target: mesh, start_s: 1, duration_s: 9}")
    assert run(RunOptions(str(path), tmp_path / "out", rig="direct"), as_json=False) == 2
    assert "rig 'direct' has no bytes" in capsys.readouterr().err
