"""wattbench: hardware-in-the-loop testbench and evaluation harness for energy-control policies."""

__version__ = "0.1.0"
