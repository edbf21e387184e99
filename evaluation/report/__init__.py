"""The HTML report of a record: one self-contained file."""

from __future__ import annotations

from .from_record import report_input
from .model import (
    ActuatorInfo,
    IdentityRow,
    LimitRow,
    MetricInfo,
    PolicyRow,
    ReportInput,
)
from .page import write_comparison, write_report

__all__ = [
    "ActuatorInfo",
    "IdentityRow",
    "LimitRow",
    "MetricInfo",
    "PolicyRow",
    "ReportInput",
    "report_input",
    "write_comparison",
    "write_report",
]
