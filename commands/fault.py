"""What `wattbench fault` does: it talks to a running emulation through its control channel."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..hil.wirefaults.control import (
    ControlError,
    NothingRunsError,
    RefusedError,
    SeveralRunError,
    ask,
    choose,
)
from .show import EXIT_ERROR, EXIT_RIG, EXIT_USAGE

EXIT_PASS = 0


def list_faults(rig: str | None, *, as_json: bool) -> int:
    """Print targets and faults of an emulation; return the exit code."""

    def run() -> tuple[dict[str, Any], list[str]]:
        answer = ask(choose(rig), {"do": "list"})
        return {"rig": answer["rig"], "targets": answer["targets"]}, _lines(answer["targets"])

    return _carried_out(run, as_json=as_json)


def switch_on(
    target: str,
    kind: str,
    parameters: Sequence[str],
    for_s: str | None,
    rig: str | None,
    *,
    as_json: bool,
) -> int:
    """Switch a fault on; return the exit code."""

    def run() -> tuple[dict[str, Any], list[str]]:
        request: dict[str, Any] = {"do": "on", "target": target, "kind": kind}
        request |= {"parameters": _parameters(parameters), "for_s": _seconds(for_s)}
        ask(choose(rig), request)
        until = "until it is switched off" if for_s is None else f"for {_seconds(for_s):g} s"
        return {"target": target, "kind": kind}, [f"{kind} on {target}, {until}"]

    return _carried_out(run, as_json=as_json)


def switch_off(target: str, kind: str | None, rig: str | None, *, as_json: bool) -> int:
    """Switch faults off; return the exit code."""

    def run() -> tuple[dict[str, Any], list[str]]:
        answer = ask(choose(rig), {"do": "off", "target": target, "kind": kind})
        ended = int(answer["ended"])
        what = f"{ended} fault{'' if ended == 1 else 's'} switched off" if ended else "none was on"
        return {"target": target, "ended": ended}, [f"{target}: {what}"]

    return _carried_out(run, as_json=as_json)


def _carried_out(run: Callable[[], tuple[dict[str, Any], list[str]]], *, as_json: bool) -> int:
    try:
        shown, lines = run()
    except (ControlError, ValueError) as problem:
        code = _exit_code(problem)
        print(f"wattbench: {problem}", file=sys.stderr)
        if as_json:
            print(json.dumps({"ok": False, "exit_code": code, "error": str(problem)}))
        return code
    if as_json:
        print(json.dumps({"ok": True, "exit_code": EXIT_PASS} | shown))
    else:
        for line in lines:
            print(line)
    return EXIT_PASS


def _exit_code(problem: Exception) -> int:
    if isinstance(problem, NothingRunsError):
        return EXIT_RIG
    if isinstance(problem, RefusedError | SeveralRunError | ValueError):
        return EXIT_USAGE
    return EXIT_ERROR


def _parameters(given: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in given:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise ValueError(f"'{item}' is no parameter; allowed: key=value, such as delay_s=0.5")
        try:
            found[name] = int(text)
        except ValueError:
            try:
                found[name] = float(text)
            except ValueError:
                found[name] = text
    return found


def _seconds(text: str | None) -> float | None:
    """Return a time such as ``30`` or ``2 min`` in seconds."""
    if text is None:
        return None
    from ..sim.config import Quantity

    try:
        value = float(text)
    except ValueError:
        try:
            value = float(Quantity("s").convert(text))
        except Exception as problem:
            raise ValueError(f"--for is '{text}': {problem}") from None
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"--for is '{text}'; allowed: a time of more than 0 s")
    return value


def _lines(targets: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    possible: dict[str, list[str]] = {}
    for row in targets:
        where = f", unit {row['unit']}" if row["unit"] is not None else ""
        place = f"device on {row['bus']}{where}" if row["device"] else row["kind"]
        lines.append(f"{row['target']}  ({place})")
        for fault in row["faults"]:
            details = [
                f"{key}={value}"
                for key, value in fault.items()
                if key not in {"kind", "left_s", "frames_bent"}
            ]
            left = "" if fault["left_s"] is None else f", {fault['left_s']:.0f} s left"
            bent = "" if fault["frames_bent"] is None else f", {fault['frames_bent']} frames bent"
            lines.append(f"  on: {' '.join([fault['kind'], *details])}{left}{bent}")
        possible.setdefault(", ".join(row["possible"]), []).append(row["target"])
    for kinds, names in possible.items():
        lines += ["", f"possible on {', '.join(names)}:", f"  {kinds}"]
    return lines
