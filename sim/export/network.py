"""Four-wire supply: the voltages at the site for given powers on its phases."""

from __future__ import annotations

from typing import Any

from ..compiled import compiled

ITERATIONS = 3
"""Fixed-point iterations a sub-step. Each shrinks the error by about |Z·S|/V² (2–5 %), and each
sub-step starts from the voltages of the one before."""


@compiled
def solve_voltages(c: Any, x: Any, p: Any, i0: int, i1: int) -> None:
    """Update phase-to-neutral voltages and currents for the powers in rows ``p_w``, ``q_var``.

    Per phase ``I = conj(S / V)``; the site's voltage to its own neutral is
    ``V = E − Z_line·I − Z_neutral·(I_a + I_b + I_c)``, so that current on one phase shifts the
    neutral and with it the others. Constant power, solved by fixed point
    (any textbook on unbalanced distribution networks: Kersting, ch. 4 and 6).
    """
    va_r, va_i = x[c.vr, i0:i1], x[c.vi, i0:i1]
    vb_r, vb_i = x[c.vr + 1, i0:i1], x[c.vi + 1, i0:i1]
    vc_r, vc_i = x[c.vr + 2, i0:i1], x[c.vi + 2, i0:i1]
    pa, pb, pc = x[c.p_w, i0:i1], x[c.p_w + 1, i0:i1], x[c.p_w + 2, i0:i1]
    qa, qb, qc = x[c.q_var, i0:i1], x[c.q_var + 1, i0:i1], x[c.q_var + 2, i0:i1]
    ea_r, ea_i = p[c.source_vr, i0:i1], p[c.source_vi, i0:i1]
    eb_r, eb_i = p[c.source_vr + 1, i0:i1], p[c.source_vi + 1, i0:i1]
    ec_r, ec_i = p[c.source_vr + 2, i0:i1], p[c.source_vi + 2, i0:i1]
    line_r, line_x = p[c.line_r, i0:i1], p[c.line_x, i0:i1]
    neutral_r, neutral_x = p[c.neutral_r, i0:i1], p[c.neutral_x, i0:i1]
    sum_a, sum_b, sum_c = (
        x[c.current_a2s, i0:i1],
        x[c.current_a2s + 1, i0:i1],
        x[c.current_a2s + 2, i0:i1],
    )
    sum_n = x[c.neutral_a2s, i0:i1]
    dt_s = c.step_s
    for i in range(i1 - i0):
        ar, ai, br, bi, cr, ci = va_r[i], va_i[i], vb_r[i], vb_i[i], vc_r[i], vc_i[i]
        rl, xl, rn, xn = line_r[i], line_x[i], neutral_r[i], neutral_x[i]
        iar = iai = ibr = ibi = icr = ici = nr = ni = 0.0
        for _ in range(ITERATIONS):
            w = 1.0 / (ar * ar + ai * ai)
            iar, iai = (pa[i] * ar + qa[i] * ai) * w, (pa[i] * ai - qa[i] * ar) * w
            w = 1.0 / (br * br + bi * bi)
            ibr, ibi = (pb[i] * br + qb[i] * bi) * w, (pb[i] * bi - qb[i] * br) * w
            w = 1.0 / (cr * cr + ci * ci)
            icr, ici = (pc[i] * cr + qc[i] * ci) * w, (pc[i] * ci - qc[i] * cr) * w
            nr, ni = iar + ibr + icr, iai + ibi + ici
            dr, di = rn * nr - xn * ni, rn * ni + xn * nr
            ar, ai = ea_r[i] - (rl * iar - xl * iai) - dr, ea_i[i] - (rl * iai + xl * iar) - di
            br, bi = eb_r[i] - (rl * ibr - xl * ibi) - dr, eb_i[i] - (rl * ibi + xl * ibr) - di
            cr, ci = ec_r[i] - (rl * icr - xl * ici) - dr, ec_i[i] - (rl * ici + xl * icr) - di
        va_r[i], va_i[i], vb_r[i], vb_i[i], vc_r[i], vc_i[i] = ar, ai, br, bi, cr, ci
        sum_a[i] += (iar * iar + iai * iai) * dt_s
        sum_b[i] += (ibr * ibr + ibi * ibi) * dt_s
        sum_c[i] += (icr * icr + ici * ici) * dt_s
        sum_n[i] += (nr * nr + ni * ni) * dt_s
