"""What `wattbench rig fingerprint` and `wattbench rig drift` do.

Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FingerprintOptions:
    """What `wattbench rig fingerprint` or `rig drift` was told."""

    device: str
    """An endpoint (``127.0.0.1:1502/1``, ``modbus-tcp://host:port/unit``,
    ``modbus-rtu:///dev/ttyUSB0/unit``), or, with `rig`, the id of a device in it."""
    rig: str | None = None
    """A rig file or the name of a shipped one."""
    profile: str | None = None
    """The device profile whose register map is used; required with an endpoint. For drift also
    what the device is compared with, unless `against` says otherwise."""
    against: Path | None = None
    """Drift only: a profile written by `fingerprint`, instead of the device's own."""
    out: Path | None = None
    """Fingerprint only: the profile goes to this file; default: ``DEVICE.fingerprint.yaml``."""
    yes: bool = False
    """Do not ask before set-points are commanded."""
    passive: bool = False
    """Only what can be measured without commanding a set-point."""
    max_power_w: float | None = None
    """No set-point above this, W; default: the upper end of the device's range."""
    repeats: int | None = None
    """How often each experiment is repeated; default: what each one needs."""
    watchdog_limit_s: float | None = None
    """How long an expiry of the watchdog is waited for, s."""


def fingerprint(options: FingerprintOptions, *, as_json: bool) -> int:
    """Measure a device, write its profile; return the exit code."""
    raise NotImplementedError


def drift(options: FingerprintOptions, *, as_json: bool) -> int:
    """Measure a device and compare it with its profile; return the exit code."""
    raise NotImplementedError
