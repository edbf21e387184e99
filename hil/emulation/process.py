"""Emulators in a process of their own, as the controller's process sees them.

Under the wall clock emulated devices do not share the controller's interpreter: a policy's span
would be theirs, and theirs the policy's. The process that plays them (`worker`) owns the plant. It
is talked to in lines of JSON on its standard input and output, and ends when its input does, so
that it never outlives whoever started it.

Both clocks count from the same instant of the machine's monotonic clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import RigError
from .build import FOLDER

_BUILD_S: Final = 120.0
"""Kernels may have to be compiled first."""
_ANSWER_S: Final = 20.0
_END_S: Final = 3.0


class EmulatorProcess:
    """Emulated devices with their plant in a process of their own.

    Raises:
        RigError: it could not be started, said what is wrong, or does not answer.
    """

    def __init__(self, content: Mapping[str, Any], profiles: NDArray[np.float32]) -> None:
        """Start the process; it builds the plant meanwhile.

        Args:
            content: what `worker.build` takes, as plain values.
            profiles: the plant's profile arrays.
        """
        self._folder = tempfile.TemporaryDirectory(prefix=FOLDER)
        self._buffer = b""
        place = Path(self._folder.name) / "profiles.npy"
        np.save(place, profiles, allow_pickle=False)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "wattbench.hil.emulation.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A signal for the run is not one for its devices: they are needed to make it safe.
            start_new_session=True,
        )
        self._say({**content, "profiles": str(place)})
        self.endpoints: list[dict[str, Any]] = []
        """Where the devices are, as `wattbench emulate` prints it."""

    def built(self) -> dict[str, Any]:
        """Wait until the plant is built; return what it says of itself."""
        return self._answer(_BUILD_S)

    def start(self, lead_s: float, factor: float) -> int:
        """Open the devices' endpoints; return the monotonic time, ns, at which time is 0."""
        zero_ns = time.monotonic_ns() + round(lead_s * 1e9 / factor)
        answer = self.ask("start", zero_ns=zero_ns, factor=factor)
        self.endpoints = answer["endpoints"]
        return zero_ns

    def check(self) -> None:
        """Raise `RigError` if the process has ended: nothing that it played is there any more."""
        code = self._process.poll()
        if code is not None:
            raise RigError(_ended(code))

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Ask something and wait for the answer."""
        self._say({"do": what, **arguments})
        return self._answer(_ANSWER_S)

    def tell(self, what: str, **arguments: Any) -> None:
        """Tell something that has no answer; a process that has gone is noticed later."""
        with contextlib.suppress(RigError):
            self._say({"do": what, **arguments})

    def arrays(self, what: str) -> dict[str, NDArray[Any]]:
        """Ask for arrays by name."""
        place = Path(self._folder.name) / f"{what}.npz"
        self.ask(what, path=str(place))
        with np.load(place, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}

    def close(self) -> None:
        """End the process."""
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._folder.cleanup()

    def _say(self, content: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        line = json.dumps(content, allow_nan=False).encode() + b"\n"
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError as error:
            raise RigError(_ended(self._process.wait())) from error

    def _answer(self, within_s: float) -> dict[str, Any]:
        """Return the next line; one with an `error` is raised."""
        assert self._process.stdout is not None
        file = self._process.stdout.fileno()
        until_s = time.monotonic() + within_s
        while b"\n" not in self._buffer:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([file], [], [], left_s)[0]:
                raise RigError(f"the emulated devices did not answer within {within_s:g} s")
            data = os.read(file, 1 << 16)
            if not data:
                raise RigError(_ended(self._process.wait()))
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RigError(f"emulated devices: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _ended(code: int) -> str:
    """Return the line about a process that ended by itself, or that a signal ended."""
    how = f"with code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
    return f"the process of the emulated devices has ended {how}"
