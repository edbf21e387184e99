"""The grid meter: fields of a sample, and quantisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled

POWER_A: Final = 0
POWER_TOTAL: Final = 3
VOLTAGE_A: Final = 4
CURRENT_A: Final = 7
IMPORT_A: Final = 10
EXPORT_A: Final = 13
IMPORT_NET: Final = 16
EXPORT_NET: Final = 17
PV_POWER: Final = 18
METER_FIELDS: Final = 19


@dataclass(slots=True)
class MeterReading:
    """What a meter answers: the newest sample that it has published.

    ``values`` has the 19 fields of this module in W, V, A and Wh; ``sampled_us`` is the end of the
    averaging window as the meter's own clock tells it, ``published_us`` the moment from which the
    sample could be read.
    """

    values: NDArray[np.float64]
    sampled_us: int
    published_us: int


@compiled
def quantise(value: float, resolution: float) -> float:
    """Round to the nearest multiple of ``resolution``; 0 leaves the value as it is."""
    if resolution <= 0.0:
        return value
    return float(np.floor(value / resolution + 0.5) * resolution)
