"""The HTML report of a suite: ``report.html`` in its folder."""

from __future__ import annotations

from .page import write_suite_report

__all__ = ["write_suite_report"]
