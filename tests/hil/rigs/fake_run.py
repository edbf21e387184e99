"""A run without plant and policy; run as a script: `fake_run.py ORDERS PHASE`.

ORDERS is a JSON file: rig, profiles, state, folder. It says on standard output where it is, stays
in PHASE, and ends in order when it reads a line from standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.rig import RigError
from wattbench.hil.rigs.driver_links import DriverLinks
from wattbench.hil.rigs.links import LinkError
from wattbench.hil.rigs.model import Rig
from wattbench.hil.rigs.session import RigSession
from wattbench.hil.rigs.state import RigState
from wattbench.sim.clock import WallClock


def say(**content: object) -> None:
    print(json.dumps(content), flush=True)


async def stay(session: RigSession, stop: asyncio.Event, *, writing: bool, pause_s: float) -> None:
    links = DriverLinks(session.rig, PROFILES, CLOCK)
    link = links.reach("heater", ())
    if writing:
        await link.connect()
    said = False
    try:
        while not stop.is_set() and session.lost is None:
            if writing:
                session.may_write()
                await link.write("power_setpoint_w", 3000.0)
                if not said:
                    said = True
                    say(at="writing")
            await asyncio.sleep(pause_s)
    finally:
        await link.close()


async def main(folder: Path, state: Path, phase: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, stop.set)
    session = RigSession(RIG, PROFILES, "fake", state=RigState(state))
    try:
        await session.open(folder)
        say(at="opened", guardian=session.guardian_pid)
        if phase == "opened":
            await stay(session, stop, writing=False, pause_s=0.1)
        else:
            await session.check(CLOCK)
            session.arm()
            say(at="armed")
        if phase == "armed":
            await stay(session, stop, writing=False, pause_s=0.1)
        if phase == "writing":
            await stay(session, stop, writing=True, pause_s=0.001)
        if phase == "hanging":
            await stay(session, stop, writing=True, pause_s=0.001)
            time.sleep(60)
        if phase == "silent":
            session.expect(1.0)
            await stay(session, stop, writing=False, pause_s=0.1)
        say(at="ending", lost=str(session.lost or ""))
        outcome = await session.end()
        say(at="ended", outcome=outcome)
    except (RigError, LinkError) as error:
        say(at="failed", kind=type(error).__name__, error=str(error))
        if session.opened:
            say(at="ended", outcome=await session.end())


if __name__ == "__main__":
    orders = json.loads(Path(sys.argv[1]).read_text())
    RIG = Rig.model_validate(orders["rig"])
    PROFILES = {k: DeviceProfile.model_validate(v) for k, v in orders["profiles"].items()}
    with WallClock() as CLOCK:
        CLOCK.run(main(Path(orders["folder"]), Path(orders["state"]), sys.argv[2]))
