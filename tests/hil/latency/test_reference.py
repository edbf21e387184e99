"""The machine's speed: a fixed work with an echo that leaves nobody behind."""

import os
import signal

import pytest

from wattbench.hil.latency.reference import Reference, ReferenceUnavailableError


def test_both_parts_take_time_and_the_work_is_fixed() -> None:
    with Reference() as reference:
        first = reference.take()
        checksum = reference.checksum
        second = reference.take()
        assert reference.checksum == checksum
        process = reference._process
    assert min(*first, *second) > 0
    assert process is not None
    assert process.returncode == 0


def test_a_dead_echo_is_told() -> None:
    with Reference() as reference:
        assert reference._process is not None
        os.kill(reference._process.pid, signal.SIGKILL)
        reference._process.wait()
        with pytest.raises(ReferenceUnavailableError, match="echo"):
            reference.take()


def test_a_signal_for_the_bench_is_none_for_the_echo() -> None:
    """Ctrl-C goes to the whole process group; the echo is in a session of its own."""
    with Reference() as reference:
        assert reference._process is not None
        assert os.getsid(reference._process.pid) == reference._process.pid != os.getsid(0)


def test_a_signal_while_the_echo_starts_leaves_nobody(monkeypatch) -> None:
    reference = Reference()
    started = []

    def interrupted(*_):
        started.append(reference._process)
        raise KeyboardInterrupt

    monkeypatch.setattr("socket.create_connection", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reference.__enter__()
    assert started[0].returncode is not None
    assert reference._process is None
