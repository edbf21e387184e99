"""What a site's configuration refuses, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from wattbench.sim.edge.config import EdgeConfig
from wattbench.sim.export.config import ExportPlantConfig

LOAD = {"id": "a1", "phase": "a", "rated_power_w": "2 kW"}


def load(**more: Any) -> dict[str, Any]:
    return {"loads": [LOAD | more]}


def charger(**more: Any) -> dict[str, Any]:
    return {"loads": [LOAD], "chargers": [{"id": "ev"} | more]}


@pytest.mark.parametrize(
    ("config", "place", "message"),
    [
        ({"loads": []}, "loads", "at least 1 item"),
        (load(phase="abc"), "loads.0.phase", "'a', 'b' or 'c'"),
        (load(id="A 1"), "loads.0.id", "match pattern"),
        (load(rated_power_w="2 kWh"), "loads.0.rated_power_w", "wrong unit 'kWh'"),
        (load(rated_power_w=0), "loads.0.rated_power_w", "greater than 0"),
        (load(resolution_w=2001), "loads.0", "resolution_w must not exceed rated_power_w"),
        (load(min_on_s=-1), "loads.0.min_on_s", "greater than or equal to 0"),
        (load(ramp="1 s"), "loads.0.ramp", "Extra inputs"),
        (load(tank={"thermostat_c": 90}), "loads.0.tank", "thermostat_c must lie below cut_out_c"),
        (load(tank={"comfort_c": 75}), "loads.0.tank", "comfort_c must lie below thermostat_c"),
        (
            load(tank={"comfort_c": 20, "cold_water_c": 20}),
            "loads.0.tank",
            "cold_water_c must lie below comfort_c",
        ),
        (
            load(tank={"initial_c": 85, "initial_spread_k": 5}),
            "loads.0.tank",
            "initial_c \\+ initial_spread_k must lie below cut_out_c",
        ),
        (
            load(tank={"volume_l": 1, "standing_loss_w_per_k": 500}),
            "loads.0.tank",
            "standing_loss_w_per_k must not exceed 419 for 1.0 L",
        ),
        ({"loads": [LOAD, LOAD]}, "", "id 'a1' is used twice; allowed"),
        (load(id="pv"), "", "id 'pv' is reserved"),
        (load(id="battery"), "", "is reserved"),
        ({"loads": [LOAD | {"id": f"a{n}"} for n in range(5)]}, "", "at most 4 loads a phase"),
        ({"loads": [LOAD], "chargers": [{"id": "a1"}]}, "", "id 'a1' is used twice"),
        (charger(max_current_a=40), "chargers.0.max_current_a", "less than or equal to 32"),
        (charger(min_current_a=5), "chargers.0.min_current_a", "greater than or equal to 6"),
        (
            charger(min_current_a=17),
            "chargers.0",
            "min_current_a must not exceed max_current_a \\(16",
        ),
        (
            charger(sessions=[{"plug_in_s": 5, "unplug_s": 5.9, "energy_wh": 1}]),
            "chargers.0.sessions.0",
            "later than plug_in_s by at least 1 s",
        ),
        (
            charger(
                sessions=[
                    {"plug_in_s": "1 h", "unplug_s": "2 h", "energy_wh": 1},
                    {"plug_in_s": 0, "unplug_s": "61 min", "energy_wh": 1},
                ]
            ),
            "chargers.0",
            "sessions must not overlap",
        ),
        (
            {
                "loads": [LOAD],
                "battery": {
                    "capacity_wh": 1,
                    "max_charge_w": 1,
                    "max_discharge_w": 1,
                    "initial_soc": 0.05,
                },
            },
            "battery",
            "initial_soc must lie in soc_min",
        ),
        (
            {"loads": [LOAD], "pv": {"volt_watt": {"start_v": 255, "end_v": 255}}},
            "pv.volt_watt",
            "end_v must exceed start_v",
        ),
        ({"loads": [LOAD], "pv": {"power_factor": 0.5}}, "pv.power_factor", "greater than or"),
    ],
)
def test_mistake_is_named_with_its_place(config: dict, place: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        ExportPlantConfig(**config)
    places = [".".join(map(str, error["loc"])) for error in caught.value.errors()]
    # A tuple without its one bad element counts as too short as well.
    assert places[0] == place
    assert set(places) <= {place, "loads"}


@pytest.mark.parametrize(
    ("config", "place", "message"),
    [
        ({"meter": {"period_s": 1.1}}, "meter", "period_s must be a multiple of the step"),
        ({"meter": {"window_s": 0.5}}, "meter", "window_s must be a multiple of the step"),
        ({"meter": {"window_s": 2}}, "meter", "window_s must not exceed period_s"),
        ({"meter": {"delay_s": 11}}, "meter.delay_s", "less than or equal to 10"),
        ({"mesh": {"broadcast_table_entries": 9}}, "mesh.broadcast_table_entries", "less than"),
        ({"mesh": {"loss_good": "120 %"}}, "mesh.loss_good", "less than or equal to 1"),
        (
            {"mesh": {"route_repair_min_s": 2}},
            "mesh",
            "route_repair_min_s must not exceed route_repair_max_s",
        ),
        (
            {"device": {"report_period_s": 1, "report_latency_s": 2}},
            "device",
            "report_latency_s must not exceed report_period_s",
        ),
        ({"device": {"watchdog_s": 0}}, "device.watchdog_s", "greater than or equal to 1"),
    ],
)
def test_mistake_of_the_edge_is_named_with_its_place(config, place, message) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        EdgeConfig(**config)
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [place]


def test_periods_and_windows_on_the_grid_are_fine() -> None:
    for steps in range(1, 301):
        EdgeConfig(meter={"period_s": 0.2 * steps, "window_s": steps / 5})


def test_most_of_everything_fits(lab) -> None:
    """Twelve loads, four chargers, a battery and a limited inverter in one kernel."""
    config = ExportPlantConfig(
        pv={"curtailable": True},
        loads=[LOAD | {"id": f"{p}{n}", "phase": p} for p in "abc" for n in range(4)],
        chargers=[
            {
                "id": f"ev{n}",
                "phases": phases,
                "sessions": [
                    {"plug_in_s": 10 * s, "unplug_s": 10 * s + 8, "energy_wh": 50} for s in range(4)
                ],
            }
            for n, phases in enumerate(("a", "b", "c", "abc"))
        ],
        battery={
            "capacity_wh": 5000,
            "max_charge_w": 2000,
            "max_discharge_w": 2000,
            "mode": "commanded",
        },
    )
    batch = lab.SiteBatch(config, EdgeConfig(), lab.profile(60, 12), [], [1, 2, 3])
    batch.send(0, batch.get("high_w"))
    batch.advance(60_000_000)
    assert batch.get("high_w").shape == (18, 3)
    assert (batch.get("charger_unserved_j") > 0).all()
    assert (batch.get("duty") > 0).any(axis=1).sum() == 12
