"""The mesh between coordinator and devices: latency, loss, the broadcast table.

Latency of a message is a draw from a quantile table that holds the whole distribution (hops,
route repair), so that the kernel needs no logarithm and any measured distribution can take its
place. Loss follows a two-state channel (Gilbert-Elliott) that all links of a site share: what
disturbs one link of a flat disturbs the others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..random import generator
from .config import MeshConfig
from .random import STREAM_MESH_STATE, bits, uniform

STATUS_SENT: Final = 0
STATUS_TABLE_FULL: Final = 1
STATUS_COORDINATOR_DOWN: Final = 2

QUANTILES: Final = 4096
_DRAWS: Final = 1 << 17
_MASK = np.uint64(QUANTILES - 1)
_S12 = np.uint64(12)
_S40 = np.uint64(40)
_TO_UNIT_24 = 1.0 / (1 << 24)
_TO_UNIT_28 = 1.0 / (1 << 28)
_U28 = np.uint64((1 << 28) - 1)


@lru_cache(maxsize=16)
def latency_quantiles_us(config: MeshConfig) -> NDArray[np.int64]:
    """Return 4096 quantiles of the one-way latency in µs, ascending.

    Sum of one lognormal a hop, plus, with ``route_repair_probability``, a uniform repair time.
    The draws are the same for every scenario: the table is a property of the configuration.
    """
    rng = generator(0, "edge", "latency")
    hops = rng.lognormal(
        np.log(config.hop_latency_s), config.hop_latency_sigma, (config.hops, _DRAWS)
    ).sum(axis=0)
    repairs = rng.random(_DRAWS) < config.route_repair_probability
    span = max(config.route_repair_max_s - config.route_repair_min_s, 0.0)
    repair_s = config.route_repair_min_s + span * rng.random(_DRAWS)
    total = np.sort(hops + repairs * repair_s)
    middles = ((np.arange(QUANTILES) + 0.5) / QUANTILES * _DRAWS).astype(np.int64)
    quantiles = np.rint(total[middles] * 1e6).astype(np.int64)
    quantiles.flags.writeable = False  # one table for all who ask
    return quantiles


@compiled
def next_mesh_state(
    key: int, second: int, bad: float, leave_good: float, leave_bad: float
) -> float:
    """Return the channel's state (1 bad, 0 good) for the second that begins.

    ``leave_good`` and ``leave_bad`` are the probabilities a second of leaving either state.
    """
    u = uniform(key, STREAM_MESH_STATE, second)
    if bad > 0.0:
        return 0.0 if u < leave_bad else 1.0
    return 1.0 if u < leave_good else 0.0


@compiled
def message(
    key: int, stream: int, counter: int, loss: float, jitter_us: float, latency_us: Any
) -> int:
    """Return how long one message takes in µs, or −1 if it is lost.

    One draw of 64 bits gives the latency (12 bits), the loss (24) and the jitter (28).
    """
    z = bits(key, stream, counter)
    jitter = float((z >> _S12) & _U28) * _TO_UNIT_28 * jitter_us
    took_us = int(latency_us[z & _MASK]) + int(jitter)
    return -1 if float(z >> _S40) * _TO_UNIT_24 < loss else took_us
