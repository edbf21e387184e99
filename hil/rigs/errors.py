"""Why a rig cannot be used, each in one line that says what to do about it."""

from __future__ import annotations

from ..errors import RigError


class StateError(RigError):
    """The folder that keeps locks and audit logs cannot be used."""


class RigLockedError(RigError):
    """Somebody else has the rig."""


class RigBrokenError(RigError):
    """The rig is out of use until a person has looked at it."""


class LeaseLostError(RigError):
    """The run has not renewed its lease in time, or somebody took the rig away: no more writes."""


class ArmingError(RigError):
    """An actuator cannot be made safe without this run, or a precondition does not hold."""


class GuardianError(RigError):
    """The process that makes the rig safe could not be started, or is gone."""
