"""What lies between truth and reading, and between command and effect."""
