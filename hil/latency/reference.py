"""How fast the machine is right now: a fixed piece of work, taken between the control steps.

Two parts of about the same length, because a control step has both: round trips of raw bytes with
an echo in a process of its own over a loopback socket (kernel, scheduler, network), and a fixed
Python and numpy workload (interpreter, memory). They run in the thread and on the processors of
the loop, so pinning a run pins its reference too, and after the same idle time as a step, so that
both meet equally cold caches.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from time import perf_counter_ns
from types import TracebackType
from typing import Final, Self

import numpy as np

ROUND_TRIPS: Final = 4
MESSAGE: Final = bytes(range(125))
"""As long as an answer of 58 registers over Modbus TCP."""
_TIMEOUT_S: Final = 5.0
_PYTHON_LOOPS: Final = 2000
_MATRIX: Final = 64
_PRODUCTS: Final = 20

# Answers one connection and ends with it, so nobody is left over when the bench is killed.
_ECHO: Final = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
server.settimeout(10)
connection, _ = server.accept()
connection.settimeout(None)
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while data := connection.recv(65536):
    connection.sendall(data)
"""


class ReferenceUnavailableError(Exception):
    """The echo process did not come up, or went away."""


class Reference:
    """The machine's speed; open it with `with`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._socket: socket.socket | None = None
        rng = np.random.default_rng(1)
        self._matrix = rng.standard_normal((_MATRIX, _MATRIX)) / _MATRIX**0.5
        self._vector = rng.standard_normal(_MATRIX)
        self.checksum = 0.0
        """Of the last work; keeps it from being idle."""

    def __enter__(self) -> Self:
        """Start the echo; raises `ReferenceUnavailableError`."""
        command = [sys.executable, "-I", "-S", "-c", _ECHO]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed text for this interpreter
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                # Ctrl-C is for the bench, which ends the echo itself.
                start_new_session=True,
            )
            assert self._process.stdout is not None
            port = int(self._process.stdout.readline())
            self._socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, ValueError) as error:
            self.close()
            raise ReferenceUnavailableError(f"the reference's echo did not start: {error}") from (
                error
            )
        except BaseException:  # a signal: `__exit__` will not be called
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the echo."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            if self._process.stdout is not None:
                self._process.stdout.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)  # it ends with its connection
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    def take(self) -> tuple[int, int]:
        """Do the work once; return what the round trips and the computing took, ns.

        Raises:
            ReferenceUnavailableError: the echo does not answer.
        """
        t0 = perf_counter_ns()
        self._round_trips()
        t1 = perf_counter_ns()
        self._compute()
        return t1 - t0, perf_counter_ns() - t1

    def _round_trips(self) -> None:
        assert self._socket is not None, "not open"
        for _ in range(ROUND_TRIPS):
            try:
                self._socket.sendall(MESSAGE)
                left = len(MESSAGE)
                while left:
                    data = self._socket.recv(left)
                    if not data:
                        raise ReferenceUnavailableError("the reference's echo went away")
                    left -= len(data)
            except OSError as error:
                raise ReferenceUnavailableError(
                    f"the reference's echo does not answer: {error}"
                ) from error

    def _compute(self) -> None:
        total = 0
        for number in range(_PYTHON_LOOPS):
            total += number
        vector = self._vector
        for _ in range(_PRODUCTS):
            vector = np.tanh(self._matrix @ vector)
        self.checksum = total + float(vector[0])
