"""The control channel of a running emulation: a Unix socket that takes JSON lines.

The socket lies in the state folder (``WATTBENCH_STATE``, or a folder of the user's own), mode
0600, one for each emulation: ``emulate-<rig>-<process id>.sock``. A request is one line, an object
with ``do`` (`list`, `on`, `off`); the answer is one line, an object with ``ok`` and either what
was asked for or ``error``. The client needs nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .targets import FaultTargets

_PREFIX: Final = "emulate-"
_SUFFIX: Final = ".sock"
_NAME: Final = re.compile(r"^emulate-(?P<rig>.+)-(?P<pid>\d+)\.sock$")
_LONGEST_PATH: Final = 100
_LONGEST_LINE: Final = 1 << 20
_PATIENCE_S: Final = 5.0
_IDLE_S: Final = 60.0


class ControlError(Exception):
    """The control channel cannot be set up or used; the message says how to mend it."""


class NothingRunsError(ControlError):
    """There is no running emulation to talk to."""


class SeveralRunError(ControlError):
    """Several emulations run and it was not said which is meant."""


class RefusedError(ControlError):
    """The emulation refused what it was asked for; the message is its own."""


def state_folder() -> Path:
    """Return the folder of the sockets, made if missing, which must be the user's own."""
    given = os.environ.get("WATTBENCH_STATE")
    if given:
        folder = Path(given).expanduser()
    elif os.environ.get("XDG_RUNTIME_DIR"):
        folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "wattbench"
    else:
        folder = Path(tempfile.gettempdir()) / f"wattbench-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as problem:
        reason = problem.strerror or problem
        raise ControlError(
            f"{folder}: cannot be used for sockets ({reason}); set WATTBENCH_STATE to a folder"
        ) from problem
    if not given and (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid()):
        raise ControlError(f"{folder} belongs to somebody else; set WATTBENCH_STATE to a folder")
    return folder


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield a path to a socket that sockets can take, however long its own is.

    A socket's address holds 107 bytes; an open folder's own name in `/proc` is always short.
    """
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class ControlServer:
    """The emulation's end.

    Args:
        rig: name of the rig, by which a client chooses among several emulations.
        targets: what faults are put on.
    """

    def __init__(self, rig: str, targets: FaultTargets) -> None:
        self._targets = targets
        self._rig = rig
        self.path = state_folder() / f"{_PREFIX}{rig}-{os.getpid()}{_SUFFIX}"
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen. Raises `ControlError` if the socket cannot be made."""
        self.path.unlink(missing_ok=True)
        # Made private from its first moment on, not by a chmod afterwards.
        before = os.umask(0o177)
        try:
            with _short(self.path) as path:
                self._server = await asyncio.start_unix_server(
                    self._serve, path, limit=_LONGEST_LINE
                )
        except OSError as problem:
            raise ControlError(f"{self.path}: {problem.strerror or problem}") from problem
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                async with asyncio.timeout(_IDLE_S):
                    line = await reader.readline()
                if not line:
                    return
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            return  # who sends too much, too slowly or hangs up is not served any more
        finally:
            self._open.discard(writer)
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        from .targets import FaultTargetError

        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ValueError("expected an object")
            return {"ok": True, "rig": self._rig} | self._do(request)
        except FaultTargetError as problem:
            return {"ok": False, "error": str(problem)}
        except (ValueError, TypeError, KeyError, RecursionError) as problem:
            return {"ok": False, "error": f"not a request: {problem}"}

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        what = request["do"]
        if what == "list":
            return {"targets": self._targets.listing()}
        if what == "on":
            for_s, given = request.get("for_s"), request.get("parameters", {})
            if not isinstance(given, dict):
                raise TypeError("parameters must be an object")
            seconds = None if for_s is None else float(for_s)
            self._targets.on(str(request["target"]), str(request["kind"]), given, seconds)
            return {}
        if what == "off":
            kind = request.get("kind")
            wanted = None if kind is None else str(kind)
            return {"ended": self._targets.off(str(request["target"]), wanted)}
        raise ValueError(f"unknown 'do': {what!r}")


@dataclass(frozen=True, slots=True)
class Running:
    """A running emulation."""

    rig: str
    pid: int
    path: Path


def running() -> list[Running]:
    """Return the emulations whose sockets answer; sockets that were left behind are removed."""
    found = []
    for path in sorted(state_folder().glob(f"{_PREFIX}*{_SUFFIX}")):
        match = _NAME.match(path.name)
        if match is None:
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PATIENCE_S)
            try:
                with _short(path) as short:
                    probe.connect(short)
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            except OSError:
                continue
        found.append(Running(match["rig"], int(match["pid"]), path))
    return found


def choose(rig: str | None) -> Running:
    """Return the emulation that is meant: the only one, or that of a rig (or process id)."""
    found = running()
    if not found:
        raise NothingRunsError("no emulation is running; start one with `wattbench emulate RIG`")
    names = ", ".join(f"{one.rig} (process {one.pid})" for one in found)
    if rig is not None:
        meant = [one for one in found if rig in {one.rig, str(one.pid)}]
        if not meant:
            raise NothingRunsError(f"no emulation of rig '{rig}' is running; there is: {names}")
        found = meant
    if len(found) > 1:
        raise SeveralRunError(
            f"{len(found)} emulations are running: {names}; say which with --rig NAME, or "
            "--rig and the process id"
        )
    return found[0]


def ask(one: Running, request: dict[str, Any]) -> dict[str, Any]:
    """Send a request and return the answer. Raises `RefusedError` with what was wrong with it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE_S)
        try:
            with _short(one.path) as short:
                connection.connect(short)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline(_LONGEST_LINE)
        except TimeoutError as problem:
            raise NothingRunsError(
                f"the emulation of rig '{one.rig}' (process {one.pid}) did not answer in "
                f"{_PATIENCE_S:g} s"
            ) from problem
        except OSError as problem:
            raise NothingRunsError(
                f"the emulation of rig '{one.rig}' (process {one.pid}) has ended"
            ) from problem
    if not line:
        raise NothingRunsError(f"the emulation of rig '{one.rig}' (process {one.pid}) has ended")
    try:
        answer = json.loads(line)
    except ValueError as problem:
        raise ControlError(f"{one.path}: the answer is no JSON: {problem}") from problem
    if not isinstance(answer, dict) or not answer.get("ok"):
        text = answer.get("error", "refused") if isinstance(answer, dict) else "refused"
        raise RefusedError(str(text))
    return answer
