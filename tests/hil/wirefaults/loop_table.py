"""What the control loop does under each bus fault: whole runs on the emulated default site.

Minutes around noon in virtual time, policy `pi`, from second 200 to 215 a fault. The plant is
the truth: what the loop read or believed does not enter the energies.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wattbench.agents.baselines import pi  # noqa: F401 - registers the policy
from wattbench.commands.setup import setup_of
from wattbench.evaluation.metrics import measure
from wattbench.hil.bench import Bench
from wattbench.scenarios.library import locate
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.model import Scenario
from wattbench.sim.faults import BUS_FAULTS

FROM_S, TO_S, END_S = 200, 215, 300

#: Title, target, kind and parameters.
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("meter: each frame 0.1 s late", "meter_lan", "bus_delay", {"delay_s": 0.1}),
    ("meter: up to 0.6 s late", "meter_lan", "bus_jitter", {"delay_s": 0.6}),
    ("meter: one frame in five lost", "meter_lan", "bus_drop", {"probability": 0.2}),
    ("meter: no answer arrives", "meter_lan", "bus_drop", {"direction": "answer"}),
    ("meter: every frame twice", "meter_lan", "bus_duplicate", {}),
    ("meter: headers corrupt, every tenth", "meter_lan", "bus_corrupt",
     {"probability": 0.1, "part": "header"}),
    ("meter: wrong transaction, every tenth", "meter_lan", "bus_wrong_transaction",
     {"probability": 0.1}),
    ("meter: exception 4, every third", "meter_lan", "bus_exception",
     {"code": 4, "probability": 0.33}),
    ("meter: disconnected", "meter_lan", "bus_disconnect", {}),
    ("meter: disconnected for 60 s", "meter_lan", "bus_disconnect", {"duration_s": 60}),
    ("meter: reboots", "grid_meter", "device_reboot", {}),
    ("meter: all values stuck", "grid_meter", "value_stuck", {}),
    ("meter: babble", "meter_lan", "bus_babble", {"content": "answers", "period_s": 0.1}),
    ("meter: slow clients", "meter_lan", "slow_client", {"connections": 32, "period_s": 0.2}),
    ("mesh: each frame 0.1 s late", "mesh", "bus_delay", {"delay_s": 0.1}),
    ("mesh: one frame in five lost", "mesh", "bus_drop", {"probability": 0.2}),
    ("mesh: any byte corrupt, every tenth", "mesh", "bus_corrupt", {"probability": 0.1}),
    ("mesh: every frame twice", "mesh", "bus_duplicate", {}),
    ("mesh: disconnected", "mesh", "bus_disconnect", {}),
    ("mesh: disconnected for 100 s", "mesh", "bus_disconnect", {"duration_s": 100}),
    ("mesh: coordinator restarts", "mesh", "device_reboot", {}),
    ("mesh: babble", "mesh", "bus_babble", {"period_s": 0.1}),
]  # fmt: skip


@dataclass
class Result:
    """What came of one run."""

    status: str
    reason: str
    export_wh: float
    import_wh: float
    safe: str = ""
    """What was measured of the safe state after a run that ended early."""
    stale_after_s: float | None = None
    """From the fault's beginning to the event that says that readings are stale."""
    stale_s: float = 0.0
    """Time for which they were."""
    fresh_after_s: float | None = None
    """From the fault's end to the event that says that they are not any more; None: they were not
    stale then."""
    events: Counter[str] = field(default_factory=Counter)


def scenario(faults: list[Any]) -> Scenario:
    """Return the run's scenario."""
    base = load_scenario(locate("clear_day"))
    start = base.clock.start.replace(hour=12, minute=0)
    clock = base.clock.model_copy(update={"start": start, "duration_s": float(END_S)})
    wanted = tuple(one for one in base.baselines if one.label == "pi")
    changes = {"clock": clock, "faults": tuple(faults), "policies": wanted, "baselines": ()}
    return base.model_copy(update={**changes, "audit": None, "rig": "emulated"})


def run(target: str | None, kind: str = "", parameters: dict[str, Any] | None = None) -> Result:
    """Return what the loop did under a fault; without a target: under none."""
    given = {"target": target, "start_s": FROM_S, "duration_s": TO_S - FROM_S}
    faults = [BUS_FAULTS[kind].model_validate(given | (parameters or {}))] if target else []
    made = scenario(faults)
    with tempfile.TemporaryDirectory() as folder:
        setup = setup_of("emulated", made)
        (done,) = Bench(made, Path(folder), measure=measure, rig=setup).run()
        lines = (done.folder / "events.jsonl").read_text().splitlines()
    result = Result(
        done.outcome.status,
        done.outcome.reason,
        done.measurements["export_energy@1"],
        done.measurements["import_energy@1"],
    )
    safe = done.outcome.safe_state
    if safe is not None:
        result.safe = "safe state confirmed" if safe.confirmed else "safe state not confirmed"
    end_s = FROM_S + float((parameters or {}).get("duration_s", TO_S - FROM_S))
    since_s: float | None = None
    for event in map(json.loads, lines):
        t_s, name = event["t_sim_us"] / 1e6, event["kind"]
        if t_s >= FROM_S:
            result.events[name] += 1
        if name == "staleness_start" and t_s >= FROM_S:
            since_s = t_s
            if result.stale_after_s is None:
                result.stale_after_s = t_s - FROM_S
        elif name == "staleness_end" and since_s is not None:
            result.stale_s += t_s - since_s
            if since_s < end_s <= t_s:
                result.fresh_after_s = t_s - end_s
            since_s = None
    return result


HEAD = (
    "| fault (from second 200, for 15 s) | run | readings stale after | stale for "
    "| fresh again after | export | import |\n|---|---|---|---|---|---|---|"
)


def row(title: str, result: Result) -> str:
    """Return a row of the documentation's table."""

    def text(seconds: float | None) -> str:
        return "" if seconds is None else f"{seconds:.1f} s"

    status = result.status + (f": {result.reason}; {result.safe}" if result.reason else "")
    stale = ("never", "", "")
    if result.stale_after_s is not None:
        stale = (text(result.stale_after_s), f"{result.stale_s:.0f} s", text(result.fresh_after_s))
    energies = (f"{result.export_wh:.0f} Wh", f"{result.import_wh:.0f} Wh")
    return "| " + " | ".join((title, status, *stale, *energies)) + " |"


def table() -> str:
    """Return the documentation's table."""
    rows = [row("none", run(None))]
    return "\n".join([HEAD, *rows, *(row(title, run(*case)) for title, *case in CASES)])


if __name__ == "__main__":
    # With --update the page of the documentation is written anew.
    if "--update" in sys.argv:
        sys.path.insert(0, str(Path(__file__).parent))
        from fault_table import PAGE, update

        update(PAGE, "loop table", table())
    else:
        print(table())
