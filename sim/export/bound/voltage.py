"""Between which voltages a site can be, whatever is commanded.

The kernel finds each phase's voltage by two steps of ``V = E − Σ_g Z_fg·conj(S_g / V_g)``. If every
voltage that goes in lies within a set and every power within its range, what comes out lies within
what is computed here. So no matter how many steps are made, or from which of the earlier voltages
they start, no voltage ever leaves it (an induction over the steps; the first starts from E).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .model import BoundError

Floats = NDArray[np.float64]

_ROUNDS: Final = 60
_MARGIN: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Supply:
    """What the voltages hang on; phases first."""

    source_v: NDArray[np.complex128]
    """[3] behind the impedance."""
    line_ohm: complex
    neutral_ohm: complex

    def impedance_ohm(self) -> NDArray[np.complex128]:
        """Return [3, 3]: by how much a current on phase g lowers the voltage of phase f."""
        result: NDArray[np.complex128] = np.full((3, 3), self.neutral_ohm) + np.diag(
            np.full(3, self.line_ohm)
        )
        return result


def widest_v(supply: Supply, fixed_va: Floats, per_v2: Floats, per_v: Floats) -> Floats:
    """Return [3] the farthest that each phase's voltage can be from its source's.

    Triangle inequality: ``|V − E| ≤ Σ_g |Z_fg|·|S_g| / min |V_g|``. The largest apparent powers
    grow with the voltage themselves (loads with its square), so the bound is iterated.

    Args:
        supply: sources and impedances.
        fixed_va: [3] the largest apparent power of what does not depend on voltage.
        per_v2: [3] what loads can conduct at most, W/V².
        per_v: [3] what chargers can take at most, A.

    Raises:
        BoundError: the supply is so weak that the iteration has no fixed point.
    """
    e = np.abs(supply.source_v)
    z = np.abs(supply.impedance_ohm())
    away = np.zeros(3)
    for _ in range(_ROUNDS):
        high, low = e + away, e - away
        most_va = fixed_va + per_v2 * high**2 + per_v * high
        following = z @ (most_va / low) * (1.0 + _MARGIN)
        if (following >= 0.7 * e).any():
            break
        if (following <= away).all():
            return away
        away = np.maximum(following, away) * (1.0 + _MARGIN) + _MARGIN
    raise BoundError(
        "the connection is so weak for what hangs on it that no limit of its voltage can be shown"
    )


@dataclass(frozen=True, slots=True)
class Box:
    """What can flow on each phase in each second, [3, T]."""

    low_w: Floats
    high_w: Floats
    low_var: Floats
    high_var: Floats


def reach_v(supply: Supply, away_v: Floats, box: Box) -> tuple[Floats, Floats]:
    """Return the lowest and the highest voltage of each phase in each second, twice [3, T].

    With ``A + jB = Z_fg·e^{j(θ_g − θ_f)}·(P_g − jQ_g)``, current g moves the voltage of phase f by
    ``−(A·cos ψ − B·sin ψ) / |V_g|`` along it, where ψ is by how much both voltages are turned from
    their sources, at most ``2·asin(away / |E|)``. A and B are linear in P and Q, so that the
    extremes lie at corners of the box. This is what comes of the powers of a second; loads see the
    voltage of the sub-step before, which :func:`with_the_second_before` takes care of.
    """
    e = np.abs(supply.source_v)
    turn = np.arcsin(np.minimum(away_v / e, 1.0))
    z = supply.impedance_ohm()
    direction = supply.source_v / e
    least, most = e - away_v, e + away_v
    low = np.repeat(e[:, None], box.low_w.shape[1], axis=1)
    high = low.copy()
    for f in range(3):
        for g in range(3):
            c = z[f, g] * direction[g] / direction[f]
            down = up = np.full(box.low_w.shape[1], -np.inf)
            for p_w in (box.low_w[g], box.high_w[g]):
                for q_var in (box.low_var[g], box.high_var[g]):
                    part = c * (p_w - 1j * q_var)
                    down = np.maximum(down, _most(part.real, part.imag, turn[g]))
                    up = np.maximum(up, _most(-part.real, part.imag, turn[f] + turn[g]))
            low[f] -= np.where(down > 0, down / least[g], down / most[g])
            high[f] += np.where(up > 0, up / least[g], up / most[g])
    # The triangle inequality holds as well.
    low = np.maximum(low, (e - away_v)[:, None]) * (1.0 - _MARGIN)
    high = np.minimum(high, (e + away_v)[:, None]) * (1.0 + _MARGIN)
    return low, high


def with_the_second_before(low: Floats, high: Floats, source_v: Floats) -> tuple[Floats, Floats]:
    """Widen each second's range by that of the second before; before the first is the source's."""
    before_low = np.concatenate([source_v[:, None], low[:, :-1]], axis=1)
    before_high = np.concatenate([source_v[:, None], high[:, :-1]], axis=1)
    return np.minimum(low, before_low), np.maximum(high, before_high)


def _most(along: Floats, across: Floats, turn: float) -> Floats:
    """Return the most of ``along·cos ψ ± across·sin ψ`` over ``|ψ| ≤ turn``, or a little more."""
    sine, cosine = np.sin(min(turn, np.pi / 2)), np.cos(turn)
    result: Floats = np.maximum(along, along * cosine) + np.abs(across) * sine
    return result
