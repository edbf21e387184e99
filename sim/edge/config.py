"""Parameters of the edge: meter, command channel, devices."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..config import DurationS, EnergyWh, Fraction, Model, PowerW, VoltageV


class MeterConfig(Model):
    """A grid meter: what it averages, how late it publishes, how coarsely."""

    period_s: DurationS = Field(1.0, ge=0.2, le=60)
    """Time between two samples."""
    window_s: DurationS = Field(1.0, ge=0.2, le=60)
    """Averaging window that ends at the sample; at most one period."""
    delay_s: DurationS = Field(0.5, ge=0, le=10)
    """From the end of the window to the moment a client can read the sample."""
    resolution_w: PowerW = Field(1.0, ge=0, le=1000)
    """Quantisation of powers; 0 for none."""
    noise_w: PowerW = Field(3.0, ge=0, le=1000)
    """Standard deviation of the noise on each phase's power."""
    voltage_resolution_v: VoltageV = Field(0.1, ge=0, le=10)
    counter_resolution_wh: EnergyWh = Field(1.0, ge=0, le=1000)
    """Quantisation of the energy counters."""

    @model_validator(mode="after")
    def _on_grid(self) -> Self:
        for value, name in ((self.period_s, "period_s"), (self.window_s, "window_s")):
            if abs(value / 0.2 - round(value / 0.2)) > 1e-9:
                raise PydanticCustomError(
                    "grid", "{name} must be a multiple of the step, 0.2 s", {"name": name}
                )
        if self.window_s > self.period_s:
            raise PydanticCustomError("order", "window_s must not exceed period_s", {})
        return self


class MeshConfig(Model):
    """A Zigbee mesh seen from the coordinator: latency, route repair, two-state loss, broadcasts.

    Defaults: lognormal latency a hop and repair times as `docs/concepts/edge.md` states; the
    broadcast table is that of a Zigbee coordinator (8 entries that live about 9 s).
    """

    hops: int = Field(2, ge=1, le=10)
    hop_latency_s: DurationS = Field(0.0225, gt=0, le=2)
    """Median one-way latency of one hop."""
    hop_latency_sigma: float = Field(0.35, ge=0, le=2)
    """Sigma of the logarithm of the latency."""
    route_repair_probability: Fraction = Field(0.02, ge=0, le=1)
    route_repair_min_s: DurationS = Field(0.3, ge=0, le=10)
    route_repair_max_s: DurationS = Field(1.5, ge=0, le=10)
    loss_good: Fraction = Field(0.003, ge=0, le=1)
    """Loss of one message to one load while the channel is good."""
    loss_bad: Fraction = Field(0.2, ge=0, le=1)
    dwell_good_s: DurationS = Field(300.0, ge=1)
    """Mean time in the good state."""
    dwell_bad_s: DurationS = Field(5.0, ge=1)
    broadcast_table_entries: int = Field(8, ge=1, le=8)
    broadcast_table_s: DurationS = Field(9.0, ge=1, le=20)
    """Life of an entry; a broadcast into a full table is refused."""
    ack_jitter_s: DurationS = Field(0.5, ge=0, le=5)
    """Each load waits a random time up to this before its unicast reply."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.route_repair_min_s > self.route_repair_max_s:
            raise PydanticCustomError(
                "order",
                "route_repair_min_s must not exceed route_repair_max_s ({most} s)",
                {"most": self.route_repair_max_s},
            )
        return self


class DeviceConfig(Model):
    """What every commanded device does between receiving a command and acting on it."""

    dead_time_s: DurationS = Field(1.0, ge=0, le=5)
    """From reception to the start of the change."""
    watchdog_s: DurationS | None = Field(120.0, ge=1)
    """Without a command for this long the device falls to `safe_power_w`; null: never."""
    safe_power_w: PowerW = Field(0.0, ge=0)
    """Set-point of a load after its watchdog expired."""
    report_period_s: DurationS | None = Field(None, ge=1, le=600)
    """Period of the per-load power report; null: loads do not report."""
    report_latency_s: DurationS = Field(0.3, ge=0, le=30)
    """From the measurement to its arrival at the coordinator; at most one period."""

    @model_validator(mode="after")
    def _one_report_under_way(self) -> Self:
        if self.report_period_s is not None and self.report_latency_s > self.report_period_s:
            raise PydanticCustomError(
                "order", "report_latency_s must not exceed report_period_s", {}
            )
        return self


class EdgeConfig(Model):
    """All that lies between truth and reading, and between command and effect."""

    meter: MeterConfig = MeterConfig()
    mesh: MeshConfig = MeshConfig()
    device: DeviceConfig = DeviceConfig()
