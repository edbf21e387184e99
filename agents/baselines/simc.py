"""The SIMC rules: a PI controller from a model of the process, without a search.

Source: S. Skogestad, Simple analytic rules for model reduction and PID controller tuning, Journal
of Process Control 13 (2003) 291–309. A process is reduced to a gain, one lag and an effective dead
time (his *half rule*), ``g(s) = k·e^(−θs) / (τ₁s + 1)``; then, with the closed loop's time constant
τc as the only choice,

    Kc = τ₁ / (k·(τc + θ)),    τI = min(τ₁, 4·(τc + θ)),    Ki = Kc / τI.

τc = θ is his recommendation for fast control that stands errors of the model. For a process that
is dead time alone (τ₁ = 0) this leaves an integrating controller, ``Kc = 0``, ``Ki = 1/(k·(τc +
θ))``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..policy import SiteInfo

#: Seconds between two changes that a budget of nine a minute lets a controller keep up.
_SUSTAINED_INTERVAL_S = 60.0 / 9.0


@dataclass(frozen=True, slots=True)
class FirstOrder:
    """A process ``gain·e^(−dead_time·s) / (lag·s + 1)``.

    Attributes:
        gain: change of the output a unit of input.
        dead_time_s: effective dead time θ.
        lag_s: time constant τ₁, 0 for dead time alone.

    """

    gain: float
    dead_time_s: float
    lag_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PiGains:
    """Gains of ``u = kp·e + ki·∫e dt``, which the velocity form has too.

    Attributes:
        kp: proportional gain Kc.
        ki_per_s: integral gain Kc/τI.

    """

    kp: float
    ki_per_s: float


def half_rule(
    gain: float,
    dead_time_s: float,
    lags_s: Sequence[float],
    *,
    inverse_s: Sequence[float] = (),
    sampling_s: float = 0.0,
) -> FirstOrder:
    """Reduce a process with several lags to one lag (his equations 10 and 11).

    The largest lag stays; half of the second joins it and the other half the dead time; all
    smaller ones, inverse responses ``(−T·s + 1)`` and half of the sampling period are dead time.
    """
    first, second, *rest = (*sorted(lags_s, reverse=True), 0.0, 0.0)
    effective_s = dead_time_s + second / 2.0 + sum(rest) + sum(inverse_s) + sampling_s / 2.0
    return FirstOrder(gain, effective_s, first + second / 2.0)


def pi_gains(process: FirstOrder, closed_loop_s: float | None = None) -> PiGains:
    """Return SIMC's PI gains; ``closed_loop_s`` is τc, by default the dead time.

    Raises:
        ValueError: τc + θ is not positive: the rule has no finite answer.

    """
    theta = process.dead_time_s
    wait_s = theta + (theta if closed_loop_s is None else closed_loop_s)
    if wait_s <= 0.0:
        raise ValueError("SIMC needs a dead time, or a closed loop that takes some time")
    if process.lag_s <= 0.0:
        return PiGains(0.0, 1.0 / (process.gain * wait_s))
    kp = process.lag_s / (process.gain * wait_s)
    return PiGains(kp, kp / min(process.lag_s, 4.0 * wait_s))


def site_process(site: SiteInfo, sampling_s: float) -> FirstOrder:
    """Return a site as such a process: from a watt of command to a watt of grid power read.

    Its gain is one. A ramp and the meter's averaging window each delay by half of their length on
    average; acting every ``sampling_s`` costs half of that. What is left is dead time alone.
    """
    delay_s = site.command_delay_s + site.ramp_s / 2.0
    delay_s += site.meter_window_s / 2.0 + site.meter_delay_s
    return half_rule(1.0, delay_s, (), sampling_s=sampling_s)


def pi_start(site: SiteInfo) -> Mapping[str, float]:
    """Return SIMC's values for the keys of the policy ``pi``, for a site's delays.

    Its interval is what nine changes a minute allow all the time, or the control period if that
    is longer.
    """
    interval_s = max(_SUSTAINED_INTERVAL_S, site.control_period_s)
    gains = pi_gains(site_process(site, interval_s))
    rounded = {"kp": gains.kp, "ki_per_s": gains.ki_per_s, "min_interval_s": interval_s}
    return {key: float(f"{value:.4g}") for key, value in rounded.items()}
