"""The delay budget, measured where a policy meets it: at the meter's answer, once a second.

A command step is decided from the reading at a tick and sent 20 ms later. The site that the
package is modelled on shows nothing for 1–2 s, a first effect at about 3 s, all of it at about 5 s.
"""

from __future__ import annotations

import numpy as np
import pytest

from wattbench.sim.edge.config import EdgeConfig
from wattbench.sim.export.config import Connection, ExportPlantConfig, Load
from wattbench.sim.export.plant import ExportPlant

S = 1_000_000
SEEDS = 300
DECIDED_S = 20
DECISION_DELAY_US = 20_000


@pytest.fixture(scope="module")
def responses() -> np.ndarray:
    """Share of the whole effect that the reading shows k seconds after the decision [seed, k]."""
    # Without impedance, so that the step alone moves the meter.
    connection = Connection(
        line_resistance_ohm=0, line_reactance_ohm=0, neutral_resistance_ohm=0,
        neutral_reactance_ohm=0,
    )  # fmt: skip
    config = ExportPlantConfig(
        connection=connection, loads=(Load(id="a1", phase="a", rated_power_w=2000),)
    )
    rows = np.zeros((61, 8), dtype=np.float32)
    result = np.empty((SEEDS, 12))
    for seed in range(SEEDS):
        plant = ExportPlant(config, EdgeConfig(), rows, [], seed, 60 * S)
        for second in range(DECIDED_S + 12):
            t_us = second * S
            plant.advance(t_us)
            reading = plant.reading(t_us)
            if second == DECIDED_S:
                plant.advance(t_us + DECISION_DELAY_US)
                _, status = plant.send(t_us + DECISION_DELAY_US, np.array([2000.0]))
                assert status == 0
            if second >= DECIDED_S:
                result[seed, second - DECIDED_S] = reading.values[0] / 2000
    return result


def test_nothing_happens_for_two_seconds(responses) -> None:
    # Less than 1 % is the meter's noise of 3 W.
    assert np.abs(responses[:, :3]).max() < 0.01


def test_first_effect_at_three_seconds(responses) -> None:
    share = (responses[:, 3] > 0.05).mean()
    assert share > 0.95, share
    assert np.median(responses[:, 3]) < 0.5


def test_whole_effect_at_five_seconds_and_not_before(responses) -> None:
    share = (responses[:, 5] >= 0.95).mean()
    assert share > 0.95, share
    assert (responses[:, 4] < 0.95).mean() > 0.95


def test_what_is_later_is_a_repaired_route_or_a_lost_message(responses) -> None:
    late = responses[:, 5] < 0.95
    lost = responses[:, 11] < 0.5
    assert lost.mean() < 0.03
    assert (responses[~lost, 8] >= 0.95).all()
    # 2 % of the messages wait for a route, 0.3 % and a little are lost.
    assert 0.0 < late.mean() < 0.05
