"""The four-wire supply against closed formulas and against Newton's method."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.sim.export.config import Connection, Pv

ANGLES = np.exp(-2j * np.pi / 3 * np.array([0, 1, 2]))


def settled(lab, connection: Connection, p_w=(0, 0, 0), q_var=(0, 0, 0), **more) -> dict:
    site = lab.Site(seconds=20, connection=connection, house_w=p_w, house_var=q_var, **more).run(20)
    truth, _ = site.plant.truth()
    return {name: column[-1] for name, column in truth.items()}


def voltages(row: dict) -> np.ndarray:
    return np.array([row[f"grid.{phase}.voltage_v"] for phase in "abc"])


def newton(connection: Connection, p_w, q_var) -> tuple[np.ndarray, np.ndarray]:
    """Return (voltages, currents) that satisfy Kirchhoff's laws, from a real Newton iteration."""
    c = connection
    source = np.array([c.source_voltage_a_v, c.source_voltage_b_v, c.source_voltage_c_v]) * ANGLES
    line = complex(c.line_resistance_ohm, c.line_reactance_ohm)
    neutral = complex(c.neutral_resistance_ohm, c.neutral_reactance_ohm)
    power = np.asarray(p_w, float) + 1j * np.asarray(q_var, float)

    def mismatch(z: np.ndarray) -> np.ndarray:
        i = z[:3] + 1j * z[3:]
        v = source - line * i - neutral * i.sum()
        difference = v * i.conj() - power
        return np.concatenate([difference.real, difference.imag])

    z = np.zeros(6)
    for _ in range(30):
        f = mismatch(z)
        steps = 1e-6 * np.eye(6)
        jacobian = np.array([(mismatch(z + d) - mismatch(z - d)) / 2e-6 for d in steps]).T
        z = z - np.linalg.solve(jacobian, f)
    assert np.abs(mismatch(z)).max() < 1e-8
    i = z[:3] + 1j * z[3:]
    return source - line * i - neutral * i.sum(), i


def test_without_load_the_site_has_the_source_voltages(lab) -> None:
    row = settled(lab, Connection(source_voltage_b_v=235, source_voltage_c_v=222))
    np.testing.assert_allclose(voltages(row), [230, 235, 222], rtol=1e-12)
    assert row["grid.neutral.current_a"] == 0.0


def test_single_phase_load_over_resistance_solves_the_quadratic(lab) -> None:
    connection = Connection(line_reactance_ohm=0, neutral_reactance_ohm=0)
    row = settled(lab, connection, (5000, 0, 0))
    # V = E - (R_line + R_neutral)·P/V
    expected = (230 + np.sqrt(230**2 - 4 * 0.3 * 5000)) / 2
    assert row["grid.a.voltage_v"] == pytest.approx(expected, rel=1e-9)
    assert row["grid.a.current_a"] == pytest.approx(5000 / expected, rel=1e-9)
    assert row["grid.neutral.current_a"] == pytest.approx(5000 / expected, rel=1e-9)


def test_symmetric_load_sends_nothing_through_the_neutral(lab) -> None:
    connection = Connection(line_reactance_ohm=0, neutral_resistance_ohm=1)
    row = settled(lab, connection, (3000, 3000, 3000))
    expected = (230 + np.sqrt(230**2 - 4 * 0.15 * 3000)) / 2
    np.testing.assert_allclose(voltages(row), expected, rtol=1e-9)
    assert row["grid.neutral.current_a"] == pytest.approx(0.0, abs=1e-9)


def test_single_phase_export_lifts_its_phase_and_shifts_the_others(lab) -> None:
    connection = Connection(line_reactance_ohm=0, neutral_reactance_ohm=0)
    pv = Pv(peak_power_w=6000, inverter_power_w=6000, phases="a")
    row = settled(lab, connection, sun=1.0, pv=pv)
    a, b, c = voltages(row)
    assert row["grid.a.power_w"] == -6000.0
    assert a == pytest.approx((230 + np.sqrt(230**2 + 4 * 0.3 * 6000)) / 2, rel=1e-9)
    # The star point moves along phase a by I·R_neutral; b and c see it at 120 degrees.
    moved = 0.15 * 6000 / a
    assert [b, c] == pytest.approx([np.sqrt(230**2 - 230 * moved + moved**2)] * 2, rel=1e-9)


def test_more_neutral_impedance_shifts_more(lab) -> None:
    shifts = []
    for ohm in (0.0, 0.15, 0.3):
        connection = Connection(neutral_resistance_ohm=ohm, neutral_reactance_ohm=0)
        row = settled(lab, connection, (4000, 0, 0))
        shifts.append(abs(row["grid.b.voltage_v"] - 230))
    assert shifts[0] == pytest.approx(0.0, abs=1e-9)
    assert 0.5 < shifts[1] < shifts[2]


def test_active_and_reactive_power_both_move_the_voltage(lab) -> None:
    connection = Connection(line_resistance_ohm=0.2, line_reactance_ohm=0.3)
    p_only = settled(lab, connection, (3000, 3000, 3000))["grid.a.voltage_v"]
    q_only = settled(lab, connection, q_var=(3000, 3000, 3000))["grid.a.voltage_v"]
    # To first order ΔV = (R·P + X·Q)/V.
    assert 230 - p_only == pytest.approx(0.2 * 3000 / 230, rel=0.05)
    assert 230 - q_only == pytest.approx(0.3 * 3000 / 230, rel=0.05)
    capacitive = settled(lab, connection, q_var=(-3000, -3000, -3000))["grid.a.voltage_v"]
    assert capacitive > 230


ohms = st.floats(0.0, 0.2)
watts = st.tuples(*[st.integers(-6000, 6000)] * 3)
volts = st.floats(215.0, 245.0)


@settings(max_examples=60, deadline=None)
@given(ohms, ohms, ohms, ohms, volts, volts, volts, watts, watts)
def test_steady_state_agrees_with_newton(lab, rl, xl, rn, xn, ea, eb, ec, p_w, q_var) -> None:
    connection = Connection(
        source_voltage_a_v=ea,
        source_voltage_b_v=eb,
        source_voltage_c_v=ec,
        line_resistance_ohm=rl,
        line_reactance_ohm=xl,
        neutral_resistance_ohm=rn,
        neutral_reactance_ohm=xn,
    )
    expected_v, expected_i = newton(connection, p_w, q_var)
    row = settled(lab, connection, p_w, q_var)
    np.testing.assert_allclose(voltages(row), np.abs(expected_v), rtol=1e-9)
    measured_i = [row[f"grid.{phase}.current_a"] for phase in "abc"]
    np.testing.assert_allclose(measured_i, np.abs(expected_i), rtol=1e-8, atol=1e-8)
    assert row["grid.neutral.current_a"] == pytest.approx(abs(expected_i.sum()), rel=1e-8, abs=1e-7)
