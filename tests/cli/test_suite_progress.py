"""What `wattbench suite` says of the time that it takes."""

from __future__ import annotations

import io

import pytest

from wattbench.commands.suite import progress
from wattbench.commands.suite.estimate import in_words
from wattbench.commands.suite.progress import Lines


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "under a second"),
        (6.2, "about 6 s"),
        (400.0, "about 7 min"),
        (7800.0, "about 2 h 10 min"),
    ],
)
def test_times_for_people(seconds: float, text: str) -> None:
    assert in_words(seconds) == text


def test_brackets_are_counted_and_their_end_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(progress, "perf_counter", lambda: now_s)
    stream = io.StringIO()
    lines = Lines(stream)
    lines.brackets(4)
    lines.tick()
    now_s += 11.0
    lines.tick()
    now_s += 9.0
    lines.bracketed(1)
    lines.tick()
    now_s += 3.0
    lines.tick()
    assert stream.getvalue().splitlines() == [
        "brackets of 4 runs, each policy's on a first seed ...",
        "0 of 4 brackets",
        "1 of 4 brackets, about 69 s left",
    ]
