"""A site small enough to work out by hand: an exact edge, constant profiles, one call a step."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wattbench.sim.edge.config import DeviceConfig, EdgeConfig, MeshConfig, MeterConfig
from wattbench.sim.export.batch import SiteBatch
from wattbench.sim.export.config import Connection, ExportPlantConfig, Load, Pv
from wattbench.sim.export.plant import ExportPlant

S = 1_000_000
NO_IMPEDANCE = Connection(
    line_resistance_ohm=0,
    line_reactance_ohm=0,
    neutral_resistance_ohm=0,
    neutral_reactance_ohm=0,
)


def exact_edge(
    meter: dict[str, Any] | None = None,
    mesh: dict[str, Any] | None = None,
    device: dict[str, Any] | None = None,
) -> EdgeConfig:
    """Nothing is lost, late or rounded, but for what the arguments say.

    Messages take 1 ms, so a command sent 0.1 s before a sub-step acts at that sub-step.
    """
    exact_meter = {
        "delay_s": 0,
        "resolution_w": 0,
        "noise_w": 0,
        "voltage_resolution_v": 0,
        "counter_resolution_wh": 0,
    }
    exact_mesh = {
        "hops": 1,
        "hop_latency_s": 0.001,
        "hop_latency_sigma": 0,
        "route_repair_probability": 0,
        "loss_good": 0,
        "loss_bad": 0,
        "ack_jitter_s": 0,
        "broadcast_table_s": 1,
    }
    exact_device = {"dead_time_s": 0, "watchdog_s": None}
    return EdgeConfig(
        meter=MeterConfig(**exact_meter | (meter or {})),
        mesh=MeshConfig(**exact_mesh | (mesh or {})),
        device=DeviceConfig(**exact_device | (device or {})),
    )


def profile(
    seconds: int,
    loads: int,
    *,
    sun: Any = 0.0,
    house_w: Any = 0.0,
    house_var: Any = 0.0,
    draw_w: Any = 0.0,
) -> np.ndarray:
    """Rows for a run of ``seconds``, from what broadcasts to [second, channel].

    ``sun`` is the PV power per watt-peak.
    """
    rows = np.zeros((seconds + 1, 7 + loads), dtype=np.float32)
    rows[:, 0] = sun
    rows[:, 1:4] = house_w
    rows[:, 4:7] = house_var
    rows[:, 7:] = draw_w
    return rows


class Site:
    """An :class:`ExportPlant` and what tests do with it, in seconds."""

    def __init__(
        self,
        *loads: Load,
        seconds: int = 60,
        edge: EdgeConfig | None = None,
        faults: Sequence[Any] = (),
        seed: int = 1,
        sun: Any = 0.0,
        house_w: Any = 0.0,
        house_var: Any = 0.0,
        draw_w: Any = 0.0,
        **config: Any,
    ) -> None:
        self.config = ExportPlantConfig(
            loads=loads or (resistor("a1"),), **{"connection": NO_IMPEDANCE} | config
        )
        rows = profile(
            seconds,
            len(self.config.loads),
            sun=sun,
            house_w=house_w,
            house_var=house_var,
            draw_w=draw_w,
        )
        self.plant = ExportPlant(
            self.config, edge or exact_edge(), rows, list(faults), seed, seconds * S
        )

    def act(self, at_s: float, *power_w: float) -> tuple[int, int]:
        """Command so that the exact edge lets it act at ``at_s``, a multiple of 0.2 s."""
        return self.send(at_s - 0.1, *power_w)

    def send(self, at_s: float, *power_w: float) -> tuple[int, int]:
        """Advance to a time and send there."""
        t_us = round(at_s * S)
        self.plant.advance(t_us)
        return self.plant.send(t_us, np.array(power_w, dtype=float))

    def run(self, to_s: float) -> Site:
        """Advance."""
        self.plant.advance(round(to_s * S))
        return self

    def reading(self, at_s: float) -> Any:
        """Advance and read the meter."""
        self.run(at_s)
        return self.plant.reading(round(at_s * S))

    def __getitem__(self, column: str) -> np.ndarray:
        """A column of the truth, one value a second; row s is the second that starts at s."""
        return self.plant.truth()[0][column]

    def state(self, name: str) -> np.ndarray:
        """A field of the kernel's state [row]."""
        return self.plant.batch.get(name)[:, 0]

    def truth_bytes(self) -> bytes:
        """The whole truth stream."""
        return b"".join(column.tobytes() for column in self.plant.truth()[0].values())


def resistor(name: str, rated_power_w: float = 2000.0, **more: Any) -> Load:
    """A load without a tank that follows its set-point at once; its phase is its first letter."""
    settings = {"tank": None, "ramp_s": 0.0, "resolution_w": 1.0} | more
    return Load(id=name, phase=name[0], rated_power_w=rated_power_w, **settings)


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    return SimpleNamespace(
        Site=Site,
        SiteBatch=SiteBatch,
        resistor=resistor,
        exact_edge=exact_edge,
        profile=profile,
        no_impedance=NO_IMPEDANCE,
        no_pv=Pv(peak_power_w=0),
    )
