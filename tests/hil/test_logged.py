"""A log as a loop would have met it: the same decisions as from the record; never the future."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.agents.agent import Agent
from wattbench.agents.policy import SiteInfo
from wattbench.evaluation.metrics import measure
from wattbench.evaluation.record import Record, read_record
from wattbench.hil.assembly import site_info
from wattbench.hil.bench import Bench
from wattbench.hil.counterfactual import decide_open_loop, observed_by, stale_steps
from wattbench.hil.logged import aligned, first_step_us
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.model import Scenario
from wattbench.sim import plant as plants
from wattbench.sim.edge.meter import METER_FIELDS, POWER_TOTAL
from wattbench.sim.points import Actuator
from wattbench.sim.profiles.findings import ProfileError
from wattbench.sim.profiles.site_format import SiteLogFormat
from wattbench.sim.profiles.site_log import Command, SiteLog, read_site_log

SITE = """
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 2 kW}
    - {id: a2, phase: a, rated_power_w: 1 kW}
    - {id: c1, phase: c, rated_power_w: 1.5 kW}
profiles: {pv: {kind: generated, sky: cloud_edges}}
clock: {start: 2025-06-21T12:00:00, duration_s: 4 min}
policies: [{kind: pi}, {kind: smith}]
faults: [{kind: meter_missing, start_s: 60, duration_s: 60, probability: 0.5}]
limits: [{metric: safety_violations, max: 0}]
"""
S = 1_000_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, Record]:
    folder = tmp_path_factory.mktemp("logged")
    (folder / "site.yaml").write_text(SITE)
    scenario = load_scenario(folder / "site.yaml")
    results = Bench(scenario, folder / "runs", measure=measure).run()
    return scenario, read_record(results[0].folder)


def write_log(record: Record, folder: Path) -> None:
    """Write the log that a master would have kept: each sample once, each command that left."""
    start = dt.datetime.fromisoformat(record.header.start_utc)
    readings, commands = record.stream("readings"), record.stream("commands")

    def stamp(t_us: int) -> str:
        return (start + dt.timedelta(microseconds=int(t_us))).isoformat(timespec="microseconds")

    columns = {f"grid_power_{p}": f"meter.{p}.power_w" for p in "abc"}
    columns |= {"grid_power_total": "meter.total.power_w", "pv_power": "meter.pv.power_w"}
    columns |= {f"grid_voltage_{p}": f"meter.{p}.voltage_v" for p in "abc"}
    columns |= {f"grid_current_{p}": f"meter.{p}.current_a" for p in "abc"}
    new = (readings["meter.age_s"] == 0) & (readings["meter.quality"] != 2)
    with (folder / "meter.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", *columns])
        for row in np.flatnonzero(new):
            values = [repr(float(readings[name][row])) for name in columns.values()]
            writer.writerow([stamp(readings["t_sim_us"][row]), *values])
    with (folder / "zigbee.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", "command", "target_devices", "ack_received"])
        for row in np.flatnonzero(commands["status"] == 0):
            a1, a2, c1 = (float(commands[f"guarded.{name}_w"][row]) for name in ("a1", "a2", "c1"))
            text = json.dumps([[a1, a2], [], [c1]])
            writer.writerow([stamp(commands["sent_us"][row]), text, "all", "true"])


def site_of(scenario: Scenario) -> SiteInfo:
    return site_info(scenario, plants.PLANTS["export"].actuators(scenario.plant, scenario.edge))


@pytest.mark.parametrize("kind", ["pi", "smith"])
def test_a_log_of_a_run_leads_to_the_same_decisions_as_its_record(run, tmp_path, kind) -> None:
    scenario, record = run
    write_log(record, tmp_path)
    (policy,) = [p for p in scenario.policies if p.label == kind]
    site = site_of(scenario)

    observed, recorded = observed_by(record, ["a1", "a2", "c1"])
    agent = Agent(policy, site)
    agent.reset(1)
    stale = stale_steps(record, observed, recorded, policy.max_age_s)
    of_record = decide_open_loop(agent, observed, stale)

    log = read_site_log([tmp_path], SiteLogFormat(), "Europe/Berlin")
    start = dt.datetime.fromtimestamp(first_step_us(log) / 1e6, dt.UTC)
    begins_us = round((start - dt.datetime.fromisoformat(record.header.start_utc)).total_seconds())
    seen, commanded = aligned(log, site_info_at(site, start))
    agent = Agent(policy, site_info_at(site, start))
    agent.reset(1)
    of_log = decide_open_loop(agent, seen, seen.stale(policy.max_age_s))

    # The log begins with the first sample; what was sent before it nobody logged.
    rows = slice(begins_us, begins_us + len(seen.t_us))
    np.testing.assert_array_equal(seen.age_s, observed.age_s[rows])
    np.testing.assert_array_equal(of_log.decided_w, of_record.decided_w[rows])
    np.testing.assert_array_equal(of_log.guarded_w, of_record.guarded_w[rows])
    known = ~np.isnan(commanded.guarded_w).any(axis=1)
    assert known.sum() > 200
    np.testing.assert_array_equal(commanded.guarded_w[known], recorded.guarded_w[rows][known])


def site_info_at(site: SiteInfo, start: dt.datetime) -> SiteInfo:
    return dataclasses.replace(site, start=start.astimezone(site.start.tzinfo))


def actuator(name: str, phase: int) -> Actuator:
    shares = tuple(1.0 if k == phase else 0.0 for k in range(3))
    return Actuator(name, "load", shares, 0.0, 2000.0, 0.0, 10.0, 0.0, 0.0, 0.0, "")  # type: ignore[arg-type]


def make_log(stamps_us: list[int], commands: list[tuple[int, Any]] = ()) -> SiteLog:  # type: ignore[assignment]
    """Return a log whose total power is the number of its row."""
    values = np.zeros((len(stamps_us), METER_FIELDS))
    values[:, POWER_TOTAL] = np.arange(len(stamps_us))
    logged = tuple(Command(t, power_w, Path("c.csv"), 2, "then") for t, power_w in commands)
    return SiteLog(np.array(stamps_us, dtype=np.int64), values, logged, np.zeros(0))


TWO = SiteInfo((actuator("a1", 0), actuator("b1", 1)))


@given(
    st.lists(st.integers(0, 60 * S), min_size=2, max_size=80, unique=True).map(sorted),
    st.sampled_from([0.2, 1.0, 5.0]),
)
def test_a_step_sees_the_last_row_at_or_before_it(stamps_us: list[int], period_s: float) -> None:
    site = dataclasses.replace(TWO, control_period_s=period_s)
    log = make_log(stamps_us)
    observed, _ = aligned(log, site)
    origin_us = first_step_us(log)
    assert origin_us % S == 0
    for step, t_us in enumerate(observed.t_us.tolist()):
        now_us = origin_us + t_us
        row = max((k for k, at_us in enumerate(stamps_us) if at_us <= now_us), default=None)
        if row is None:  # the only step of a log that ends before the first whole second
            pytest.fail("a step before the first row")
        assert observed.values[step, POWER_TOTAL] == row
        assert observed.age_s[step] == pytest.approx((now_us - stamps_us[row]) / S, abs=1e-9)


@given(st.lists(st.integers(0, 30 * S), max_size=20).map(sorted), st.integers(0, 1000))
def test_a_command_stands_from_the_step_in_which_it_left(sent_us: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    watts = rng.integers(0, 2000, len(sent_us)).tolist()
    commands = [(t, ((float(w),), (1.0,), ())) for t, w in zip(sent_us, watts, strict=True)]
    log = make_log([5 * S, 6 * S, 30 * S], commands)
    observed, recorded = aligned(log, TWO)
    for step, t_us in enumerate(observed.t_us.tolist()):
        until_us = 5 * S + t_us + S  # the end of this step
        before = [w for t, w in zip(sent_us, watts, strict=True) if t < until_us]
        standing = recorded.guarded_w[step, 0]
        assert np.isnan(standing) if not before else standing == before[-1]


def test_what_is_decided_does_not_depend_on_later_rows() -> None:
    log = make_log([S, 2 * S, 3 * S, 4 * S])
    shorter = make_log([S, 2 * S])
    long, short = aligned(log, TWO)[0], aligned(shorter, TWO)[0]
    np.testing.assert_array_equal(long.values[:2], short.values)
    np.testing.assert_array_equal(long.age_s[:2], short.age_s)


def test_a_command_for_another_site_is_refused_with_its_row() -> None:
    log = make_log([S, 2 * S], [(S, ((1.0, 2.0), (3.0,), ()))])
    with pytest.raises(ProfileError, match=r"c\.csv:2: then: the command has 2 loads on phase a"):
        aligned(log, TWO)
