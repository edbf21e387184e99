"""What `wattbench rig fingerprint` and `wattbench rig drift` do.

Results go to stdout, progress and errors to stderr. A file is written only at the end, at once.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .fingerprint_target import FingerprintOptions, StoppedError, Target, UsageError, target_of
from .problems import say

if TYPE_CHECKING:
    from ..hil.devices.model import DeviceProfile
    from ..hil.fingerprint.limits import Limits
    from ..hil.fingerprint.plan import Findings, Plan
    from ..hil.fingerprint.probe import Probe
    from ..sim.clock import Clock

__all__ = ["FingerprintOptions", "drift", "fingerprint"]

EXIT_PASS, EXIT_FAIL, EXIT_USAGE, EXIT_ABORTED, EXIT_RIG, EXIT_UNSAFE = 0, 1, 2, 4, 6, 7


def fingerprint(options: FingerprintOptions, *, as_json: bool) -> int:
    """Measure a device, write its profile; return the exit code."""

    def work(content: dict[str, Any]) -> int:
        from ..evaluation.files import write_at_once
        from ..hil.fingerprint.profile import measured
        from .fingerprint_shown import print_findings, profile_yaml

        target = target_of(options)
        out = options.out or Path(f"{_file_name(options.device)}.fingerprint.yaml")
        if out.is_dir() or not out.parent.is_dir():
            raise UsageError(f"--out: cannot write to {out}; allowed: a file in a folder that is")
        found, index = _measure(target, options, content)
        today = dt.datetime.now(dt.UTC).date()
        profile = measured(target.profile, found, index, today)
        text = profile_yaml(profile, found, target.profile.name, target.where, today)
        write_at_once(out, text)
        content["profile"] = str(out)
        if not as_json:
            print_findings(found)
            print(f"wrote {out}")
        return EXIT_PASS if found.safe is not False else EXIT_UNSAFE

    return _carry_out(work, as_json=as_json)


def drift(options: FingerprintOptions, *, as_json: bool) -> int:
    """Measure a device and compare it with its profile; return the exit code."""

    def work(content: dict[str, Any]) -> int:
        from ..hil.fingerprint.drift import compare, doubtful
        from ..scenarios.devices import load_device_profile
        from .fingerprint_shown import print_rows

        target = target_of(options)
        wanted = target.profile
        if options.against is not None:
            wanted = load_device_profile(options.against)
            if wanted.bus != target.profile.bus or len(wanted.actuators) != len(
                target.profile.actuators
            ):
                raise UsageError(f"--against: {options.against} is the profile of another device")
        found, index = _measure(target, options, content)
        rows = compare(wanted, found, index)
        content["parameters"] = [row.as_dict() for row in rows]
        content["warnings"] = doubtful(rows)
        for line in content["warnings"]:
            _say(f"wattbench: {line}")
        drifted = [row.name for row in rows if row.verdict == "drifted"]
        content["drifted"] = drifted
        if not as_json:
            print_rows(rows)
            what = f"drifted: {', '.join(drifted)}" if drifted else "nothing has drifted"
            print(f"{target.name}: {what}")
        if found.safe is False:
            return EXIT_UNSAFE
        return EXIT_FAIL if drifted else EXIT_PASS

    return _carry_out(work, as_json=as_json)


def _measure(
    target: Target, options: FingerprintOptions, content: dict[str, Any]
) -> tuple[Findings, int | None]:
    """Measure; what was found is in `content` even if the end came early."""
    from ..hil.fingerprint.limits import limits_of
    from ..hil.fingerprint.plan import Findings
    from ..hil.fingerprint.probe import ProbeError
    from ..hil.fingerprint.profile import actuator_of, blind
    from ..hil.fingerprint.session import Fingerprint
    from .fingerprint_shown import as_dict

    plan = _plan(options)
    profile = blind(target.profile)
    readable = _readable(target.profile)
    index = None if options.passive else actuator_of(profile, readable)
    limits = None
    if index is not None:
        try:
            limits = limits_of(profile, profile.actuators[index], readable, options.max_power_w)
        except ProbeError as problem:
            raise UsageError(str(problem)) from None
    if limits is not None and target.asks and not options.yes:
        _ask(target, limits, plan)
    measuring: list[Fingerprint] = []

    async def session(clock: Clock, probe: Probe) -> None:
        if clock.mode == "wall":
            often = "seven minutes" if limits is None else "a quarter of an hour"
            _say(f"{target.name}: this takes about {often}")
        measuring.append(Fingerprint(probe, limits, plan, _say))
        await measuring[0].run()

    content |= {"device": target.name, "where": target.where, "base": target.profile.name}
    try:
        target.run(session)
    finally:
        found = measuring[0].found if measuring else Findings()
        content |= as_dict(found)
        if found.safe_note:
            _say(f"{'safe' if found.safe else 'NOT SAFE'}: {found.safe_note}")
    return found, index


def _readable(profile: DeviceProfile) -> tuple[str, ...]:
    from ..hil.devices.fields import resolve

    if profile.zigbee is not None:
        return tuple(item.quantity for item in profile.zigbee.attributes if item.quantity)
    return tuple(
        item.quantity
        for item in resolve(profile).fields
        if item.readable and item.quantity and item.type != "string" and not item.labels
    )


def _plan(options: FingerprintOptions) -> Plan:
    from ..hil.fingerprint.plan import Plan

    changes: dict[str, Any] = {}
    if options.repeats is not None:
        changes |= {"moves": max(options.repeats, 7), "expiries": max(options.repeats, 3)}
    if options.watchdog_limit_s is not None:
        if not 0 <= options.watchdog_limit_s <= 86400:
            raise UsageError("--watchdog-limit: allowed: 0 … 86400 s")
        changes["watchdog_limit_s"] = options.watchdog_limit_s
    if options.max_power_w is not None and not options.max_power_w > 0:
        raise UsageError("--max-power: allowed: more than 0 W")
    return replace(Plan(), **changes)


def _ask(target: Target, limits: Limits, plan: Plan) -> None:
    """Ask the person at the terminal; without one, --yes has to be given."""
    inside = "outside of" if limits.leaves_band else "inside"
    danger = f" {limits.danger}" if limits.danger else ""
    print(
        f"{target.name} ({target.where}): about {plan.moves + plan.expiries} set-points of "
        f"{limits.low:g} … {limits.high:g} {limits.unit} will be commanded, {inside} its safe "
        f"band, and its watchdog left to expire up to {plan.expiries} times.{danger} At the end "
        f"it is left at {limits.safe_quantity} = {limits.safe_value:g}.",
        file=sys.stderr,
    )
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked: give --yes, or --passive to command nothing")
    print("Continue? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise StoppedError("nothing was commanded")


def _file_name(device: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in device).strip("._") or "device"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _carry_out(work: Callable[[dict[str, Any]], int], *, as_json: bool) -> int:
    """Do it; what a user can mend is one line a mistake and an exit code."""
    from ..hil.errors import RigError
    from ..hil.fingerprint.estimate import EstimateError
    from ..hil.fingerprint.probe import ProbeError
    from ..hil.modbus.tls import TlsError
    from ..hil.serialport import LineError
    from ..scenarios.devices import UnknownProfileError
    from ..scenarios.errors import ScenarioErrors
    from ..scenarios.rigs import UnknownRigError

    content: dict[str, Any] = {}
    problem = ""
    try:
        code = work(content)
    except (KeyboardInterrupt, StoppedError) as stop:
        code, problem = EXIT_ABORTED, str(stop) or "stopped"
    except ScenarioErrors as errors:
        code, problem = EXIT_USAGE, "\n".join(map(str, errors.errors))
    except (UnknownProfileError, UnknownRigError, UsageError) as error:
        code, problem = EXIT_USAGE, str(error)
    except (ProbeError, EstimateError, RigError, LineError, TlsError) as error:
        code, problem = EXIT_RIG, str(error)
    if content.get("safe") is False:
        code = EXIT_UNSAFE
    say(problem)
    if as_json:
        said = {"error": problem} if problem else {}
        print(json.dumps(content | said | {"exit_code": code}))
    return code
