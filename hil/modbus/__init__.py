"""Modbus: the client, and devices in memory for it to talk to."""
