"""The end of a fingerprint: the device safe, measured, whatever happened before."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from . import experiments
from .mover import Mover
from .plan import Findings
from .probe import NoAnswerError, ProbeError

_TRIES: Final = 20
_LEAST_TIMEOUT_S: Final = 1.0


async def make_safe(mover: Mover, found: Findings) -> None:
    """Make the device safe even if the task is cancelled meanwhile; note how it went."""
    work = asyncio.ensure_future(_work(mover, found))
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.cancelled():
                break
        except Exception as problem:
            found.safe, found.safe_note = False, f"{type(problem).__name__}: {problem}"


async def _work(mover: Mover, found: Findings) -> None:
    """Command the safe value until the device is measured in its safe band."""
    probe, pace, limits = mover.probe, mover.pace, mover.limits
    pause_s = max(1.0, pace.pause_s, pace.command_pause_s)
    timeout_s = max(pace.timeout_s, _LEAST_TIMEOUT_S)
    problem = ""
    for _ in range(_TRIES):
        await experiments.sleep(probe, pause_s)
        try:
            await probe.write(limits.safe_quantity, limits.safe_value, timeout_s)
            await experiments.sleep(probe, pause_s + mover.still_s)
            if limits.band is None:
                found.safe = True
                found.safe_note = (
                    f"{limits.safe_quantity} = {limits.safe_value:g} was taken; "
                    "the profile has no safe band to hold it against"
                )
                return
            seen = await probe.read(limits.band.quantity, timeout_s)
        except (NoAnswerError, ProbeError) as error:
            problem = str(error)
            with contextlib.suppress(ProbeError):
                await probe.reconnect()
            continue
        rounding = probe.rounding(limits.band.quantity)
        if limits.band.low - rounding <= seen.value <= limits.band.high + rounding:
            found.safe = True
            found.safe_note = f"{limits.band.quantity} measured {seen.value:g}, in the safe band"
            return
        problem = f"{limits.band.quantity} is {seen.value:g}, outside of the safe band"
    found.safe, found.safe_note = False, problem
