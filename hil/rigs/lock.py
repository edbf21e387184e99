"""Who may use a rig: leases of runs, reservations of people, and the queue of those who wait.

A run takes a *lease* (`hil.rigs.lease`), a person a *reservation* that lasts for a while without
being renewed; whoever holds one may run on it, others may not. Those who wait stand in a queue,
first come first served; a waiter holds a `flock` of his ticket, so that one who died is passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import fcntl
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from . import lease as leases
from .errors import RigBrokenError, RigLockedError
from .lease import LEASE, LEASE_S, Lease, Watch
from .state import (
    SAFE_STATE,
    RigState,
    boot_id,
    boot_ns,
    caller,
    is_caller,
    is_locked,
    user,
    utc_text,
)

RESERVATION: Final = "reservation.json"
GUARDIAN_LOCK: Final = "guardian.lock"
"""Held by the guardian as long as it is at work."""
_POLL_S: Final = 0.1
_PATIENCE_S: Final = LEASE_S + 4.0
"""How long somebody who does not want to wait still waits for what is about to end by itself."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a rig is not to be had now."""

    reason: str
    passing: bool = False
    """Whether it ends by itself within seconds (an expired lease, a guardian at work)."""


def reserve(state: RigState, reason: str, for_s: float, ticket: Ticket | None = None) -> None:
    """Reserve a rig for the calling person.

    Raises:
        RigLockedError: somebody else has it.
        StateError: the state folder cannot be used.
    """
    with state.control():
        refusal = _refusal(state, Watch(), ticket, for_run=False)
        if refusal is not None:
            raise RigLockedError(refusal.reason)
        _write_reservation(state, reason, for_s)
        state.audit("lock", reason, for_s=for_s)


def unlock(state: RigState) -> bool:
    """End one's own reservation; return whether there was one.

    Raises:
        RigLockedError: the reservation is somebody else's.
    """
    with state.control():
        held = reservation(state)
        if held is None:
            return False
        if not is_caller(held):
            raise RigLockedError(
                f"rig {state.folder.name} is reserved by {_holder(held)}, not by {user()}; "
                "`wattbench rig steal` takes it, with a reason that is kept"
            )
        state.audit("unlock", "")
        state.remove(RESERVATION)
        return True


def steal(state: RigState, reason: str, for_s: float) -> str:
    """Take a rig away from whoever has it, and reserve it; return who had it.

    A run that loses it so notices within a second, makes the rig safe and ends.
    """
    with state.control():
        held, lease = reservation(state), state.read(LEASE)
        had = "; ".join(_holder(one) for one in (held, lease) if one is not None)
        state.audit("steal", reason, had=had)
        if lease is not None:
            state.remove(LEASE)
        _write_reservation(state, reason, for_s)
        return had


def reservation(state: RigState) -> dict[str, Any] | None:
    """Return the reservation that is valid now, None if there is none."""
    held = state.read(RESERVATION)
    if held is None or "who" not in held:
        return None
    if held.get("boot_id") == boot_id():
        left = held.get("until_boot_ns", 0) - boot_ns()
    else:
        left = held.get("until_unix_s", 0.0) - time.time()
    return held if left > 0 else None


def status(state: RigState, watch: Watch | None = None) -> dict[str, Any]:
    """Return who has the rig, who waits, whether it is broken, and how it was left."""
    lease = state.read(LEASE)
    expired = None
    if lease is not None:
        expired = (watch or Watch()).expired(state, lease)
    held = reservation(state)
    if state.broken is not None:
        word = "broken"
    elif lease is not None and not expired:
        word = "running"
    elif is_locked(state.folder / GUARDIAN_LOCK):
        word = "being made safe"
    elif lease is not None or leases.armed_tokens(state):
        word = "abandoned"
    else:
        word = "free" if held is None else "reserved"
    return {
        "rig": state.folder.name,
        "folder": str(state.folder),
        "state": word,
        "broken": state.broken,
        "lease": lease,
        "lease_expired": expired,
        "reservation": held,
        "queue": [content for _, content in _waiting(state)],
        "safe_state": state.read(SAFE_STATE),
    }


async def acquire(
    state: RigState, what: str, *, wait: bool = False, on_wait: Callable[[str], None] | None = None
) -> Lease:
    """Take the lease of a rig for a run.

    Without `wait` only what ends by itself within seconds is waited for. `on_wait` is told why,
    whenever the reason changes.

    Raises:
        RigLockedError: somebody else has the rig.
        RigBrokenError: it is broken; also if the last run on it ended without a safe state.
        StateError: the state folder cannot be used.
    """
    watch, said = Watch(), ""
    give_up_s = time.monotonic() + _PATIENCE_S
    async with _queued(state, what, wait=wait) as ticket:
        while True:
            with state.control():
                refusal = _refusal(state, watch, ticket, for_run=True)
                if refusal is None:
                    return Lease.take(state, what)
            if not wait and (not refusal.passing or time.monotonic() > give_up_s):
                raise RigLockedError(refusal.reason)
            if on_wait is not None and refusal.reason != said:
                said = refusal.reason
                on_wait(said)
            await asyncio.sleep(_POLL_S)


def wait_and_reserve(
    state: RigState, reason: str, for_s: float, on_wait: Callable[[str], None]
) -> None:
    """Stand in the queue until the rig can be reserved."""
    watch, said = Watch(), ""
    with Ticket(state, reason) as ticket:
        while True:
            with state.control():
                refusal = _refusal(state, watch, ticket, for_run=False)
                if refusal is None:
                    _write_reservation(state, reason, for_s)
                    state.audit("lock", reason, for_s=for_s)
                    return
            if refusal.reason != said:
                said = refusal.reason
                on_wait(said)
            time.sleep(_POLL_S * 2)


class Ticket:
    """A place in the queue, held within `with`."""

    def __init__(self, state: RigState, what: str) -> None:
        self._state = state
        self._what = what
        self.path = Path()
        self._handle = -1

    def __enter__(self) -> Ticket:
        state = self._state
        with state.control(), state.writing():
            folder = state.folder / "queue"
            folder.mkdir(exist_ok=True)
            numbers = [int(path.name.split("-")[0]) for path, _ in _waiting(state, tidy=True)]
            name = f"{max(numbers, default=0) + 1:08d}-{secrets.token_hex(4)}.json"
            self.path = folder / name
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._handle = os.open(self.path, flags, 0o666)
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            content = {**caller(), "what": self._what, "since_utc": utc_text()}
            os.write(self._handle, json.dumps(content).encode())
        return self

    def __exit__(self, *error: object) -> None:
        if self._handle >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


@contextlib.asynccontextmanager
async def _queued(state: RigState, what: str, *, wait: bool) -> AsyncIterator[Ticket | None]:
    if not wait:
        yield None
        return
    with Ticket(state, what) as ticket:
        yield ticket


def _refusal(
    state: RigState, watch: Watch, ticket: Ticket | None, *, for_run: bool
) -> Refusal | None:
    """Return why the caller cannot have the rig now; the caller holds `state.control()`.

    Raises:
        RigBrokenError: a run wants a broken rig.
    """
    name = state.folder.name
    if for_run:
        refuse_broken(state)
    held = reservation(state)
    if held is not None and not is_caller(held):
        until = held.get("until_utc", "?")
        return Refusal(f"rig {name} is reserved by {_holder(held)} until {until}")
    lease = state.read(LEASE)
    if lease is not None:
        refusal = _still_leased(state, lease, watch)
        if refusal is not None:
            return refusal
    if is_locked(state.folder / GUARDIAN_LOCK):
        return Refusal(f"rig {name} is being made safe after the last run", passing=True)
    _bury(state, lease)
    if for_run:
        refuse_broken(state)
    waiting = _waiting(state, tidy=True)
    ahead = [content for path, content in waiting if ticket is None or path < ticket.path]
    if ahead:
        return Refusal(f"rig {name}: {len(ahead)} waiting, first {_holder(ahead[0])}")
    return None


def refuse_broken(state: RigState) -> None:
    """Raise `RigBrokenError` if the rig is broken."""
    broken = state.broken
    if broken is not None:
        raise RigBrokenError(
            f"rig {state.folder.name} is broken since {broken.get('utc', '?')}: "
            f"{broken.get('reason', '?')}; look at it, then "
            "`wattbench rig clear RIG --by NAME --reason …`"
        )


def _still_leased(state: RigState, lease: dict[str, Any], watch: Watch) -> Refusal | None:
    expired = watch.expired(state, lease)
    if expired:
        return None
    reason = (
        f"rig {state.folder.name} is in use by {_holder(lease)}: {lease.get('what', '?')}, "
        f"since {lease.get('since_utc', '?')}"
    )
    return Refusal(reason, passing=expired is None)


def _bury(state: RigState, lease: dict[str, Any] | None) -> None:
    """Remove what runs have left that are gone, and their guardians with them.

    Whoever had begun to write, and was not measured to be safe, leaves a broken rig.
    """
    safe = state.read(SAFE_STATE) or {}
    for token in leases.armed_tokens(state):
        if safe.get("token") != token or safe.get("confirmed") is not True:
            mine = lease is not None and lease.get("token") == token
            who = f"the run of {_holder(lease)}" if mine and lease else "a run that lost the rig"
            reason = f"{who} ended without a safe state being confirmed, and its guardian is gone"
            state.mark_broken(reason, token=token)
        leases.forget(state, token)
    if lease is not None:
        token = str(lease.get("token"))
        leases.release(state, token, f"expired: {_holder(lease)}")
        leases.forget(state, token)


def _waiting(state: RigState, *, tidy: bool = False) -> list[tuple[Path, dict[str, Any]]]:
    """Return who waits, first come first.

    With `tidy` tickets of the dead are removed; the caller holds `state.control()` then.
    """
    alive = []
    for path in sorted((state.folder / "queue").glob("*.json")):
        if not is_locked(path):
            if tidy:  # a ticket that is just being written is not locked yet
                path.unlink(missing_ok=True)
            continue
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError):
            content = {}
        alive.append((path, content if isinstance(content, dict) else {}))
    return alive


def _write_reservation(state: RigState, reason: str, for_s: float) -> None:
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=for_s)
    state.write(
        RESERVATION,
        {
            **caller(),
            "reason": reason,
            "since_utc": utc_text(),
            "until_utc": utc_text(until),
            "until_unix_s": until.timestamp(),
            "until_boot_ns": boot_ns() + round(for_s * 1e9),
        },
    )


def _holder(content: dict[str, Any]) -> str:
    who = f"{content.get('who', '?')} on {content.get('host', '?')}"
    return f"{who} (process {content.get('pid', '?')})"
