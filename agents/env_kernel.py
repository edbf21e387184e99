"""What an agent and the control loop do beside a policy, for many sites at once.

Each function says whose steps it takes: those of ``agents/agent.py``, or of the loop of the bench.
The environment's tests hold both to the same bits. Arrays have the batch axis last.
"""

from __future__ import annotations

from typing import Any, Final

from ..sim.compiled import compiled
from .deploy.guard import limit, near
from .feature_kernel import IN_AGE, IN_SAMPLED

#: What becomes of a step's command, as in the stream `commands` of a record.
HOLD: Final = 0
CHANGE: Final = 1
REFRESH: Final = 2
SAFE: Final = 3

# Rows of `seen` (int64): stamps of the sample that was seen last, and when it was seen first.
SEEN_SAMPLED, SEEN_PUBLISHED, SEEN_AT, SEEN = 0, 1, 2, 3
# Rows of `held` (int64): whether anything has ever been sent, and when the last time.
HELD_EVER, HELD_AT, HELD = 0, 1, 2
# What may be commanded in answer to a reading: nothing yet, the policy's decision, safe values.
NOTHING, DECIDES, STALE = 0, 1, 2


@compiled
def see(
    sampled_us: Any,
    published_us: Any,
    seen: Any,
    input_us: Any,
    state: Any,
    now_us: int,
    max_age_us: float,
) -> None:
    """Tell readings' ages, for the features and for who is in control (the loop's ``_aged``).

    ``published_us`` is −1 where there is no reading. An age counts from the moment at which the
    sample was first seen; before the first one, from the start.
    """
    for i in range(published_us.shape[0]):
        there = published_us[i] >= 0
        if there and (
            sampled_us[i] != seen[SEEN_SAMPLED, i] or published_us[i] != seen[SEEN_PUBLISHED, i]
        ):
            seen[SEEN_SAMPLED, i], seen[SEEN_PUBLISHED, i] = sampled_us[i], published_us[i]
            seen[SEEN_AT, i] = now_us
        age_us = now_us - seen[SEEN_AT, i]
        input_us[IN_SAMPLED, i] = max(sampled_us[i], 0) if there else -1
        if there:
            input_us[IN_AGE, i] = age_us
        if age_us > max_age_us:
            state[i] = STALE
        else:
            state[i] = DECIDES if there else NOTHING


@compiled
def ask(weights: Any, action_w: Any, state: Any, asked_w: Any) -> None:
    """Sum up, in the agent's order, what each policy that is in control asks for."""
    for i in range(action_w.shape[1]):
        if state[i] != DECIDES:
            continue
        total = 0.0
        for k in range(action_w.shape[0]):
            total += weights[k] * action_w[k, i]
        asked_w[i] = total


@compiled
def add_deltas(action_w: Any, low_w: Any, high_w: Any, state: Any, targets_w: Any) -> None:
    """Change phase targets [3, N] by what policies in control ask for, within the limits."""
    for i in range(action_w.shape[1]):
        if state[i] != DECIDES:
            continue
        for phase in range(3):
            target = max(targets_w[phase, i] + action_w[phase, i], low_w[phase])
            targets_w[phase, i] = min(target, high_w[phase])


@compiled
def _due(power_w: Any, held_w: Any, held: Any, i: int, refresh_before_us: int) -> int:
    """Return how set-points are to be sent (the loop's ``_due``)."""
    if held[HELD_EVER, i] == 0:
        return CHANGE
    for k in range(power_w.shape[0]):
        if power_w[k] != held_w[k]:
            return CHANGE
    return REFRESH if held[HELD_AT, i] <= refresh_before_us else HOLD


@compiled
def guard(
    decided_w: Any,
    limits: Any,
    safe_w: Any,
    positive_setpoint: bool,
    deadband_w: float,
    held_w: Any,
    held: Any,
    state: Any,
    refresh_before_us: int,
    out: Any,
    kind: Any,
) -> None:
    """Fill in what may be sent [A, N] and how (the agent's ``guard``, and the loop's choice)."""
    count = out.shape[0]
    # columns of the matrices, so that guard and dead-band see one instance as on the bench
    decided, last, power = out[:, 0].copy(), out[:, 0].copy(), out[:, 0].copy()
    for i in range(out.shape[1]):
        kind[i] = HOLD
        for k in range(count):
            last[k] = held_w[k, i]
            decided[k] = decided_w[k, i]
            power[k] = last[k]
        if state[i] == STALE:
            power[:] = safe_w
            kind[i] = HOLD if _due(power, last, held, i, refresh_before_us) == HOLD else SAFE
        elif state[i] == DECIDES:
            limit(decided, limits, positive_setpoint, power)
            if near(power, last, deadband_w):
                power[:] = last
            kind[i] = _due(power, last, held, i, refresh_before_us)
        for k in range(count):
            out[k, i] = power[k]


@compiled
def hold(power_w: Any, sent: Any, held: Any, now_us: int, held_w: Any, out: Any) -> None:
    """Note who sent something, and fill ``out`` with what is in force everywhere."""
    for i in range(power_w.shape[1]):
        if sent[i]:
            held[HELD_EVER, i] = 1
            held[HELD_AT, i] = now_us
        for k in range(power_w.shape[0]):
            out[k, i] = power_w[k, i] if sent[i] else held_w[k, i]
