"""A host for Zigbee coordinators that speak TI's ZNP: real sticks and emulated ones."""
