"""What one run is made of: plant, rig, agent and log, joined as a scenario says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..agents.agent import Agent
from ..agents.policy import PolicyConfig, SiteInfo
from ..sim import plant as plants
from ..sim.clock import Clock, to_us
from ..sim.edge.config import EdgeConfig
from ..sim.faults import FaultConfig
from ..sim.plant import Plant
from ..sim.points import Actuator
from ..sim.profiles.build import SiteProfiles
from ..sim.profiles.config import ProfilesConfig
from . import identity
from .loop import ControlLoop, EventSink, LoopSettings
from .rig import DirectDriver, Driver
from .rigs.concrete import RigSetup
from .streams import Log
from .world import World

if TYPE_CHECKING:
    from .rigs.session import RigSession
    from .tape.recording import RunTape
    from .wire import Tap


class ClockSettings(Protocol):
    """A scenario's clock as the bench needs it."""

    @property
    def duration_s(self) -> float:
        """Length of the run."""

    @property
    def control_period_s(self) -> float:
        """Time between two decisions."""

    @property
    def decision_delay_s(self) -> float:
        """Declared time from sampling to sending, for virtual time."""

    @property
    def refresh_s(self) -> float:
        """After this an unchanged command is sent again."""

    @property
    def mode(self) -> Literal["virtual", "wall"]:
        """Which clock."""

    @property
    def factor(self) -> float:
        """Simulated seconds a second, for the wall clock."""


class Experiment(Protocol):
    """A scenario as the bench needs it; overrides of the command line are already in it."""

    @property
    def name(self) -> str:
        """Name of the folder."""

    @property
    def plant(self) -> Any:
        """Configuration of the plant; its `kind` names it."""

    @property
    def edge(self) -> EdgeConfig:
        """What lies between truth and reading."""

    @property
    def profiles(self) -> ProfilesConfig:
        """What comes to the plant from outside."""

    @property
    def rig(self) -> str:
        """Name of the rig."""

    @property
    def clock(self) -> ClockSettings:
        """When, how long, how often."""

    @property
    def policies(self) -> Sequence[PolicyConfig]:
        """Who is judged."""

    @property
    def baselines(self) -> Sequence[PolicyConfig]:
        """Who is measured beside them."""

    @property
    def faults(self) -> Sequence[FaultConfig]:
        """What goes wrong, and when."""

    @property
    def seeds(self) -> Sequence[int]:
        """One run per policy and seed."""

    def start_utc(self) -> dt.datetime:
        """Return the time at the start of the run."""

    def resolved(self) -> dict[str, Any]:
        """Return everything as plain values."""


@dataclass(frozen=True, slots=True)
class Parts:
    """One run's parts."""

    clock: Clock
    plant: Plant
    agent: Agent
    driver: Driver
    log: Log
    settings: LoopSettings
    safe_w: NDArray[np.float64]
    """[A] what is safe when nobody is in control."""
    session: RigSession | None = None
    """A real rig's lock, lease and guardian; None: nothing in it is real."""
    tape: RunTape | None = None
    """Takes every frame; None: nothing is recorded, or there are no frames."""
    replayed: bool = False
    """Whether a tape plays the devices: then there is nothing to be made safe."""
    begin: Callable[[], None] = lambda: None
    """Called when the rig is open: the run's time begins."""


def loop_settings(clock: ClockSettings) -> LoopSettings:
    """Return the loop's times."""
    return LoopSettings(
        duration_us=to_us(clock.duration_s),
        period_us=to_us(clock.control_period_s),
        decision_delay_us=to_us(clock.decision_delay_s),
        refresh_us=to_us(clock.refresh_s),
    )


def assemble(
    experiment: Experiment,
    world: World,
    policy: PolicyConfig,
    seed: int,
    profiles: SiteProfiles,
    setup: RigSetup | None = None,
    *,
    taped: bool = False,
    tap: Tap | None = None,
) -> Parts:
    """Build plant, agent and driver for one run; without a `setup` the rig is `direct`.

    With `taped` every frame of the rig's buses is recorded; or a `tap` sees them.

    Raises:
        PolicyError: the policy cannot be built.
        RigError: the rig cannot be what it says.
    """
    clock = world.clock
    settings = loop_settings(experiment.clock)
    plant = plants.build(
        experiment.plant.kind,
        experiment.plant,
        experiment.edge,
        profiles.values,
        experiment.faults,
        seed,
        settings.duration_us,
    )
    agent = Agent(policy, site_info(experiment, plant.actuators))
    agent.reset(seed)
    reports = [a.id for a in plant.actuators if a.kind == "load"]
    if experiment.edge.device.report_period_s is None:
        reports = []
    log = Log(settings.steps, plant.actuators, reports)
    if setup is None:
        return Parts(clock, plant, agent, DirectDriver(clock, plant), log, settings, agent.safe_w)
    # Late: codecs and clients of buses, which the direct rig does not need.
    from .rig_parts import attach
    from .tape.of_rig import header_of
    from .tape.recording import RunTape

    tape = None
    if taped:
        about = {"scenario": experiment.name, "policy": policy.label, "seed": seed}
        start_utc = experiment.start_utc()
        tape = RunTape(header_of(setup, plant.actuators, start_utc, clock.mode, about))
    plant, driver, session = attach(experiment, setup, world, plant, seed, tape or tap)
    common = clock, plant, agent, driver, log, settings, agent.safe_w
    replayed = setup.tape is not None
    return Parts(*common, session, tape, replayed, world.begin)


def build_loop(
    parts: Parts, events: EventSink, progress: Any, settings: LoopSettings
) -> ControlLoop:
    """Return the control loop over a run's parts."""
    parts.driver.listen(events)
    return ControlLoop(
        parts.clock,
        parts.driver,
        parts.agent,
        settings,
        parts.log,
        events,
        safe_w=parts.safe_w,
        reports_w=parts.driver.reports_w,
        progress=progress,
    )


def site_info(experiment: Experiment, actuators: tuple[Actuator, ...]) -> SiteInfo:
    """Return what policies know of the site beforehand."""
    clock = experiment.clock
    zone = ZoneInfo(experiment.profiles.site.time_zone)
    return SiteInfo.of(
        actuators,
        experiment.edge,
        ramp_s=experiment.plant.mean_ramp_s,
        control_period_s=clock.control_period_s,
        decision_delay_s=clock.decision_delay_s,
        start=experiment.start_utc().astimezone(zone),
    )


def record_header(
    experiment: Experiment,
    parts: Parts,
    policy: PolicyConfig,
    seed: int,
    profiles: SiteProfiles,
    baselines: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Return what the record says about who takes part."""
    return {
        "wattbench_version": __version__,
        "scenario": experiment.resolved(),
        "policy": {**policy.model_dump(mode="json"), "name": policy.label},
        "rig": parts.driver.identity(),
        "profiles_hash": profiles.hash(),
        "packages": identity.packages(),
        "machine": identity.machine(),
        "git_revision": identity.git_revision(),
        "seed": seed,
        "start_utc": experiment.start_utc().isoformat(),
        "site": _site_meta(parts.plant, experiment.clock.control_period_s),
        "baselines": {name: dict(values) for name, values in baselines.items()},
    }


def _site_meta(plant: Plant, control_period_s: float) -> dict[str, Any]:
    """Return the site's constants in the form that the record keeps."""
    meta = plant.meta()
    loads = []
    for load in meta["loads"]:
        tank = {key: load[key] for key in ("cut_out_c", "thermostat_c", "comfort_c")}
        others = {key: value for key, value in load.items() if key not in tank}
        loads.append({**others, "tank": None if tank["cut_out_c"] is None else tank})
    return {
        "actuators": [
            {
                "id": actuator.id,
                "kind": actuator.kind,
                "phase_shares": list(actuator.phase_shares),
                "low_w": actuator.low_w,
                "high_w": actuator.high_w,
                "safe_w": actuator.safe_w,
                "danger": actuator.danger,
            }
            for actuator in plant.actuators
        ],
        "loads": loads,
        "main_fuse_a": meta["main_fuse_a"],
        "control_period_s": control_period_s,
        "stored_energy_initial_wh": meta["stored_energy_initial_wh"],
    }
