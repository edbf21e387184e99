"""A site of which some is real: the twin follows what is measured, the witness is the truth."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.real_site import ConnectionLog, RealSite
from wattbench.sim.edge.config import EdgeConfig
from wattbench.sim.export.config import ExportPlantConfig
from wattbench.sim.export.plant import ExportPlant

S = 1_000_000
SECONDS = 60


def make_twin() -> ExportPlant:
    config = ExportPlantConfig.model_validate(
        {
            "loads": [
                {"id": "a1", "phase": "a", "rated_power_w": 2000},
                {"id": "b1", "phase": "b", "rated_power_w": 2000, "tank": None},
            ]
        }
    )
    rows = np.zeros((SECONDS + 1, 9), np.float32)
    rows[:, 1:4] = 300.0
    return ExportPlant(config, EdgeConfig(), rows, [], 1, SECONDS * S)


def columns(rows: int) -> dict[str, np.ndarray]:
    """A truth stream of a twin that knows nothing of what happens."""
    made = {"t_sim_us": np.arange(1, rows + 1) * S}
    names = ["power_w", "import_energy_wh", "export_energy_wh", "voltage_v", "current_a"]
    made |= {f"grid.{phase}.{name}": np.full(rows, 7.0) for phase in "abc" for name in names}
    made |= {f"grid.net.{name}": np.full(rows, 7.0) for name in names[1:3]}
    return made | {"pv.power_w": np.full(rows, 7.0), "pv.available_power_w": np.full(rows, 100.0)}


def test_the_witness_takes_the_place_of_the_twin() -> None:
    log = ConnectionLog(4)
    for second, power_w in enumerate((360.0, -720.0, 0.0, 36.0)):
        log.sample(second * S + 200_000, [power_w, 0.0, -36.0], [230.0, 231.0, 232.0], 50.0)
    found = columns(4)
    log.overlay(found)
    assert found["grid.a.power_w"].tolist() == [360.0, -720.0, 0.0, 36.0]
    np.testing.assert_allclose(found["grid.a.import_energy_wh"], [0.1, 0.1, 0.1, 0.11])
    np.testing.assert_allclose(found["grid.a.export_energy_wh"], [0.0, 0.2, 0.2, 0.2])
    np.testing.assert_allclose(found["grid.net.import_energy_wh"], [0.09, 0.09, 0.09, 0.09])
    np.testing.assert_allclose(found["grid.net.export_energy_wh"], [0.0, 0.21, 0.22, 0.22])
    assert found["grid.b.voltage_v"].tolist() == [231.0] * 4
    np.testing.assert_allclose(found["grid.a.current_a"], np.array([360, 720, 0, 36]) / 230.0)
    assert found["pv.power_w"].tolist() == [50.0] * 4
    assert found["pv.available_power_w"].tolist() == [100.0] * 4, "never less than was fed in"


def test_gaps_hold_the_sample_before_and_the_first_ones_the_first() -> None:
    log = ConnectionLog(6)
    for second, power_w in ((2, 10.0), (4, 20.0)):
        log.sample(second * S, [power_w] * 3, [230.0] * 3, float("nan"))
    found = columns(6)
    log.overlay(found)
    assert found["grid.c.power_w"].tolist() == [10.0, 10.0, 10.0, 10.0, 20.0, 20.0]
    assert found["pv.power_w"].tolist() == [7.0] * 6, "nobody measured the sun: the twin's"


def test_the_last_sample_of_a_second_counts() -> None:
    log = ConnectionLog(1)
    for t_us, power_w in ((0, 1.0), (400_000, 2.0), (900_000, 3.0)):
        log.sample(t_us, [power_w] * 3, [230.0] * 3, 0.0)
    found = columns(1)
    log.overlay(found)
    assert found["grid.a.power_w"].tolist() == [3.0]


def test_samples_before_and_after_the_run_are_no_part_of_it() -> None:
    log = ConnectionLog(2)
    for t_us in (-S, 5 * S, 10**12):
        log.sample(t_us, [9.0] * 3, [230.0] * 3, 0.0)
    found = columns(2)
    log.overlay(found)
    assert found["grid.a.power_w"].tolist() == [0.0, 0.0], "nothing was measured"


def test_without_voltages_those_of_the_twin_stay() -> None:
    log = ConnectionLog(2)
    log.sample(0, [100.0] * 3, [float("nan")] * 3, 0.0)
    found = columns(2)
    log.overlay(found)
    assert found["grid.a.voltage_v"].tolist() == [7.0, 7.0]
    assert found["grid.a.power_w"].tolist() == [100.0, 100.0]


def test_a_run_that_ended_before_it_began() -> None:
    log = ConnectionLog(2)
    found = columns(0)
    log.overlay(found)
    assert all(len(column) == 0 for column in found.values())


@given(
    st.lists(st.tuples(st.integers(0, 19), st.floats(-1e4, 1e4), st.floats(0, 1e4)), max_size=30),
    st.integers(0, 20),
)
def test_energies_never_shrink_and_net_is_at_most_the_phases(
    samples: list[tuple[int, float, float]], rows: int
) -> None:
    log = ConnectionLog(20)
    for second, power_w, pv_w in samples:
        log.sample(second * S, [power_w, -power_w / 2, 100.0], [230.0] * 3, pv_w)
    found = columns(rows)
    log.overlay(found)
    for name in ("import_energy_wh", "export_energy_wh"):
        net = found[f"grid.net.{name}"]
        assert (np.diff(net) >= 0).all()
        by_phase = sum(found[f"grid.{phase}.{name}"] for phase in "abc")
        assert (net <= by_phase + 1e-6).all()
    assert (found["pv.available_power_w"] >= found["pv.power_w"]).all()


def site_at(second: float) -> tuple[RealSite, ExportPlant, Any]:
    twin = make_twin()
    clock: Any = SimpleNamespace(now_us=round(second * S))
    return RealSite(twin, clock, None), twin, clock


def test_the_twin_follows_what_a_real_load_draws() -> None:
    site, twin, clock = site_at(0.0)
    twin.follow(0)
    site.advance(10 * S)
    clock.now_us = 10 * S
    site.measured(0, 1500.0)
    site.advance(11 * S)
    clock.now_us = 11 * S
    # Between two measurements it is a resistance: the first was taken at another voltage.
    site.measured(0, 1500.0)
    site.advance(30 * S)
    clock.now_us = 30 * S
    site.measured(0, -4.0)
    site.advance(40 * S)
    truth, units = site.truth()
    assert units["load.a1.power_w"] == "W"
    np.testing.assert_allclose(truth["load.a1.power_w"][11:29], 1500.0, rtol=0.01)
    assert truth["load.a1.power_w"][-1] == 0.0, "a meter's offset is no negative load"
    np.testing.assert_allclose(truth["grid.a.power_w"][15], 1800.0, rtol=0.03)
    assert truth["load.a1.temperature_c"][29] > truth["load.a1.temperature_c"][9]


def test_before_the_run_nothing_moves() -> None:
    site, _, clock = site_at(-30.0)
    site.advance(clock.now_us)
    assert site.now_us == 0
    site.measured(0, 500.0)


def test_nothing_reaches_it_but_through_devices() -> None:
    site, twin, _ = site_at(1.0)
    assert site.actuators is twin.actuators
    for call in (
        lambda: site.send(0, np.zeros(2)),
        lambda: site.reading(0),
        lambda: site.reports_w(0),
        lambda: site.acked_us(0),
        lambda: site.effective_us(0),
    ):
        with pytest.raises(NotImplementedError):
            call()
    assert site.within_safe_band() is False, "only a guardian measures that"
