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
from .devices import FAR
from .kernel import advance_many, advance_tile, read, read_many, send
from .layout import Layout, edge_record, layout, tables
from .sending import send_tile, wire_one
from .work import TILE, WORK

STEP_US: Final = 200_000
"""The sub-step; meter periods and control periods are multiples of it."""

_LONG_AGO_US: Final = -(1 << 60)


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
        weakness = config.weakness()
        if weakness is not None:
            raise ValueError(weakness)
        self.config, self.edge = config, edge
        self.n = len(seeds)
        self.actuators: tuple[Actuator, ...] = compilation.actuators(config, edge)
        self.layout: Layout = layout(compilation.counts(config, edge), STEP_US)
        self.now_us = 0
        p, q = compilation.parameters(config, edge, self.layout, STEP_US)
        self._lanes = min(self.n, TILE)
        # One tile of parameters and faults serves all: instances differ in seeds and profiles.
        self.p = self._one_tile(p)
        self.q = self._one_tile(q)
        ints, values = compilation.fault_rows(faults, config)
        self._fault_i, self._fault_f = self._one_tile(ints), self._one_tile(values)
        self._edge = edge_record(edge, STEP_US)
        self._tables = tables(
            ["abc".index(load.phase) for load in config.loads],
            [3 if ch.phases == "abc" else "abc".index(ch.phases) for ch in config.chargers],
            latency_quantiles_us(edge.mesh),
        )
        self._profiles = np.ascontiguousarray(profiles, dtype=np.float32)
        if self._profiles.ndim == 2:
            self._profiles = self._profiles[None]
        channels = 7 + len(config.loads)
        if self._profiles.shape[2] != channels:
            raise ValueError(
                f"profiles have {self._profiles.shape[2]} channels, this site needs {channels}"
            )
        tiles = (self.n + TILE - 1) // TILE
        self.x = np.zeros((tiles, self.layout.heights["x"], self._lanes))
        self.k = np.zeros((tiles, self.layout.heights["k"], self._lanes), dtype=np.int64)
        self.trace = np.zeros((0, self.layout.heights["trace"]))
        self._start(seeds)
        if profile_of is not None:
            self.put("profile", profile_of)
        if first_second is not None:
            self.put("profile_row", first_second)
        self._values = np.zeros((METER_FIELDS, self.n))
        self._sampled_us = np.zeros(self.n, dtype=np.int64)
        self._published_us = np.full(self.n, -1, dtype=np.int64)
        self._everyone = np.ones(self.n, dtype=np.bool_)
        self._latency_us = self._tables[int(self.layout.c["latency_us"][0]) :]
        # A batch of one tile is moved in this thread, without a loop over tiles.
        self._work = np.zeros(WORK)
        self._one = (
            (self.x[0], self.k[0], self.p[0], self.q[0], self._fault_i[0], self._fault_f[0])
            if tiles == 1
            else None
        )

    def _one_tile(self, column: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(column[None, :, None], self._lanes, axis=2)

    def _start(self, seeds: Sequence[int]) -> None:
        keys = np.array([key(seed, "edge") for seed in seeds], dtype=np.uint64)
        self.put("key", keys.view(np.int64))
        self.put("next_us", FAR)
        self.put("due_us", FAR)
        for never in ("switched_us", "broadcast_us"):
            self.put(never, _LONG_AGO_US)
        for unset in ("published_us", "report_us", "report_next_us"):
            self.put(unset, -1)
        loads = self.config.loads
        start_c = np.array([ld.tank.initial_c if ld.tank else 0.0 for ld in loads])
        half_k = np.array([ld.tank.initial_spread_k if ld.tank else 0.0 for ld in loads])
        spread = [generator(s, "tank", "initial").uniform(-1.0, 1.0, len(loads)) for s in seeds]
        self.put("temperature_c", start_c[:, None] + half_k[:, None] * np.array(spread).T)
        self.put("setpoint_w", np.array([a.safe_w for a in self.actuators])[:, None])
        self.put("pv_cap_w", self.config.pv.inverter_power_w)
        battery = self.config.battery
        if battery is not None:
            self.put("battery_j", battery.initial_soc * battery.capacity_wh * 3600.0)
        vr, vi = self.get("source_vr"), self.get("source_vi")
        self.put("vr", vr)
        self.put("vi", vi)

    def record_truth(self, seconds: int) -> None:
        """Keep the truth of instance 0 over the last ``seconds`` seconds in ``trace``; 0: stop.

        Second n (from 0) is row n modulo ``seconds``.
        """
        self.trace = np.zeros((seconds, self.layout.heights["trace"]))

    def _rows(self, name: str) -> NDArray[Any]:
        matrix = self.layout.fields[name][0]
        array = {"x": self.x, "k": self.k, "p": self.p, "q": self.q}[matrix]
        return array[:, self.layout.rows(name)]

    def get(self, name: str) -> NDArray[Any]:
        """Return a field of state or parameters as a copy [row, instance]."""
        rows = self._rows(name)
        flat = rows.transpose(1, 0, 2).reshape(rows.shape[1], rows.shape[0] * rows.shape[2])
        if flat.shape[1] < self.n:
            return np.tile(flat, (1, -(-self.n // flat.shape[1])))[:, : self.n]
        return flat[:, : self.n].copy()

    def put(self, name: str, values: Any) -> None:
        """Set a field of the state to values that broadcast to [row, instance]."""
        rows = self._rows(name)
        full = np.empty((rows.shape[1], rows.shape[0] * rows.shape[2]), dtype=rows.dtype)
        values = np.asarray(values)
        if values.ndim and values.shape[-1] == self.n:
            full[:, : self.n] = values
            full[:, self.n :] = full[:, self.n - 1 : self.n]
        else:
            full[:] = values
        rows[:] = full.reshape(rows.shape[1], rows.shape[0], rows.shape[2]).transpose(1, 0, 2)

    def advance(self, to_us: int) -> None:
        """Simulate up to the last grid time that is not later than ``to_us``."""
        to_us = to_us // STEP_US * STEP_US
        if to_us <= self.now_us:
            return
        if self._one is not None:
            x, k, p, q, fault_i, fault_f = self._one
            advance_tile(
                self.layout.c,
                self._edge,
                x,
                k,
                p,
                q,
                self._profiles,
                self._tables,
                fault_i,
                fault_f,
                self.trace,
                self._work,
                self.n,
                self.now_us,
                to_us,
                True,
            )
        else:
            advance_many(
                self.layout.c,
                self._edge,
                self.x,
                self.k,
                self.p,
                self.q,
                self._profiles,
                self._tables,
                self._fault_i,
                self._fault_f,
                self.trace,
                self.n,
                self.now_us,
                to_us,
            )
        self.now_us = to_us

    def send(
        self, t_us: int, power_w: NDArray[np.float64], mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Broadcast set-points [actuator, instance] at ``t_us`` where ``mask`` is set.

        Rows ``seq``, ``status``, ``ack_us`` and ``effective_us`` tell what became of it.
        """
        who = self._everyone if mask is None else mask
        if self._one is not None:
            x, k, p, q, fault_i, fault_f = self._one
            send_tile(
                self.layout.c,
                self._edge,
                x,
                k,
                p,
                q,
                self._work,
                self._latency_us,
                fault_i,
                fault_f,
                power_w,
                who,
                t_us,
                0,
                self.n,
            )
        else:
            send(
                self.layout.c,
                self._edge,
                self.x,
                self.k,
                self.p,
                self.q,
                self._tables,
                self._fault_i,
                self._fault_f,
                power_w,
                who,
                self.n,
                t_us,
            )

    def wire(self, t_us: int, actuator: int, power_w: float) -> int:
        """Hand a set-point to one actuator of a batch of one by wire, past the mesh.

        Returns when it takes effect, −1 if the device had no room for it.
        """
        assert self._one is not None
        x, k, p, q, _, _ = self._one
        return int(wire_one(self.layout.c, self._edge, x, k, p, q, actuator, power_w, t_us))

    def profile(self, index: int) -> NDArray[np.float32]:
        """Return a profile [second, channel]."""
        rows: NDArray[np.float32] = self._profiles[index]
        return rows

    def readings(
        self, t_us: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Return (values [field, instance], sampled_us, published_us) as read at ``t_us``.

        The arrays are overwritten by the next call; ``published_us`` is −1 where nothing has
        been published yet.
        """
        one = self._one
        reader, x, k = (read_many, self.x, self.k) if one is None else (read, one[0], one[1])
        reader(
            self.layout.c,
            self._edge,
            x,
            k,
            self.n,
            t_us,
            self._values,
            self._sampled_us,
            self._published_us,
        )
        return self._values, self._sampled_us, self._published_us

    def reports_w(self, t_us: int) -> NDArray[np.float64] | None:
        """Return [load, instance] the last power report that arrived by ``t_us`` (NaN: none yet).

        None if the loads do not report.
        """
        if self.edge.device.report_period_s is None:
            return None
        old_us, new_us = self.get("report_us"), self.get("report_next_us")
        old = np.where((old_us >= 0) & (old_us <= t_us), self.get("report_old_w"), np.nan)
        return np.where((new_us >= 0) & (new_us <= t_us), self.get("report_new_w"), old)
