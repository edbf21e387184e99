"""An emulated network on the virtual clock."""

from __future__ import annotations

import pytest

from wattbench.hil.zigbee.devices.end_device import EndDevice
from wattbench.hil.zigbee.network import Network
from wattbench.hil.zigbee.radio import RadioMesh
from wattbench.hil.zigbee.znp.coordinator import ZnpCoordinator
from wattbench.sim.clock import VirtualClock
from wattbench.sim.edge.config import MeshConfig

from . import devices, host

#: A radio that loses nothing and repairs no routes: one hop of 22.5 ms.
CLEAR = MeshConfig(hops=1, loss_good=0.0, loss_bad=0.0, route_repair_probability=0.0)


class Bench:
    """A clock, a network with devices, a coordinator, a host."""

    def __init__(self, *, mesh=CLEAR, nv_path=None, autojoin=True, **coordinator):
        self.clock = VirtualClock()
        self.values = {
            "plug": devices.Values(
                on=False,
                level=1.0,
                power_w=0.0,
                energy_wh=1234.0,
                voltage_a_v=230.14,
                current_a_a=1.25,
            ),
            "heater": devices.Values(
                on=True,
                power_w=0.0,
                power_setpoint_w=0.0,
                max_power_w=3500.0,
                energy_wh=10.0,
                voltage_a_v=230.0,
                current_a_a=0.0,
            ),
            "sensor": devices.Values(temperature_c=21.37, humidity=0.451, battery_soc=0.9),
        }
        self.mesh = RadioMesh(mesh, seed=3)
        self.network = Network(self.clock, mesh=self.mesh, seed=3)
        self.options = {"nv_path": nv_path, **coordinator}
        self.autojoin = autojoin

    def start(self):
        """Make the coordinator, after the devices: it remembers those that are there."""
        self.coordinator = ZnpCoordinator(self.clock, self.network, seed=3, **self.options)
        self.host = host.Host(self.coordinator).open()
        return self.host

    def add(self, kind, ieee=0x101, **more):
        profile = getattr(devices, f"{kind}_profile")(**more)
        device = EndDevice(profile, self.values[kind], ieee, self.clock, autojoin=self.autojoin)
        self.network.add(device)
        return device

    def run(self, coroutine):
        return self.clock.run(coroutine)


@pytest.fixture
def bench():
    """Makes benches and closes their clocks."""
    made = []

    def make(**options):
        made.append(Bench(**options))
        return made[-1]

    yield make
    for one in made:
        one.clock.close()
