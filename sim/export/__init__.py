"""The export plant: a three-phase site with PV and controllable loads."""
