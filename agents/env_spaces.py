"""What the environment's observations and actions can be: bounds of both spaces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from ..sim.edge.config import EdgeConfig
from ..sim.export.config import ExportPlantConfig
from ..sim.faults import ClockStep, FaultConfig, MeterOffset
from .feature_kernel import MAX_AGE_S
from .feature_names import FEATURE_NAMES
from .policy import ActionKind, SiteInfo

_MOST_V = 1000.0
_LEAST_V = 50.0


def action_space(kind: ActionKind, site: SiteInfo) -> Box:
    """Return the actions of one site, in W, float64.

    ``phase_targets``: [3] between the least and the greatest consumption that the actuators of
    each phase can be told; ``phase_deltas``: [3] up to that whole range, up or down;
    ``actuator_power``: [A] each actuator's own range.
    """
    if kind == "actuator_power":
        low, high = [a.low_w for a in site.actuators], [a.high_w for a in site.actuators]
        return Box(np.array(low), np.array(high), dtype=np.float64)
    least, most = (np.array(limit) for limit in site.phase_range_w())
    if kind == "phase_deltas":
        least, most = least - most, most - least
    return Box(least, most, dtype=np.float64)


def observation_space(
    site: SiteInfo,
    plant: ExportPlantConfig,
    edge: EdgeConfig,
    profiles: NDArray[np.float32],
    faults: Sequence[FaultConfig],
) -> Box:
    """Return the features of one site, [F] float64 in the order of ``FEATURE_NAMES``.

    The bounds are finite and generous: three times what all parts of the site could exchange
    together. They hold for actions out of the action space.
    """
    power_w = 3.0 * _greatest_power_w(plant, edge, profiles, faults) + abs(site.setpoint_w)
    # Samples are a meter period apart, unless a fault sets the meter's clock.
    stepped = any(isinstance(fault, ClockStep) for fault in faults)
    least_gap_s = 1e-6 if stepped else edge.meter.period_s
    changes = max(1, round(60.0 / site.control_period_s))
    named = {
        "hour_sin": (-1.0, 1.0),
        "hour_cos": (-1.0, 1.0),
        "day_of_week": (0.0, 6.0),
        "changes_60s": (0.0, float(changes)),
        "command_age_s": (0.0, MAX_AGE_S),
        "reading_age_s": (0.0, MAX_AGE_S),
        "grid_power_slope_w_per_s": (-2.0 * power_w / least_gap_s, 2.0 * power_w / least_gap_s),
    }
    by_unit = {
        "_w": (-power_w, power_w),
        "_v": (0.0, _MOST_V),
        "_a": (0.0, power_w / _LEAST_V),
    }
    bounds = np.array([named.get(name) or by_unit[name[-2:]] for name in FEATURE_NAMES])
    return Box(bounds[:, 0], bounds[:, 1], dtype=np.float64)


def _greatest_power_w(
    plant: ExportPlantConfig,
    edge: EdgeConfig,
    profiles: NDArray[np.float32],
    faults: Sequence[FaultConfig],
) -> float:
    """Return more than any reading of the site's net power could show, sign aside."""
    # powers and reactive powers of the household
    total = 1000.0 + float(np.abs(profiles[..., 1:7]).max(axis=(0, 1)).sum())
    total += plant.pv.inverter_power_w / plant.pv.power_factor
    # A load draws with the square of the voltage: twice its rating at 325 V.
    total += sum(2.0 * load.rated_power_w for load in plant.loads)
    total += sum(len(c.phases) * c.max_current_a * 325.0 for c in plant.chargers)
    if plant.battery is not None:
        total += max(plant.battery.max_charge_w, plant.battery.max_discharge_w)
    total += 3.0 * (10.0 * edge.meter.noise_w + edge.meter.resolution_w)
    return total + sum(3.0 * abs(f.offset_w) for f in faults if isinstance(f, MeterOffset))
