"""Sites to test agents on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from wattbench.agents.feature_names import FEATURES
from wattbench.agents.policy import Observation, SiteInfo
from wattbench.sim.points import Actuator

_SHARES = {"a": (1.0, 0.0, 0.0), "b": (0.0, 1.0, 0.0), "c": (0.0, 0.0, 1.0)}
_THIRDS = (1 / 3, 1 / 3, 1 / 3)


def make_load(
    name: str, high_w: float = 1500.0, resolution_w: float = 10.0, **times: float
) -> Actuator:
    """A load on the phase that its name begins with."""
    return Actuator(
        name,
        "load",
        _SHARES[name[0]],
        0.0,
        high_w,
        0.0,
        resolution_w,
        times.get("min_on_s", 0.0),
        times.get("min_off_s", 0.0),
        0.0,
        "overheats",
    )


def make_charger(name: str, phases: str = "abc", hold_s: float = 60.0) -> Actuator:
    """A charger of 6 … 16 A."""
    ampere_w = 230.0 * len(phases)
    shares = _THIRDS if phases == "abc" else _SHARES[phases]
    return Actuator(
        name,
        "charger",
        shares,
        0.0,
        16 * ampere_w,
        6 * ampere_w,
        ampere_w,
        hold_s,
        hold_s,
        0.0,
        "-",
    )


BATTERY = Actuator("battery", "battery", _THIRDS, -3000.0, 2000.0, 0.0, 1.0, 0.0, 0.0, 0.0, "-")
PV_LIMIT = Actuator("pv", "pv_limit", _THIRDS, 0.0, 8000.0, 0.0, 1.0, 0.0, 0.0, 8000.0, "-")


@pytest.fixture
def load() -> Callable[..., Actuator]:
    return make_load


@pytest.fixture
def charger() -> Callable[..., Actuator]:
    return make_charger


@pytest.fixture
def nine_loads() -> SiteInfo:
    """Three loads of 1500 W on each phase."""
    return SiteInfo(tuple(make_load(f"{phase}{k}") for phase in "abc" for k in (1, 2, 3)))


@pytest.fixture
def everything() -> SiteInfo:
    """Loads, both sorts of chargers, a commanded battery and a PV limit."""
    loads = (make_load("a1"), make_load("a2", 2000.0), make_load("b1", 1000.0, 1000.0))
    chargers = (make_charger("car", hold_s=0.0), make_charger("van", "c", hold_s=0.0))
    return SiteInfo((*loads, *chargers, BATTERY, PV_LIMIT))


@pytest.fixture
def observation() -> Callable[..., Observation]:
    """Build an observation from named positions of the feature vector."""

    def build(
        t_s: float = 0.0, step: int = 0, actuators: int = 9, **features: float
    ) -> Observation:
        from wattbench.agents.feature_names import feature_indices

        values = np.zeros(FEATURES)
        for name, value in features.items():
            values[feature_indices([name])[0]] = value
        return Observation(round(t_s * 1e6), step, 0.0, values, np.zeros(actuators))

    return build
