"""What a control step takes on the machine, measured against the machine's own speed."""
