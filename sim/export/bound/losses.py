"""What the mesh may lose: each loss lets somebody change power later without a counted change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiled import compiled
from ...edge.channel import next_mesh_state
from ...edge.config import EdgeConfig
from ...edge.random import STREAM_COMMAND, bits
from ...faults import FaultConfig
from ...random import key
from ..config import ExportPlantConfig
from .model import Timing


def refresh_at_most_s(timing: Timing) -> float:
    """Return how long it takes at most until a command is sent again: the table may be full."""
    return timing.refresh_s + timing.control_period_s + 20.0


def changes_by_loss(
    config: ExportPlantConfig,
    edge: EdgeConfig,
    faults: tuple[FaultConfig, ...],
    seed: int,
    timing: Timing,
    delay_s: int,
) -> NDArray[np.int64]:
    """Return how many changes lost messages can add in each minute (the first: before them).

    A load that missed a broadcast changes with the next one that it hears, or falls to its safe
    value when its watchdog expires: soon after a broadcast that somebody missed, since what is
    held is sent again.
    While the channel is bad any broadcast may be missed. While it is good, which are missed
    follows from seed and number; which numbers fall into a minute depends on the policy, so the
    most of any row of as many numbers counts. ``delay_s`` is the second at which a command of the
    first minute can act first.
    """
    mesh, seconds = edge.mesh, timing.duration_s
    restarts = [f for f in faults if f.kind == "coordinator_restart"]
    down = math.ceil(sum(f.duration_s for f in restarts))
    reach = math.ceil(2.0 * refresh_at_most_s(timing)) + down

    def most_in(length_s: float) -> int:
        table = mesh.broadcast_table_entries
        by_table = table * (math.floor(length_s / mesh.broadcast_table_s) + 1 + len(restarts))
        return min(by_table, math.floor(length_s / timing.control_period_s) + 1)

    number = most_in(seconds)
    run_key = int(np.array([key(seed, "edge")], dtype=np.uint64).view(np.int64)[0])
    missed = np.zeros(number + 1, dtype=np.int64)
    _missed(run_key, len(config.loads), mesh.loss_good, missed)
    sums = np.concatenate([[0], np.cumsum(missed)])
    length = min(most_in(60 + reach), number)
    usual = int((sums[length:] - sums[: len(sums) - length]).max())
    bad = np.zeros(seconds, dtype=np.bool_)
    if mesh.loss_bad > 0.0:
        _bad_seconds(run_key, min(1 / mesh.dwell_good_s, 1.0), min(1 / mesh.dwell_bad_s, 1.0), bad)
    for fault in faults:
        if fault.kind == "broadcast_loss":
            bad[math.floor(fault.start_s) : math.ceil(fault.start_s + fault.duration_s)] = True
    minutes = max(-(-(seconds - delay_s) // 60), 0) + 1
    result = np.zeros(minutes, dtype=np.int64)
    for m in range(minutes):
        first = 60 * (m - 1) - reach if m > 0 else 0
        last = 60 * m + 1 if m > 0 else 1
        result[m] = usual + _broadcasts_in(bad[max(first, 0) : max(last, 0)], most_in)
    return result


def _broadcasts_in(bad: NDArray[np.bool_], most_in: Callable[[float], int]) -> int:
    """Return how many broadcasts can fall into bad seconds: stretch by stretch."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]]).astype(np.int8)))
    return sum(most_in(float(end - start)) for start, end in edges.reshape(-1, 2).tolist())


@compiled
def _missed(run_key: int, actuators: int, loss: float, out: Any) -> None:
    """Set ``out[seq]`` to 1 where a good channel loses broadcast ``seq`` for some load."""
    for seq in range(1, out.shape[0]):
        for a in range(actuators):
            z = bits(run_key, STREAM_COMMAND, (seq << 32) + a)
            if float(z >> np.uint64(40)) / (1 << 24) < loss:
                out[seq] = 1


@compiled
def _bad_seconds(run_key: int, leave_good: float, leave_bad: float, out: Any) -> None:
    """Set where the channel is bad, and one second more on either side."""
    state = 0.0
    for t in range(out.shape[0]):
        state = next_mesh_state(run_key, t, state, leave_good, leave_bad)
        if state > 0.0:
            for s in range(max(t - 1, 0), min(t + 2, out.shape[0])):
                out[s] = True
