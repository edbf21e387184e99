"""Sub-commands of the command line: parse, call, print."""
