"""The tape: every frame of a run in a file that Wireshark reads, its meaning, and its replay."""
