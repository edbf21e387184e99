"""A heater behind a server in memory, and its driver."""

from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.devices.source import ConstantSource
from wattbench.hil.modbus.bus import ModbusBus
from wattbench.hil.modbus.client import ModbusClient
from wattbench.hil.modbus.driver import ModbusDevice
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.wire import Delivery
from wattbench.sim.clock import VirtualClock

S = 1_000_000
VALUES = {"power_w": 1000.0, "temperature_c": 41.5, "energy_wh": 5000.0}

PROFILE = {
    "name": "rod",
    "kind": "heater",
    "identity": {"manufacturer": "Maker", "model": "Rod", "serial": "4711", "firmware": "1"},
    "ratings": {"power_w": 3000},
    "timing": {"refresh_s": 0.1, "answer_s": 0.005},
    "actuators": [{"quantity": "power_setpoint_w", "high": 3000}],
    "modbus": {
        "functions": [3, 6, 16],
        "points": [
            {"quantity": "power_w", "address": 10, "type": "int16", "low": 0, "high": 3500},
            {"quantity": "temperature_c", "address": 11, "type": "int16", "scale": 0.1},
            {"quantity": "energy_wh", "address": 40, "type": "uint32", "poll_s": 10},
            {
                "quantity": "power_setpoint_w",
                "address": 50,
                "type": "uint16",
                "scale": 10,
                "access": "rw",
                "low": 0,
                "high": 3000,
            },
            {"quantity": "serial", "address": 60, "type": "string", "length": 4, "poll_s": 0},
        ],
    },
}


def profile(**changes) -> DeviceProfile:
    """Return the profile with keys of its sections changed."""
    data = {**PROFILE}
    for section, values in changes.items():
        data[section] = {**data[section], **values}
    return DeviceProfile.model_validate(data)


class Faults:
    """Bends answers (or loses requests) as told."""

    def __init__(self) -> None:
        self.bend = lambda frame: [Delivery(0, frame)]
        self.lose = False

    def requests(self, bus, t_us, frame):
        return [] if self.lose else [Delivery(0, frame)]

    def answers(self, bus, t_us, frame):
        return self.bend(frame)

    def accepts(self, bus, t_us):
        return True

    def attach(self, bus, send, close):
        return lambda: None


class Bench:
    """A device behind a server in memory, and its driver."""

    def __init__(self, clock, some: DeviceProfile, *, line=None, **options) -> None:
        assert some.modbus is not None
        self.clock = clock
        self.source = ConstantSource(VALUES)
        self.device = EmulatedDevice(some, self.source, clock)
        self.units = {some.modbus.unit: self.device}
        self.faults = Faults()
        framing = "tcp" if line is None else "rtu"
        self.server = ModbusServer(self.units, clock, framing=framing, line=line)
        self.server.faults = self.faults
        client = ModbusClient.in_memory(
            clock, self.server.protocol, name="bus", one_way_us=1000, timeout_s=0.5, line=line
        )
        self.bus = ModbusBus(clock, client)
        self.events: list[tuple[str, dict]] = []
        self.driver = ModbusDevice(
            some, self.bus, on_event=lambda kind, data: self.events.append((kind, data)), **options
        )

    def values(self) -> dict:
        return {name: reading.value for name, reading in self.driver.readings.items()}

    def qualities(self) -> set:
        return {reading.quality for reading in self.driver.readings.values()}

    async def poll_until(self, end_s: float, period_s: float = 1.0) -> list:
        """Poll at every period; return what each poll raised, None for nothing."""
        raised = []
        t_us = -(-self.clock.now_us // round(period_s * S)) * round(period_s * S)
        while t_us <= end_s * S:
            await self.clock.sleep_until(t_us)
            try:
                await self.driver.poll(t_us)
                raised.append(None)
            except (ReadingError, RigError) as error:
                raised.append(error)
            t_us += round(period_s * S)
        return raised


def run(
    use, some: DeviceProfile | None = None, *, opened: bool = True, begin_us: int = 0, **options
):
    """Let `use(bench)` work with an opened driver."""

    async def main():
        bench = Bench(clock, some or profile(), **options)
        if opened:
            await bench.driver.open()
        result = await use(bench)
        bench.driver.close()
        return result

    with VirtualClock(begin_us) as clock:
        return clock.run(main())
