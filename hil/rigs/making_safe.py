"""Bringing actuators to their safe bands, all at once, and measuring that they are there."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .actuators import SafePlan
from .links import DeviceLink, LinkError, Reach, WrongDeviceError
from .state import utc_text

AIM_S: Final = 2.0
"""The rig is safe within this after it was found to need it, and what its devices themselves take
(dead time and ramp)."""
GIVE_UP_S: Final = 20.0
"""What has not been confirmed by then is not; slow devices extend this."""
_CLOSE_S: Final = 0.5
_AGAIN_S: Final = 0.1
_REWRITE_S: Final = 1.0


@dataclass(slots=True)
class ActuatorOutcome:
    """What became of one actuator."""

    device: str
    low_w: float
    high_w: float
    measured_by: str
    device_s: float
    """What it takes by itself."""
    confirmed: bool = False
    measured_w: float | None = None
    """Over the guardian's own connection; never the echoed set-point."""
    after_s: float | None = None
    """From when it was needed to the first measurement inside the band that it did not leave
    again."""
    writes: int = 0
    note: str = ""
    wrong_identity: bool = False

    def fields(self) -> dict[str, Any]:
        """Return what is recorded."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(slots=True)
class SafeOutcome:
    """What was measured after a rig was made safe."""

    cause: str
    """Why: run ended, run died, lease expired, guardian was told to stop."""
    actuators: list[ActuatorOutcome] = field(default_factory=list)
    after_s: float = 0.0
    silent_s: float = 0.0
    """How long nothing had been heard from the run before."""
    utc: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether every actuator's power was measured inside its band."""
        return all(actuator.confirmed for actuator in self.actuators)

    @property
    def in_time(self) -> bool:
        """Whether that took no longer than it may."""
        return self.confirmed and all(
            one.after_s is not None and one.after_s <= AIM_S + one.device_s
            for one in self.actuators
        )

    @property
    def note(self) -> str:
        """The outcome in one line."""
        if not self.actuators:
            return "the rig has no actuator"
        if self.confirmed:
            shown = ", ".join(f"{one.device} {one.measured_w:.0f} W" for one in self.actuators)
            return f"measured {self.after_s:.1f} s after it was needed: {shown}"
        left = [one for one in self.actuators if not one.confirmed]
        return "; ".join(f"{one.device}: {one.note or 'not inside its band'}" for one in left)

    def fields(self) -> dict[str, Any]:
        """Return what is recorded."""
        return {
            "cause": self.cause,
            "confirmed": self.confirmed,
            "in_time": self.in_time,
            "after_s": round(self.after_s, 3),
            "aim_s": AIM_S,
            "silent_s": round(self.silent_s, 3),
            "utc": self.utc,
            "note": self.note,
            "actuators": [actuator.fields() for actuator in self.actuators],
        }


async def make_safe(
    plans: Sequence[SafePlan],
    reach: Reach,
    cause: str,
    *,
    silent_s: float = 0.0,
    write: bool = True,
) -> SafeOutcome:
    """Bring all actuators to their safe bands at once; return what was measured.

    Every actuator has a connection and attempts of its own, so that one that does not answer keeps
    no other from being made safe.

    Args:
        plans: the actuators.
        reach: makes the connection of one.
        cause: why, for the record.
        silent_s: how long nothing had been heard from the run.
        write: False: only measure first, and write where the band is not kept.
    """
    begin_s = time.monotonic()
    outcome = SafeOutcome(cause, silent_s=silent_s)
    outcome.actuators = [
        ActuatorOutcome(plan.device, plan.low_w, plan.high_w, plan.measured_by, plan.device_s)
        for plan in plans
    ]
    work = (
        _one(plan, reach, actuator, begin_s, write)
        for plan, actuator in zip(plans, outcome.actuators, strict=True)
    )
    await asyncio.gather(*work)
    outcome.after_s = max((a.after_s or 0.0 for a in outcome.actuators), default=0.0)
    if not outcome.confirmed:
        outcome.after_s = time.monotonic() - begin_s
    outcome.utc = utc_text()
    return outcome


async def _one(
    plan: SafePlan,
    reach: Reach,
    outcome: ActuatorOutcome,
    begin_s: float,
    write: bool,
) -> None:
    """Make one actuator safe, again and again until it is measured or given up."""
    give_up_s = begin_s + max(GIVE_UP_S, 2.0 * plan.device_s)
    while not outcome.confirmed and not outcome.wrong_identity:
        links: list[DeviceLink] = []
        try:
            async with asyncio.timeout_at(_loop_time(give_up_s)):
                await _attempt(plan, reach, links, outcome, begin_s, write)
        except TimeoutError:
            outcome.note = outcome.note or "no answer"
        except WrongDeviceError as error:
            outcome.wrong_identity = True
            outcome.note = f"{error}: nothing was written"
        except LinkError as error:
            outcome.note = str(error)
        except Exception as error:  # whatever a driver raises, the attempts go on
            outcome.note = f"{type(error).__name__}: {error}"
        finally:
            for link in links:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(link.close(), _CLOSE_S)
        if time.monotonic() >= give_up_s:
            return
        write = True
        if not outcome.confirmed:
            outcome.after_s = None  # nobody looked for a while
            await asyncio.sleep(_AGAIN_S)


async def _attempt(
    plan: SafePlan,
    reach: Reach,
    links: list[DeviceLink],
    outcome: ActuatorOutcome,
    begin_s: float,
    write: bool,
) -> None:
    """Write and measure over fresh connections until the band is reached or an error comes."""
    own = plan.measured_by == plan.device
    actuator = reach(plan.device, (plan.measured_point,) if own else ())
    links.append(actuator)
    await actuator.connect()
    # Nothing is written, but the run's own last command may still be on its way.
    written_s, settled_s = -math.inf, time.monotonic() + plan.settle_s
    if write:
        # Before the meter is even reached: what matters is that it is safe.
        written_s, settled_s = await _write(plan, actuator, outcome)
    meter = actuator
    if not own:
        meter = reach(plan.measured_by, (plan.measured_point,))
        links.append(meter)
        await meter.connect()
    while True:
        if write and time.monotonic() - written_s >= _REWRITE_S:
            first = math.isinf(written_s)
            written_s, settles_s = await _write(plan, actuator, outcome)
            settled_s = settles_s if first else settled_s
        if await _inside(plan, meter, outcome, begin_s):
            if time.monotonic() >= settled_s:
                outcome.confirmed = True
                outcome.note = ""
                return
        else:
            write = True
        await asyncio.sleep(_AGAIN_S)


async def _write(
    plan: SafePlan, actuator: DeviceLink, outcome: ActuatorOutcome
) -> tuple[float, float]:
    """Write the safe value; return when that was, and from when on the device has it for sure."""
    await actuator.write(plan.point, plan.value)
    outcome.writes += 1
    now_s = time.monotonic()
    return now_s, now_s + plan.settle_s


async def _inside(
    plan: SafePlan, meter: DeviceLink, outcome: ActuatorOutcome, begin_s: float
) -> bool:
    """Measure; return whether the power is inside the band."""
    value = await meter.read(plan.measured_point)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise LinkError(f"{plan.measured_by} measures no power ({value})")
    outcome.measured_w = round(float(value), 3)
    if plan.low_w <= value <= plan.high_w:
        if outcome.after_s is None:
            outcome.after_s = round(time.monotonic() - begin_s, 3)
        return True
    outcome.after_s = None
    outcome.note = f"measured {value:.0f} W, outside of {plan.low_w:g} … {plan.high_w:g} W"
    return False


def _loop_time(monotonic_s: float) -> float:
    """Return a monotonic time as the running loop counts."""
    return asyncio.get_running_loop().time() + monotonic_s - time.monotonic()
