"""Which spans are shaded."""

import numpy as np

from wattbench.evaluation.report.spans import event_spans, safe_spans, stale_spans

S = 1_000_000


def edge(kind, second, fault="meter_freeze", **more):
    return {"t_sim_us": second * S, "kind": f"fault_{kind}", "fault": fault, **more}


def told(spans):
    return [(s.label, s.start_us // S, s.end_us // S) for s in spans]


def test_start_pairs_with_the_end_of_the_same_fault():
    other = "broadcast_loss"
    events = [edge("start", 1), edge("start", 2, other), edge("end", 3), edge("end", 9, other)]
    assert told(event_spans(events, 20 * S)) == [("meter freeze", 1, 3), ("broadcast loss", 2, 9)]


def test_one_kind_on_two_targets():
    events = [
        edge("start", 1, "load_stuck_on", target="a1"),
        edge("start", 2, "load_stuck_on", load="b1"),
        edge("end", 5, "load_stuck_on", load="b1"),
        edge("end", 8, "load_stuck_on", target="a1"),
    ]
    spans = event_spans(events, 20 * S)
    assert told(spans) == [("load stuck on a1", 1, 8), ("load stuck on b1", 2, 5)]
    assert [s.target for s in spans] == ["a1", "b1"]


def test_repeated_fault_is_two_spans():
    events = [edge("start", 1), edge("end", 2), edge("start", 5), edge("end", 6)]
    assert [s[1:] for s in told(event_spans(events, 9 * S))] == [(1, 2), (5, 6)]


def test_unfinished_fault_lasts_to_the_end():
    assert told(event_spans([edge("start", 4)], 10 * S)) == [("meter freeze", 4, 10)]


def test_end_without_start_is_no_span():
    assert event_spans([edge("end", 4)], 10 * S) == []


def test_other_pairs_are_states_and_come_after_faults():
    events = [
        {"t_sim_us": 0, "kind": "meter_silent_start"},
        {"t_sim_us": 2 * S, "kind": "meter_silent_end"},
        {"t_sim_us": 2 * S, "kind": "staleness_start"},
        {"t_sim_us": 3 * S, "kind": "deadline_missed"},
        edge("start", 5),
    ]
    spans = event_spans(events, 9 * S)
    found = [(s.kind, s.label) for s in spans]
    assert found == [("fault", "meter freeze"), ("state", "meter silent")]


def test_stale_readings_last_until_the_next_fresh_one():
    readings = {"t_sim_us": np.arange(8) * S, "meter.quality": np.array([2, 0, 0, 1, 1, 0, 0, 1])}
    assert [s[1:] for s in told(stale_spans(readings, 8 * S))] == [(0, 1), (3, 5), (7, 8)]


def test_thousands_of_stale_readings_become_few_spans():
    rows = 100_000
    readings = {"t_sim_us": np.arange(rows) * S, "meter.quality": np.arange(rows) % 2}
    assert len(stale_spans(readings, rows * S)) == 1


def test_safe_state():
    commands = {"t_sim_us": np.arange(4) * S, "kind": np.array([0, 1, 3, 3])}
    assert [s[1:] for s in told(safe_spans(commands, 4 * S))] == [(2, 4)]


def test_empty_and_missing_streams_have_no_spans():
    assert stale_spans({}, S) == []
    assert safe_spans({"t_sim_us": np.zeros(0), "kind": np.zeros(0)}, S) == []
