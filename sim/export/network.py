"""Four-wire supply: the voltages at the site for given powers on its phases."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..compiled import compiled
from .work import (
    CURRENT_A2,
    E_IM,
    E_RE,
    LINE_R,
    LINE_X,
    NEUTRAL_R,
    NEUTRAL_X,
    POWER,
    REACTIVE,
    TILE,
    V_IM,
    V_RE,
    VOLTS,
    tile_row,
)

ITERATIONS: Final = 2
"""Fixed-point iterations a sub-step. Each shrinks the error by about |Z·S|/V² (2–5 %), and each
sub-step starts from the voltages of the one before, so a steady state is met to rounding."""

_A, _B, _C, _N = 0, TILE, 2 * TILE, 3 * TILE


@compiled
def _solve(w: Any, n: int) -> None:
    """Iterate in one array with fixed offsets, so that the compiler sees that rows are apart."""
    for i in range(n):
        ar, ai = w[V_RE + _A + i], w[V_IM + _A + i]
        br, bi = w[V_RE + _B + i], w[V_IM + _B + i]
        cr, ci = w[V_RE + _C + i], w[V_IM + _C + i]
        pa, pb, pc = w[POWER + _A + i], w[POWER + _B + i], w[POWER + _C + i]
        qa, qb, qc = w[REACTIVE + _A + i], w[REACTIVE + _B + i], w[REACTIVE + _C + i]
        rl, xl, rn, xn = w[LINE_R + i], w[LINE_X + i], w[NEUTRAL_R + i], w[NEUTRAL_X + i]
        iar = iai = ibr = ibi = icr = ici = nr = ni = 0.0
        for _ in range(ITERATIONS):
            g = 1.0 / (ar * ar + ai * ai)
            iar, iai = (pa * ar + qa * ai) * g, (pa * ai - qa * ar) * g
            g = 1.0 / (br * br + bi * bi)
            ibr, ibi = (pb * br + qb * bi) * g, (pb * bi - qb * br) * g
            g = 1.0 / (cr * cr + ci * ci)
            icr, ici = (pc * cr + qc * ci) * g, (pc * ci - qc * cr) * g
            nr, ni = iar + ibr + icr, iai + ibi + ici
            dr, di = rn * nr - xn * ni, rn * ni + xn * nr
            ar = w[E_RE + _A + i] - (rl * iar - xl * iai) - dr
            ai = w[E_IM + _A + i] - (rl * iai + xl * iar) - di
            br = w[E_RE + _B + i] - (rl * ibr - xl * ibi) - dr
            bi = w[E_IM + _B + i] - (rl * ibi + xl * ibr) - di
            cr = w[E_RE + _C + i] - (rl * icr - xl * ici) - dr
            ci = w[E_IM + _C + i] - (rl * ici + xl * icr) - di
        w[V_RE + _A + i], w[V_IM + _A + i] = ar, ai
        w[V_RE + _B + i], w[V_IM + _B + i] = br, bi
        w[V_RE + _C + i], w[V_IM + _C + i] = cr, ci
        w[VOLTS + _A + i] = np.sqrt(ar * ar + ai * ai)
        w[VOLTS + _B + i] = np.sqrt(br * br + bi * bi)
        w[VOLTS + _C + i] = np.sqrt(cr * cr + ci * ci)
        w[CURRENT_A2 + _A + i] = iar * iar + iai * iai
        w[CURRENT_A2 + _B + i] = ibr * ibr + ibi * ibi
        w[CURRENT_A2 + _C + i] = icr * icr + ici * ici
        w[CURRENT_A2 + _N + i] = nr * nr + ni * ni


@compiled
def load_supply(c: Any, x: Any, p: Any, w: Any, n: int) -> None:
    """Fill the work array's rows of the supply from state and parameters."""
    for f in range(3):
        vr, vi, p_w = x[c.vr + f], x[c.vi + f], x[c.p_w + f]
        source_re, source_im = p[c.source_vr + f], p[c.source_vi + f]
        o = f * TILE
        for i in range(n):
            w[V_RE + o + i] = vr[i]
            w[V_IM + o + i] = vi[i]
            w[VOLTS + o + i] = np.sqrt(vr[i] * vr[i] + vi[i] * vi[i])
            w[POWER + o + i] = p_w[i]
            w[E_RE + o + i] = source_re[i]
            w[E_IM + o + i] = source_im[i]
    for i in range(n):
        w[LINE_R + i] = p[c.line_r, i]
        w[LINE_X + i] = p[c.line_x, i]
        w[NEUTRAL_R + i] = p[c.neutral_r, i]
        w[NEUTRAL_X + i] = p[c.neutral_x, i]


@compiled
def store_supply(c: Any, x: Any, w: Any, n: int) -> None:
    """Keep in the state what :func:`load_supply` takes from it."""
    for f in range(3):
        vr, vi, p_w = x[c.vr + f], x[c.vi + f], x[c.p_w + f]
        o = f * TILE
        for i in range(n):
            vr[i] = w[V_RE + o + i]
            vi[i] = w[V_IM + o + i]
            p_w[i] = w[POWER + o + i]


@compiled
def solve_voltages(c: Any, x: Any, w: Any, n: int) -> None:
    """Update phase-to-neutral voltages and currents for the powers in the work array.

    Per phase ``I = conj(S / V)``; the site's voltage to its own neutral is
    ``V = E − Z_line·I − Z_neutral·(I_a + I_b + I_c)``, so that current on one phase shifts the
    neutral and with it the others. Constant power, solved by fixed point
    (any textbook on unbalanced distribution networks: Kersting, ch. 4 and 6).
    """
    _solve(w, n)
    dt_s = c.step_s
    for f in range(3):
        square, volt_seconds = x[c.current_a2s + f], x[c.voltage_vs + f]
        volts, current_a2 = tile_row(w, VOLTS, f), tile_row(w, CURRENT_A2, f)
        for i in range(n):
            volt_seconds[i] += volts[i] * dt_s
            square[i] += current_a2[i] * dt_s
    neutral, current_a2 = x[c.neutral_a2s], tile_row(w, CURRENT_A2, 3)
    for i in range(n):
        neutral[i] += current_a2[i] * dt_s
