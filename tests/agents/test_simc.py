"""SIMC against the cases and margins of the paper (Skogestad 2003, tables 2 and 4)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.agents.baselines.simc import FirstOrder, half_rule, pi_gains, pi_start, site_process
from wattbench.agents.policy import SiteInfo

SITE = SiteInfo((), command_delay_s=1.0, ramp_s=1.5, meter_window_s=1.0, meter_delay_s=1.0)


@pytest.mark.parametrize(
    ("lags_s", "inverse_s", "lead_s", "theta", "tau1", "kc", "tau_i"),
    [
        # E1: 1 / ((s+1)(0.2s+1))
        ((1.0, 0.2), (), 0.0, 0.1, 1.1, 5.5, 0.8),
        # E2: (−0.3s+1)(0.08s+1) / ((2s+1)(s+1)(0.4s+1)(0.2s+1)(0.05s+1)³), the small zero being
        # taken off the dead time as the paper does
        ((2.0, 1.0, 0.4, 0.2, 0.05, 0.05, 0.05), (0.3,), 0.08, 1.47, 2.5, 0.85, 2.5),
        # E5: 1 / ((s+1)(0.2s+1)(0.04s+1)(0.008s+1))
        ((1.0, 0.2, 0.04, 0.008), (), 0.0, 0.148, 1.1, 3.72, 1.1),
    ],
)
def test_cases_of_the_paper(
    lags_s: tuple[float, ...],
    inverse_s: tuple[float, ...],
    lead_s: float,
    theta: float,
    tau1: float,
    kc: float,
    tau_i: float,
) -> None:
    process = half_rule(1.0, -lead_s, lags_s, inverse_s=inverse_s)
    assert process.dead_time_s == pytest.approx(theta)
    assert process.lag_s == pytest.approx(tau1)
    gains = pi_gains(process)
    assert gains.kp == pytest.approx(kc, abs=0.005)
    assert gains.kp / gains.ki_per_s == pytest.approx(tau_i, abs=0.005)


def test_dead_time_alone_is_integrated_with_half_the_rate() -> None:
    gains = pi_gains(FirstOrder(2.0, 3.0))
    assert gains.kp == 0.0
    assert gains.ki_per_s == pytest.approx(0.5 / (2.0 * 3.0))


@pytest.mark.parametrize("process", [FirstOrder(1.0, 2.0), FirstOrder(3.0, 2.0, 5.0)])
def test_margins_of_the_paper(process: FirstOrder) -> None:
    """GM 3.14, PM 61.4°, Ms 1.59 for first-order processes with τ₁ ≤ 8θ, whatever the lag."""
    gains = pi_gains(process)
    omega = np.geomspace(1e-3, 5.0, 200_000) / process.dead_time_s
    s = 1j * omega
    plant = process.gain * np.exp(-process.dead_time_s * s) / (process.lag_s * s + 1.0)
    loop = (gains.kp + gains.ki_per_s / s) * plant
    phase = np.unwrap(np.angle(loop))
    gain_margin = 1.0 / abs(loop[np.argmin(abs(phase + math.pi))])
    crossover = np.argmin(abs(abs(loop) - 1.0))
    assert gain_margin == pytest.approx(3.14, abs=0.01)
    assert 180.0 + math.degrees(phase[crossover]) == pytest.approx(61.4, abs=0.1)
    assert (1.0 / abs(1.0 + loop)).max() == pytest.approx(1.59, abs=0.01)


def test_no_delay_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="dead time"):
        pi_gains(FirstOrder(1.0, 0.0))


def test_a_sites_delays_add_up() -> None:
    process = site_process(SITE, 6.0)
    assert process == FirstOrder(1.0, 1.0 + 0.75 + 0.5 + 1.0 + 3.0, 0.0)


@given(st.floats(0.0, 30.0), st.floats(0.0, 30.0))
def test_later_effects_mean_smaller_gains(first_s: float, second_s: float) -> None:
    early, late = (
        pi_start(SiteInfo((), command_delay_s=delay)) for delay in sorted((first_s, second_s))
    )
    assert early["ki_per_s"] >= late["ki_per_s"] > 0.0
