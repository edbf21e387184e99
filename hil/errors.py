"""What can go wrong with a rig: errors that everything which speaks to devices raises.

A module of its own, and light: the guardian and `wattbench rig` start without a plant.
"""

from __future__ import annotations


class RigError(Exception):
    """A rig is not available, or a device of it is lost; never the fault of a policy."""


class ReadingError(Exception):
    """One reading did not come; the loop goes on with the age of the last one."""
