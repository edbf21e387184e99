"""Verdicts, their order, and the exit codes that they lead to."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Literal, TypeAlias

DecisionRule: TypeAlias = Literal["simple", "guarded"]
"""How a measured value's uncertainty enters a verdict (ISO/IEC 17025:2017, 3.7 and 7.8.6.1).

simple: the value decides, the uncertainty is only stated (simple acceptance: no guard band).
guarded: PASS needs the bound kept by more than the uncertainty, FAIL needs it missed by more (a
guard band of the uncertainty's size on either side); between them INCONCLUSIVE. Both as in
ILAC-G8:09/2019, 4.2.
"""


class Verdict(IntEnum):
    """Outcome of a limit, a run or a suite; the greater, the more severe."""

    PASS = 0
    INCONCLUSIVE = 1
    FAIL = 2
    ABORTED = 3
    ERROR = 4


class ExitCode(IntEnum):
    """Exit codes of the command line."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    """Usage, or an invalid file."""
    INCONCLUSIVE = 3
    ABORTED = 4
    ERROR = 5
    """An error inside."""
    RIG = 6
    """Rig not available, or locked by someone else."""
    UNSAFE = 7
    """Safe state not confirmed."""


_OF_VERDICT = {
    Verdict.PASS: ExitCode.PASS,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Verdict.FAIL: ExitCode.FAIL,
    Verdict.ABORTED: ExitCode.ABORTED,
    Verdict.ERROR: ExitCode.ERROR,
}

#: Exit codes of runs, the one that wins in a suite first.
PRECEDENCE = (
    ExitCode.UNSAFE,
    ExitCode.RIG,
    ExitCode.ERROR,
    ExitCode.ABORTED,
    ExitCode.FAIL,
    ExitCode.INCONCLUSIVE,
    ExitCode.PASS,
)


def roll_up(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the most severe verdict; INCONCLUSIVE if there is none, for nothing was shown."""
    return max(verdicts, default=Verdict.INCONCLUSIVE)


def exit_code(verdict: Verdict, *, safe_state_confirmed: bool | None = None) -> ExitCode:
    """Return a run's exit code; a safe state measured as not reached outweighs every verdict."""
    return ExitCode.UNSAFE if safe_state_confirmed is False else _OF_VERDICT[verdict]


def suite_exit_code(codes: Iterable[int]) -> ExitCode:
    """Return the exit code of several runs by `PRECEDENCE`; INCONCLUSIVE if there are none.

    Raises:
        ValueError: a code that no run can have, such as 2 (an invalid file stops a suite before
            its first run).

    """
    found = [ExitCode(code) for code in codes]
    if ExitCode.USAGE in found:
        raise ValueError("exit code 2 (USAGE) is no outcome of a run")
    return min(found, key=PRECEDENCE.index, default=ExitCode.INCONCLUSIVE)
