"""Emulated Zigbee end devices: clusters, reporting, joining, built from device profiles."""
