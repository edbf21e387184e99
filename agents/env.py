"""The batched environment: N sites at once behind Gymnasium's vector interface.

It holds no physics and no control logic of its own. One step is what the control loop of the bench
does between two control ticks on the clock `virtual` and the rig `direct`, by the same kernels:
send the decision after the declared delay, advance to the next tick, read the meter, update the
features. A test compares bench and environment bit for bit.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from ..sim.edge.config import EdgeConfig
from ..sim.export import compilation
from ..sim.export.batch import SiteBatch
from ..sim.export.config import ExportPlantConfig
from ..sim.faults import FaultConfig
from ..sim.random import generator
from .env_config import EnvConfig, to_us
from .env_control import SENT, ControlBatch
from .env_spaces import action_space, observation_space
from .local_time import LocalClocks
from .policy import SiteInfo

__all__ = ["EnvConfig", "ExportVectorEnv"]

Floats = NDArray[np.float64]

_WH: Final = 1.0 / 3600.0
_NOT_SENT: Final = -1
_OPTIONS: Final = ("profile", "first_second", "seed")


class ExportVectorEnv(VectorEnv[Floats, Floats, NDArray[Any]]):
    """N export sites of one structure, each with a profile, a start and a seed of its own.

    **Observation** [N, F], float64: the features of each site, as a policy meets them on the bench.
    The array is the caller's; its transpose [F, N] is contiguous, which is what encoders take.

    **Action** [N, 3] or [N, A] in W, see ``config.action``. It answers the last observation. Where
    ``info["decides"]`` is false there was no reading yet, or an old one: the action is not asked
    for, and the loop holds or commands safe values. Actions beyond the action space go through
    allocator and guard as on the bench.

    **Reward**: minus the rise of the objective J over the control step, in Wh, with
    ``J = export + curtailed + λ₁·import + λ₂·unserved``, export and import net over the phases,
    curtailed what PV could have delivered and did not. The last step of an episode also pays
    ``λ₁·max(0, stored at start − stored at end)``. So rewards add up to −J as ``objective`` of a
    record has it.

    **Episodes** all have the same length and end by truncation, never by termination: nothing is
    gained by an early end. The batch then begins its next episode at once (autoreset mode
    `SAME_STEP`); the last observation and info are in ``info["final_obs"]`` and ``["final_info"]``.
    Single instances cannot be reset, since all share one simulated time.

    **Info**, [N] each: ``export_wh``, ``import_wh``, ``curtailed_wh``, ``unserved_wh`` since the
    episode's start, ``decides``; after a step also ``kind`` (0 hold, 1 change, 2 refresh, 3 safe
    state) and ``status`` (0 sent, 1 table full, 2 coordinator down, −1 nothing sent) of its
    command; in ``final_info`` also ``stored_energy_change_wh`` and ``objective_wh``.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int,
        plant: ExportPlantConfig,
        edge: EdgeConfig,
        profiles: NDArray[np.float32],
        starts: Sequence[dt.datetime],
        config: EnvConfig | None = None,
        faults: Sequence[FaultConfig] = (),
    ) -> None:
        """Set up; nothing is simulated before :meth:`reset`.

        Args:
            num_envs: number of sites N.
            plant: the sites, all alike.
            edge: their meters, mesh and devices.
            profiles: library [P, T + 1, C] of profiles, as ``sim.profiles`` builds them; not
                copied if it is float32 and contiguous.
            starts: [P] instant of each profile's first row, in the sites' time zone.
            config: times, limits, objective; defaults if None.
            faults: in each episode, at times since its start.

        Raises:
            ValueError: the library does not fit the site, or is shorter than an episode.
        """
        self.config = config = EnvConfig() if config is None else config
        self.num_envs = num_envs
        self._plant, self._edge, self._faults = plant, edge, tuple(faults)
        self._profiles = _library(profiles, len(starts), len(plant.loads))
        self._starts = tuple(starts)
        self._last_first_second = self._profiles.shape[1] - 1 - math.ceil(config.episode_s)
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if self._last_first_second < 0:
            raise ValueError(
                f"profiles of {self._profiles.shape[1] - 1} s are shorter than an episode "
                f"({config.episode_s:g} s): build longer ones, or lower episode_s"
            )
        self.site = SiteInfo.of(
            compilation.actuators(plant, edge),
            edge,
            ramp_s=plant.mean_ramp_s,
            control_period_s=config.control_period_s,
            decision_delay_s=config.decision_delay_s,
            setpoint_w=config.setpoint_w,
            start=self._starts[0],
        )
        """What policies know of each site beforehand."""
        self.single_action_space = action_space(config.action, self.site)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.single_observation_space = observation_space(
            self.site, plant, edge, self._profiles, self._faults
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._period_us = to_us(config.control_period_s)
        self._delay_us = to_us(config.decision_delay_s)
        self._episode_us = to_us(config.episode_s)
        self._t_us = self._episode_us  # no episode yet: step() asks for a reset
        self._control = ControlBatch(self.site, num_envs, config)
        self._objective_before_wh: Floats = np.zeros(num_envs)
        self._stored_start_wh: Floats = np.zeros(num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode with all sites; return the first observation and info.

        Args:
            seed: of everything that is drawn from here on, in the episodes that follow too; None
                goes on with the draws of before.
            options: ``profile``, ``first_second``, ``seed``: [N] integers each, which profile an
                instance follows, from which of its rows on, and its own seed (tank temperatures,
                noise, mesh), as the seed of a bench run. What is not given is drawn.

        Raises:
            ValueError: an option is unknown or out of range, or asks for a part of the batch.
        """
        if seed is not None or self._np_random is None:
            self._np_random_seed = seeding.np_random()[1] if seed is None else seed
            self._np_random = generator(self._np_random_seed, "environment")
        self._begin(*self._draw(dict(options or {})))
        return self._observation(), _masked(self._info())

    def step(
        self, actions: Floats
    ) -> tuple[Floats, Floats, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Carry out one control step with all sites.

        Returns:
            Observation [N, F], reward [N] in Wh, terminated [N] (never), truncated [N] (all, at
            the end of an episode), info.

        Raises:
            ResetNeeded: before the first reset.
            ValueError: an action is not finite, or has a wrong shape.
        """
        if self._t_us >= self._episode_us:
            raise ResetNeeded("call reset() before step()")
        kind, status = self._command(self._checked(actions))
        self._t_us += self._period_us
        self.sites.advance(self._t_us)
        self._observe()
        info = self._info() | {"kind": kind, "status": status}
        objective_wh = self._objective_wh(info)
        over = self._t_us >= self._episode_us
        if over:
            info["stored_energy_change_wh"] = self._stored_wh() - self._stored_start_wh
            missing_wh = np.maximum(-info["stored_energy_change_wh"], 0.0)
            objective_wh = objective_wh + self.config.import_weight * missing_wh
            info["objective_wh"] = objective_wh
        reward = self._objective_before_wh - objective_wh
        self._objective_before_wh = objective_wh
        observation, info = self._observation(), _masked(info)
        if over:
            ended = {"final_obs": _rows(observation), "final_info": info}
            self._begin(*self._draw({}))
            observation, info = self._observation(), _masked(self._info() | ended)
        truncated = np.full(self.num_envs, over)
        return observation, reward, np.zeros_like(truncated), truncated, info

    def _draw(
        self, options: dict[str, Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return profile, first second and seed of each instance."""
        mask = options.pop("reset_mask", None)
        if mask is not None and not np.all(mask):
            raise ValueError("reset_mask: all sites share one simulated time; reset them together")
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise ValueError(f"unknown option '{unknown[0]}'; known: {', '.join(_OPTIONS)}")
        ends = (len(self._profiles), self._last_first_second + 1, 2**53)
        drawn = [self.np_random.integers(0, end, self.num_envs) for end in ends]
        for column, (name, end) in enumerate(zip(_OPTIONS, ends, strict=True)):
            if name in options:
                given = np.asarray(options[name])
                if given.shape != (self.num_envs,) or given.dtype.kind not in "iu":
                    raise ValueError(f"option '{name}' must be {self.num_envs} integers")
                if given.min() < 0 or given.max() >= end:
                    raise ValueError(f"option '{name}' must lie in 0 … {end - 1}")
                drawn[column] = given.astype(np.int64)
        return drawn[0], drawn[1], drawn[2]

    def _begin(
        self,
        profile: NDArray[np.int64],
        first_second: NDArray[np.int64],
        seeds: NDArray[np.int64],
    ) -> None:
        """Begin an episode, up to its first observation."""
        self.sites = SiteBatch(
            self._plant,
            self._edge,
            self._profiles,
            self._faults,
            seeds.tolist(),
            profile_of=profile,
            first_second=first_second,
        )
        """The truth, for analysis: policies must not see it."""
        self._control.begin(LocalClocks(self._starts, profile, first_second))
        self._t_us = 0
        self._observe()
        self._stored_start_wh = self._stored_wh()
        self._objective_before_wh = np.zeros(self.num_envs)

    def _observe(self) -> None:
        """Sample and observe, as the loop does at a control tick."""
        t_us = self._t_us
        self._control.observe(t_us, self.sites.readings(t_us), self.sites.reports_w(t_us))

    def _checked(self, actions: Floats) -> Floats:
        """Return actions [W, N] in W."""
        watts = np.asarray(actions, dtype=np.float64)
        expected = (self.num_envs, *(self.single_action_space.shape or ()))
        if watts.shape != expected:
            raise ValueError(f"expected actions of shape {expected}, got {watts.shape}")
        finite = np.isfinite(watts)
        if not finite.all():
            first = int(np.flatnonzero(~finite.all(axis=1))[0])
            raise ValueError(f"the action of instance {first} is not finite: {watts[first]}")
        return np.ascontiguousarray(watts.T)

    def _command(self, action_w: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Send what is due of the commands after the declared delay; return kinds and status."""
        power_w, due, kind = self._control.command(self._t_us, action_w)
        status = np.full(self.num_envs, _NOT_SENT)
        if due.any():
            t_us = self._t_us + self._delay_us
            self.sites.advance(t_us)
            self.sites.send(t_us, power_w, due)
            status = np.where(due, self.sites.get("status")[0], _NOT_SENT)
            self._control.sent(t_us, status == SENT)
        return kind, status

    def _observation(self) -> Floats:
        return self._control.features.values.copy().T

    def _info(self) -> dict[str, Any]:
        unserved_j = _sum(self.sites.get("unserved_j"))
        if self._plant.chargers:
            unserved_j += _sum(self.sites.get("charger_unserved_j"))
        return {
            "export_wh": self.sites.get("net_export_j")[0] * _WH,
            "import_wh": self.sites.get("net_import_j")[0] * _WH,
            "curtailed_wh": (self.sites.get("pv_available_j") - self.sites.get("pv_j"))[0] * _WH,
            "unserved_wh": unserved_j * _WH,
            "decides": self._control.decides,
        }

    def _objective_wh(self, info: dict[str, Any]) -> Floats:
        """Return J so far [N], without what is missing in the stores."""
        bought: Floats = self.config.import_weight * info["import_wh"]
        unserved: Floats = self.config.unserved_weight * info["unserved_wh"]
        sold: Floats = info["export_wh"] + info["curtailed_wh"]
        return sold + bought + unserved

    def _stored_wh(self) -> Floats:
        """Return [N] what tanks (above cold water) and battery hold."""
        field = self.sites.get
        heat_j = (field("temperature_c") - field("cold_c")) * field("heat_j_per_k")
        stored_j: Floats = _sum(heat_j) + field("battery_j")[0]
        return stored_j * _WH


def _sum(rows: Floats) -> Floats:
    """Add up [row, N] row by row: NumPy's own order depends on N."""
    total: Floats = rows[0].copy()
    for row in rows[1:]:
        total += row
    return total


def _library(profiles: NDArray[np.float32], starts: int, loads: int) -> NDArray[np.float32]:
    if profiles.ndim != 3:
        raise ValueError(f"profiles must be [profile, second, channel], got {profiles.shape}")
    if profiles.shape[0] != starts or starts == 0:
        raise ValueError(f"{profiles.shape[0]} profiles need as many starts, got {starts}")
    if profiles.shape[2] != 7 + loads:
        raise ValueError(f"profiles have {profiles.shape[2]} channels, this site needs {7 + loads}")
    library: NDArray[np.float32] = np.ascontiguousarray(profiles, dtype=np.float32)
    return library


def _rows(observation: Floats) -> NDArray[np.object_]:
    """Return [N] the observations one by one, as Gymnasium hands over the last ones."""
    rows = np.empty(len(observation), dtype=object)
    for i, row in enumerate(np.ascontiguousarray(observation)):
        rows[i] = row
    return rows


def _masked(info: dict[str, Any]) -> dict[str, Any]:
    """Add, after Gymnasium's manner, who has each entry: everyone."""
    everyone = np.ones(len(info["decides"]), dtype=np.bool_)
    return info | {f"_{key}": everyone for key in info}
