"""Power cycling: the outlet that feeds a device is switched off and on again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from ...sim.clock import Clock
from ..errors import RigError
from . import lock
from .actuators import Profiles
from .driver_links import DriverLinks
from .lease import Lease
from .links import DeviceLink, LinkError
from .model import Outlet, Rig
from .state import RigState

_BACK_S: Final = 60.0
_POLL_S: Final = 0.5


def outlet_of(rig: Rig, device: str) -> Outlet:
    """Return the outlet that feeds a device; raises `RigError` if there is none."""
    for outlet in rig.outlets:
        if device in outlet.powers:
            return outlet
    if device not in {one.id for one in rig.devices}:
        known = ", ".join(one.id for one in rig.devices)
        raise RigError(f"rig {rig.name} has no device '{device}'; allowed: {known}")
    raise RigError(f"no outlet of rig {rig.name} feeds '{device}'; allowed: one with it in powers")


async def power_cycle(
    rig: Rig, profiles: Profiles, clock: Clock, device: str, *, state: RigState | None = None
) -> float:
    """Switch the outlet of a device off and on; return how long the device took to be back, s.

    The rig is locked meanwhile. Everything else that hangs on the outlet loses its supply too.

    Raises:
        RigError: locked or broken; no outlet feeds the device; the outlet does not do as it is
            told, or the device does not come back.
    """
    outlet = outlet_of(rig, device)
    state = RigState.of(rig.name, rig.station) if state is None else state
    lease = await lock.acquire(state, f"power cycling {device}")
    renewing = asyncio.create_task(_renew(lease))
    links = DriverLinks(rig, profiles, clock)
    plug = links.reach(outlet.device, (outlet.point,))
    try:
        await plug.connect()
        try:
            await _switch(plug, outlet, on=False)
            await asyncio.sleep(outlet.off_s)
        finally:
            await _switch(plug, outlet, on=True)
        begin_s = time.monotonic()
        await _wait_until_back(links, device)
        state.audit("power cycle", device)
        return time.monotonic() - begin_s
    except LinkError as error:
        raise RigError(f"rig {rig.name}: {error}") from error
    finally:
        with contextlib.suppress(LinkError):
            await plug.close()
        renewing.cancel()
        lease.release()


async def _switch(plug: DeviceLink, outlet: Outlet, *, on: bool) -> None:
    await plug.write(outlet.point, 1.0 if on else 0.0)


async def _wait_until_back(links: DriverLinks, device: str) -> None:
    """Return when a device answers; raises `RigError` if it never does."""
    end_s = time.monotonic() + _BACK_S
    while True:
        link = links.reach(device)
        try:
            await link.connect()
        except LinkError as error:
            if time.monotonic() > end_s:
                raise RigError(
                    f"'{device}' did not come back in {_BACK_S:.0f} s: {error}"
                ) from error
        else:
            return
        finally:
            await link.close()
        await asyncio.sleep(_POLL_S)


async def _renew(lease: Lease) -> None:
    while True:
        lease.renew()
        await asyncio.sleep(1.0)
