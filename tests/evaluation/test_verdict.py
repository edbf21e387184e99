"""Order of verdicts, exit codes, precedence in a suite."""

from __future__ import annotations

import itertools

import pytest

from wattbench.evaluation.verdict import (
    PRECEDENCE,
    ExitCode,
    Verdict,
    exit_code,
    roll_up,
    suite_exit_code,
)


def test_severity_rises():
    assert Verdict.PASS < Verdict.INCONCLUSIVE < Verdict.FAIL < Verdict.ABORTED < Verdict.ERROR
    for one, other in itertools.product(Verdict, repeat=2):
        assert roll_up([one, other]) is max(one, other)


def test_nothing_judged_is_no_pass():
    assert roll_up([]) is Verdict.INCONCLUSIVE
    assert suite_exit_code([]) is ExitCode.INCONCLUSIVE


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("PASS", 0), ("FAIL", 1), ("INCONCLUSIVE", 3), ("ABORTED", 4), ("ERROR", 5)],
)
def test_exit_codes(verdict, code):
    assert exit_code(Verdict[verdict]) == code
    assert exit_code(Verdict[verdict], safe_state_confirmed=True) == code
    assert exit_code(Verdict[verdict], safe_state_confirmed=False) == 7


def test_precedence_in_a_suite():
    assert [int(code) for code in PRECEDENCE] == [7, 6, 5, 4, 1, 3, 0]
    for (i, one), (j, other) in itertools.product(enumerate(PRECEDENCE), repeat=2):
        assert suite_exit_code([one, other]) is PRECEDENCE[min(i, j)]


def test_an_invalid_file_is_no_outcome_of_a_run():
    with pytest.raises(ValueError, match="USAGE"):
        suite_exit_code([0, 2])
