"""A check of the meter's sign: does grid power move with the loads, or against them?

A meter whose wires were swapped reads import as export. A controller that believes it runs to one
end of its range and stays there. On the way it moves its loads, and the reading answers the wrong
way: so changes of grid power are compared with the changes that the site's own actuators should
have caused at that moment, by the model of what was commanded (dead time, ramp, meter's window).

Let `o` be those changes from one reading to the next and `g` the reading's. Sums over about the
last 40 s (exponentially forgotten) give the answer's size `Σg·o / Σo²`: about 1 if the sign is
right, −1 if it is reversed, 0 if nothing arrives. Clouds and appliances add noise, so nothing is
concluded before enough was moved, and unless `g` and `o` are correlated.
"""

from __future__ import annotations

import math
from typing import Final

#: Time after which evidence counts e⁻¹.
_MEMORY_S: Final = 40.0
#: Root of Σo² that a conclusion needs: so much power, above what appliances switch beside it, and
#: at least this part of what the actuators can take in all. Found on recorded runs of the library:
#: no false alarm in 450 hours, half of all reversals seen within 25 s.
_MOVED_W: Final = 1500.0
_MOVED_SHARE: Final = 0.1
#: Smaller movements are left out: the reading's noise is of their size.
_LEAST_MOVE_W: Final = 50.0
#: Size of the answer from which on it has a direction, and the least correlation.
_ANSWER: Final = 0.5
_CORRELATION: Final = 0.3
#: Readings further apart than this are not compared.
_LONGEST_GAP_US: Final = 5_000_000
#: A reversed sign that nothing confirms for this long is trusted again: at night nothing moves.
_TRUST_AGAIN_US: Final = 600_000_000


class SignCheck:
    """Watches one meter; feed it once a control step."""

    def __init__(self, range_w: float, period_s: float) -> None:
        """Watch a site whose actuators span ``range_w``, with a control period of ``period_s``."""
        self._decay = math.exp(-period_s / _MEMORY_S)
        self._fresh_s = 0.5 * period_s
        self._enough_w2 = max(_MOVED_W, _MOVED_SHARE * range_w) ** 2
        self.reset()

    def reset(self) -> None:
        """Trust the meter and forget everything."""
        self.reversed = False
        """Whether the meter seems to count the other way."""
        self._t_us: int | None = None
        self._grid_w = self._own_w = 0.0
        self._confirmed_us = 0
        self._forget()

    def _forget(self) -> None:
        self._answer_w2 = self._moved_w2 = self._read_w2 = 0.0

    def update(self, t_us: int, age_s: float, grid_w: float, own_w: float) -> bool:
        """Take a control step in; return whether the meter seems to count the other way.

        Args:
            t_us: now.
            age_s: how long ago the reading was first seen; only new ones count.
            grid_w: the reading of net grid power.
            own_w: what the actuators drew when it was taken, by the model.
        """
        self._answer_w2 *= self._decay
        self._moved_w2 *= self._decay
        self._read_w2 *= self._decay
        if age_s < self._fresh_s:
            before_us, moved_w, read_w = self._t_us, own_w - self._own_w, grid_w - self._grid_w
            self._t_us, self._grid_w, self._own_w = t_us, grid_w, own_w
            near = before_us is not None and t_us - before_us <= _LONGEST_GAP_US
            if near and abs(moved_w) >= _LEAST_MOVE_W:
                self._answer_w2 += read_w * moved_w
                self._moved_w2 += moved_w * moved_w
                self._read_w2 += read_w * read_w
                if self._moved_w2 > self._enough_w2:
                    self._conclude(t_us)
        if self.reversed and t_us - self._confirmed_us > _TRUST_AGAIN_US:
            self.reversed = False
            self._forget()
        return self.reversed

    def _conclude(self, t_us: int) -> None:
        """Change the opinion, or confirm it, if the answer has a direction."""
        answer = self._answer_w2
        if abs(answer) < _ANSWER * self._moved_w2:
            return
        if answer * answer < _CORRELATION * _CORRELATION * self._moved_w2 * self._read_w2:
            return
        self._confirmed_us = t_us
        if (answer < 0.0) != self.reversed:
            self.reversed = not self.reversed
            # what the wrong opinion brought about must not speak for the next one
            self._forget()
