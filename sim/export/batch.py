"""N sites at once: the arrays behind the kernel, and the calls that move them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..edge.channel import latency_quantiles_us
from ..edge.config import EdgeConfig
from ..edge.meter import METER_FIELDS
from ..faults import FaultConfig
from ..points import Actuator
from ..random import generator, key
from . import compilation
from .config import ExportPlantConfig
from .devices import FAR, send
from .kernel import advance_many, advance_one
from .layout import SECOND_US, Layout, edge_record, layout
from .metering import read_meter

STEP_US: Final = 200_000
"""The sub-step; meter periods and control periods are multiples of it."""

_LONG_AGO_US: Final = -(1 << 60)
_PARALLEL_FROM: Final = 128


class SiteBatch:
    """A batch of sites of one structure, one instance a column.

    Args:
        config: the plant, common to all instances.
        edge: meter, mesh and devices, common to all instances.
        profiles: float32 [profile, second, channel], see ``sim.profiles``; shared by all.
        faults: common to all instances.
        seeds: one for each instance; they set tank temperatures and every draw of the edge.
        profile_of: which profile each instance follows; all follow the first if None.
        first_second: row of its profile at which each instance starts; 0 if None.
    """

    def __init__(
        self,
        config: ExportPlantConfig,
        edge: EdgeConfig,
        profiles: NDArray[np.float32],
        faults: Sequence[FaultConfig],
        seeds: Sequence[int],
        profile_of: NDArray[np.int64] | None = None,
        first_second: NDArray[np.int64] | None = None,
    ) -> None:
        self.config, self.edge = config, edge
        self.n = len(seeds)
        self.actuators: tuple[Actuator, ...] = compilation.actuators(config, edge)
        self.layout: Layout = layout(compilation.counts(config, edge), STEP_US)
        self.now_us = 0
        p, q = compilation.parameters(config, edge, self.layout, STEP_US)
        self.p = np.repeat(p[:, None], self.n, axis=1)
        self.q = np.repeat(q[:, None], self.n, axis=1)
        ints, values = compilation.fault_rows(faults, config)
        self._fault_i = np.repeat(ints[:, None], self.n, axis=1)
        self._fault_f = np.repeat(values[:, None], self.n, axis=1)
        self._edge = edge_record(edge, STEP_US)
        self._latency_us = latency_quantiles_us(edge.mesh)
        self._load_phase = np.array(["abc".index(ld.phase) for ld in config.loads], np.int64)
        self._charger_phase = np.array(
            [3 if ch.phases == "abc" else "abc".index(ch.phases) for ch in config.chargers],
            np.int64,
        )
        self._profiles = np.ascontiguousarray(profiles, dtype=np.float32)
        if self._profiles.ndim == 2:
            self._profiles = self._profiles[None]
        channels = 7 + len(config.loads)
        if self._profiles.shape[2] != channels:
            raise ValueError(
                f"profiles have {self._profiles.shape[2]} channels, this site needs {channels}"
            )
        self.x = np.zeros((self.layout.heights["x"], self.n))
        self.k = np.zeros((self.layout.heights["k"], self.n), dtype=np.int64)
        self.trace = np.zeros((0, self.layout.heights["trace"]))
        if profile_of is not None:
            self.k[self.layout.rows("profile")] = profile_of
        if first_second is not None:
            self.k[self.layout.rows("profile_row")] = first_second
        self._start(seeds)
        self._values = np.zeros((METER_FIELDS, self.n))
        self._sampled_us = np.zeros(self.n, dtype=np.int64)
        self._published_us = np.full(self.n, -1, dtype=np.int64)
        self._everyone = np.ones(self.n, dtype=np.bool_)

    def _start(self, seeds: Sequence[int]) -> None:
        x, k, rows = self.x, self.k, self.layout.rows
        keys = np.array([key(seed, "edge") for seed in seeds], dtype=np.uint64)
        k[rows("key")] = keys.view(np.int64)
        k[rows("next_us")] = FAR
        k[rows("switched_us")] = _LONG_AGO_US
        k[rows("broadcast_us")] = _LONG_AGO_US
        k[rows("published_us")] = -1
        k[rows("report_us")] = -1
        k[rows("report_next_us")] = -1
        for i, seed in enumerate(seeds):
            spread = generator(seed, "tank", "initial").uniform(-1.0, 1.0, len(self.config.loads))
            for a, load in enumerate(self.config.loads):
                if load.tank is not None:
                    tank = load.tank
                    x[rows("temperature_c").start + a, i] = (
                        tank.initial_c + spread[a] * tank.initial_spread_k
                    )
        for actuator, row in zip(self.actuators, range(*rows("setpoint_w").indices(10**6)), strict=True):
            x[row] = actuator.safe_w
        x[rows("pv_cap_w")] = self.config.pv.inverter_power_w
        if self.config.battery is not None:
            battery = self.config.battery
            x[rows("battery_j")] = battery.initial_soc * battery.capacity_wh * 3600.0
        for part, source in (("vr", "source_vr"), ("vi", "source_vi")):
            x[rows(part)] = self.p[rows(source)]
        x[rows("v")] = np.hypot(x[rows("vr")], x[rows("vi")])

    def record_truth(self, seconds: int) -> None:
        """Keep a row of truth of instance 0 for each of the first ``seconds``."""
        self.trace = np.zeros((seconds, self.layout.heights["trace"]))

    def field(self, name: str) -> NDArray[Any]:
        """Return a view [rows of the field, instance] of state or parameters by name."""
        matrix = self.layout.fields[name][0]
        return {"x": self.x, "k": self.k, "p": self.p, "q": self.q}[matrix][self.layout.rows(name)]

    def advance(self, to_us: int) -> None:
        """Simulate up to the last grid time that is not later than ``to_us``."""
        to_us = to_us // STEP_US * STEP_US
        if to_us <= self.now_us:
            return
        move = advance_many if self.n >= _PARALLEL_FROM else advance_one
        move(
            self.layout.c, self._edge, self.x, self.k, self.p, self.q, self._profiles,
            self._latency_us, self._fault_i, self._fault_f, self._load_phase,
            self._charger_phase, self.trace, self.now_us, to_us,
        )  # fmt: skip
        self.now_us = to_us

    def send(
        self, t_us: int, power_w: NDArray[np.float64], mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Broadcast set-points [actuator, instance] at ``t_us`` where ``mask`` is set.

        Rows ``seq``, ``status``, ``ack_us`` and ``effective_us`` tell what became of it.
        """
        send(
            self.layout.c[0], self._edge[0], self.x, self.k, self.p, self.q, self._latency_us,
            self._fault_i, self._fault_f, power_w, self._everyone if mask is None else mask, t_us,
        )  # fmt: skip

    def readings(
        self, t_us: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Return (values [field, instance], sampled_us, published_us) as read at ``t_us``.

        The arrays are overwritten by the next call; ``published_us`` is −1 where nothing has
        been published yet.
        """
        read_meter(
            self.layout.c[0], self._edge[0], self.x, self.k, t_us, self._values,
            self._sampled_us, self._published_us,
        )  # fmt: skip
        return self._values, self._sampled_us, self._published_us

    @property
    def seconds_left(self) -> NDArray[np.int64]:
        """Seconds of profile left to each instance."""
        used = self.k[self.layout.rows("profile_row")][0] + self.now_us // SECOND_US
        return np.asarray(self._profiles.shape[1] - 1 - used, dtype=np.int64)
