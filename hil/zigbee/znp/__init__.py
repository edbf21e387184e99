"""An emulated coordinator that speaks TI's ZNP protocol."""
