"""What `wattbench rig …` does: check a rig file, lock a rig, see how it is, clear it.

Results go to stdout, errors to stderr. Only `power_cycle` connects to devices.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .problems import say

if TYPE_CHECKING:
    from ..hil.devices.model import DeviceProfile
    from ..hil.rigs.model import Rig
    from ..hil.rigs.state import RigState
    from ..scenarios.model import Scenario

EXIT_PASS, EXIT_USAGE, EXIT_ABORTED, EXIT_RIG = 0, 2, 4, 6

DEFAULT_LOCK: Final = "1 h"
_MOST_LOCK_S: Final = 31 * 86400.0


class _UsageError(Exception):
    """The command cannot be carried out as it was given; one line says why."""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What `wattbench rig check` was told."""

    rig: str
    scenario: str | None = None
    clock: str | None = None
    factor: float | None = None


def check(options: CheckOptions, *, as_json: bool) -> int:
    """Say what is wrong with a rig file, and why it cannot realise a scenario."""

    def work() -> tuple[int, dict[str, Any]]:
        from ..hil.rigs.check import problems, warnings

        rig, profiles = _load(options.rig)
        scenario = _scenario(options)
        found = problems(rig, profiles, scenario)
        told = warnings(rig, profiles, dt.datetime.now(dt.UTC).date(), scenario)
        broken = _state(rig).broken
        code = EXIT_USAGE if found else EXIT_RIG if broken else EXIT_PASS
        content = {
            "rig": rig.name,
            "ok": code == EXIT_PASS,
            "problems": found,
            "warnings": told,
            "broken": broken,
            "unpaired": rig.unpaired,
        }
        if not as_json:
            for line in found:
                print(f"{options.rig}: {line}", file=sys.stderr)
            for line in told:
                print(f"{options.rig}: warning: {line}", file=sys.stderr)
            if broken:
                print(f"{options.rig}: broken: {broken.get('reason', '?')}", file=sys.stderr)
            if not found and not broken:
                print(f"{options.rig}: ok ({_summary(rig, scenario)})")
        return code, content

    return _carry_out(work, as_json=as_json)


def lock(rig: str, *, reason: str, for_text: str, wait: bool, as_json: bool) -> int:
    """Reserve a rig for the caller."""

    def work() -> tuple[int, dict[str, Any]]:
        from ..hil.rigs import lock as locks

        for_s = _duration_s(for_text)
        state = _state(_load_rig(rig))
        if wait:
            locks.wait_and_reserve(state, reason, for_s, _say)
        else:
            locks.reserve(state, reason, for_s)
        return EXIT_PASS, _held(state, f"{state.folder.name}: reserved", as_json=as_json)

    return _carry_out(work, as_json=as_json)


def unlock(rig: str, *, as_json: bool) -> int:
    """End the caller's reservation."""

    def work() -> tuple[int, dict[str, Any]]:
        from ..hil.rigs import lock as locks

        state = _state(_load_rig(rig))
        was = locks.unlock(state)
        if not as_json:
            print(f"{state.folder.name}: {'unlocked' if was else 'was not reserved'}")
        return EXIT_PASS, {"rig": state.folder.name, "was_reserved": was}

    return _carry_out(work, as_json=as_json)


def steal(rig: str, *, reason: str, for_text: str, as_json: bool) -> int:
    """Take a rig away from whoever has it."""

    def work() -> tuple[int, dict[str, Any]]:
        from ..hil.rigs import lock as locks

        for_s = _duration_s(for_text)
        state = _state(_load_rig(rig))
        had = locks.steal(state, _reason(reason), for_s)
        content = _held(
            state, f"{state.folder.name}: taken from {had or 'nobody'}", as_json=as_json
        )
        return EXIT_PASS, content | {"had": had}

    return _carry_out(work, as_json=as_json)


def clear(rig: str, *, by: str, reason: str, as_json: bool) -> int:
    """Put a broken rig into use again."""

    def work() -> tuple[int, dict[str, Any]]:
        if len(by.strip()) < 2:
            raise _UsageError("--by: give the name of who has looked at the rig")
        state = _state(_load_rig(rig))
        was = state.clear_broken(by.strip(), _reason(reason))
        if not as_json:
            print(f"{state.folder.name}: {'cleared' if was else 'was not broken'}")
        return EXIT_PASS, {"rig": state.folder.name, "was_broken": was}

    return _carry_out(work, as_json=as_json)


def status(rig: str, *, as_json: bool) -> int:
    """Show who has a rig, who waits, whether it is broken, and how it was left."""

    def work() -> tuple[int, dict[str, Any]]:
        from ..hil.rigs import lock as locks

        state = _state(_load_rig(rig))
        content = locks.status(state)
        if not as_json:
            for line in _status_lines(content):
                print(line)
        return EXIT_PASS, content

    return _carry_out(work, as_json=as_json)


def power_cycle(rig: str, device: str, *, as_json: bool) -> int:
    """Switch the outlet that feeds a device off and on again."""

    def work() -> tuple[int, dict[str, Any]]:
        from ..hil.rigs.power_cycle import power_cycle as cycle
        from ..sim.clock import WallClock

        model, profiles = _load(rig)
        with WallClock() as clock:
            after_s = clock.run(cycle(model, profiles, clock, device))
        if not as_json:
            print(f"{device}: back {after_s:.1f} s after its supply")
        return EXIT_PASS, {"rig": model.name, "device": device, "back_after_s": after_s}

    return _carry_out(work, as_json=as_json)


def _status_lines(content: dict[str, Any]) -> list[str]:
    lines = [f"{content['rig']}: {content['state']}"]
    broken, lease, held = (content[name] for name in ("broken", "lease", "reservation"))
    if broken:
        lines.append(f"  broken since {broken.get('utc', '?')}: {broken.get('reason', '?')}")
    if lease:
        age = " (not renewed any more)" if content["lease_expired"] else ""
        lines.append(f"  run: {_who(lease)}, {lease.get('what', '?')}{age}")
    if held:
        why = f": {held['reason']}" if held.get("reason") else ""
        lines.append(f"  reserved: {_who(held)} until {held.get('until_utc', '?')}{why}")
    for place, waiter in enumerate(content["queue"], 1):
        lines.append(f"  waiting {place}: {_who(waiter)}, {waiter.get('what', '?')}")
    safe = content["safe_state"]
    if safe:
        word = "safe" if safe.get("confirmed") else "NOT confirmed safe"
        lines.append(f"  last left {word}, {safe.get('utc', '?')}: {safe.get('note', '')}")
    lines.append(f"  kept in {content['folder']}")
    return lines


def _who(content: dict[str, Any]) -> str:
    return (
        f"{content.get('who', '?')} on {content.get('host', '?')}, process "
        f"{content.get('pid', '?')}, since {content.get('since_utc', '?')}"
    )


def _held(state: RigState, line: str, *, as_json: bool) -> dict[str, Any]:
    from ..hil.rigs import lock as locks

    held = locks.reservation(state) or {}
    if not as_json:
        print(f"{line} for {held.get('who', '?')} until {held.get('until_utc', '?')}")
    return {"rig": state.folder.name, "reservation": held}


def _summary(rig: Rig, scenario: Scenario | None) -> str:
    real = sum(not device.emulated for device in rig.devices)
    text = f"{rig.name}, {len(rig.devices)} devices, {real} of them real"
    if scenario is not None:
        text += f"; can run {scenario.name}"
    return f"{text}, runs are not compared" if rig.unpaired else text


def _load_rig(argument: str) -> Rig:
    from ..scenarios.rigs import load_rig

    return load_rig(argument)


def _load(argument: str) -> tuple[Rig, dict[str, DeviceProfile]]:
    from ..scenarios.rigs import load_profiles

    rig = _load_rig(argument)
    return rig, load_profiles(rig)


def _scenario(options: CheckOptions) -> Scenario | None:
    """Load the scenario and put what the command line says over its clock."""
    if options.scenario is None:
        return None
    from ..scenarios.library import locate
    from ..scenarios.load import load_scenario

    if options.clock not in {None, "virtual", "wall"}:
        raise _UsageError(f"--clock is '{options.clock}'; allowed: virtual, wall")
    scenario = load_scenario(locate(options.scenario))
    given = {"mode": options.clock, "factor": options.factor}
    update = {name: value for name, value in given.items() if value is not None}
    clock = scenario.clock.model_copy(update=update)
    changed: Scenario = scenario.model_copy(update={"clock": clock})
    return changed


def _state(rig: Rig) -> RigState:
    from ..hil.rigs.state import RigState

    return RigState.of(rig.name, rig.station)


def _duration_s(text: str) -> float:
    """Return a time such as `90 min` in s."""
    from pydantic_core import PydanticCustomError

    from ..sim.config import Quantity

    try:
        seconds = float(Quantity("s").convert(text))
    except (PydanticCustomError, ValueError):
        raise _UsageError(f"--for is '{text}'; allowed: a time such as 90 min or 2 h") from None
    if not 1 <= seconds <= _MOST_LOCK_S:
        raise _UsageError(f"--for is '{text}'; allowed: from 1 s to 31 d")
    return seconds


def _reason(text: str) -> str:
    if len(text.strip()) < 3:
        raise _UsageError(
            f"--reason is '{text}'; allowed: at least three letters, for the rig's audit log"
        )
    return text.strip()


def _say(line: str) -> None:
    print(f"waiting: {line}", file=sys.stderr, flush=True)


def _carry_out(work: Callable[[], tuple[int, dict[str, Any]]], *, as_json: bool) -> int:
    """Do it; what a user can mend is one line a mistake and an exit code."""
    from ..hil.errors import RigError
    from ..scenarios.devices import UnknownProfileError
    from ..scenarios.errors import ScenarioErrors
    from ..scenarios.library import UnknownScenarioError
    from ..scenarios.rigs import UnknownRigError

    content: dict[str, Any]
    try:
        code, content = work()
    except KeyboardInterrupt:
        return EXIT_ABORTED
    except ScenarioErrors as problem:
        for error in problem.errors:
            print(error, file=sys.stderr)
        rows = [error.as_dict() for error in problem.errors]
        code, content = EXIT_USAGE, {"ok": False, "errors": rows}
    except (
        UnknownRigError,
        UnknownProfileError,
        UnknownScenarioError,
        _UsageError,
    ) as problem:
        code, content = EXIT_USAGE, {"ok": False, "error": str(problem)}
    except RigError as problem:
        code, content = EXIT_RIG, {"ok": False, "error": str(problem)}
    if "error" in content:
        say(content["error"])
    if as_json:
        print(json.dumps(content | {"exit_code": code}))
    return code
