"""What the loads got: energy, heat, what was missing; and the scenario's one objective."""

from __future__ import annotations

from .energy import curtailed_energy, export_energy, import_energy
from .registry import metric
from .run import Run


@metric("Wh", better=None, source="integrated power", headline=True)
def load_energy(run: Run) -> float:
    """Electrical energy taken by the controlled loads and chargers.

    Σ power·Δt over all loads and chargers.
    """
    consumers = run.of_kind("load", "charger")
    return float(sum(run.energy_wh(run.truth[f"{a.kind}.{a.id}.power_w"]) for a in consumers))


@metric("Wh", better="higher", source="counter")
def delivered_heat(run: Run) -> float:
    """Heat drawn from the tanks.

    Sum over the loads of their delivered-energy counters.
    """
    return run.last_sum(("load",), "delivered_energy_wh")


@metric("Wh", source="counter", headline=True)
def unserved_energy(run: Run) -> float:
    """Comfort energy that was wanted and missing.

    Hot water drawn below the comfort temperature, plus what cars lacked when they were unplugged:
    sum over loads and chargers of their counters.
    """
    return run.last_sum(("load", "charger"), "unserved_energy_wh")


@metric("Wh", better=None, source="state")
def stored_energy_change(run: Run) -> float:
    """Energy in tanks and battery at the end, minus at the start.

    Tanks count above cold water, the battery its content.
    """
    return _stored_final_wh(run) - run.site.stored_energy_initial_wh


@metric("Wh", rule="net", source="mixed", headline=True)
def objective(run: Run) -> float:
    """J, the scenario's objective.

    J = export + curtailed + λ₁·import + λ₂·unserved + λ₁·max(0, stored at start − stored at end),
    with λ₁ = `objective.import_weight` and λ₂ = `objective.unserved_weight` of the scenario: energy
    missing in tanks and battery at the end is priced like the import that would replace it. More
    than at the start earns nothing: what was stored from the surplus has already lowered the
    export, and heating from the grid must not pay for itself. PV energy that was available and not
    delivered counts like export: throwing the sun away must not pay either.
    """
    weights = run.header.scenario.get("objective")
    if not isinstance(weights, dict):
        return float("nan")
    import_weight = float(weights.get("import_weight", "nan"))
    unserved_weight = float(weights.get("unserved_weight", "nan"))
    return (
        export_energy(run)
        + curtailed_energy(run)
        + import_weight * import_energy(run)
        + unserved_weight * unserved_energy(run)
        + import_weight * max(0.0, -stored_energy_change(run))
    )


def _stored_final_wh(run: Run) -> float:
    tanks_wh = run.last_sum(("load",), "stored_energy_wh")
    battery = "battery.stored_energy_wh"
    return tanks_wh + (run.last(battery) if battery in run.truth else 0.0)
