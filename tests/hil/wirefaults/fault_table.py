"""What the Modbus driver does under each bus fault: the runs behind the documentation's table.

A device whose values say when they were measured is polled once a second and written every five,
for two minutes of virtual time; from second 30 to 60 a fault is on.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.devices.source import FunctionSource
from wattbench.hil.memory import connect
from wattbench.hil.modbus.bus import ModbusBus
from wattbench.hil.modbus.client import ModbusClient, ModbusError
from wattbench.hil.modbus.driver import CommandError, IdentityError, ModbusDevice
from wattbench.hil.modbus.line import LineSettings
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.wirefaults.bus import BusFaults
from wattbench.hil.wirefaults.targets import FaultTargets
from wattbench.sim.clock import VirtualClock
from wattbench.sim.faults import BUS_FAULTS

S = 1_000_000
FROM_S, TO_S, END_S = 30, 60, 120
LINE = LineSettings(19200)
#: A value is told by its first digits, its second by the last ones; float32 holds both.
BASES = {
    "power_w": 100_000,
    "voltage_a_v": 200_000,
    "frequency_hz": 300_000,
    "power_a_w": 400_000,
    "voltage_b_v": 500_000,
    "temperature_c": 600_000,
}
#: Two blocks of one length: an answer to one would pass for one to the other.
ADDRESSES = dict(zip(BASES, (0, 2, 4, 300, 302, 304), strict=True))

#: Title, kinds of bus, kind of fault and parameters.
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("each frame 0.1 s late", "tcp rtu", "bus_delay", {"delay_s": 0.1}),
    ("each frame 2 s late", "tcp rtu", "bus_delay", {"delay_s": 2.0}),
    ("up to 0.6 s late", "tcp rtu", "bus_jitter", {"delay_s": 0.6}),
    ("one frame in five lost", "tcp rtu", "bus_drop", {"probability": 0.2}),
    ("no request arrives", "tcp rtu", "bus_drop", {"direction": "request"}),
    ("no answer arrives", "tcp rtu", "bus_drop", {"direction": "answer"}),
    ("every frame twice", "tcp rtu", "bus_duplicate", {}),
    ("headers corrupt, every tenth", "tcp rtu", "bus_corrupt",
     {"probability": 0.1, "part": "header"}),
    ("any byte corrupt, every tenth", "tcp rtu", "bus_corrupt", {"probability": 0.1}),
    ("wrong CRC, every tenth", "rtu", "bus_bad_crc", {"probability": 0.1}),
    ("wrong transaction, every tenth", "tcp", "bus_wrong_transaction", {"probability": 0.1}),
    ("wrong transaction, always", "tcp", "bus_wrong_transaction", {}),
    ("exception 4, every third", "tcp rtu", "bus_exception", {"code": 4, "probability": 0.33}),
    ("exception 6 (busy), always", "tcp rtu", "bus_exception", {"code": 6}),
    ("disconnected", "tcp rtu", "bus_disconnect", {}),
    ("port gone", "tcp rtu", "port_vanish", {}),
    ("device reboots", "tcp rtu", "device_reboot", {}),
    ("value stuck", "tcp rtu", "value_stuck", {"quantity": "power_w"}),
    ("babble: noise", "tcp rtu", "bus_babble", {"content": "noise", "period_s": 0.3}),
    ("babble: old answers", "tcp rtu", "bus_babble", {"content": "answers", "period_s": 0.3}),
    ("slow clients", "tcp", "slow_client", {"connections": 16, "period_s": 0.5}),
]  # fmt: skip


def profile() -> DeviceProfile:
    """Return a made-up heater."""
    points = [
        {"quantity": name, "table": "input", "address": address, "type": "float32",
         "low": BASES[name], "high": BASES[name] + 9_999}
        for name, address in ADDRESSES.items()
    ]  # fmt: skip
    setpoint = {"quantity": "power_setpoint_w", "address": 100, "type": "float32", "access": "rw"}
    serial = {"quantity": "serial", "address": 200, "type": "uint32", "poll_s": 0}
    return DeviceProfile.model_validate(
        {
            "name": "made_up_heater",
            "title": "made up",
            "kind": "heater",
            "identity": {"manufacturer": "nobody", "model": "none", "serial": "4711"},
            "ratings": {"power_w": 3000},
            "timing": {"refresh_s": 1, "answer_s": 0.005, "boot_s": 2},
            "actuators": [{"quantity": "power_setpoint_w", "low": 0, "high": 3000}],
            "modbus": {
                "transports": ["tcp", "rtu"],
                "functions": [3, 4, 6, 16],
                "points": [*points, setpoint, serial],
            },
        }
    )


@dataclass
class Result:
    """What came of one run."""

    polls: Counter[str] = field(default_factory=Counter)
    """Of the polls while the fault was on: `ok`, or the error's name."""
    writes: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    """The longest call of the driver."""
    oldest_s: float = 0.0
    """Age of the newest good power at its greatest."""
    unchanged_s: float = 0.0
    """Longest time for which `changed_us` of the power said that it stood still."""
    recovered_s: float | None = None
    """From the fault's end to the first poll without error, with a new power."""
    wrong: list[tuple[str, float, float]] = field(default_factory=list)
    """Good readings that were never true: quantity, value, time in s."""
    lost_writes: int = 0
    """Confirmed but not taken over by the device."""
    bent_writes: int = 0
    """Set-points that the device took over but nobody sent."""
    frames_bent: int | None = 0
    opened_s: float = 0.0
    """What opening the device took."""
    crashes: list[str] = field(default_factory=list)


def run(
    bus_kind: str, kind: str, parameters: dict[str, Any], seed: int = 1, begin_s: int = 0
) -> Result:
    """Return what the driver did under a fault; the clock begins at `begin_s`."""
    result = Result()
    with VirtualClock(begin_s * S) as clock:
        clock.run(_run(clock, result, bus_kind, kind, parameters, seed))
    return result


async def _run(
    clock: VirtualClock, result: Result, bus_kind: str, kind: str, parameters: Any, seed: int
) -> None:
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: result.crashes.append(str(context.get("exception") or context))
    )
    serial = bus_kind == "rtu"
    made = profile()
    taken: list[float] = []
    device = EmulatedDevice(made, _source(taken), clock)
    faults = BusFaults(seed, clock)
    server = ModbusServer(
        {1: device},
        clock,
        bus="bus",
        framing="rtu" if serial else "tcp",
        line=LINE if serial else None,
        faults=faults,
    )
    targets = FaultTargets(clock, faults)

    async def attacker(protocol: asyncio.Protocol) -> asyncio.BaseTransport:
        return connect(clock, protocol, server.protocol(), 500)

    targets.add_bus("bus", "modbus-rtu" if serial else "modbus-tcp", connect=attacker)
    targets.add_device("heater", "bus", 1, device)
    client = ModbusClient.in_memory(
        clock,
        server.protocol,
        name="heater",
        one_way_us=500,
        timeout_s=0.5,
        line=LINE if serial else None,
    )
    driver = ModbusDevice(made, ModbusBus(clock, client), 1, name="heater")
    on_device = kind in {"device_reboot", "value_stuck"}
    given = {"target": "heater" if on_device else "bus", "start_s": FROM_S}
    fault = BUS_FAULTS[kind].model_validate(given | parameters | {"duration_s": TO_S - FROM_S})
    targets.schedule([fault])
    begin_us = clock.now_us
    await driver.open()
    result.opened_s = (clock.now_us - begin_us) / S
    await _use(clock, driver, device, result, taken, targets)
    driver.close()
    await server.close()


def _source(taken: list[float]) -> FunctionSource:
    def value(base: int) -> Callable[[int], float]:
        return lambda t_us: float(base + t_us // S)

    def command(power_w: float, _t_us: int) -> None:
        taken.append(power_w)

    measures = {name: value(base) for name, base in BASES.items()} | {"serial": lambda _: 4711.0}
    return FunctionSource(measures, {"power_setpoint_w": command})


async def _use(
    clock: VirtualClock,
    driver: ModbusDevice,
    device: EmulatedDevice,
    result: Result,
    taken: list[float],
    targets: FaultTargets,
) -> None:
    seen: dict[str, int] = {}
    sent: set[float] = {0.0}
    for second in range(1, END_S):
        await clock.sleep_until(second * S + 20_000)
        during = FROM_S <= clock.now_us / S < TO_S
        begin_us = clock.now_us
        outcome = await _outcome(driver.poll(begin_us))
        result.longest_s = max(result.longest_s, (clock.now_us - begin_us) / S)
        if during:
            result.polls[outcome] += 1
            active = targets.effects[0].active if targets.effects else None
            result.frames_bent = active.frames_bent if active else None
        _judge(driver, clock.now_us, seen, result, outcome, during)
        if second % 5 == 0:
            power_w = float(1000 + second)
            sent.add(power_w)
            begin_us = clock.now_us
            outcome = await _outcome(driver.write("power_setpoint_w", power_w))
            result.longest_s = max(result.longest_s, (clock.now_us - begin_us) / S)
            if during:
                result.writes[outcome] += 1
            if outcome == "ok" and (not taken or taken[-1] != power_w):
                result.lost_writes += 1
    result.bent_writes = sum(power_w not in sent for power_w in taken)


async def _outcome(call: Any) -> str:
    try:
        await call
    except (ReadingError, RigError, ModbusError, CommandError, IdentityError) as error:
        return type(error).__name__
    return "ok"


def _judge(
    driver: ModbusDevice,
    now_us: int,
    seen: dict[str, int],
    result: Result,
    outcome: str,
    during: bool,
) -> None:
    """Hold what was accepted since the last call against what was true."""
    for name, base in BASES.items():
        reading = driver.readings.get(name)
        if reading is None or reading.quality != "good" or seen.get(name) == reading.received_us:
            continue
        seen[name] = reading.received_us
        # Measured at most the time-out and a refresh before it came.
        measured_s = float(reading.value) - base  # type: ignore[arg-type]
        came_s = reading.received_us / S
        true = measured_s == int(measured_s) and came_s - 2.0 <= measured_s <= came_s
        if not true and not (during and _stuck(result, name, measured_s)):
            result.wrong.append((name, float(reading.value), came_s))  # type: ignore[arg-type]
    power = driver.readings.get("power_w")
    if power is None:
        return
    if during:
        result.oldest_s = max(result.oldest_s, (now_us - power.received_us) / S)
        result.unchanged_s = max(result.unchanged_s, (now_us - power.changed_us) / S)
    after = now_us > TO_S * S
    if after and result.recovered_s is None and outcome == "ok" and power.changed_us > TO_S * S:
        result.recovered_s = (now_us - TO_S * S) / S


def _stuck(result: Result, name: str, measured_s: float) -> bool:
    """Return whether a value is that of a device that is stuck, which no client can tell."""
    return result.frames_bent is None and name == "power_w" and FROM_S - 2 <= measured_s <= FROM_S


def row(title: str, bus_kind: str, result: Result) -> str:
    """Return a row of the documentation's table."""
    polls = ", ".join(f"{count} {name}" for name, count in sorted(result.polls.items()))
    writes = ", ".join(f"{count} {name}" for name, count in sorted(result.writes.items()))
    back = "never" if result.recovered_s is None else f"{result.recovered_s:.1f} s"
    wrong = str(len(result.wrong)) + (f" (+ {result.bent_writes} set-points)" * bool(
        result.bent_writes
    ))  # fmt: skip
    cells = (title, bus_kind.upper(), polls, writes, f"{result.longest_s:.1f} s")
    age = f"{max(result.oldest_s, result.unchanged_s):.0f} s"
    return "| " + " | ".join((*cells, age, back, wrong)) + " |"


HEAD = (
    "| fault (second 30 to 60) | bus | polls meanwhile | writes meanwhile | longest call "
    "| value at most unchanged | back after | wrong values accepted |\n"
    "|---|---|---|---|---|---|---|---|"
)


def table() -> str:
    """Return the documentation's table."""
    lines = [HEAD]
    for title, buses, kind, parameters in CASES:
        for bus_kind in buses.split():
            lines.append(row(title, bus_kind, run(bus_kind, kind, parameters)))
    return "\n".join(lines)


def update(page: Path, name: str, text: str) -> None:
    """Put a table between the marks that bear its name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "wire-faults.md"

if __name__ == "__main__":
    # With --update the page of the documentation is written anew.
    if "--update" in sys.argv:
        update(PAGE, "modbus table", table())
    else:
        print(table())
