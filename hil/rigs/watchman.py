"""The run's side of its guardian: starts it, tells it that the run is alive, hears what it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from .actuators import Profiles
from .errors import GuardianError
from .guardian_orders import Orders
from .model import Rig
from .state import RigState

_START_S: Final = 30.0
"""Importing its libraries takes a second or two, more on a busy machine."""
_SILENT_S: Final = 30.0
"""A guardian that answers nothing for this long is gone. It answers at once unless it is busy
making the rig safe."""
_END_S: Final = 3.0
_MOST_LOG_BYTES: Final = 1_000_000


class Guard:
    """A guardian process, seen from the run that started it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answered_s = time.monotonic()
        self._buffer = b""
        self._over = self._asked = self._took_over = False
        assert process.stdout is not None
        assert process.stdin is not None
        self._out, self._in = process.stdout.fileno(), process.stdin.fileno()
        for descriptor in (self._out, self._in):
            os.set_blocking(descriptor, False)

    @classmethod
    async def start(
        cls, rig: Rig, profiles: Profiles, state: RigState, token: str, run_folder: Path | None
    ) -> Guard:
        """Start a guardian and wait until it watches.

        Raises:
            GuardianError: it does not.
        """
        orders = Orders(
            rig=rig,
            profiles=dict(profiles),
            token=token,
            pid=os.getpid(),
            state_folder=state.folder.resolve(),
            run_folder=None if run_folder is None else run_folder.resolve(),
        )
        log = state.folder / "guardian.log"
        with state.writing():
            mode = "ab" if _size(log) < _MOST_LOG_BYTES else "wb"
            stderr = log.open(mode)
        with stderr:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "wattbench.hil.rigs.guardian"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C on the terminal is the run's alone
                bufsize=0,
            )
        guard = cls(process, log)
        asyncio.get_running_loop().add_reader(guard._out, guard._heard)
        try:
            await guard._send_all(orders.model_dump_json().encode() + b"\n")
            said = await guard._hear(_START_S)
            if not said.get("ready"):
                raise GuardianError(f"the guardian did not start: {said.get('error', said)}")
        except BaseException:
            guard.close()
            raise
        return guard

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def beat(self) -> None:
        """Tell it that the run is alive.

        Raises:
            GuardianError: it is gone, or does not answer.
        """
        if self._over or self._process.poll() is not None:
            raise GuardianError(f"the guardian is gone (see {self._log}): the run stops")
        if self._took_over:
            raise GuardianError("the guardian has made the rig safe: the run stops")
        if time.monotonic() - self._answered_s > _SILENT_S:
            raise GuardianError("the guardian does not answer any more: the run stops")
        self._send(b"beat\n")

    async def confirm(self, patience_s: float) -> dict[str, Any]:
        """Have it measure that the rig is safe, and make it so; return what it found.

        Raises:
            GuardianError: it is gone or does not answer.
        """
        self._asked = True
        while not self._said.empty():
            self._said.get_nowait()
        self._send(b"confirm\n")
        end_s = time.monotonic() + patience_s
        while True:
            said = await self._hear(end_s - time.monotonic())
            if "outcome" in said:
                outcome: dict[str, Any] = said["outcome"]
                return outcome

    async def end(self) -> None:
        """Have it stand down."""
        with contextlib.suppress(GuardianError):
            self._send(b"end\n")
        end_s = time.monotonic() + _END_S
        while self._process.poll() is None and time.monotonic() < end_s:
            await asyncio.sleep(0.02)
        self.close()

    def close(self) -> None:
        """Leave it alone: without having been told to end, it makes the rig safe."""
        if self._over:
            return
        self._over = True
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().remove_reader(self._out)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _send(self, data: bytes) -> None:
        try:
            if os.write(self._in, data) != len(data):
                raise BlockingIOError
        except OSError as error:
            raise GuardianError("the guardian takes no orders any more: the run stops") from error

    async def _send_all(self, data: bytes) -> None:
        """Send the orders, more than a pipe may take at once."""
        end_s = time.monotonic() + _START_S
        while data:
            try:
                data = data[os.write(self._in, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.01)
            except OSError as error:
                raise GuardianError(f"the guardian did not start; see {self._log}") from error
            if time.monotonic() > end_s:
                raise GuardianError(f"the guardian did not take its orders; see {self._log}")

    async def _hear(self, patience_s: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(max(patience_s, 0.0)):
                said = await self._said.get()
        except TimeoutError:
            raise GuardianError(f"the guardian does not answer; see {self._log}") from None
        if said.get("gone"):
            raise GuardianError(f"the guardian is gone; see {self._log}")
        return said

    def _heard(self) -> None:
        try:
            data = os.read(self._out, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._out)
            self._said.put_nowait({"gone": True})
            return
        self._answered_s = time.monotonic()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict) and not said.get("alive"):
                    self._took_over |= "outcome" in said and not self._asked
                    self._said.put_nowait(said)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
