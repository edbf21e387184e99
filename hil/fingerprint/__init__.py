"""What a device does in time, measured: a device profile with uncertainties, and drift from it."""
