"""Policies that need no training: degenerate ones that must fail, and controllers to beat."""

from . import degenerate, pi, schedule, smith, threshold

__all__ = ["degenerate", "pi", "schedule", "smith", "threshold"]
