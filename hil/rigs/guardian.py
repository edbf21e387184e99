"""The guardian: a process of its own that makes a rig safe when the run no longer can.

`python -m wattbench.hil.rigs.guardian` reads its orders from standard input: first one line of
JSON (`Orders`), then a word a line:

`beat`
    The run is alive; it comes every second.
`confirm`
    The run has made the rig safe; measure that, independently.
`end`
    Stand down.

It makes the rig safe when nothing was heard for as long as the lease lasts, and at once when the
run ends without `end` (its pipe closes, its process is gone) or when it is itself told to stop
(SIGTERM). What was measured goes into the run's folder, into the rig's state and, as a line of
JSON, to standard output; if it is not as it should be, the rig is broken from then on. A run that
is stopped rather than gone may come back and write again, so until it is gone the guardian looks
every second and makes safe again. Where the devices can only be reached by one at a time (a serial
port, a device that takes one connection) a run that has lost its lease is killed first.

It has a session of its own, so that Ctrl-C on the run's terminal does not reach it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ...sim.clock import WallClock
from . import lease as leases
from .actuators import plans
from .guardian_orders import Orders
from .lease import LEASE
from .links import Reach
from .lock import GUARDIAN_LOCK
from .making_safe import SafeOutcome, make_safe
from .state import SAFE_STATE, RigState, lock_within, utc_text

_LOCK_PATIENCE_S: Final = 10.0
_KILL_S: Final = 0.5
_CATCH_UP_S: Final = 0.05
_HOLD_S: Final = 1.0
_STOLEN_S: Final = 10.0
"""A run that was robbed of the rig and does not end within this is killed."""
EXIT_NOT_SAFE: Final = 7


class Guardian:
    """One guardian at work."""

    def __init__(self, orders: Orders, reach: Reach) -> None:
        self._orders = orders
        self._reach = reach
        self._state = RigState(orders.state_folder)
        self._plans = plans(orders.rig, orders.profiles)
        self._folder = _open_folder(orders.run_folder)
        self._run = _open_process(orders.pid)
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._heard_s = time.monotonic()
        self._gone = False
        self._told_to_stop = self._killed = False
        self._alone = _only_one_connection(orders, [plan.device for plan in self._plans])
        self._outcome: SafeOutcome | None = None

    async def guard(self, reader: asyncio.StreamReader) -> int:
        """Watch the run to its end; return the exit code."""
        listening = asyncio.create_task(self._listen(reader))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        if self._run >= 0:
            loop.add_reader(self._run, self._run_ended)
        _say({"ready": True, "pid": os.getpid(), "actuators": [p.device for p in self._plans]})
        try:
            await self._watch()
        finally:
            listening.cancel()
            if self._run >= 0:
                loop.remove_reader(self._run)
        return 0 if self._outcome is None or self._outcome.confirmed else EXIT_NOT_SAFE

    async def _watch(self) -> None:
        while True:
            line = await self._next_line(self._orders.lease_s)
            if line == "beat":
                _say({"alive": True})
            elif line == "confirm":
                await self._make_safe("the run ended", write=False)
            elif line == "end":
                return
            elif self._told_to_stop:
                await self._make_safe("the guardian was told to stop")
                return
            elif self._gone:
                await self._make_safe("the run died")
                self._release("the run died")
                return
            else:
                if self._alone:
                    await self._kill_run()
                await self._make_safe("the lease expired")
                if not await self._hold():
                    return

    async def _hold(self) -> bool:
        """Keep the rig safe while the run is neither back nor gone; return whether it is back."""
        robbed_s: float | None = None
        while True:
            line = await self._next_line(_HOLD_S)
            if line == "end":
                return False
            if line:
                self._lines.put_nowait(line)
                return True
            if self._gone or self._told_to_stop:
                # Whatever it still wrote before it ended: look once more.
                await self._look_again()
                self._release("the lease expired, then the run ended")
                return False
            await self._look_again()
            if self._robbed():
                robbed_s = time.monotonic() if robbed_s is None else robbed_s
                if time.monotonic() - robbed_s > _STOLEN_S:
                    await self._kill_run()

    async def _kill_run(self) -> None:
        """End a run that has hung: its connections are needed, or the rig is somebody else's."""
        if self._run < 0 or self._gone:
            return
        _log(f"killed the run, process {self._orders.pid}: it hung")
        self._killed = True
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._run, signal.SIGKILL)
        end_s = time.monotonic() + _KILL_S
        while not self._gone and time.monotonic() < end_s:
            await asyncio.sleep(0.01)

    async def _look_again(self) -> None:
        """Measure once more; where the band was left, make safe again and say so."""
        before = self._outcome
        if before is None or not before.confirmed:
            await self._make_safe("the lease expired")
            return
        again = await make_safe(self._plans, self._reach, before.cause, write=False)
        if not again.confirmed or any(actuator.writes for actuator in again.actuators):
            again.cause = f"{before.cause}, and the band was left again"
            again.silent_s = self._silent_s
            self._keep(again)

    async def _make_safe(self, cause: str, *, write: bool = True) -> None:
        outcome = await make_safe(
            self._plans, self._reach, cause, silent_s=self._silent_s, write=write
        )
        self._keep(outcome)

    def _keep(self, outcome: SafeOutcome) -> None:
        """Write down what was measured, wherever that can be done."""
        self._outcome = outcome
        content = {
            **outcome.fields(),
            "rig": self._state.folder.name,
            "token": self._orders.token,
            "run_pid": self._orders.pid,
            "run_killed": self._killed,
            "guardian_pid": os.getpid(),
        }
        attempts: tuple[Callable[[], None], ...] = (
            lambda: _write_into(self._folder, SAFE_STATE, content),
            lambda: self._state.write(SAFE_STATE, content),
            lambda: self._state.audit("safe state", outcome.cause, **_short(outcome)),
        )
        for attempt in attempts:
            try:
                attempt()
            except Exception as error:
                _log(f"cannot write the outcome: {error}")
        if not outcome.confirmed:
            reason = f"safe state not confirmed ({outcome.cause}): {outcome.note}"
            try:
                self._state.mark_broken(reason, token=self._orders.token)
            except Exception as error:
                _log(f"cannot mark the rig as broken: {error}")
        _say({"outcome": content})
        _log(f"{outcome.cause}: {outcome.note}")

    def _release(self, why: str) -> None:
        token = self._orders.token
        try:
            with self._state.control():
                leases.release(self._state, token, why)
            leases.forget(self._state, token)
        except Exception as error:
            _log(f"cannot release the lease: {error}")

    @property
    def _silent_s(self) -> float:
        return time.monotonic() - self._heard_s

    def _robbed(self) -> bool:
        lease = self._state.read(LEASE)
        return lease is None or lease.get("token") != self._orders.token

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.readline():
            self._heard_s = time.monotonic()
            self._lines.put_nowait(data.decode("ascii", "replace").strip())
        self._run_ended()

    def _run_ended(self) -> None:
        if self._run >= 0:
            asyncio.get_running_loop().remove_reader(self._run)
        if not self._gone:
            self._gone = True
            self._lines.put_nowait("")

    def _stop(self) -> None:
        self._told_to_stop = True
        self._lines.put_nowait("")

    async def _next_line(self, patience_s: float) -> str:
        """Return what the run says; empty when it says nothing for so long, or never will."""
        for wait_s in (patience_s, _CATCH_UP_S):
            try:
                async with asyncio.timeout(wait_s):
                    return await self._lines.get()
            except TimeoutError:
                # If it was this process that stood still, what the run said is in the pipe.
                continue
        return ""


def _only_one_connection(orders: Orders, devices: list[str]) -> bool:
    """Return whether a run that only hangs keeps everybody else from an actuator.

    A serial port is open once, and some devices take one connection.
    """
    for name in devices:
        device = orders.rig.device(name)
        modbus = orders.profiles[device.profile].modbus
        if orders.rig.bus(device.bus).kind in {"modbus-rtu", "znp"}:
            return True
        if modbus is not None and modbus.max_connections == 1:
            return True
    return False


def _open_folder(path: Path | None) -> int:
    """Return a handle of the run's folder that outlives a renaming; −1: there is none."""
    if path is None:
        return -1
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        _log(f"run folder {path}: {error.strerror}")
        return -1


def _open_process(pid: int) -> int:
    """Return a handle that becomes readable when a process ends; −1 where there are none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def _write_into(folder: int, name: str, content: dict[str, Any]) -> None:
    """Write a JSON file into a folder, all of it or nothing."""
    if folder < 0:
        return
    temporary = f".{name}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    handle = os.open(temporary, flags, 0o666, dir_fd=folder)
    try:
        data = (json.dumps(content, indent=1) + "\n").encode()
        if os.write(handle, data) != len(data):
            raise OSError(28, "No space left on device")
        os.fsync(handle)
    finally:
        os.close(handle)
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _short(outcome: SafeOutcome) -> dict[str, Any]:
    return {"confirmed": outcome.confirmed, "after_s": outcome.after_s, "note": outcome.note}


def _say(content: dict[str, Any]) -> None:
    """Tell the run; it may be gone, and it may be stopped and read nothing."""
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), (json.dumps(content) + "\n").encode())


def _log(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"{utc_text()} guardian {os.getpid()}: {text}", file=sys.stderr, flush=True)


async def _run(orders_line: bytes, reader: asyncio.StreamReader, clock: WallClock) -> int:
    from .driver_links import DriverLinks

    orders = Orders.model_validate_json(orders_line)
    folder = orders.state_folder
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / GUARDIAN_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    if not lock_within(handle, _LOCK_PATIENCE_S):
        _say({"error": "the guardian of an earlier run is still at work"})
        return EXIT_NOT_SAFE
    links = DriverLinks(orders.rig, orders.profiles, clock)
    return await Guardian(orders, links.reach).guard(reader)


async def _main(clock: WallClock) -> int:
    reader = asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    first = await reader.readline()
    if not first:
        return 0
    try:
        return await _run(first, reader, clock)
    except Exception as error:
        _say({"error": f"{type(error).__name__}: {error}"})
        _log(f"{type(error).__name__}: {error}")
        return EXIT_NOT_SAFE


def main() -> int:
    """Guard a run from standard input; return the exit code."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    # A run that is stopped reads nothing: saying something must not keep us from working.
    flags = fcntl.fcntl(sys.stdout.fileno(), fcntl.F_GETFL)
    fcntl.fcntl(sys.stdout.fileno(), fcntl.F_SETFL, flags | os.O_NONBLOCK)
    with WallClock() as clock:
        return clock.run(_main(clock))


if __name__ == "__main__":
    sys.exit(main())
