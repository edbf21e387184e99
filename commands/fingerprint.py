"""What `wattbench rig fingerprint` and `wattbench rig drift` do.

Results go to stdout, progress and errors to stderr. A file is written only at the end, at once.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..hil.devices.model import DeviceProfile
    from ..hil.fingerprint.drift import Row
    from ..hil.fingerprint.limits import Limits
    from ..hil.fingerprint.probe import Probe
    from ..hil.fingerprint.session import Findings, Plan
    from ..hil.rigs.concrete import ConcreteDevice, RigSetup
    from ..sim.clock import Clock

EXIT_PASS, EXIT_FAIL, EXIT_USAGE, EXIT_ABORTED, EXIT_RIG, EXIT_UNSAFE = 0, 1, 2, 4, 6, 7


class _UsageError(Exception):
    """The command cannot be carried out as it was given; one line says why."""


class _StoppedError(Exception):
    """A signal ended the measurement."""


@dataclass(frozen=True, slots=True)
class FingerprintOptions:
    """What `wattbench rig fingerprint` or `rig drift` was told."""

    device: str
    """An endpoint (``127.0.0.1:1502/1``, ``modbus-tcp://host:port/unit``,
    ``modbus-rtu:///dev/ttyUSB0/unit``), or, with `rig`, the id of a device in it."""
    rig: str | None = None
    """A rig file or the name of a shipped one."""
    profile: str | None = None
    """The device profile whose register map is used; required with an endpoint. For drift also
    what the device is compared with, unless `against` says otherwise."""
    against: Path | None = None
    """Drift only: a profile written by `fingerprint`, instead of the device's own."""
    out: Path | None = None
    """Fingerprint only: the profile goes to this file; default: ``DEVICE.fingerprint.yaml``."""
    yes: bool = False
    """Do not ask before set-points are commanded."""
    passive: bool = False
    """Only what can be measured without commanding a set-point."""
    max_power_w: float | None = None
    """No set-point above this, W; default: the upper end of the device's range."""
    repeats: int | None = None
    """How often set-points and expiries are repeated; default: what each one needs."""
    watchdog_limit_s: float | None = None
    """How long an expiry of the watchdog is waited for, s; 0: it is not measured."""


@dataclass(slots=True)
class _Target:
    """What is measured, and how it is reached."""

    name: str
    profile: DeviceProfile
    run: Callable[[Callable[[Clock, Probe], Coroutine[Any, Any, None]]], None]
    """Runs a coroutine of clock and probe to its end."""
    where: str
    asks: bool
    """Whether a person is asked first: not for what only exists in memory."""


def fingerprint(options: FingerprintOptions, *, as_json: bool) -> int:
    """Measure a device, write its profile; return the exit code."""

    def work(content: dict[str, Any]) -> int:
        from ..evaluation.files import write_at_once
        from ..hil.fingerprint.profile import measured

        target = _target(options)
        out = options.out or Path(f"{_file_name(options.device)}.fingerprint.yaml")
        if out.is_dir() or not out.parent.is_dir():
            raise _UsageError(f"--out: cannot write to {out}; allowed: a file in a folder that is")
        found, index = _measure(target, options, content)
        today = dt.datetime.now(dt.UTC).date()
        profile = measured(target.profile, found, index, today)
        text = _profile_yaml(profile, found, target, today)
        write_at_once(out, text)
        content["profile"] = str(out)
        if not as_json:
            _print_findings(found)
            print(f"wrote {out}")
        return EXIT_PASS if found.safe is not False else EXIT_UNSAFE

    return _carry_out(work, as_json=as_json)


def drift(options: FingerprintOptions, *, as_json: bool) -> int:
    """Measure a device and compare it with its profile; return the exit code."""

    def work(content: dict[str, Any]) -> int:
        from ..hil.fingerprint.drift import compare
        from ..scenarios.devices import load_device_profile

        target = _target(options)
        wanted = target.profile
        if options.against is not None:
            wanted = load_device_profile(options.against)
            if wanted.modbus is None or len(wanted.actuators) != len(target.profile.actuators):
                raise _UsageError(f"--against: {options.against} is the profile of another device")
        found, index = _measure(target, options, content)
        rows = compare(wanted, found, index)
        content["parameters"] = [row.as_dict() for row in rows]
        drifted = [row.name for row in rows if row.verdict == "drifted"]
        content["drifted"] = drifted
        if not as_json:
            _print_rows(rows)
            what = f"drifted: {', '.join(drifted)}" if drifted else "nothing has drifted"
            print(f"{target.name}: {what}")
        if found.safe is False:
            return EXIT_UNSAFE
        return EXIT_FAIL if drifted else EXIT_PASS

    return _carry_out(work, as_json=as_json)


# -- what is measured ------------------------------------------------------------------------


def _target(options: FingerprintOptions) -> _Target:
    if options.rig is not None:
        return _target_in_rig(options)
    from ..hil.fingerprint.endpoint import EndpointError, parse_endpoint
    from ..scenarios.devices import load_device_profile

    try:
        endpoint = parse_endpoint(options.device)
    except EndpointError as problem:
        raise _UsageError(
            f"{problem}. A device of a rig: rig fingerprint DEVICE --rig RIG"
        ) from None
    if options.profile is None:
        raise _UsageError("--profile: an endpoint needs a device profile, for its register map")
    profile = load_device_profile(options.profile)
    if profile.modbus is None:
        raise _UsageError(f"--profile: {options.profile} is no Modbus device")
    unit = endpoint.unit or profile.modbus.unit
    endpoint = replace(endpoint, unit=unit)

    def run(session: Callable[[Clock, Probe], Coroutine[Any, Any, None]]) -> None:
        from ..hil.fingerprint.modbus_probe import ModbusProbe
        from ..hil.fingerprint.profile import blind

        async def work(clock: Clock) -> None:
            probe = ModbusProbe(clock, endpoint.client(clock), blind(profile), unit)
            await session(clock, probe)

        _on_wall_clock(work)

    return _Target(options.device, profile, run, str(endpoint), asks=True)


def _target_in_rig(options: FingerprintOptions) -> _Target:
    from ..hil.rigs.concrete import RigSetup, concrete
    from ..scenarios.devices import load_device_profile
    from ..scenarios.rigs import load_profiles, load_rig

    assert options.rig is not None
    rig = load_rig(options.rig)
    setup = RigSetup(rig, load_profiles(rig))
    devices = {device.id: device for device in concrete(setup)}
    device = devices.get(options.device)
    if device is None:
        raise _UsageError(
            f"rig '{rig.name}' has no device '{options.device}'; allowed: {', '.join(devices)}"
        )
    profile = device.profile if options.profile is None else load_device_profile(options.profile)
    if profile.modbus is None or device.unit == 0:
        raise _UsageError(
            f"'{device.id}' is on {device.bus.kind}; only Modbus devices are measured"
        )
    if device.emulated:
        run = _run_emulated(setup, device, profile)
        return _Target(device.id, profile, run, "emulated in virtual time", asks=False)
    run = _run_on_rig(setup, device, profile, options)
    return _Target(device.id, profile, run, f"rig {rig.name}, bus {device.bus.id}", asks=True)


def _run_emulated(setup: RigSetup, device: ConcreteDevice, profile: DeviceProfile) -> Any:
    """Return what measures a device that wattbench plays: in memory, in virtual time."""

    def run(session: Callable[[Clock, Probe], Coroutine[Any, Any, None]]) -> None:
        from ..hil.emulation.rig import EmulatedRig, line_settings
        from ..hil.fingerprint.modbus_probe import ModbusProbe
        from ..hil.fingerprint.profile import blind
        from ..hil.modbus.client import ModbusClient
        from ..hil.rigs.model import ModbusRtuBus
        from ..sim.clock import VirtualClock

        with VirtualClock() as clock:
            rig = EmulatedRig(setup, clock)
            line = line_settings(device.bus) if isinstance(device.bus, ModbusRtuBus) else None

            async def work() -> None:
                client = ModbusClient.in_memory(
                    clock,
                    rig.protocol(device.bus.id),
                    name=device.id,
                    one_way_us=100,
                    timeout_s=2.0,
                    line=line,
                )
                await session(clock, ModbusProbe(clock, client, blind(profile), device.unit))

            _stoppable(clock, work())

    return run


def _run_on_rig(
    setup: RigSetup, device: ConcreteDevice, profile: DeviceProfile, options: FingerprintOptions
) -> Any:
    """Return what measures a real device of a rig: locked, guarded, its serial number checked."""

    def run(session: Callable[[Clock, Probe], Coroutine[Any, Any, None]]) -> None:
        from ..hil.fingerprint.modbus_probe import ModbusProbe
        from ..hil.fingerprint.profile import blind
        from ..hil.rigs.session import RigSession

        async def work(clock: Clock) -> None:
            rig = RigSession(setup.rig, setup.profiles, what=f"fingerprint of {device.id}")
            await rig.open()
            try:
                await rig.check(clock)
                if not options.passive:
                    rig.arm()
                client = _client_of(device, clock)
                probe = ModbusProbe(clock, client, blind(profile), device.unit, rig.may_write)
                await session(clock, probe)
            finally:
                await rig.end()

        _on_wall_clock(work)

    return run


def _client_of(device: ConcreteDevice, clock: Clock) -> Any:
    from ..hil.emulation.rig import line_settings
    from ..hil.modbus.client import ModbusClient
    from ..hil.modbus.tls import client_context
    from ..hil.rigs.model import ModbusRtuBus, ModbusTcpBus, ModbusTlsBus

    bus = device.bus
    if isinstance(bus, ModbusRtuBus):
        if bus.path is None:
            raise _UsageError(f"bus '{bus.id}' has no path")
        line = line_settings(bus)
        return ModbusClient.serial(clock, bus.path, line, name=device.id, timeout_s=bus.timeout_s)
    assert isinstance(bus, ModbusTcpBus | ModbusTlsBus)
    tls = None
    if isinstance(bus, ModbusTlsBus):
        files = (Path(bus.certificate_path), Path(bus.key_path), Path(bus.ca_path))
        tls = client_context(*files)
    return ModbusClient.tcp(
        clock, bus.host, bus.port, name=device.id, timeout_s=bus.timeout_s, tls=tls
    )


# -- measuring -------------------------------------------------------------------------------


def _measure(
    target: _Target, options: FingerprintOptions, content: dict[str, Any]
) -> tuple[Findings, int | None]:
    """Measure; what was found is in `content` even if the end came early."""
    from ..hil.fingerprint.limits import limits_of
    from ..hil.fingerprint.probe import ProbeError
    from ..hil.fingerprint.profile import actuator_of, blind
    from ..hil.fingerprint.session import Findings, Fingerprint

    plan = _plan(options)
    profile = blind(target.profile)
    readable = _readable(target.profile)
    index = None if options.passive else actuator_of(profile, readable)
    limits = None
    if index is not None:
        try:
            limits = limits_of(profile, profile.actuators[index], readable, options.max_power_w)
        except ProbeError as problem:
            raise _UsageError(str(problem)) from None
    if limits is not None and target.asks and not options.yes:
        _ask(target, limits, plan)
    measuring: list[Fingerprint] = []

    async def session(clock: Clock, probe: Probe) -> None:
        measuring.append(Fingerprint(probe, limits, plan, _say))
        await measuring[0].run()

    content |= {"device": target.name, "where": target.where, "base": target.profile.name}
    try:
        target.run(session)
    finally:
        found = measuring[0].found if measuring else Findings()
        content |= _as_dict(found)
        if found.safe_note:
            _say(f"{'safe' if found.safe else 'NOT SAFE'}: {found.safe_note}")
    return found, index


def _readable(profile: DeviceProfile) -> tuple[str, ...]:
    from ..hil.devices.fields import resolve

    return tuple(
        item.quantity
        for item in resolve(profile).fields
        if item.readable and item.quantity and item.type != "string" and not item.labels
    )


def _plan(options: FingerprintOptions) -> Plan:
    from ..hil.fingerprint.session import Plan

    changes: dict[str, Any] = {}
    if options.repeats is not None:
        changes |= {"moves": max(options.repeats, 7), "expiries": max(options.repeats, 3)}
    if options.watchdog_limit_s is not None:
        if not 0 <= options.watchdog_limit_s <= 86400:
            raise _UsageError("--watchdog-limit: allowed: 0 … 86400 s")
        changes["watchdog_limit_s"] = options.watchdog_limit_s
    if options.max_power_w is not None and not options.max_power_w > 0:
        raise _UsageError("--max-power: allowed: more than 0 W")
    return replace(Plan(), **changes)


def _ask(target: _Target, limits: Limits, plan: Plan) -> None:
    """Ask the person at the terminal; without one, --yes has to be given."""
    inside = "outside of" if limits.leaves_band else "inside"
    danger = f" {limits.danger}" if limits.danger else ""
    print(
        f"{target.name} ({target.where}): about {plan.moves + plan.expiries} set-points of "
        f"{limits.low:g} … {limits.high:g} {limits.unit} will be commanded, {inside} its safe "
        f"band, and its watchdog left to expire up to {plan.expiries} times.{danger} At the end "
        f"it is left at {limits.safe:g} {limits.unit}.",
        file=sys.stderr,
    )
    if not sys.stdin.isatty():
        raise _UsageError("nobody can be asked: give --yes, or --passive to command nothing")
    print("Continue? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise _StoppedError("nothing was commanded")


def _on_wall_clock(work: Callable[[Clock], Coroutine[Any, Any, None]]) -> None:
    from ..sim.clock import WallClock

    with WallClock() as clock:
        _stoppable(clock, work(clock))


def _stoppable(clock: Any, work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; the first signal makes the device safe and ends, a second one breaks off."""
    from ..hil.safestate import StopSignals

    with StopSignals() as signals:
        try:
            with signals.stopping(clock.cancel):
                clock.run(work)
        except asyncio.CancelledError:
            raise _StoppedError(f"stopped by {signals.first or 'the caller'}") from None


# -- what is shown ---------------------------------------------------------------------------


def _file_name(device: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in device).strip("._") or "device"


def _as_dict(found: Findings) -> dict[str, Any]:
    return {
        "complete": found.complete,
        "estimates": {name: value.as_dict() for name, value in found.estimates.items()},
        "facts": found.facts,
        "not_told": found.untold,
        "identity": found.identity,
        "safe": found.safe,
        "safe_note": found.safe_note,
    }


def _print_findings(found: Findings) -> None:
    from ..hil.fingerprint.profile import stated

    for name, estimate in found.estimates.items():
        value, half = stated(estimate)
        note = f"  ({estimate.note})" if estimate.note else ""
        print(f"{name:<20} {value:>10g} ± {half:<9g} {estimate.unit:<2}{note}".rstrip())
    for name, value in found.facts.items():
        print(f"{name:<20} {value:>10}")
    for name, reason in found.untold.items():
        print(f"{name:<20} not told: {reason}")


def _print_rows(rows: list[Row]) -> None:
    print(f"{'parameter':<20} {'profile':>10} {'±':>9} {'measured':>10} {'±':>9}  verdict")
    for row in rows:
        seen = "–" if row.measured is None else f"{row.measured:.4g}"
        half = "–" if row.uncertainty is None else f"{row.uncertainty:.2g}"
        note = f" ({row.note})" if row.note and row.verdict != "ok" else ""
        print(
            f"{row.name:<20} {row.profile:>10.4g} {row.tolerance:>9.2g} {seen:>10} {half:>9}  "
            f"{row.verdict}{note}"
        )


def _profile_yaml(profile: DeviceProfile, found: Findings, target: _Target, today: dt.date) -> str:
    """Return the profile as YAML, with how each number was found as comments at the top."""
    import io

    from ruamel.yaml import YAML

    lines = [
        f"# Measured by `wattbench rig fingerprint` at {target.where}, {today.isoformat()}.",
        f"# Register map: {target.profile.name}. Value ± half of the 95 % interval:",
    ]
    for name, estimate in found.estimates.items():
        note = f"; {estimate.note}" if estimate.note else ""
        lines.append(
            f"#   {name}: {estimate.value:.6g} ± {estimate.uncertainty:.2g} {estimate.unit}, "
            f"{estimate.method}{note}"
        )
    lines += [f"#   {name}: not told, {reason}" for name, reason in found.untold.items()]
    lines.append("# measured.uncertainty holds standard uncertainties: half of these.")
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = None, 100, False
    yaml.dump(profile.model_dump(mode="json", exclude_defaults=True), stream)
    return "\n".join(lines) + "\n" + stream.getvalue()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _carry_out(work: Callable[[dict[str, Any]], int], *, as_json: bool) -> int:
    """Do it; what a user can mend is one line a mistake and an exit code."""
    from ..hil.fingerprint.estimate import EstimateError
    from ..hil.fingerprint.probe import ProbeError
    from ..hil.modbus.line import LineError
    from ..hil.modbus.tls import TlsError
    from ..hil.rig import RigError
    from ..scenarios.devices import UnknownProfileError
    from ..scenarios.errors import ScenarioErrors
    from ..scenarios.rigs import UnknownRigError

    content: dict[str, Any] = {}
    problem = ""
    try:
        code = work(content)
    except (KeyboardInterrupt, _StoppedError) as stop:
        code, problem = EXIT_ABORTED, str(stop) or "stopped"
    except ScenarioErrors as errors:
        code, problem = EXIT_USAGE, "\n".join(map(str, errors.errors))
    except (UnknownProfileError, UnknownRigError, _UsageError) as error:
        code, problem = EXIT_USAGE, str(error)
    except (ProbeError, EstimateError, RigError, LineError, TlsError) as error:
        code, problem = EXIT_RIG, str(error)
    if content.get("safe") is False:
        code = EXIT_UNSAFE
    for line in problem.splitlines():
        print(f"wattbench: {line}", file=sys.stderr)
    if as_json:
        error = {"error": problem} if problem else {}
        print(json.dumps(content | error | {"exit_code": code}))
    return code
