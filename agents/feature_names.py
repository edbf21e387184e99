"""Names of the features, their order, and what the seed system calls them.

The order is part of the format: encoders name features, so a stored policy survives new ones, but
the first :data:`HEAD` are also read by position by the controllers of this package.

Phases are ``a``, ``b``, ``c``. Grid power is + import, − export. ``own`` is the modelled power of
the site's actuators *at the time of the newest reading*: what has been commanded, seen through dead
time, ramp and the meter's window. ``surplus`` is that model minus grid power: what the actuators
could consume with nothing left to export.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

PHASES: Final = ("a", "b", "c")
WINDOWS_S: Final = (5, 10, 30)
COMMAND_LAGS_S: Final = tuple(range(1, 11))
#: Seconds before now at which the surplus is looked up, about evenly spaced on a logarithmic axis.
SURPLUS_LAGS_S: Final = (
    *(1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32),
    *(40, 50, 63, 79, 100, 126, 158, 200, 251, 316, 398, 500),
)


def _phased(pattern: str) -> list[str]:
    return [pattern.format(phase) for phase in PHASES]


#: Features read by position; their indices are the constants below.
_HEAD_NAMES: Final = (
    "grid_power_total_w",
    *_phased("grid_power_{}_w"),
    *_phased("grid_voltage_{}_v"),
    *_phased("grid_current_{}_a"),
    "pv_power_w",
    "export_mean_5s_w",
    "export_std_5s_w",
    "grid_power_slope_w_per_s",
    "command_total_w",
    *_phased("command_{}_w"),
    "command_age_s",
    "setpoint_w",
    "error_w",
    "controller_output_w",
    "hour_sin",
    "hour_cos",
    "day_of_week",
    "loads_total_w",
    *_phased("loads_{}_w"),
    "reading_age_s",
    "own_total_w",
    *_phased("own_{}_w"),
    "in_flight_w",
    "surplus_total_w",
    *_phased("surplus_{}_w"),
    "changes_60s",
)
FEATURE_NAMES: Final[tuple[str, ...]] = (
    *_HEAD_NAMES,
    *(
        f"grid_power_{statistic}_{window}s_w"
        for window in WINDOWS_S
        for statistic in ("mean", "std", "min", "max")
    ),
    *(f"command_total_lag_{lag}s_w" for lag in COMMAND_LAGS_S),
    *(f"surplus_lag_{lag}s_w" for lag in SURPLUS_LAGS_S),
)
FEATURES: Final = len(FEATURE_NAMES)
HEAD: Final = len(_HEAD_NAMES)

GRID_TOTAL: Final = 0
GRID_A: Final = 1
VOLTAGE_A: Final = 4
CURRENT_A: Final = 7
PV: Final = 10
EXPORT_MEAN: Final = 11
EXPORT_STD: Final = 12
SLOPE: Final = 13
COMMAND_TOTAL: Final = 14
COMMAND_A: Final = 15
COMMAND_AGE: Final = 18
SETPOINT: Final = 19
ERROR: Final = 20
OUTPUT: Final = 21
HOUR_SIN: Final = 22
HOUR_COS: Final = 23
DAY_OF_WEEK: Final = 24
LOADS_TOTAL: Final = 25
LOADS_A: Final = 26
READING_AGE: Final = 29
OWN_TOTAL: Final = 30
OWN_A: Final = 31
IN_FLIGHT: Final = 34
SURPLUS_TOTAL: Final = 35
SURPLUS_A: Final = 36
CHANGES_60S: Final = 39
WINDOW_STATISTICS: Final = 40
COMMAND_LAGS: Final = WINDOW_STATISTICS + 4 * len(WINDOWS_S)
SURPLUS_LAGS: Final = COMMAND_LAGS + len(COMMAND_LAGS_S)

#: The seed system's names of its 29 features, for its logs and for policies trained on them. Its
#: ``slaves`` are the loads: reported power where they report, modelled power otherwise. Its
#: ``pi_output`` is what the controller in charge asked for last, in all. Its ``error`` is reference
#: minus measured grid power.
SEED_NAMES: Final[dict[str, str]] = {
    "grid_power_total": "grid_power_total_w",
    **{f"grid_power_{p}": f"grid_power_{p}_w" for p in PHASES},
    **{f"grid_voltage_{p}": f"grid_voltage_{p}_v" for p in PHASES},
    **{f"grid_current_{p}": f"grid_current_{p}_a" for p in PHASES},
    "pv_power": "pv_power_w",
    "export_ma_5s": "export_mean_5s_w",
    "export_std_5s": "export_std_5s_w",
    "dP_dt": "grid_power_slope_w_per_s",
    "command_total_power": "command_total_w",
    **{f"command_phase_{p}": f"command_{p}_w" for p in PHASES},
    "command_age_seconds": "command_age_s",
    "reference_power": "setpoint_w",
    "error": "error_w",
    "pi_output": "controller_output_w",
    "hour_sin": "hour_sin",
    "hour_cos": "hour_cos",
    "day_of_week": "day_of_week",
    "slaves_total": "loads_total_w",
    **{f"slaves_phase_{p}": f"loads_{p}_w" for p in PHASES},
}

_INDEX: Final = {name: index for index, name in enumerate(FEATURE_NAMES)}


class UnknownFeatureError(ValueError):
    """A name that is no feature; the message gives the nearest one."""


def feature_indices(names: Iterable[str]) -> list[int]:
    """Return the positions of features in the vector; raise :class:`UnknownFeatureError`."""
    indices = []
    for name in names:
        if name not in _INDEX:
            near = get_close_matches(SEED_NAMES.get(name, name), FEATURE_NAMES, n=1, cutoff=0.0)
            raise UnknownFeatureError(f"unknown feature '{name}'; the nearest is '{near[0]}'")
        indices.append(_INDEX[name])
    return indices
