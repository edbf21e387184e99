"""Zigbee: an emulated coordinator with its mesh, and two hosts for coordinators of any make."""
