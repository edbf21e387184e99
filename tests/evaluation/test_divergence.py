"""Where two traces part: known answers, and brute force over random traces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.evaluation.divergence import (
    EXACT,
    Divergence,
    Tolerance,
    Trace,
    find_divergence,
)
from wattbench.evaluation.streams import memory_stream

START = "2025-06-21T08:00:00+00:00"
S = 1_000_000


def trace(
    *, events: Any = (), sha256: str | None = None, every: int = 1, **streams: dict[str, Any]
) -> Trace:
    """Return a trace; columns without `t_sim_us` are rows of one second from 0 on."""
    found = {}
    for name, columns in streams.items():
        rows = len(next(iter(columns.values())))
        times = {"t_sim_us": np.arange(rows, dtype=np.int64) * S}
        arrays = times | {key: np.asarray(values) for key, values in columns.items()}
        found[name] = memory_stream(name, arrays, dict.fromkeys(arrays, "W"))
    return Trace(found, START, events, sha256, every)


def first(found: Divergence) -> tuple[float, str, str, float | None, float | None]:
    """Return seconds, stream, column and both values of the first difference."""
    assert found.first is not None
    difference = found.first.first
    at_s = found.first.t_sim_us / S
    return at_s, difference.stream, difference.column, difference.a, difference.b


def test_equal_hashes_are_identical_without_a_look() -> None:
    found = find_divergence(
        trace(sha256="x", truth={"p": [1.0]}), trace(sha256="x", truth={"p": [2.0]})
    )
    assert found == Divergence(True)


def test_the_first_value_that_differs_and_all_that_differ_there() -> None:
    a = trace(truth={"p": [0.0, 1.0, 2.0], "q": [0.0, 0.0, 0.0], "same": [1.0, 1.0, 1.0]})
    b = trace(truth={"p": [0.0, 1.0, 3.0], "q": [0.0, 5.0, 0.0], "same": [1.0, 1.0, 1.0]})
    found = find_divergence(a, b)
    assert first(found) == (1.0, "truth", "q", 0.0, 5.0)
    assert found.first is not None
    assert found.first.utc == "2025-06-21T08:00:01Z"
    assert found.first.others == ()
    assert (dict(found.differing), dict(found.compared)) == ({"truth": 2}, {"truth": 4})


def test_of_one_time_truth_comes_before_reading_before_decision() -> None:
    a = trace(commands={"decided.x_w": [1.0]}, readings={"m": [1.0]}, truth={"p": [1.0]})
    b = trace(commands={"decided.x_w": [2.0]}, readings={"m": [2.0]}, truth={"p": [2.0]})
    found = find_divergence(a, b)
    assert first(found)[1] == "truth"
    assert found.first is not None
    assert [d.stream for d in found.first.others] == ["readings", "commands"]
    assert found.decisions is not None
    assert found.decisions.first.column == "decided.x_w"


def test_decisions_part_where_they_do_even_if_a_row_was_numbered_otherwise_before() -> None:
    a = trace(commands={"seq": [1, 2, 3], "decided.x_w": [0.0, 0.0, 7.0]})
    b = trace(commands={"seq": [1, 9, 3], "decided.x_w": [0.0, 0.0, 8.0]})
    found = find_divergence(a, b)
    assert first(found)[:3] == (1.0, "commands", "seq")
    assert found.decisions is not None
    assert found.decisions.t_sim_us == 2 * S


def test_a_time_of_effect_counts_when_it_became_true() -> None:
    # the command of second 0 acted at 3 s in one run and at 5 s in the other; truth differs at 2 s
    a = trace(commands={"effective.x_us": [3 * S, -1, -1, -1]}, truth={"p": [0.0, 0.0, 1.0, 1.0]})
    b = trace(commands={"effective.x_us": [5 * S, -1, -1, -1]}, truth={"p": [0.0, 0.0, 2.0, 1.0]})
    assert first(find_divergence(a, b)) == (2.0, "truth", "p", 1.0, 2.0)
    later = trace(commands={"effective.x_us": [5 * S, -1, -1, -1]}, truth=dict(a.streams["truth"]))
    assert first(find_divergence(a, later))[:3] == (3.0, "commands", "effective.x_us")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (float("nan"), float("nan"), True),
        (float("nan"), 0.0, False),
        (float("inf"), float("inf"), True),
        (float("inf"), 1.0, False),
        (float("inf"), float("-inf"), False),
        (0.0, -0.0, True),
        (1000.0, 1000.1, False),
    ],
)
@pytest.mark.parametrize("tolerance", [EXACT, Tolerance(1e-9, 1e-9)])
def test_values_that_are_no_common_numbers(
    a: float, b: float, same: bool, tolerance: Tolerance
) -> None:
    found = find_divergence(trace(truth={"p": [a]}), trace(truth={"p": [b]}), tolerance)
    assert (found.first is None) == same


@pytest.mark.parametrize(
    ("tolerance", "same"),
    [
        (EXACT, False),
        (Tolerance(absolute=0.11), True),
        (Tolerance(absolute=0.09), False),
        (Tolerance(relative=1.1e-4), True),
        (Tolerance(relative=0.9e-4), False),
        (Tolerance(0.06, 0.5e-4), True),
    ],
)
def test_tolerances_are_absolute_plus_relative(tolerance: Tolerance, same: bool) -> None:
    a, b = trace(truth={"p": [1000.0]}), trace(truth={"p": [1000.1]})
    assert (find_divergence(a, b, tolerance).first is None) == same
    assert (find_divergence(b, a, tolerance).first is None) == same


def test_columns_and_streams_of_one_trace_only_are_told() -> None:
    a = trace(truth={"p": [1.0], "battery": [1.0]}, readings={"m": [1.0]})
    found = find_divergence(a, trace(truth={"p": [1.0], "car": [1.0]}, extra={"x": [1.0]}))
    assert found.only_in_a == ("readings", "truth:battery")
    assert found.only_in_b == ("extra", "truth:car")
    assert found.first is None


def test_a_longer_trace_is_compared_over_the_common_time() -> None:
    long, short = trace(truth={"p": [0.0, 1.0, 2.0]}), trace(truth={"p": [0.0, 1.0]})
    found = find_divergence(long, short)
    assert found.first is None
    assert found.notes == ("truth ends at 2 s and 1 s: compared up to 1 s",)
    other = trace(truth={"p": [0.0, 5.0]})
    assert first(find_divergence(long, other)) == (1.0, "truth", "p", 1.0, 5.0)


def test_a_step_that_only_one_run_made_is_a_difference() -> None:
    every = trace(commands={"t_sim_us": np.array([0, S, 2 * S, 3 * S]), "x": [0.0, 0.0, 0.0, 9.0]})
    late = trace(commands={"t_sim_us": np.array([0, 2 * S, 3 * S]), "x": [0.0, 0.0, 0.0]})
    found = find_divergence(every, late)
    assert first(found) == (1.0, "commands", "t_sim_us", 1e6, None)
    assert first(find_divergence(late, every)) == (1.0, "commands", "t_sim_us", None, 1e6)
    # of a thinned trace, rows that were left out are not missed, and what is there is compared
    thin = trace(every=2, commands={"t_sim_us": np.array([S, 3 * S]), "x": [0.0, 8.0]})
    assert first(find_divergence(thin, every)) == (3.0, "commands", "x", 8.0, 9.0)


def test_events_before_the_difference_are_those_up_to_its_time() -> None:
    events = [{"t_sim_us": k * S, "kind": f"e{k}"} for k in range(8)]
    a = trace(events=events, truth={"p": [0.0] * 8})
    b = trace(events=events[:3], truth={"p": [0.0] * 6 + [1.0, 0.0]})
    found = find_divergence(a, b)
    assert [event["kind"] for event in found.events_a] == ["e2", "e3", "e4", "e5", "e6"]
    assert [event["kind"] for event in found.events_b] == ["e0", "e1", "e2"]


def test_empty_traces_do_not_part() -> None:
    empty = {"p": np.zeros(0)}
    assert find_divergence(trace(truth=empty), trace(truth=empty)).first is None
    assert find_divergence(trace(truth=empty), trace(truth={"p": [1.0]})).first is None


VALUES = st.sampled_from([0.0, 1.0, float("nan"), float("inf")])


@given(st.data())
def test_the_first_difference_is_the_one_that_a_search_row_by_row_finds(data: Any) -> None:
    rows = data.draw(st.integers(0, 6))
    matrix = st.lists(VALUES, min_size=rows, max_size=rows)
    columns = {name: (data.draw(matrix), data.draw(matrix)) for name in ("p", "q")}
    found = find_divergence(
        trace(truth={name: np.array(a) for name, (a, _) in columns.items()}),
        trace(truth={name: np.array(b) for name, (_, b) in columns.items()}),
    )
    expected = None
    for row in range(rows):
        for name, (a, b) in columns.items():
            both_nan = a[row] != a[row] and b[row] != b[row]
            if expected is None and a[row] != b[row] and not both_nan:
                expected = (row * S, name)
    got = None if found.first is None else (found.first.t_sim_us, found.first.first.column)
    assert got == expected


@given(st.lists(VALUES, max_size=8))
def test_a_trace_does_not_part_from_itself(values: list[float]) -> None:
    one = trace(truth={"p": np.array(values)}, commands={"decided.x_w": np.array(values)})
    found = find_divergence(one, one)
    assert (found.first, found.decisions) == (None, None)
