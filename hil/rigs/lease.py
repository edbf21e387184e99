"""The lease of a rig: who runs on it now, and whether he still does.

A run renews its lease every second by overwriting a short file of its own, in place, so that a
full disk does not take the rig away from it. The lease expires 5 s after the last renewal:

- On the same machine since the same start the age is taken from the time since start-up, which no
  setting of the clock moves and which goes on while the machine sleeps.
- From another machine, or after a restart, times cannot be compared. Then the file is watched: a
  lease whose renewals stand still for 5 s by the watcher's own clock has expired.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .errors import LeaseLostError
from .state import RigState, boot_id, boot_ns, caller, utc_text

LEASE_S: Final = 5.0
"""A lease that has not been renewed for this long is nobody's."""
_OWN_S: Final = 4.5
"""Its holder gives it up a little earlier, so that he never writes when somebody else may."""
LEASE: Final = "lease.json"
_ARMED: Final = "armed-"
_BEAT_BYTES: Final = 96
_LATE_S: Final = 2.0
"""A lease that has not been renewed for this long may be about to expire."""


def _beat_name(token: str) -> str:
    return f"beat-{token}"


def _armed_name(token: str) -> str:
    return f"{_ARMED}{token}"


class Lease:
    """A lease that this process holds."""

    def __init__(self, state: RigState, token: str) -> None:
        self.state = state
        self.token = token
        self._count = 0
        self._renewed_ns = boot_ns()
        self._handle = -1

    @classmethod
    def take(cls, state: RigState, what: str) -> Lease:
        """Write a new lease; the caller holds `state.control()` and has looked that it is free."""
        lease = cls(state, secrets.token_hex(8))
        with state.writing():
            path = state.folder / _beat_name(lease.token)
            lease._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                lease._beat()
                state.write(
                    LEASE,
                    {**caller(), "token": lease.token, "what": what, "since_utc": utc_text()},
                )
                state.audit("run", what, token=lease.token)
            except BaseException:
                lease.forget()
                if (state.read(LEASE) or {}).get("token") == lease.token:
                    state.remove(LEASE)
                raise
        return lease

    @property
    def age_s(self) -> float:
        """Time since the last renewal."""
        return (boot_ns() - self._renewed_ns) * 1e-9

    @property
    def valid(self) -> bool:
        """Whether it has been renewed in time, by our own clock alone: asked before each write."""
        return self.age_s < _OWN_S

    def renew(self) -> None:
        """Renew the lease.

        Raises:
            LeaseLostError: it expired before (the process was stopped), or was taken away.
        """
        if not self.valid:
            raise LeaseLostError(
                f"the lease of the rig expired: it was not renewed for {self.age_s:.1f} s "
                f"(allowed: {_OWN_S:g} s)"
            )
        now = self.state.read(LEASE)
        if now is None or now.get("token") != self.token:
            raise LeaseLostError(f"the rig was taken away{_by_whom(self.state)}")
        try:
            self._beat()
        except OSError as error:
            # The lease is still ours for a while; what fails now may work the next time.
            if self.age_s > LEASE_S - 2.0:
                reason = error.strerror or error
                raise LeaseLostError(
                    f"the lease of the rig cannot be renewed: {self.state.folder}: {reason}"
                ) from error

    def arm(self) -> None:
        """Note that from now on the rig is written to: it must be made safe afterwards."""
        with self.state.writing():
            path = self.state.folder / _armed_name(self.token)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))

    def release(self) -> None:
        """Give the rig back."""
        with contextlib.suppress(Exception), self.state.control():
            release(self.state, self.token, "run ended")
        self.forget()

    def forget(self) -> None:
        """Close and remove what was this lease's own."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        forget(self.state, self.token)

    def _beat(self) -> None:
        self._count += 1
        now_ns = boot_ns()
        text = f"{self._count} {now_ns} {boot_id()}".ljust(_BEAT_BYTES - 1)
        os.pwrite(self._handle, text.encode() + b"\n", 0)
        self._renewed_ns = now_ns


@dataclass(slots=True)
class Watch:
    """Watches leases that only their standing still can tell about."""

    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    def expired(self, state: RigState, lease: dict[str, Any]) -> bool | None:
        """Return whether a lease has expired; None: not known before it was watched longer."""
        token = str(lease.get("token"))
        text = _read(state.folder / _beat_name(token))
        count, _, rest = text.partition(" ")
        beaten_ns, _, boot = rest.strip().partition(" ")
        if boot and boot == boot_id() and beaten_ns.isdigit():
            age_s = (boot_ns() - int(beaten_ns)) * 1e-9
            return True if age_s > LEASE_S else None if age_s > _LATE_S else False
        now_s = time.monotonic()
        before = self._seen.get(token)
        if before is None or before[0] != count:
            self._seen[token] = count, now_s
            # Another machine's lease that moved while we looked is alive for certain.
            return None if before is None else False
        return True if now_s - before[1] > LEASE_S + 0.5 else None


def armed_tokens(state: RigState) -> list[str]:
    """Return the leases under which somebody had begun to write, as far as they are not over."""
    return [path.name.removeprefix(_ARMED) for path in state.folder.glob(f"{_ARMED}*")]


def release(state: RigState, token: str, why: str) -> bool:
    """Remove a lease if it is still that one; the caller holds `state.control()`."""
    now = state.read(LEASE)
    if now is None or now.get("token") != token:
        return False
    state.remove(LEASE)
    with contextlib.suppress(Exception):  # the rig is free, whether the log takes a line or not
        state.audit("release", why, token=token)
    return True


def forget(state: RigState, token: str) -> None:
    """Remove the files of a lease that is over."""
    for name in (_beat_name(token), _armed_name(token)):
        with contextlib.suppress(OSError):
            (state.folder / name).unlink()


def _by_whom(state: RigState) -> str:
    for entry in reversed(state.audited()):
        if entry.get("action") == "steal":
            who, host, reason = (entry.get(name, "") for name in ("who", "host", "reason"))
            return f" by {who} on {host}: {reason}"
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
