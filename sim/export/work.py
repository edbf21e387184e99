"""The work array of a call: what a thread needs for one tile, and nothing after the call.

Rows of :data:`TILE` numbers at fixed offsets in one array; three rows in a row are phases a, b, c.
What a sub-step hands to the next piece of itself lies here and not in the state: the state of
thousands of sites has to come from memory, this array stays in the core's cache.
"""

from __future__ import annotations

from typing import Any, Final

from ..compiled import compiled

TILE: Final = 128
"""Instances that one thread moves at a time: their state stays in the core's cache."""
MAX_LOADS: Final = 12

# The supply: voltages at the site and at the source, powers taken, impedances.
V_RE: Final = 0
V_IM: Final = 3 * TILE
E_RE: Final = 6 * TILE
E_IM: Final = 9 * TILE
POWER: Final = 12 * TILE
REACTIVE: Final = 15 * TILE
LINE_R: Final = 18 * TILE
LINE_X: Final = 19 * TILE
NEUTRAL_R: Final = 20 * TILE
NEUTRAL_X: Final = 21 * TILE
CURRENT_A2: Final = 22 * TILE
"""Squared currents: phases, then the neutral."""
VOLTS: Final = 26 * TILE

# This second of the profiles, and the sun.
FOUND: Final = 29 * TILE
"""Where each instance's row of profiles starts."""
HOUSE_W: Final = 30 * TILE
HOUSE_VAR: Final = 33 * TILE
PV_AVAILABLE: Final = 36 * TILE
PV_POWER: Final = 37 * TILE

# Loads.
CONDUCTANCE: Final = 38 * TILE
"""Conductance of what is on, W/V², a phase."""
MOVING: Final = 41 * TILE
"""1 for each load that is on a ramp in some instance of the tile."""
MOVED: Final = MOVING + MAX_LOADS
"""1 for each load whose duty has changed this second in some instance of the tile."""
DRAWS: Final = 42 * TILE
"""What is to be drawn from each tank in a second, then what was served, J; a row a load."""
HEAT: Final = DRAWS + MAX_LOADS * TILE
"""What each load has used in the second that ends, J; a row a load."""
CONCERNED: Final = HEAT + MAX_LOADS * TILE
"""1 where an instance's device gets a new target."""
WORK: Final = CONCERNED + TILE
"""Length of the array."""

# While a broadcast is sent, which is never while time advances: who sent, and how that travels.
SENT: Final = 0
LOSS: Final = TILE
LATE: Final = 2 * TILE
ARRIVAL: Final = 3 * TILE
ANSWER: Final = 4 * TILE


@compiled
def tile_row(w: Any, first: int, number: int) -> Any:
    """Return a row as a view: ``number`` rows after the one at offset ``first``."""
    start = first + number * TILE
    return w[start : start + TILE]
