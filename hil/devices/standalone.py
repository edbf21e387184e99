"""Power without a plant: what devices measure when they are emulated alone.

Values are plausible, move, and fit together: phases add up to the sum, counters are the integral
of power, water warms by what heats it. What can be is a formula of time; what a command bends is
integrated on whole seconds, so that nothing depends on how often somebody looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from .model import Actuator, DeviceProfile
from .motion import Motion
from .source import Value
from .waves import Wave, share

_PHASES: Final = "abc"
_S: Final = 1_000_000
_WH_PER_WS: Final = 1.0 / 3600.0
_WATER_J_PER_L_K: Final = 4186.0
_AMBIENT_C: Final = 20.0
_LOSS_W_PER_K: Final = 1.5
_HYSTERESIS_K: Final = 4.0
_MIN_CHARGE_A: Final = 6.0
_MOST_S: Final = 2 * 86400

_Read = Callable[[int], Value | None]


class StandaloneSource:
    """Measures and takes commands as a device of a profile's kind would."""

    def __init__(self, profile: DeviceProfile, seed: int = 0) -> None:
        """Build the source; two with the same seed are the same device."""
        self._profile = profile
        self._seed = seed
        self._motions = {a.quantity: Motion(a) for a in profile.actuators}
        self._targets = {a.quantity: a.default for a in profile.actuators}
        """What was commanded last."""
        self._on_w = 0.0
        """Last set-point above zero: where a heater goes when it is switched on."""
        self._free = True
        self._t_s = 0
        self._sums: dict[str, float] = {}
        """What is integrated: Wh, or °C, or a state of charge; as of `_t_s`."""
        self._state: dict[str, bool] = {}
        self._reads: Mapping[str, _Read] = {}
        self._step: Callable[[int], None] | None = None
        build = {
            "meter": self._meter,
            "inverter": self._inverter,
            "battery": self._battery,
            "heater": self._heater,
            "charger": self._charger,
            "plug": self._plug,
            "sensor": self._sensor,
        }
        build[profile.kind]()

    def measure(self, quantity: str, t_us: int) -> Value | None:
        """Return a quantity at a time, None if a device of this kind has none."""
        read = self._reads.get(quantity)
        if read is None:
            return self._targets.get(quantity)
        self._advance(t_us)
        return read(t_us)

    def command(self, quantity: str, value: float, t_us: int) -> None:
        """Start moving a quantity to a value."""
        self._advance(t_us)
        if quantity == "on" and self._profile.kind == "heater":
            quantity, value = "power_setpoint_w", self._switched_w(value)
        if quantity == "power_setpoint_w" and value > 0:
            self._on_w = value
        self._targets[quantity] = value
        self._free = self._free and quantity != "power_setpoint_w"
        motion = self._motions.get(quantity)
        if motion is None:
            motion = self._motions[quantity] = Motion(
                Actuator(quantity=quantity, low=min(value, 0.0), high=max(value, 1.0)), value
            )
        motion.command(value, t_us)

    def _switched_w(self, on: float) -> float:
        """Return the set-point that a switch of a heater stands for."""
        if not on:
            return 0.0
        return self._on_w or self._profile.ratings.power_w

    def _advance(self, t_us: int) -> None:
        """Integrate up to the last whole second."""
        if self._step is None:
            return
        until_s = t_us // _S
        # A clock that starts late (or leaps) is not caught up with second by second.
        self._t_s = max(self._t_s, until_s - _MOST_S)
        while self._t_s < until_s:
            self._step(self._t_s * _S + _S // 2)
            self._t_s += 1

    def _motion(self, quantity: str, t_us: int, default: float) -> float:
        motion = self._motions.get(quantity)
        return motion.at(t_us) if motion is not None else default

    def _draw(self, name: str, low: float, high: float) -> float:
        return low + (high - low) * share(self._seed, self._profile.name, name)

    def _wave(self, name: str, mean: float, swing: float, period_s: float) -> Wave:
        phase = self._draw(name, 0.0, 2 * math.pi)
        return Wave(mean, swing, round(period_s) * _S, phase)

    def _voltages(self) -> dict[str, _Read]:
        waves = [self._wave(f"voltage {p}", 230.0 + k, 2.5, 137) for k, p in enumerate(_PHASES)]
        reads: dict[str, _Read] = {
            f"voltage_{phase}_v": wave.at for phase, wave in zip(_PHASES, waves, strict=True)
        }
        reads["voltage_v"] = lambda t: sum(wave.at(t) for wave in waves) / 3.0
        reads["frequency_hz"] = self._wave("frequency", 50.0, 0.02, 61).at
        return reads

    def _currents(self, power_w: Callable[[int], float], phases: int) -> dict[str, _Read]:
        """Return currents and powers of phases that carry equal shares."""
        volts = self._voltages()
        reads = dict(volts)

        def current(phase: str) -> _Read:
            def read(t_us: int) -> float:
                volt = volts[f"voltage_{phase}_v"](t_us)
                assert isinstance(volt, float)
                return abs(power_w(t_us)) / phases / volt

            return read

        for index, phase in enumerate(_PHASES):
            carries = index < phases
            reads[f"current_{phase}_a"] = current(phase) if carries else _zero
            reads[f"power_{phase}_w"] = (lambda t: power_w(t) / phases) if carries else _zero
        reads["apparent_power_va"] = lambda t: abs(power_w(t))
        reads["power_factor"] = lambda _: 1.0
        return reads

    def _meter(self) -> None:
        period = self._draw("period", 240.0, 360.0)
        waves = [
            self._wave(f"power {p}", self._draw(f"mean {p}", -400.0, 500.0), 900.0, period)
            for p in _PHASES
        ]
        total = waves[0].plus(waves[1]).plus(waves[2])
        factor = 0.97
        reads = self._voltages()
        for phase, wave in zip(_PHASES, waves, strict=True):
            reads[f"power_{phase}_w"] = wave.at
            reads[f"current_{phase}_a"] = _current(wave, reads[f"voltage_{phase}_v"], factor)
            reads[f"apparent_power_{phase}_va"] = _apparent(wave, factor)
            # Of power that flows back it is negative, so that V x A x it is the power.
            reads[f"power_factor_{phase}"] = _signed(factor, wave)
        reads["power_w"] = lambda t: sum(wave.at(t) for wave in waves)
        reads["apparent_power_va"] = lambda t: sum(abs(wave.at(t)) for wave in waves) / factor
        self._reads = {**reads, **self._counters(waves, total)}

    def _counters(self, waves: list[Wave], total: Wave) -> dict[str, _Read]:
        """Return counters of each phase, and of all by what they add up to at each moment.

        What one phase takes while another gives passes by the counters of all: each is less than
        the sum of its phases, by the same.
        """
        reads: dict[str, _Read] = {}
        starts = {"import": 0, "export": 0}
        for way in starts:
            for phase, wave in zip(_PHASES, waves, strict=True):
                start_wh = round(self._draw(f"counter {way} {phase}", 1e5, 3e6))
                one_way = wave if way == "import" else wave.negative()
                reads[f"{way}_energy_{phase}_wh"] = _counter(start_wh, one_way)
                starts[way] += start_wh
        within_wh = round(self._draw("counter within", 0.1, 0.6) * min(starts.values()))
        reads["import_energy_wh"] = _counter(starts["import"] - within_wh, total)
        reads["export_energy_wh"] = _counter(starts["export"] - within_wh, total.negative())
        return reads

    def _inverter(self) -> None:
        rated = self._profile.ratings.power_w or 5000.0
        sun = self._wave("sun", 0.55 * rated, 0.25 * rated, 600)
        self._sums = {"energy": self._draw("energy", 1e5, 2e7), "soc": self._draw("soc", 0.3, 0.7)}
        capacity = self._profile.ratings.capacity_wh
        charge = self._profile.ratings.charge_power_w

        def power(t_us: int) -> float:
            if self._motion("connected", t_us, 1.0) < 0.5:
                return 0.0
            return max(0.0, min(sun.at(t_us), self._motion("power_limit_w", t_us, rated)))

        def state(t_us: int) -> str:
            if power(t_us) <= 0:
                return "standby"
            limited = self._motion("power_limit_w", t_us, rated) < sun.at(t_us)
            return "throttled" if limited else "producing"

        def battery(t_us: int) -> float:
            wanted = charge * math.sin(sun.phase + t_us / 4e8)
            lowest = -self._motion("charge_limit_w", t_us, charge)
            return max(lowest, min(wanted, self._motion("discharge_limit_w", t_us, charge)))

        def step(t_us: int) -> None:
            self._sums["energy"] += power(t_us) * _WH_PER_WS
            if capacity > 0:
                soc = self._sums["soc"] - battery(t_us) * _WH_PER_WS / capacity
                self._sums["soc"] = min(max(soc, 0.0), 1.0)

        self._step = step
        self._reads = {
            **self._currents(power, self._profile.ratings.phases),
            "power_w": power,
            "energy_wh": lambda _: self._sums["energy"],
            "connected": lambda t: float(self._motion("connected", t, 1.0) >= 0.5),
            "state": state,
            "temperature_c": self._wave("cabinet", 41.0, 4.0, 1800).at,
            "dc_power_w": lambda t: power(t) / 0.97,
            "dc_voltage_v": self._wave("strings", 620.0, 25.0, 900).at,
            "soc": lambda _: self._sums["soc"],
            "battery_power_w": battery,
        }

    def _battery(self) -> None:
        ratings = self._profile.ratings
        rated, charge = ratings.power_w or 5000.0, ratings.charge_power_w or ratings.power_w
        capacity = ratings.capacity_wh or 10_000.0
        idle = self._wave("idle", 0.0, 0.2 * rated, 420)
        self._sums = {
            "soc": self._draw("soc", 0.4, 0.6),
            "out": self._draw("out", 1e5, 1e6),
            "in": self._draw("in", 1e5, 1e6),
        }

        def power(t_us: int) -> float:
            # Until somebody commands it, the battery follows the house.
            free = self._free or "power_setpoint_w" not in self._motions
            wanted = idle.at(t_us) if free else self._motion("power_setpoint_w", t_us, 0.0)
            soc = self._sums["soc"]
            wanted = min(wanted, self._motion("power_limit_w", t_us, rated))
            return max(-charge if soc < 1.0 else 0.0, min(wanted, rated if soc > 0.0 else 0.0))

        def step(t_us: int) -> None:
            wh = power(t_us) * _WH_PER_WS
            self._sums["soc"] = min(max(self._sums["soc"] - wh / capacity, 0.0), 1.0)
            self._sums["out" if wh > 0 else "in"] += abs(wh)

        self._step = step
        self._reads = {
            **self._currents(power, ratings.phases),
            "power_w": power,
            "soc": lambda _: self._sums["soc"],
            "capacity_wh": lambda _: capacity,
            "available_energy_wh": lambda _: self._sums["soc"] * capacity,
            "export_energy_wh": lambda _: self._sums["out"],
            "import_energy_wh": lambda _: self._sums["in"],
            "state": lambda t: _battery_state(power(t)),
            "temperature_c": self._wave("cabinet", 27.0, 2.0, 1800).at,
            "dc_voltage_v": lambda _: 380.0 + 40.0 * self._sums["soc"],
        }

    def _heater(self) -> None:
        ratings = self._profile.ratings
        limit_c = ratings.temperature_limit_c
        self._sums = {"temperature": self._draw("water", 42.0, 52.0), "energy": 0.0}
        self._state = {"open": False}
        heat_j_per_k = ratings.volume_l * _WATER_J_PER_L_K

        def power(t_us: int) -> float:
            return 0.0 if self._state["open"] else self._motion("power_setpoint_w", t_us, 0.0)

        def step(t_us: int) -> None:
            watts, warm = power(t_us), self._sums["temperature"]
            self._sums["energy"] += watts * _WH_PER_WS
            warm += (watts - _LOSS_W_PER_K * (warm - _AMBIENT_C)) / heat_j_per_k
            self._sums["temperature"] = warm
            opens = warm >= limit_c
            self._state["open"] = opens or (self._state["open"] and warm > limit_c - _HYSTERESIS_K)

        self._step = step
        self._reads = {
            **self._currents(power, ratings.phases),
            "power_w": power,
            "temperature_c": lambda _: self._sums["temperature"],
            "energy_wh": lambda _: self._sums["energy"],
            "max_power_w": lambda _: ratings.power_w,
            "controller_temperature_c": self._wave("controller", 34.0, 3.0, 900).at,
            # The switch, not the current: an open thermostat or a dead time leaves it on.
            "on": lambda _: float(self._targets.get("power_setpoint_w", 0.0) > 0),
            "state": lambda t: "heating" if power(t) > 0 else "standby",
        }

    def _charger(self) -> None:
        ratings = self._profile.ratings
        self._sums = {"energy": self._draw("energy", 1e5, 3e6), "session": 0.0}

        def amps(t_us: int) -> float:
            value = self._motion("current_setpoint_a", t_us, 0.0)
            on = self._motion("enabled", t_us, 1.0) >= 0.5
            return value if on and value >= _MIN_CHARGE_A else 0.0

        # A car takes the current that it is offered, whatever the voltage is; the voltages of three
        # phases move so that their sum does not.
        angle, swing = self._draw("voltage", 0.0, 2 * math.pi), 1.5 if ratings.phases == 3 else 0.0
        turns = (angle + k * 2 * math.pi / 3 for k in range(3))
        volts = [Wave(230.0, swing, 137 * _S, turn) for turn in turns]

        def power(t_us: int) -> float:
            return 230.0 * ratings.phases * amps(t_us)

        def step(t_us: int) -> None:
            wh = power(t_us) * _WH_PER_WS
            self._sums["energy"] += wh
            self._sums["session"] += wh

        self._step = step
        reads = self._currents(power, ratings.phases)
        del reads["voltage_v"]
        for phase, volt in zip(_PHASES, volts, strict=True):
            reads[f"voltage_{phase}_v"] = volt.at
        for phase, volt in zip(_PHASES[: ratings.phases], volts, strict=False):
            reads[f"current_{phase}_a"] = amps
            reads[f"power_{phase}_w"] = _product(amps, volt)
        self._reads = {
            **reads,
            "power_w": power,
            "car_state": lambda t: "charging" if power(t) > 0 else "waiting",
            "enabled": lambda t: self._motion("enabled", t, 1.0),
            "energy_wh": lambda _: self._sums["energy"],
            "session_energy_wh": lambda _: self._sums["session"],
        }

    def _plug(self) -> None:
        rated = self._profile.ratings.power_w or 2000.0
        load = self._wave("load", 0.6 * rated, 0.1 * rated, 180)
        self._sums = {"energy": self._draw("energy", 1e3, 1e5)}

        def power(t_us: int) -> float:
            on = self._motion("on", t_us, 1.0) >= 0.5
            return load.at(t_us) * self._motion("level", t_us, 1.0) if on else 0.0

        def step(t_us: int) -> None:
            self._sums["energy"] += power(t_us) * _WH_PER_WS

        self._step = step
        self._reads = {
            **self._currents(power, 1),
            "power_w": power,
            "on": lambda t: float(self._motion("on", t, 1.0) >= 0.5),
            "level": lambda t: self._motion("level", t, 1.0),
            "energy_wh": lambda _: self._sums["energy"],
        }

    def _sensor(self) -> None:
        drain_per_us = 1.0 / (2 * 365 * 86400 * _S)
        full = self._draw("cell", 0.6, 1.0)
        self._reads = {
            "temperature_c": self._wave("room", 21.0, 2.0, 3600).at,
            "humidity": self._wave("air", 0.45, 0.08, 5400).at,
            "battery_soc": lambda t: max(0.0, full - t * drain_per_us),
            "battery_voltage_v": lambda _: 2.6 + 0.5 * full,
        }


def _zero(_t_us: int) -> float:
    return 0.0


def _battery_state(power_w: float) -> str:
    if power_w > 1.0:
        return "discharging"
    return "charging" if power_w < -1.0 else "standby"


def _counter(start_wh: int, wave: Wave) -> _Read:
    return lambda t: start_wh + wave.positive_wh(t)


def _signed(size: float, wave: Wave) -> _Read:
    return lambda t: math.copysign(size, wave.at(t))


def _product(factor: Callable[[int], float], wave: Wave) -> _Read:
    return lambda t: factor(t) * wave.at(t)


def _apparent(wave: Wave, factor: float) -> _Read:
    return lambda t: abs(wave.at(t)) / factor


def _current(wave: Wave, voltage: _Read, factor: float) -> _Read:
    def read(t_us: int) -> float:
        volts = voltage(t_us)
        assert isinstance(volts, float)
        return abs(wave.at(t_us)) / (volts * factor)

    return read
