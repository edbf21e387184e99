"""The whole of a site's profiles: shape, determinism, place in time."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from wattbench.sim.export.config import ExportPlantConfig
from wattbench.sim.profiles.build import build
from wattbench.sim.profiles.config import ProfilesConfig

START = datetime(2025, 6, 21, 10, tzinfo=UTC)
PLANT = ExportPlantConfig.model_validate(
    {
        "loads": [
            {"id": "a1", "phase": "a", "rated_power_w": 3000, "tank": {"draws": "XL"}},
            {"id": "b1", "phase": "b", "rated_power_w": 3000, "tank": None},
        ]
    }
)
SKIES = ["clear", "partly_cloudy", "overcast", "cloud_edges", "mixed"]


def config(sky: str = "partly_cloudy") -> ProfilesConfig:
    return ProfilesConfig.model_validate({"pv": {"kind": "generated", "sky": sky}})


def test_shape_channels_and_ranges() -> None:
    profiles = build(config(), PLANT, START, 3600, 1)
    assert profiles.values.shape == (3601, 9)
    assert profiles.values.dtype == np.float32
    assert profiles.values.flags.c_contiguous
    assert profiles.channels[0] == "pv.power_per_peak"
    assert profiles.channels[3] == "household.c.power_w"
    assert profiles.channels[4] == "household.a.reactive_power_var"
    assert profiles.channels[7:] == ("load.a1.draw_w", "load.b1.draw_w")
    assert np.isfinite(profiles.values).all()
    assert profiles.values.min() >= 0.0
    assert profiles.values[:, 0].max() < 1.3
    assert profiles.values[:, 7].max() > 0.0
    assert profiles.values[:, 8].max() == 0.0


@pytest.mark.parametrize("sky", SKIES)
def test_same_seed_same_bytes_other_seed_others(sky: str) -> None:
    one, again, other = (build(config(sky), PLANT, START, 1800, seed) for seed in (1, 1, 2))
    assert one.values.tobytes() == again.values.tobytes()
    assert one.hash() == again.hash() != other.hash()
    assert (one.values[:, 0] != other.values[:, 0]).any()


@pytest.mark.parametrize("sky", ["partly_cloudy", "mixed"])
def test_a_longer_run_begins_the_same(sky: str) -> None:
    short = build(config(sky), PLANT, START, 3600, 1)
    longer = build(config(sky), PLANT, START, 30 * 3600, 1)
    np.testing.assert_array_equal(longer.values[:3601], short.values)


def test_a_later_start_sees_the_same_day() -> None:
    whole = build(config(), PLANT, START, 7200, 1)
    later = build(config(), PLANT, START.replace(hour=11), 3600, 1)
    np.testing.assert_allclose(later.values, whole.values[3600:], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    "start", [datetime(2025, 3, 29, 23, tzinfo=UTC), datetime(2025, 10, 25, 22, tzinfo=UTC)]
)
def test_days_of_a_clock_change_are_built(start: datetime) -> None:
    profiles = build(config(), PLANT, start, 25 * 3600, 1)
    assert np.isfinite(profiles.values).all()
    noon = int(np.argmax(build(config("clear"), PLANT, start, 25 * 3600, 1).values[:, 0]))
    sun_utc_h = (start.hour + noon / 3600) % 24
    assert 10.3 < sun_utc_h < 12.0  # the sun does not change its clock


def test_a_plant_without_pv_and_a_constant_household() -> None:
    plant = PLANT.model_copy(update={"pv": PLANT.pv.model_copy(update={"peak_power_w": 0.0})})
    tree = {"household": {"kind": "constant", "power_b_w": "1.2 kW", "power_factor": 0.8}}
    profiles = build(ProfilesConfig.model_validate(tree), plant, START, 60, 1)
    assert (profiles.values[:, 0] == 0.0).all()
    assert (profiles.values[:, 2] == 1200.0).all()
    np.testing.assert_allclose(profiles.values[:, 5], 900.0, rtol=1e-6)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        build(config(), PLANT, START.replace(tzinfo=None), 60, 1)
    with pytest.raises(ValueError, match="at least 1"):
        build(config(), PLANT, START, 0, 1)


def test_logs_are_found_beside_the_scenario(tmp_path: Path) -> None:
    stamps = [
        f"2025-06-21T{hour:02d}:{minute:02d}:00Z" for hour in (10, 11) for minute in range(60)
    ]
    lines = ["time,pv,load"] + [f"{stamp},4500,600" for stamp in stamps]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    tree = {
        "pv": {"kind": "file", "path": "log.csv", "column": "pv"},
        "household": {"kind": "file", "path": "log.csv", "column": "load"},
    }
    profiles = build(ProfilesConfig.model_validate(tree), PLANT, START, 3600, 1, folder=tmp_path)
    np.testing.assert_allclose(profiles.values[:, 0], 0.5, rtol=1e-6)
    np.testing.assert_allclose(profiles.values[:, 1:4], 200.0, rtol=1e-6)
    np.testing.assert_allclose(profiles.values[:, 4:7], 200.0 * np.tan(np.arccos(0.95)), rtol=1e-6)
    assert [report.findings for report in profiles.reports] == [[], []]
