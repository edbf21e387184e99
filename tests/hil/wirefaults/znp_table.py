"""What the ZNP host does under each bus fault: the runs behind the documentation's second table.

A heater behind an emulated coordinator is read once a second and given watts every five, for three
minutes of virtual time; from second 30 to 60 a fault is on. Values say when they were measured.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wattbench.hil.devices.source import FunctionSource
from wattbench.hil.memory import connect
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.wirefaults.bus import BusFaults
from wattbench.hil.wirefaults.devices import CoordinatorFaults, EndDeviceFaults, StickySource
from wattbench.hil.wirefaults.targets import FaultTargets
from wattbench.hil.zigbee import zcl
from wattbench.hil.zigbee.devices.end_device import EndDevice
from wattbench.hil.zigbee.host.attributes import read
from wattbench.hil.zigbee.host.heaters import HeaterSlots
from wattbench.hil.zigbee.host.host import ZigbeeHost
from wattbench.hil.zigbee.host.link import LinkDownError
from wattbench.hil.zigbee.network import Network
from wattbench.hil.zigbee.radio import RadioMesh
from wattbench.hil.zigbee.znp.coordinator import ZnpCoordinator
from wattbench.hil.zigbee.znp.formation import form_network
from wattbench.scenarios.devices import load_device_profile
from wattbench.sim.clock import VirtualClock
from wattbench.sim.edge.config import MeshConfig
from wattbench.sim.faults import BUS_FAULTS

S = 1_000_000
FROM_S, TO_S, END_S = 30, 60, 180
HEATER = 0x00124B0000000001
POWER, VOLTAGE = 0x050B, 0x0505
STATUS = {0: "sent", 1: "table full", 2: "coordinator away"}

#: Title, target, kind and parameters.
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("each frame 0.1 s late", "mesh", "bus_delay", {"delay_s": 0.1}),
    ("each frame 5 s late", "mesh", "bus_delay", {"delay_s": 5.0}),
    ("up to 1 s late", "mesh", "bus_jitter", {"delay_s": 1.0}),
    ("one frame in five lost", "mesh", "bus_drop", {"probability": 0.2}),
    ("no request arrives", "mesh", "bus_drop", {"direction": "request"}),
    ("no answer arrives", "mesh", "bus_drop", {"direction": "answer"}),
    ("every frame twice", "mesh", "bus_duplicate", {}),
    ("any byte corrupt, every tenth", "mesh", "bus_corrupt", {"probability": 0.1}),
    ("wrong check byte, every tenth", "mesh", "bus_bad_crc", {"probability": 0.1}),
    ("refused, every third", "mesh", "bus_exception", {"code": 2, "probability": 0.33}),
    ("disconnected", "mesh", "bus_disconnect", {}),
    ("port gone", "mesh", "port_vanish", {}),
    ("coordinator restarts", "mesh", "device_reboot", {}),
    ("heater loses power", "heater", "device_reboot", {}),
    ("value stuck", "heater", "value_stuck", {"quantity": "power_w"}),
    ("babble: noise", "mesh", "bus_babble", {"content": "noise", "period_s": 0.3}),
    ("babble: old frames", "mesh", "bus_babble", {"content": "answers", "period_s": 0.3}),
]


@dataclass
class Result:
    """What came of one run."""

    reads: Counter[str] = field(default_factory=Counter)
    """Of the reads that began while the fault was on."""
    commands: Counter[str] = field(default_factory=Counter)
    acked: int = 0
    """Of those commands, how many the heater acknowledged within five seconds."""
    longest_s: float = 0.0
    recovered_s: float | None = None
    """From the fault's end to the first read without error."""
    commanded_s: float | None = None
    """From the fault's end to the first command that was acknowledged."""
    wrong: list[tuple[str, float, float]] = field(default_factory=list)
    stuck: int = 0
    """Values that had stood still on the device: no host can tell."""
    bent: list[float] = field(default_factory=list)
    """Set-points that the heater took over, or acknowledged, but nobody sent."""
    reconnects: int = 0
    given_up: bool = False
    crashes: list[str] = field(default_factory=list)


def run(target: str, kind: str, parameters: dict[str, Any], seed: int = 1) -> Result:
    """Return what the host did under a fault."""
    result = Result()
    with VirtualClock() as clock:
        clock.run(_run(clock, result, target, kind, parameters, seed))
    return result


async def _run(
    clock: VirtualClock, result: Result, target: str, kind: str, parameters: Any, seed: int
) -> None:
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: result.crashes.append(str(context.get("exception") or context))
    )
    taken: list[float] = []
    source = StickySource(
        FunctionSource(
            {
                "power_w": lambda t_us: 1000.0 + t_us // S,
                "voltage_a_v": lambda t_us: 2000.0 + t_us // S,
                "max_power_w": lambda _: 3500.0,
            },
            {"power_setpoint_w": lambda power_w, _t_us: taken.append(power_w)},
        ),
        clock,
    )
    heater = EndDevice(load_device_profile("zigbee_heater"), source, HEATER, clock)
    still = MeshConfig(loss_good=0.0, loss_bad=0.0)
    network = Network(clock, [heater], RadioMesh(still, seed), seed)
    faults = BusFaults(seed, clock)
    coordinator = ZnpCoordinator(clock, network, bus="mesh", faults=faults, seed=seed)
    info = form_network(coordinator.nv, 1 << 15, np.random.default_rng(seed))
    heater.joined(info.identity, 0x1001)
    coordinator.nv.remember_device(heater.ieee, heater.nwk)
    targets = FaultTargets(clock, faults)
    targets.add_bus("mesh", "znp", coordinator=CoordinatorFaults(coordinator))
    targets.add_device("heater", "mesh", None, EndDeviceFaults(heater, source))
    given = {"target": target, "start_s": FROM_S, "duration_s": TO_S - FROM_S}
    targets.schedule([BUS_FAULTS[kind].model_validate(given | parameters)])

    async def line(protocol: asyncio.Protocol) -> asyncio.Transport:
        if not faults.accepts("mesh", clock.now_us):
            raise LinkDownError("nobody is there")
        return connect(clock, protocol, coordinator.protocol(), 500)

    host = ZigbeeHost(clock)
    await host.open(line)
    slots = HeaterSlots(host, {1: HEATER})
    await slots.start()
    await _use(clock, host, slots, result, taken)
    result.reconnects = host.counters.reconnects
    await host.close()


async def _use(
    clock: VirtualClock, host: ZigbeeHost, slots: HeaterSlots, result: Result, taken: list[float]
) -> None:
    sent: set[float] = set()
    waiting: list[tuple[int, int]] = []
    second = 0
    while clock.now_us < END_S * S:
        second = max(second + 1, -(-clock.now_us // S))
        await clock.sleep_until(second * S + 20_000)
        begin_us = clock.now_us
        during = FROM_S * S <= begin_us < TO_S * S
        outcome = await _read(host, clock, result, during)
        result.longest_s = max(result.longest_s, (clock.now_us - begin_us) / S)
        if during:
            result.reads[outcome] += 1
        elif outcome == "ok" and begin_us > TO_S * S and result.recovered_s is None:
            result.recovered_s = (clock.now_us - TO_S * S) / S
        for seq, sent_us in [one for one in waiting if clock.now_us - one[1] > 4 * S]:
            waiting.remove((seq, sent_us))
            acked = 1 in slots.acked_us(seq)
            result.acked += acked and FROM_S * S <= sent_us < TO_S * S
            if acked and sent_us > TO_S * S and result.commanded_s is None:
                result.commanded_s = (slots.acked_us(seq)[1] - TO_S * S) / S
        if second % 5 == 0:
            begin_us, power_w = clock.now_us, 100.0 + second
            sent.add(power_w)
            try:
                seq, status = await slots.set_power({1: power_w})
                outcome = STATUS[status]
                if status == 0:
                    waiting.append((seq, begin_us))
            except RigError as error:
                outcome, result.given_up = type(error).__name__, True
            result.longest_s = max(result.longest_s, (clock.now_us - begin_us) / S)
            if FROM_S * S <= begin_us < TO_S * S:
                result.commands[outcome] += 1
            accepted = slots.accepted_w.get(1)
            if accepted is not None and accepted not in sent:
                result.bent.append(accepted)
    # 0 W is what the heater's own watchdog falls back to.
    result.bent += [power_w for power_w in taken if power_w not in sent | {0.0}]


async def _read(host: ZigbeeHost, clock: VirtualClock, result: Result, during: bool) -> str:
    """Read power and voltage; hold them against what was true."""
    begin_us = clock.now_us
    try:
        values = await read(host, HEATER, zcl.ELECTRICAL_MEASUREMENT, (POWER, VOLTAGE))
    except (ReadingError, RigError) as error:
        result.given_up |= isinstance(error, RigError)
        return type(error).__name__
    for number, base, factor in ((POWER, 1000, 1), (VOLTAGE, 2000, 10)):
        value = values.get(number)
        if not isinstance(value, int):
            return "without values"
        measured_s = value / factor - base
        if not begin_us / S - 2 <= measured_s <= clock.now_us / S:
            if during and number == POWER and FROM_S - 2 <= measured_s <= FROM_S:
                result.stuck += 1
            else:
                result.wrong.append((f"{number:04x}", value, clock.now_us / S))
    return "ok"


HEAD = (
    "| fault (second 30 to 60) | reads meanwhile | commands meanwhile | acknowledged "
    "| longest call | read again after | acknowledged again after | wrong values accepted |\n"
    "|---|---|---|---|---|---|---|---|"
)


def row(title: str, result: Result) -> str:
    """Return a row of the documentation's table."""

    def counted(counter: Counter[str]) -> str:
        return ", ".join(f"{count} {name}" for name, count in sorted(counter.items()))

    def after(seconds: float | None) -> str:
        return "never" if seconds is None else f"{seconds:.1f} s"

    wrong = str(len(result.wrong) + len(result.bent))
    commands = sum(result.commands.values())
    cells = (
        title,
        counted(result.reads),
        counted(result.commands),
        f"{result.acked} of {commands}",
    )
    times = (f"{result.longest_s:.1f} s", after(result.recovered_s), after(result.commanded_s))
    return "| " + " | ".join((*cells, *times, wrong)) + " |"


def table() -> str:
    """Return the documentation's table."""
    return "\n".join([HEAD, *(row(title, run(*case)) for title, *case in CASES)])


if __name__ == "__main__":
    # With --update the page of the documentation is written anew.
    if "--update" in sys.argv:
        sys.path.insert(0, str(Path(__file__).parent))
        from fault_table import PAGE, update

        update(PAGE, "ZNP table", table())
    else:
        print(table())
