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
