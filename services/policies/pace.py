"""How fast an ESP is sent to after it said 429: cut at once, grow back slowly (AIMD)."""

from dataclasses import dataclass

from services.policies import clocks
from services.policies.stored import Stored

#: facts 3.2: 0.85 and 1 %/s use 93 % of a capacity that changes; halving uses 75 %.
CUT = 0.85
GROWTH_PER_SECOND = 0.01  #: of the highest rate
SLOWEST = 1.0
CUT_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pace(Stored):
    """The rate at a time; it grows from there. `rate` None: never cut."""

    rate: float | None = None
    at: float = 0.0
    cut_at: float = 0.0


def rate(pace: Pace, highest: float, now: float) -> float:
    """Messages per second now; `highest` is what the ESP or the operator allows."""
    if pace.rate is None or pace.at > now + clocks.DIFFER_SECONDS:  # cut before it was set back
        return highest
    grown = pace.rate + GROWTH_PER_SECOND * highest * max(0.0, now - pace.at)
    return min(highest, grown)


def throttled(pace: Pace, highest: float, now: float) -> Pace:
    """After a 429 (not a spent daily quota: that is no matter of speed). At most one cut a
    second."""
    # A cut in the future was written before the clock was set back.
    if pace.rate is not None and 0 <= now - pace.cut_at < CUT_EVERY_SECONDS:
        return pace
    slower = max(SLOWEST, CUT * rate(pace, highest, now))
    return Pace(min(highest, slower), now, now)
