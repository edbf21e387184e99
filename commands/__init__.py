"""What the commands do: the rooms put together. `cli.py` parses, these compose."""
