"""What is remembered of a rig between runs: a folder with its lock, its audit log, what broke it.

The folder is `<state>/rigs/<rig>[@<station>]`, where `<state>` is `WATTBENCH_STATE`, or
`$XDG_STATE_HOME/wattbench`, or `~/.local/state/wattbench`. It may lie on a disk that several
machines share: files are replaced by renaming, and what must not happen twice stands under a
`flock` of one file in it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import getpass
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from .errors import StateError

_PATIENCE_S: Final = 5.0
_POLL_S: Final = 0.02
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

BROKEN: Final = "broken.json"
SAFE_STATE: Final = "safe_state.json"
"""What the guardian measured last."""


def state_root() -> Path:
    """Return the folder that keeps the state of all rigs."""
    given = os.environ.get("WATTBENCH_STATE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "wattbench"


def boot_id() -> str:
    """Return what names the time since this machine was started; empty where nothing does."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def boot_ns() -> int:
    """Return the time since this machine was started, sleep included; no clock setting moves it."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def user() -> str:
    """Return who calls: `WATTBENCH_USER`, or the name of the account."""
    given = os.environ.get("WATTBENCH_USER", "").strip()
    if given:
        return given[:80]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def is_caller(content: Mapping[str, Any]) -> bool:
    """Return whether an entry is by who calls now.

    Accounts of one name on two machines may be two people, unless `WATTBENCH_USER` says who it is.
    """
    if content.get("who") != user():
        return False
    named = bool(os.environ.get("WATTBENCH_USER", "").strip())
    return named or content.get("host") == socket.gethostname()


def utc_text(t: dt.datetime | None = None) -> str:
    """Return a time, by default now, as ISO 8601 in UTC with milliseconds."""
    t = dt.datetime.now(dt.UTC) if t is None else t.astimezone(dt.UTC)
    return t.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def caller() -> dict[str, Any]:
    """Return who calls, from where."""
    return {
        "who": user(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "boot_id": boot_id(),
    }


class RigState:
    """The folder of one rig."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, name: str, station: str = "", root: Path | None = None) -> RigState:
        """Return the state of a rig; it is made when something is written to it."""
        return cls((state_root() if root is None else root) / "rigs" / key(name, station))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what the disk refuses into one line."""
        try:
            yield
        except OSError as error:
            raise StateError(
                f"state folder {self.folder}: cannot write ({error.strerror or error}); free some "
                "space there, or set WATTBENCH_STATE to another folder"
            ) from error

    @contextlib.contextmanager
    def control(self) -> Iterator[None]:
        """Within, nobody else changes who has the rig; held for moments only.

        Raises:
            StateError: the folder cannot be used, or somebody holds this for too long.
        """
        path = self.folder / "control"
        with self.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not lock_within(handle, _PATIENCE_S):
                raise StateError(
                    f"state folder {self.folder}: busy for {_PATIENCE_S:.0f} s; a process that "
                    "was stopped holds it (see `fuser` of the file `control` in it)"
                )
            yield
        finally:
            os.close(handle)

    def read(self, name: str) -> dict[str, Any] | None:
        """Return the content of a JSON file, None if there is none or it is not whole."""
        try:
            content = json.loads((self.folder / name).read_text())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file, all of it or nothing."""
        with self.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_json(self.folder / name, content)

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        with contextlib.suppress(FileNotFoundError), self.writing():
            try:
                (self.folder / name).unlink()
            except FileNotFoundError:
                return

    def audit(self, action: str, reason: str = "", **more: Any) -> None:
        """Append one line to the audit log: who did what, when, from where, and why."""
        entry = {"utc": utc_text(), **caller(), "action": action, "reason": reason, **more}
        line = (json.dumps(entry) + "\n").encode()
        with self.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            handle = os.open(self.folder / "audit.jsonl", flags, 0o666)
            try:
                if os.write(handle, line) != len(line):
                    raise OSError(28, "No space left on device")
            finally:
                os.close(handle)

    def audited(self) -> list[dict[str, Any]]:
        """Return the audit log, oldest first; lines that are not whole are left out."""
        try:
            lines = (self.folder / "audit.jsonl").read_text(errors="replace").splitlines()
        except OSError:
            return []
        entries = []
        for line in lines:
            with contextlib.suppress(ValueError):
                entries.append(json.loads(line))
        return [entry for entry in entries if isinstance(entry, dict)]

    @property
    def broken(self) -> dict[str, Any] | None:
        """Why the rig is out of use, None if it is not."""
        found = self.read(BROKEN)
        if found is None and (self.folder / BROKEN).exists():
            return {"reason": "its state cannot be read", "utc": "", "who": ""}
        return found

    def mark_broken(self, reason: str, **more: Any) -> None:
        """Put the rig out of use until a person clears it; the first reason stays."""
        if self.broken is None:
            self.write(BROKEN, {"utc": utc_text(), **caller(), "reason": reason, **more})
        self.audit("broken", reason, **more)

    def clear_broken(self, by: str, reason: str) -> bool:
        """Put a broken rig into use again; return whether it was broken."""
        was = self.broken
        if was is None:
            return False
        self.audit("clear", reason, by=by, was=was.get("reason", ""))
        self.remove(BROKEN)
        return True


def key(name: str, station: str) -> str:
    """Return the folder name of a rig: two rigs of one name at different stations are two."""
    if not station:
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", station.lower()).strip("-")[:32]
    digest = hashlib.sha256(station.encode()).hexdigest()[:8]
    return f"{name}@{plain}-{digest}"


def replace_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file and rename it into place. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with temporary.open("w") as file:
            file.write(json.dumps(content, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def lock_within(handle: int, patience_s: float) -> bool:
    """Take a `flock`; return False if somebody else keeps it for that long."""
    end_s = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end_s:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def is_locked(path: Path) -> bool:
    """Return whether somebody holds a `flock` of a file."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not lock_within(handle, 0.0)
    finally:
        os.close(handle)
