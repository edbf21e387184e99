"""One site or many, one thread or two, one step or a thousand: the same bits."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from wattbench.sim.edge.config import DeviceConfig, EdgeConfig, MeshConfig, MeterConfig
from wattbench.sim.export.batch import SiteBatch
from wattbench.sim.export.config import (
    Battery,
    EvCharger,
    EvSession,
    ExportPlantConfig,
    Load,
    Pv,
    Tank,
    VoltWatt,
)
from wattbench.sim.export.layout import FLAG_HEATING, FLAG_THERMOSTAT
from wattbench.sim.export.plant import ExportPlant
from wattbench.sim.export.work import TILE
from wattbench.sim.faults import (
    BroadcastLoss,
    ClockStep,
    CoordinatorRestart,
    ExtraDelay,
    LoadStuckOff,
    LoadStuckOn,
    LoadVanished,
    MeterFreeze,
    MeterMissing,
    MeterOffset,
    MeterWrongSign,
)

S = 1_000_000
SECONDS = 150
PROFILES = 3

CONFIG = ExportPlantConfig(
    pv=Pv(
        phases="a",
        power_factor=0.95,
        volt_watt=VoltWatt(start_v=235, end_v=245),
        curtailable=True,
    ),
    loads=tuple(
        Load(
            id=f"{phase}{number}",
            phase=phase,
            rated_power_w=1500 + 100 * number,
            min_on_s=7 * number,
            min_off_s=5 * number,
            tank=Tank(
                volume_l=3,
                initial_c=55,
                thermostat_c=60,
                comfort_c=57,
                autonomous_heating=number == 1,
            ),
        )
        for phase in "abc"
        for number in range(3)
    ),
    battery=Battery(capacity_wh=50, max_charge_w=1500, max_discharge_w=1500, phases="b"),
    chargers=(
        EvCharger(
            id="ev",
            min_on_s=10,
            sessions=(
                EvSession(plug_in_s=5, unplug_s=60, energy_wh=60),
                EvSession(plug_in_s=60, unplug_s=140, energy_wh=900),
            ),
        ),
    ),
)
EDGE = EdgeConfig(
    meter=MeterConfig(delay_s=1.3, window_s=0.6),
    mesh=MeshConfig(loss_good=0.05, dwell_good_s=20, route_repair_probability=0.1),
    device=DeviceConfig(watchdog_s=20, report_period_s=5),
)
FAULTS = [
    MeterFreeze(start_s=10, duration_s=5),
    MeterMissing(start_s=20, duration_s=20, probability=0.5),
    MeterOffset(start_s=30, duration_s=20, offset_w=100),
    MeterWrongSign(start_s=45, duration_s=10),
    ClockStep(start_s=60, duration_s=20, step_s=-7.5),
    BroadcastLoss(start_s=50, duration_s=20, probability=0.5),
    ExtraDelay(start_s=80, duration_s=15, delay_s=2.2),
    CoordinatorRestart(start_s=100, duration_s=6.5),
    LoadStuckOn(load="a1", start_s=20, duration_s=50),
    LoadStuckOff(load="b0", start_s=40, duration_s=50),
    LoadVanished(load="c2", start_s=60, duration_s=40),
]


def profiles() -> np.ndarray:
    rng = np.random.default_rng(5)
    rows = np.zeros((PROFILES, SECONDS + 60, 7 + len(CONFIG.loads)), dtype=np.float32)
    rows[..., 0] = rng.random(rows.shape[:2]) * 1.1
    rows[..., 1:4] = rng.uniform(0, 2500, (*rows.shape[:2], 3))
    rows[..., 4:7] = rng.uniform(-300, 700, (*rows.shape[:2], 3))
    draws_w = rng.uniform(0, 20_000, rows[..., 7:].shape)
    rows[..., 7:] = np.where(rng.random(draws_w.shape) < 0.08, draws_w, 0)
    return rows


def commands(sites: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(time in µs, set-points [actuator, site], who sends), each site its own."""
    rng = np.random.default_rng(6)
    plan = []
    for at_s in np.arange(1, SECONDS - 1, 0.9):
        t_us = int(at_s * S) + int(rng.integers(0, S // 2))
        power_w = rng.uniform(-500, 4000, (len(CONFIG.loads) + 2, sites))
        power_w[-2] *= 3
        plan.append((t_us, power_w, rng.random(sites) < 0.8))
    return plan


def assignment(sites: int) -> tuple[np.ndarray, np.ndarray]:
    """Which profile each site follows, and from which row on."""
    rng = np.random.default_rng(7)
    return rng.integers(0, PROFILES, sites), rng.integers(0, 50, sites)


def run(members: np.ndarray, of: int, trace: bool = False):
    """Run some ``members`` of a batch ``of`` so many sites; return the batch and its readings."""
    which, first = assignment(of)
    batch = SiteBatch(
        CONFIG,
        EDGE,
        profiles(),
        FAULTS,
        [1000 + int(member) for member in members],
        which[members],
        first[members],
    )
    if trace:
        batch.record_truth(SECONDS)
    seen, answers = [], []
    for t_us, power_w, who in commands(of):
        batch.advance(t_us)
        values, sampled_us, published_us = batch.readings(t_us)
        there = published_us >= 0
        seen.append([values * there, np.where(there, sampled_us, 0) * 1.0, published_us * 1.0])
        batch.send(t_us, np.ascontiguousarray(power_w[:, members]), who[members].copy())
        answers.append({name: batch.get(name) for name in ("status", "ack_us", "effective_us")})
    batch.advance(SECONDS * S)
    return batch, seen, answers


@pytest.fixture(scope="module")
def many():
    return run(np.arange(300), 300)


def assert_same_state(one: SiteBatch, many: SiteBatch, member: int, column: int = 0) -> None:
    for name, (matrix, _, count) in many.layout.fields.items():
        # Marks of the trace and the last reading are kept for a bench of one only.
        if matrix in ("x", "k") and count and not name.startswith(("trace", "reading")):
            left, right = one.get(name)[:, column], many.get(name)[:, member]
            assert left.tobytes() == right.tobytes(), name


@pytest.mark.parametrize("member", [0, 1, TILE - 1, TILE, 2 * TILE - 1, 2 * TILE, 299])
def test_a_site_alone_is_bitwise_the_site_in_a_batch(many, member: int) -> None:
    batch, seen, answers = many
    alone, alone_seen, alone_answers = run(np.array([member]), 300)
    assert_same_state(alone, batch, member)
    for mine, theirs in zip(alone_seen, seen, strict=True):
        for left, right in zip(mine, theirs, strict=True):
            assert left[..., 0].tobytes() == right[..., member].tobytes()
    for mine, theirs in zip(alone_answers, answers, strict=True):
        for name, left in mine.items():
            assert left[:, 0].tobytes() == theirs[name][:, member].tobytes(), name


def test_the_run_that_is_compared_has_something_of_everything(many) -> None:
    batch, _, answers = many
    assert {int(v) for answer in answers for v in np.unique(answer["status"])} == {0, 1, 2}
    for flag in (FLAG_THERMOSTAT, FLAG_HEATING):
        assert (batch.get("flags") & flag).max() > 0
    for name in ("battery_charge_j", "battery_discharge_j", "report_new_w"):
        assert batch.get(name).max() > 0, name
    assert batch.get("charger_unserved_j").max() > 0
    assert batch.get("unserved_j").max() > 0
    assert (np.ptp(batch.get("temperature_c"), axis=1) > 1).all()
    assert np.isfinite(batch.x).all()


@pytest.mark.parametrize("sites", [2, TILE, TILE + 1, 200])
def test_batches_of_other_sizes_agree(many, sites: int) -> None:
    batch, _, _ = many
    members = np.arange(300 - sites, 300)
    part, _, _ = run(members, 300)
    for column in (0, sites // 2, sites - 1):
        assert_same_state(part, batch, int(members[column]), column)


def test_number_of_threads_changes_nothing(many) -> None:
    batch, _, _ = many
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        single, _, _ = run(np.arange(300), 300)
    finally:
        numba.set_num_threads(before)
    assert single.x.tobytes() == batch.x.tobytes()
    assert single.k.tobytes() == batch.k.tobytes()


def test_truth_of_a_batch_is_that_of_its_first_site() -> None:
    alone, _, _ = run(np.array([0]), 300, trace=True)
    batch, _, _ = run(np.arange(300), 300, trace=True)
    assert np.asarray(alone.trace).any()
    assert batch.trace.tobytes() == alone.trace.tobytes()


# The bench's view.


def bench(seed: int, chunks_us: list[int] | None = None, look: bool = False) -> ExportPlant:
    plant = ExportPlant(CONFIG, EDGE, profiles()[0], FAULTS, seed, SECONDS * S)
    stops = {t_us: power_w[:, 0] for t_us, power_w, _ in commands(1)}
    for t_us in sorted({*stops, *(chunks_us or []), SECONDS * S}):
        plant.advance(t_us)
        if look:
            plant.reading(t_us)
            plant.reports_w(t_us)
        if t_us in stops:
            plant.send(t_us, stops[t_us])
    return plant


def truth_bytes(plant: ExportPlant) -> bytes:
    return b"".join(column.tobytes() for column in plant.truth()[0].values())


def test_bench_of_one_is_the_batch_with_the_same_seed() -> None:
    plant = bench(1000)
    batch = SiteBatch(CONFIG, EDGE, profiles(), FAULTS, list(range(1000, 1300)))
    for t_us, power_w, _ in commands(1):
        batch.advance(t_us)
        batch.send(t_us, np.repeat(power_w, 300, axis=1))
    batch.advance(SECONDS * S)
    assert_same_state(plant.batch, batch, 0)


def test_chunks_of_any_size_give_the_same_trace() -> None:
    rng = np.random.default_rng(8)
    whole = truth_bytes(bench(4))
    for _ in range(5):
        chunks = rng.integers(0, SECONDS * S, 400).tolist()
        assert truth_bytes(bench(4, chunks, look=True)) == whole
    every_step = list(range(0, SECONDS * S, 200_000))
    assert truth_bytes(bench(4, every_step, look=True)) == whole


def test_same_seed_same_bytes_and_another_seed_others() -> None:
    first = truth_bytes(bench(9))
    assert truth_bytes(bench(9)) == first
    assert truth_bytes(bench(10)) != first


def test_copying_the_state_and_going_on_gives_the_same(many) -> None:
    """Snapshot and restore are two copies."""
    batch, _, _ = run(np.arange(130), 300)
    x, k, now_us = batch.x.copy(), batch.k.copy(), batch.now_us
    batch.advance((SECONDS + 30) * S)
    after = batch.x.tobytes(), batch.k.tobytes()
    batch.x[:], batch.k[:] = x, k
    batch.now_us = now_us
    batch.advance((SECONDS + 30) * S)
    assert (batch.x.tobytes(), batch.k.tobytes()) == after


def test_profiles_must_fit_the_site() -> None:
    with pytest.raises(ValueError, match="have 15 channels, this site needs 16"):
        SiteBatch(CONFIG, EDGE, np.zeros((10, 15), np.float32), [], [1])


def test_fields_are_read_and_written_whole() -> None:
    batch = SiteBatch(CONFIG, EDGE, profiles(), [], list(range(300)))
    assert batch.get("rated_w").shape == (9, 300)
    assert ([load.rated_power_w for load in CONFIG.loads] == batch.get("rated_w").T).all()
    new = np.random.default_rng(1).uniform(20, 50, (9, 300))
    batch.put("temperature_c", new)
    np.testing.assert_array_equal(batch.get("temperature_c"), new)
    batch.put("temperature_c", 33.0)
    assert (batch.get("temperature_c") == 33).all()
