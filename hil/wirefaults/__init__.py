"""Faults on the wire: frames late, lost, twice or bent, ports that vanish, devices that reboot."""
