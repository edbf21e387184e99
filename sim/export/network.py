"""Four-wire supply: the voltages at the site for given powers on its phases."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..compiled import compiled

ITERATIONS: Final = 2
"""Fixed-point iterations a sub-step. Each shrinks the error by about |Z·S|/V² (2–5 %), and each
sub-step starts from the voltages of the one before, so a steady state is met to rounding."""

TILE: Final = 128
"""Instances that one thread moves at a time: their state stays in the core's cache."""

_VR, _VI, _ER, _EI, _P, _Q = 0, 3 * TILE, 6 * TILE, 9 * TILE, 12 * TILE, 15 * TILE
_RL, _XL, _RN, _XN, _I2 = 18 * TILE, 19 * TILE, 20 * TILE, 21 * TILE, 22 * TILE
_A, _B, _C, _N = 0, TILE, 2 * TILE, 3 * TILE
_ROWS: Final = 26
WORK: Final = _ROWS * TILE
"""Length of the work array that :func:`solve_voltages` needs for a tile."""


@compiled
def _currents(w: Any, n: int) -> None:
    """Iterate in one array with fixed offsets, so that the compiler sees that rows are apart."""
    for i in range(n):
        ar, ai = w[_VR + _A + i], w[_VI + _A + i]
        br, bi = w[_VR + _B + i], w[_VI + _B + i]
        cr, ci = w[_VR + _C + i], w[_VI + _C + i]
        pa, pb, pc = w[_P + _A + i], w[_P + _B + i], w[_P + _C + i]
        qa, qb, qc = w[_Q + _A + i], w[_Q + _B + i], w[_Q + _C + i]
        rl, xl, rn, xn = w[_RL + i], w[_XL + i], w[_RN + i], w[_XN + i]
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
            ar = w[_ER + _A + i] - (rl * iar - xl * iai) - dr
            ai = w[_EI + _A + i] - (rl * iai + xl * iar) - di
            br = w[_ER + _B + i] - (rl * ibr - xl * ibi) - dr
            bi = w[_EI + _B + i] - (rl * ibi + xl * ibr) - di
            cr = w[_ER + _C + i] - (rl * icr - xl * ici) - dr
            ci = w[_EI + _C + i] - (rl * ici + xl * icr) - di
        w[_VR + _A + i], w[_VI + _A + i] = ar, ai
        w[_VR + _B + i], w[_VI + _B + i] = br, bi
        w[_VR + _C + i], w[_VI + _C + i] = cr, ci
        w[_I2 + _A + i] = iar * iar + iai * iai
        w[_I2 + _B + i] = ibr * ibr + ibi * ibi
        w[_I2 + _C + i] = icr * icr + ici * ici
        w[_I2 + _N + i] = nr * nr + ni * ni


@compiled
def fill_work(c: Any, w: Any, p: Any, n: int) -> None:
    """Copy a tile's source voltages and impedances into the work array ``w`` [WORK]."""
    for f in range(3):
        re, im = p[c.source_vr + f], p[c.source_vi + f]
        for i in range(n):
            w[_ER + f * TILE + i] = re[i]
            w[_EI + f * TILE + i] = im[i]
    for i in range(n):
        w[_RL + i] = p[c.line_r, i]
        w[_XL + i] = p[c.line_x, i]
        w[_RN + i] = p[c.neutral_r, i]
        w[_XN + i] = p[c.neutral_x, i]


@compiled
def solve_voltages(c: Any, x: Any, w: Any, n: int) -> None:
    """Update phase-to-neutral voltages and currents for the powers in rows ``p_w``, ``q_var``.

    Per phase ``I = conj(S / V)``; the site's voltage to its own neutral is
    ``V = E − Z_line·I − Z_neutral·(I_a + I_b + I_c)``, so that current on one phase shifts the
    neutral and with it the others. Constant power, solved by fixed point
    (any textbook on unbalanced distribution networks: Kersting, ch. 4 and 6).
    ``w`` is the tile's work array, see :func:`fill_work`.
    """
    for f in range(3):
        o = f * TILE
        vr, vi = x[c.vr + f], x[c.vi + f]
        p_w, q_var = x[c.p_w + f], x[c.q_var + f]
        for i in range(n):
            w[_VR + o + i] = vr[i]
            w[_VI + o + i] = vi[i]
            w[_P + o + i] = p_w[i]
            w[_Q + o + i] = q_var[i]
    _currents(w, n)
    dt_s = c.step_s
    for f in range(3):
        o = f * TILE
        vr, vi, v = x[c.vr + f], x[c.vi + f], x[c.v + f]
        square, volt_seconds = x[c.current_a2s + f], x[c.voltage_vs + f]
        for i in range(n):
            re, im = w[_VR + o + i], w[_VI + o + i]
            vr[i] = re
            vi[i] = im
            v[i] = np.sqrt(re * re + im * im)
            volt_seconds[i] += v[i] * dt_s
            square[i] += w[_I2 + o + i] * dt_s
    neutral = x[c.neutral_a2s]
    for i in range(n):
        neutral[i] += w[_I2 + _N + i] * dt_s
