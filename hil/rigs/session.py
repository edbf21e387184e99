"""A run's time on a real rig: from taking the lock to standing safe again.

    session = RigSession(rig, profiles, what="export/demo")
    await session.open(run_folder)      # lock, guardian
    await session.check(clock)          # serial numbers, preconditions
    session.arm()                       # from here on there may be writes
    …                                   # before each write: session.may_write()
    outcome = await session.end()       # after the run has made the rig safe: measured, unlocked

The lease is renewed by a task of the loop that the run itself lives in, so that a run that hangs
loses it. A run that hangs without blocking the loop says with `expect` by when it will be heard of
again; after that nothing is renewed any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ...sim.clock import Clock
from ..errors import RigError
from ..modbus.identity import IdentityError
from . import lock
from .actuators import Profiles, arming_problems, plans, waivers
from .driver_links import DriverLinks
from .errors import ArmingError, GuardianError, LeaseLostError, RigBrokenError
from .lease import Lease
from .links import LinkError, WrongDeviceError
from .making_safe import GIVE_UP_S
from .model import Rig
from .safety import Precondition
from .state import RigState
from .watchman import Guard

RENEW_S: Final = 1.0
"""How often the lease is renewed."""


class RigSession:
    """One run's time on one rig, on the wall clock."""

    def __init__(
        self,
        rig: Rig,
        profiles: Profiles,
        what: str,
        *,
        state: RigState | None = None,
        wait: bool = False,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare; nothing is locked yet.

        Args:
            rig: the rig.
            profiles: device profiles by the name under which its devices have them.
            what: what runs on it, for those who wait.
            state: where its state is kept; default: the user's state folder.
            wait: stand in the queue while somebody else has the rig.
            on_wait: told why it is waited for.
        """
        self.rig = rig
        self.state = state if state is not None else RigState.of(rig.name, rig.station)
        self._profiles = profiles
        self._what = what
        self._wait, self._on_wait = wait, on_wait
        self.on_lost: Callable[[Exception], None] | None = None
        """Told when the lease or the guardian is lost: the run has to stop."""
        """Is told when the lease or the guardian is lost; may be set until the rig is opened."""
        self._lease: Lease | None = None
        self._guard: Guard | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._promised_s = math.inf
        self._lost: Exception | None = None
        self._armed = False

    async def open(self, run_folder: Path | None = None) -> None:
        """Lock the rig and start its guardian.

        Args:
            run_folder: where the guardian writes what it measured; may be renamed later.

        Raises:
            RigError: locked, broken, not to be armed, or no guardian; one line.
        """
        problems = arming_problems(self.rig, self._profiles)
        if problems:
            raise ArmingError(f"rig {self.rig.name} cannot be armed: {'; '.join(problems)}")
        self._lease = await lock.acquire(
            self.state, self._what, wait=self._wait, on_wait=self._on_wait
        )
        # Starting a guardian takes longer than a lease lasts.
        self._keeping = asyncio.create_task(self._keep(), name="lease")
        try:
            self._guard = await Guard.start(
                self.rig, self._profiles, self.state, self._lease.token, run_folder
            )
        except BaseException:
            await self._leave()
            raise

    async def check(self, clock: Clock) -> None:
        """Hold every real device to its serial number, and the rig to its preconditions.

        Over connections of its own, which are closed again: before the run opens its own.

        Raises:
            RigBrokenError: another device than expected; the rig is broken from now on.
            ArmingError: a precondition does not hold.
            RigError: a device does not answer.
        """
        links = DriverLinks(self.rig, self._profiles, clock)
        wanted: dict[str, list[Precondition]] = {}
        for condition in self.rig.preconditions:
            wanted.setdefault(condition.device, []).append(condition)
        for device in self.rig.devices:
            conditions = wanted.get(device.id, [])
            if device.emulated or not (conditions or device.serial):
                continue
            link = links.reach(device.id, [condition.point for condition in conditions])
            try:
                await link.connect()
                for condition in conditions:
                    value = await link.read(condition.point)
                    if not condition.holds(value):
                        raise ArmingError(_not_met(condition, value))
            except WrongDeviceError as error:
                raise self.broken(str(error)) from error
            except LinkError as error:
                raise RigError(f"rig {self.rig.name}: {error}") from error
            finally:
                await link.close()

    def failed(self, error: Exception) -> None:
        """Take note of what ended the run: after some errors the rig is broken."""
        if isinstance(error, IdentityError):
            self.broken(str(error))

    def arm(self) -> None:
        """From now on the rig may be written to.

        Raises:
            RigError: the lease or the guardian is lost.
        """
        assert self._lease is not None
        self._raise_lost()
        self._lease.arm()
        self._armed = True

    @property
    def armed(self) -> bool:
        """Whether there may have been writes."""
        return self._armed

    def may_write(self) -> None:
        """Ask before each write.

        Raises:
            LeaseLostError: the lease has expired or was taken away; nothing may be written.
            GuardianError: nobody would make the rig safe.
        """
        self._raise_lost()
        if self._lease is None or not self._armed:
            raise LeaseLostError(f"rig {self.rig.name} is not armed")
        if not self._lease.valid:
            self._lose(
                LeaseLostError(
                    "the lease of the rig expired: it was not renewed for "
                    f"{self._lease.age_s:.1f} s"
                )
            )
            self._raise_lost()

    def expect(self, within_s: float) -> None:
        """Promise to call again within a time; a run that does not has hung."""
        self._promised_s = time.monotonic() + within_s

    @property
    def opened(self) -> bool:
        """Whether it has the rig."""
        return self._lease is not None

    @property
    def guardian_pid(self) -> int | None:
        """Process of the guardian, None: there is none."""
        return None if self._guard is None else self._guard.pid

    @property
    def lost(self) -> Exception | None:
        """Why the rig must not be written to any more, None: it may."""
        return self._lost

    def broken(self, reason: str) -> RigBrokenError:
        """Put the rig out of use; return the error to raise."""
        token = "" if self._lease is None else self._lease.token
        with contextlib.suppress(Exception):  # the run stops in any case
            self.state.mark_broken(reason, token=token)
        return RigBrokenError(f"rig {self.rig.name} is broken: {reason}")

    async def end(self) -> dict[str, Any]:
        """Have the guardian measure that the rig is safe; unlock it; return what was measured.

        The run has closed its own connections before. Whatever happened, this does not raise.
        """
        outcome: dict[str, Any]
        if not self._armed:
            # Nothing was written, so nothing is to be undone, and a device that is only switched
            # off does not put the rig out of use.
            await self._leave()
            note = "nothing was written: the run ended before the rig was armed"
            return {"cause": "never armed", "confirmed": None, "note": note, "actuators": []}
        stand_down = True
        try:
            if self._guard is None:
                raise GuardianError("the guardian was never started")
            slowest_s = max((plan.device_s for plan in self._plans()), default=0.0)
            outcome = await self._guard.confirm(max(GIVE_UP_S, 2 * slowest_s) + 10.0)
        except GuardianError as error:
            # It makes safe by itself when the run leaves it; a guardian that was killed does not.
            outcome = {"confirmed": False, "note": str(error), "actuators": []}
            stand_down = False
            self.broken(f"safe state not confirmed: {error}")
        await self._leave(stand_down=stand_down)
        return outcome

    def identity(self) -> dict[str, Any]:
        """Return what the record says about the rig."""
        devices = [
            {
                **device.model_dump(mode="json", include=_RECORDED),
                "profile": self._profiles[device.profile].name,
                "calibration": [item.model_dump(mode="json") for item in device.calibration],
            }
            for device in self.rig.devices
        ]
        return {
            "name": self.rig.name,
            "station": self.rig.station,
            "operator": self.rig.operator,
            "devices": devices,
            "quantities": dict(self.rig.quantities),
            "unpaired": self.rig.unpaired,
            "waived": waivers(self.rig, self._profiles),
            "lease": "" if self._lease is None else self._lease.token,
        }

    def _plans(self) -> list[Any]:
        return plans(self.rig, self._profiles)

    async def _leave(self, *, stand_down: bool = True) -> None:
        """Let guardian and lease go; a guardian that is not stood down makes the rig safe."""
        if self._guard is not None:
            if stand_down:
                await self._guard.end()
            self._guard.close()
            self._guard = None
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    async def _keep(self) -> None:
        """Renew lease and guardian every second as long as the run keeps its promises."""
        assert self._lease is not None
        while self._lost is None:
            await asyncio.sleep(RENEW_S)
            try:
                if time.monotonic() > self._promised_s:
                    raise LeaseLostError("the run hangs: its loop was not heard of in time")
                self._lease.renew()
                if self._guard is not None:
                    self._guard.beat()
            except (LeaseLostError, GuardianError) as error:
                self._lose(error)

    def _lose(self, error: Exception) -> None:
        if self._lost is None:
            self._lost = error
            if self.on_lost is not None:
                self.on_lost(error)

    def _raise_lost(self) -> None:
        if self._lost is not None:
            raise self._lost


_RECORDED: Final = {"id", "bus", "unit", "ieee", "serves", "emulated", "serial", "firmware"}


def _not_met(condition: Precondition, value: float | str | None) -> str:
    shown = f"{value:g}" if isinstance(value, int | float) else value
    remedy = f" ({condition.remedy})" if condition.remedy else ""
    return (
        f"precondition not met: {condition.device}.{condition.point} is {shown}; "
        f"wanted: {condition.wanted}{remedy}"
    )
