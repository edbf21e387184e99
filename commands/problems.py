"""How commands say what is wrong: lines on stderr, each with the name of the program."""

from __future__ import annotations

import sys


def say(problem: object) -> None:
    """Print a problem, which may have several lines, on stderr."""
    for line in str(problem).splitlines():
        print(f"wattbench: {line}", file=sys.stderr)


def refuse(problem: Exception, code: int, *, as_json: bool) -> int:
    """Say why a command is not carried out, with ``as_json`` on stdout too; return ``code``."""
    say(problem)
    if as_json:
        from ..evaluation.model import json_text

        print(json_text({"exit_code": code, "error": str(problem)}))
    return code
