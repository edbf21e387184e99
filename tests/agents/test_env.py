"""The batched environment: the same bits as a bench run, and what Gymnasium asks of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.utils.passive_env_checker import check_action_space, check_observation_space
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from wattbench.agents.allocator import Allocator
from wattbench.agents.baselines.degenerate import ZeroConfig
from wattbench.agents.baselines.pi import PiConfig
from wattbench.agents.env import EnvConfig, ExportVectorEnv
from wattbench.agents.feature_names import FEATURES
from wattbench.agents.policy import (
    POLICIES,
    ActionKind,
    Observation,
    Policy,
    PolicyConfig,
    SiteInfo,
    register,
)
from wattbench.hil.assembly import assemble, build_loop
from wattbench.hil.execute import session
from wattbench.hil.world import World
from wattbench.scenarios.model import Scenario
from wattbench.sim.clock import VirtualClock
from wattbench.sim.edge.config import EdgeConfig
from wattbench.sim.export.config import ExportPlantConfig
from wattbench.sim.profiles.build import SiteProfiles, channel_names
from wattbench.sim.random import generator

S = 1_000_000
ZONE = ZoneInfo("Europe/Berlin")
STARTS = [
    dt.datetime(2025, 6, 21, 11, 55, tzinfo=ZONE),
    dt.datetime(2025, 10, 26, 2, 50, tzinfo=ZONE),  # summer time is about to end
]
LIBRARY_S = 900
EPISODE_S = 300

PLANT = {
    "pv": {"peak_power_w": 9000, "inverter_power_w": 8000, "curtailable": True},
    "loads": [
        {"id": "a1", "phase": "a", "rated_power_w": 1500, "min_on_s": 10, "min_off_s": 5},
        {"id": "a2", "phase": "a", "rated_power_w": 2000, "tank": None},
        {
            "id": "b1",
            "phase": "b",
            "rated_power_w": 3000,
            "tank": {"initial_c": 68, "draws": "M", "autonomous_heating": True},
        },
        {"id": "c1", "phase": "c", "rated_power_w": 1000, "resolution_w": 1000},
    ],
    "chargers": [
        {
            "id": "car",
            "min_on_s": 20,
            "min_off_s": 20,
            "sessions": [{"plug_in_s": 40, "unplug_s": 250, "energy_wh": 400}],
        }
    ],
    "battery": {
        "capacity_wh": 3000,
        "max_charge_w": 2000,
        "max_discharge_w": 2000,
        "mode": "commanded",
    },
}
EDGE = {
    "mesh": {"loss_good": 0.02, "dwell_good_s": 60, "route_repair_probability": 0.05},
    "device": {"report_period_s": 10, "watchdog_s": 40},
}
FAULTS = [
    {"kind": "meter_freeze", "start_s": 60, "duration_s": 20},
    {"kind": "coordinator_restart", "start_s": 100, "duration_s": 15},
    {"kind": "meter_missing", "start_s": 120, "duration_s": 30, "probability": 0.5},
    {"kind": "clock_step", "start_s": 150, "duration_s": 30, "step_s": -400},
    {"kind": "broadcast_loss", "start_s": 170, "duration_s": 30, "probability": 0.3},
    {"kind": "load_stuck_on", "load": "a2", "start_s": 190, "duration_s": 20},
    {"kind": "load_vanished", "load": "b1", "start_s": 200, "duration_s": 30},
    {"kind": "meter_offset", "offset_w": -150, "start_s": 230, "duration_s": 20},
    {"kind": "meter_wrong_sign", "start_s": 260, "duration_s": 10},
    {"kind": "extra_delay", "delay_s": 1.5, "start_s": 270, "duration_s": 20},
]


class ScriptedConfig(PolicyConfig):
    """Random actions, each kept for a while."""

    kind: Literal["scripted"] = "scripted"
    action: ActionKind = "phase_deltas"
    hold_steps: int = 3


class Scripted(Policy):
    def __init__(self, config: ScriptedConfig, site: SiteInfo) -> None:
        self.action = config.action
        self._hold = config.hold_steps
        low, high = site.phase_range_w()
        self._low = np.array(low)
        self._span = np.array(high) - low
        if config.action == "actuator_power":
            self._low = np.array([a.low_w for a in site.actuators]) - 50.0
            self._span = np.array([a.high_w for a in site.actuators]) + 50.0 - self._low
        elif config.action == "phase_deltas":
            self._low, self._span = -0.3 * self._span, 0.7 * self._span

    def reset(self, seed: int) -> None:
        self._rng = generator(seed, "test")

    def decide(self, observation: Observation) -> np.ndarray:
        if observation.step % self._hold == 0 or not hasattr(self, "_answer"):
            self._answer = self._low + self._span * self._rng.random(self._low.size)
        return self._answer


@pytest.fixture(autouse=True)
def scripted() -> Iterator[None]:
    register(ScriptedConfig, Scripted)
    yield
    del POLICIES["scripted"]


def scenario(policy: PolicyConfig | None = None, **changes: Any) -> Scenario:
    content: dict[str, Any] = {
        "name": "parity",
        "plant": PLANT,
        "edge": EDGE,
        "clock": {"start": STARTS[0], "duration_s": EPISODE_S, "refresh_s": 8},
        "policies": [{"kind": "pi"}],
        "faults": FAULTS,
        "limits": [{"metric": "export_energy", "max": 1e9}],
    }
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
    # The language's union of policies was filled before the one of this test was registered.
    policies = (PiConfig() if policy is None else policy,)
    return Scenario.model_validate(content).model_copy(update={"policies": policies})


@pytest.fixture(scope="module")
def library() -> np.ndarray:
    """Two profiles: sun with clouds, a household, draws."""
    rng = np.random.default_rng(5)
    plant = ExportPlantConfig.model_validate(PLANT)
    channels = channel_names(plant)
    values = np.zeros((2, LIBRARY_S + 1, len(channels)), dtype=np.float32)
    t = np.arange(LIBRARY_S + 1)
    for p in range(2):
        clouds = 0.25 * np.sign(np.sin(t / (17.0 + 9 * p))) + 0.05 * rng.random(len(t))
        values[p, :, 0] = np.clip(0.5 + clouds, 0.0, 1.0)
        values[p, :, 1:4] = 200.0 + 300.0 * (rng.random((len(t), 3)) > 0.9)
        values[p, :, 4:7] = 50.0
        values[p, :, 7:] = 4000.0 * (rng.random((len(t), 4)) > 0.95)
    return values


def env_of(setting: Scenario, library: np.ndarray, n: int, action: ActionKind, **keys: Any):
    clock = setting.clock
    policy = setting.policies[0]
    config = EnvConfig(
        episode_s=clock.duration_s,
        control_period_s=clock.control_period_s,
        decision_delay_s=clock.decision_delay_s,
        refresh_s=clock.refresh_s,
        action=action,
        setpoint_w=policy.setpoint_w or 0.0,
        max_age_s=policy.max_age_s,
        command_deadband_w=policy.command_deadband_w,
        **keys,
    )
    return ExportVectorEnv(n, setting.plant, setting.edge, library, STARTS, config, setting.faults)


class NoEvents:
    def event(self, t_sim_us: int, kind: str, **data: Any) -> None:
        pass


def bench(setting: Scenario, library: np.ndarray, profile: int, first: int, seed: int):
    """Run the bench's own loop on one instance; return all that it saw, asked and did."""
    duration_s = round(setting.clock.duration_s)
    start = STARTS[profile].astimezone(dt.UTC) + dt.timedelta(seconds=first)
    clock_model = setting.clock.model_copy(update={"start": start})
    setting = setting.model_copy(update={"clock": clock_model})
    rows = np.ascontiguousarray(library[profile, first : first + duration_s + 1])
    profiles = SiteProfiles(rows, channel_names(setting.plant))
    asked: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    with VirtualClock() as clock:
        parts = assemble(setting, World(clock), setting.policies[0], seed, profiles)
        decide = parts.agent.policy.decide

        def recorded(observation: Observation) -> np.ndarray:
            action = decide(observation)
            asked[observation.step] = (observation.values.copy(), action.copy())
            return action

        parts.agent.policy.decide = recorded  # type: ignore[method-assign]
        loop = build_loop(parts, NoEvents(), lambda t_us: None, parts.settings)
        clock.run(session(parts.driver, loop))
    parts.plant.advance(parts.settings.duration_us)
    commands, _ = parts.log.commands(parts.plant.acked_us, parts.plant.effective_us)
    truth, _ = parts.plant.truth()
    return SimpleNamespace(
        plant=parts.plant, asked=asked, commands=commands, truth=truth, meta=parts.plant.meta()
    )


def state_of(sites: Any, i: int) -> dict[str, np.ndarray]:
    """Return the whole state of one instance (the trace's marks aside: one instance is traced)."""
    fields = sites.layout.fields
    names = [
        n
        for n, (m, _, rows) in fields.items()
        if m in "xk" and rows and not n.startswith(("trace", "reading"))
    ]
    return {name: sites.get(name)[:, i] for name in names if not name.startswith("profile")}


def assert_same_bits(one: np.ndarray, other: np.ndarray, what: str) -> None:
    one, other = np.ascontiguousarray(one), np.ascontiguousarray(other)
    assert one.dtype == other.dtype
    assert one.tobytes() == other.tobytes(), f"{what}: {one} != {other}"


def counters(sites: Any, i: int) -> dict[str, float]:
    """Return the truth of one instance as the bench's stream names it."""
    wh = 1.0 / 3600.0
    row = {
        "grid.net.export_energy_wh": sites.get("net_export_j")[0, i] * wh,
        "grid.net.import_energy_wh": sites.get("net_import_j")[0, i] * wh,
    }
    for a, load in enumerate(sites.config.loads):
        if load.tank is not None:
            row[f"load.{load.id}.temperature_c"] = sites.get("temperature_c")[a, i]
        row[f"load.{load.id}.unserved_energy_wh"] = sites.get("unserved_j")[a, i] * wh
        row[f"load.{load.id}.switchings"] = sites.get("switchings")[a, i]
    return row


def compare(setting: Scenario, library: np.ndarray, action: ActionKind, n: int, watched: list[int]):
    """Replay what the bench's policies asked for, and hold every step to the bench's."""
    env = env_of(setting, library, n, action)
    rng = np.random.default_rng(n)
    options = {
        "profile": np.arange(n) % 2,
        "first_second": rng.integers(0, 500, n),
        "seed": rng.integers(0, 2**40, n),
    }
    runs = {i: bench(setting, library, *(int(options[k][i]) for k in options)) for i in watched}
    observation, info = env.reset(options=options)
    low, high = env.single_action_space.low, env.single_action_space.high
    sites, period_us = env.sites, round(setting.clock.control_period_s * S)
    for step in range(round(setting.clock.duration_s * S) // period_us):
        actions = rng.uniform(low, high, (n, *low.shape))
        for i, run in runs.items():
            assert info["decides"][i] == (step in run.asked), f"instance {i}, step {step}"
            if step in run.asked:
                seen, actions[i] = run.asked[step]
                assert_same_bits(observation[i], seen, f"instance {i}, step {step}, observation")
        observation, _, _, truncated, info = env.step(actions)
        done = info["final_info"] if truncated[0] else info
        for i, run in runs.items():
            for key in ("kind", "status"):
                assert done[key][i] == run.commands[key][step], f"instance {i}, step {step}, {key}"
            second, rest = divmod((step + 1) * period_us, S)
            if rest == 0:
                for name, value in counters(sites, i).items():
                    assert value == run.truth[name][second - 1], f"{i}, step {step}, {name}"
    assert truncated.all()
    for i, run in runs.items():
        ours, theirs = state_of(sites, i), state_of(run.plant.batch, 0)
        for name, column in ours.items():
            assert_same_bits(column, theirs[name], f"instance {i}, {name}")
    return runs


@pytest.mark.parametrize(
    ("action", "policy"),
    [
        ("phase_targets", PiConfig(min_interval_s=2)),
        ("phase_targets", PiConfig(max_age_s=None)),
        ("phase_targets", ScriptedConfig(action="phase_targets", hold_steps=1)),
        ("phase_deltas", ScriptedConfig(command_deadband_w=200)),
        ("actuator_power", ScriptedConfig(action="actuator_power", hold_steps=40)),
    ],
)
def test_three_instances_and_the_bench_give_the_same_bits(library, action, policy) -> None:
    runs = compare(scenario(policy), library, action, 3, [0, 1, 2])
    kinds = np.concatenate([run.commands["kind"] for run in runs.values()])
    status = np.concatenate([run.commands["status"] for run in runs.values()])
    # The scenario is worth something only if all of it happens.
    expected = {0, 1, 2} if policy.max_age_s is None else {0, 1, 3}
    assert expected <= set(kinds.tolist())
    assert {0, 2} <= set(status.tolist())


@pytest.mark.parametrize(
    # 128 instances are a tile of the plant and a block of the allocator, 256 one of the features
    ("n", "watched"),
    [(200, [0, 63, 127, 128, 199]), (300, [1, 255, 256, 299])],
)
def test_hundreds_of_instances_and_the_bench_give_the_same_bits(library, n, watched) -> None:
    policy = ScriptedConfig(action="phase_targets", hold_steps=4)
    compare(scenario(policy), library, "phase_targets", n, watched)


def test_who_sends_nothing_keeps_the_memory_that_the_bench_would_have(library) -> None:
    site = small(library).site
    many, alone = Allocator(site, 3), Allocator(site)
    rng = np.random.default_rng(1)
    for step in range(40):
        power_w = rng.uniform(0.0, 1000.0, (len(site.actuators), 3))
        sent = rng.random(3) < 0.4
        many.sent(step * S, power_w, sent)
        if sent[1]:
            alone.sent(step * S, np.ascontiguousarray(power_w[:, 1:2]))
    assert_same_bits(many.wear_h[:, 1], alone.wear_h[:, 0], "wear")
    assert_same_bits(many.setpoint_w[:, 1], alone.setpoint_w[:, 0], "set-points")


@pytest.mark.parametrize(
    "clock",
    [
        {"control_period_s": 0.4, "decision_delay_s": 0.3, "duration_s": 120},
        {"control_period_s": 5, "decision_delay_s": 5, "refresh_s": 10},
    ],
)
def test_other_periods_and_delays_give_the_same_bits(library, clock) -> None:
    setting = scenario(ScriptedConfig(action="phase_targets"), clock=clock)
    compare(setting, library, "phase_targets", 3, [0, 2])


def small(library: np.ndarray, n: int = 3, action: ActionKind = "phase_targets", **keys: Any):
    keys = {"episode_s": 20, **keys}
    plant, edge = ExportPlantConfig.model_validate(PLANT), EdgeConfig.model_validate(EDGE)
    return ExportVectorEnv(n, plant, edge, library, STARTS, EnvConfig(action=action, **keys))


def test_rewards_add_up_to_the_objective_of_the_bench(library) -> None:
    setting = scenario(ZeroConfig(), objective={"import_weight": 0.7})
    env = env_of(setting, library, 2, "actuator_power", import_weight=0.7, unserved_weight=2.0)
    options = {"profile": [0, 1], "first_second": [30, 70], "seed": [8, 9]}
    options = {key: np.array(value) for key, value in options.items()}
    env.reset(options=options)
    action = np.array([0.0 if a.kind != "pv_limit" else a.high_w for a in env.site.actuators])
    total = np.zeros(2)
    for _ in range(EPISODE_S):
        _, reward, terminated, truncated, info = env.step(np.stack([action, action]))
        total += reward
        assert not terminated.any()
    assert truncated.all()
    last = info["final_info"]
    np.testing.assert_allclose(total, -last["objective_wh"], rtol=1e-12)
    for i in range(2):
        run = bench(setting, library, i, int(options["first_second"][i]), 8 + i)
        truth = {name: column[-1] for name, column in run.truth.items()}
        unserved = sum(v for name, v in truth.items() if name.endswith("unserved_energy_wh"))
        stored = sum(v for name, v in truth.items() if name.endswith(".stored_energy_wh"))
        missing = max(0.0, run.meta["stored_energy_initial_wh"] - stored)
        assert missing > 1.0
        assert unserved > 0.0
        objective = truth["grid.net.export_energy_wh"] + 2.0 * unserved
        objective += 0.7 * (truth["grid.net.import_energy_wh"] + missing)
        assert last["objective_wh"][i] == pytest.approx(objective, rel=1e-9)
        assert last["export_wh"][i] == truth["grid.net.export_energy_wh"]
        assert last["import_wh"][i] == truth["grid.net.import_energy_wh"]


@pytest.mark.parametrize("action", ["phase_targets", "phase_deltas", "actuator_power"])
def test_spaces_are_what_is_returned_and_random_actions_stay_finite(library, action) -> None:
    env = small(library, 4, action, episode_s=120, setpoint_w=50)
    check_observation_space(env.single_observation_space)
    check_action_space(env.single_action_space)
    assert env.observation_space.shape == (4, FEATURES)
    assert np.isfinite(env.observation_space.low).all()
    assert np.isfinite(env.observation_space.high).all()
    env.action_space.seed(3)
    observation, info = env.reset(seed=3)
    assert observation in env.observation_space
    before = {key: info[key] for key in ("export_wh", "import_wh", "unserved_wh")}
    for _ in range(150):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert observation.dtype == env.observation_space.dtype
        assert observation in env.observation_space
        assert np.isfinite(reward).all()
        assert reward.dtype == np.float64
        assert reward.shape == terminated.shape == truncated.shape == (4,)
        for key, earlier in before.items():
            if not truncated[0]:
                assert (info[key] >= earlier).all()
            before[key] = info[key]
        assert_same_bits(
            info["export_wh"], env.sites.get("net_export_j")[0] * (1.0 / 3600.0), "export"
        )


def test_episode_is_cut_off_and_the_next_begins_at_once(library) -> None:
    env = small(library)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    env.reset(seed=1)
    actions = np.zeros((3, 3))
    first = env.sites
    for _ in range(19):
        _, _, _, truncated, info = env.step(actions)
        assert not truncated.any()
        assert "final_obs" not in info
    observation, _, terminated, truncated, info = env.step(actions)
    assert truncated.all()
    assert not terminated.any()
    assert env.sites is not first
    assert env.sites.now_us == 0
    assert first.now_us == 20 * S
    assert (info["export_wh"] == 0.0).all()
    assert (info["final_info"]["import_wh"] + info["final_info"]["export_wh"] > 0.0).all()
    assert info["_final_obs"].all()
    for i in range(3):
        assert info["final_obs"][i].shape == (FEATURES,)
        assert info["final_obs"][i] in env.single_observation_space
        assert not np.array_equal(info["final_obs"][i], observation[i])
    _, _, _, truncated, _ = env.step(actions)
    assert not truncated.any()


def rollout(env: ExportVectorEnv, seed: int | None, steps: int = 45) -> list[Any]:
    result: list[Any] = [env.reset(seed=seed)]
    rng = np.random.default_rng(0)
    low, high = env.single_action_space.low, env.single_action_space.high
    for _ in range(steps):
        result.append(env.step(rng.uniform(low, high, env.action_space.shape)))
    return result


def test_same_seed_same_everything_over_several_episodes(library) -> None:
    one, other = small(library), small(library)
    assert data_equivalence(rollout(one, 7), rollout(other, 7), exact=True)
    assert data_equivalence(rollout(one, 7), rollout(other, 7), exact=True)
    assert one.np_random_seed == 7
    assert not data_equivalence(rollout(one, 7), rollout(other, 8), exact=True)
    # without a seed the draws go on
    assert not np.array_equal(one.reset()[0], one.reset()[0])


def test_seed_of_an_unseeded_environment_is_known_afterwards(library) -> None:
    one, other = small(library), small(library)
    seen = rollout(one, None)
    assert data_equivalence(seen, rollout(other, one.np_random_seed), exact=True)


def test_what_was_returned_is_not_overwritten(library) -> None:
    env = small(library)
    observation, info = env.reset(seed=1)
    kept = observation.copy(), {key: value.copy() for key, value in info.items()}
    env.step(np.full((3, 3), 500.0))
    np.testing.assert_array_equal(observation, kept[0])
    for key, value in info.items():
        np.testing.assert_array_equal(value, kept[1][key])
    assert observation.T.flags.c_contiguous


def test_wrappers_of_gymnasium_work(library) -> None:
    env = DictInfoToList(RecordEpisodeStatistics(small(library)))
    _, infos = env.reset(seed=1)
    assert infos[2]["export_wh"] == 0.0
    total = np.zeros(3)
    for _ in range(20):
        _, reward, _, _, infos = env.step(np.zeros((3, 3)))
        total += reward
    for i, info in enumerate(infos):
        assert info["final_obs"].shape == (FEATURES,)
        assert info["episode"]["r"] == pytest.approx(total[i])
        assert info["episode"]["l"] == 20
        assert info["final_info"]["objective_wh"] == pytest.approx(-total[i])


def test_step_needs_a_reset(library) -> None:
    with pytest.raises(ResetNeeded, match="reset"):
        small(library).step(np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros((2, 3)), r"expected actions of shape \(3, 3\), got \(2, 3\)"),
        (np.array([[0.0] * 3, [0.0, np.nan, 0.0], [0.0] * 3]), "instance 1 is not finite"),
    ],
)
def test_actions_that_cannot_be_are_refused(library, actions, message) -> None:
    env = small(library)
    env.reset(seed=1)
    with pytest.raises(ValueError, match=message):
        env.step(actions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profil": np.zeros(3, int)}, "unknown option 'profil'; known: profile, first_second"),
        ({"profile": np.zeros(2, int)}, "'profile' must be 3 integers"),
        ({"profile": np.full(3, 2)}, r"'profile' must lie in 0 … 1"),
        ({"first_second": np.full(3, 881)}, r"'first_second' must lie in 0 … 880"),
        ({"seed": np.full(3, -1)}, "'seed' must lie in"),
        ({"reset_mask": np.array([True, False, True])}, "reset them together"),
    ],
)
def test_options_that_cannot_be_are_refused(library, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        small(library).reset(options=options)


def test_library_that_does_not_fit_is_refused(library) -> None:
    with pytest.raises(ValueError, match="shorter than an episode"):
        small(library, episode_s=901)
    with pytest.raises(ValueError, match="this site needs 11"):
        small(library[:, :, :9])
    with pytest.raises(ValueError, match="as many starts"):
        small(library[:1])
    with pytest.raises(ValueError, match="num_envs"):
        small(library, 0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"control_period_s": 0.3}, "multiple of 0.2 s"),
        ({"episode_s": 20.5}, "multiple of control_period_s"),
        ({"decision_delay_s": 1.5}, "must not exceed control_period_s"),
        ({"refresh": 3}, "refresh"),
    ],
)
def test_configuration_that_cannot_be_is_refused(keys, message) -> None:
    with pytest.raises(ValueError, match=message):
        EnvConfig(**keys)
