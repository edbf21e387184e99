"""When actuators acted on what: found again by time and sequence byte, or by time and actuator."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.emulation.effects import Effects

S = 1_000_000


def times(*values_us: int) -> np.ndarray:
    return np.array(values_us, np.int64)


def test_a_broadcast_is_found_by_time_and_byte() -> None:
    effects = Effects(2)
    effects.broadcast(1 * S, 7, times(2 * S, 3 * S))
    effects.broadcast(2 * S, 8, times(4 * S, -1))
    # The host notes when it hands a message over; the coordinator takes it a little later.
    assert effects.of_broadcast(1 * S - 4000, 7).tolist() == [2 * S, 3 * S]
    assert effects.of_broadcast(2 * S - 4000, 8).tolist() == [4 * S, -1]


def test_a_byte_of_another_time_is_not_taken() -> None:
    effects = Effects(1)
    effects.broadcast(1 * S, 7, times(2 * S))
    effects.broadcast(300 * S, 7, times(301 * S))
    assert effects.of_broadcast(1 * S, 7).tolist() == [2 * S]
    assert effects.of_broadcast(2 * S, 7).tolist() == [-1], "gone before it was sent"
    assert effects.of_broadcast(299 * S, 7).tolist() == [301 * S]
    assert effects.of_broadcast(1 * S, 9).tolist() == [-1]


def test_what_a_later_broadcast_overtook_was_never_effective() -> None:
    effects = Effects(3)
    effects.broadcast(1 * S, 1, times(5 * S, 5 * S, 2 * S))
    effects.broadcast(2 * S, 2, times(4 * S, -1, 6 * S))
    assert effects.of_broadcast(1 * S, 1).tolist() == [-1, 5 * S, 2 * S]
    assert effects.of_broadcast(2 * S, 2).tolist() == [4 * S, -1, 6 * S]


def test_only_the_next_eight_can_overtake() -> None:
    effects = Effects(1)
    effects.broadcast(0, 0, times(100 * S))
    for k in range(1, 9):
        effects.broadcast(k, k, times(-1))
    effects.broadcast(9, 9, times(50 * S))
    assert effects.of_broadcast(0, 0).tolist() == [100 * S]


def test_a_write_is_found_by_time_and_actuator() -> None:
    effects = Effects(3)
    effects.wire(1 * S, 2, 3 * S)
    effects.wire(1 * S + 10, 1, 4 * S)
    effects.wire(20 * S, 1, 22 * S)
    assert effects.of_wire(1 * S - 500, 1) == 4 * S
    assert effects.of_wire(1 * S - 500, 2) == 3 * S
    assert effects.of_wire(1 * S - 500, 0) == -1
    assert effects.of_wire(10 * S, 1) == -1, "ten seconds are no way by wire"
    assert effects.of_wire(19 * S, 1) == 22 * S


def test_nothing_is_found_in_nothing() -> None:
    effects = Effects(2)
    assert effects.of_broadcast(0, 0).tolist() == [-1, -1]
    assert effects.of_wire(0, 0) == -1


A_TIME = st.integers(0, 2**60)
WITH_EFFECTS = st.integers(1, 5).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.lists(
            st.tuples(
                A_TIME,
                st.integers(0, 255),
                st.lists(st.integers(-1, 2**60), min_size=n, max_size=n),
            ),
            max_size=8,
        ),
        st.lists(st.tuples(A_TIME, st.integers(0, n - 1), st.integers(-1, 2**60)), max_size=8),
    )
)


@given(WITH_EFFECTS)
def test_plain_values_say_everything(content: tuple) -> None:
    actuators, broadcasts, wired = content
    effects = Effects(actuators)
    for t_us, byte, effective_us in broadcasts:
        effects.broadcast(t_us, byte, np.array(effective_us, np.int64))
    for row in wired:
        effects.wire(*row)
    plain = json.loads(json.dumps(effects.as_plain()))
    again = Effects.from_plain(plain)
    assert again.as_plain() == effects.as_plain() == plain
    for t_us, byte, _ in broadcasts:
        assert again.of_broadcast(t_us, byte).tolist() == effects.of_broadcast(t_us, byte).tolist()
    for t_us, actuator, _ in wired:
        assert again.of_wire(t_us, actuator) == effects.of_wire(t_us, actuator)
