"""How a person's stored engagement becomes a score from 0 to 100, and a score a bound on it.

Stored is the logarithm of a sum in which each act counts half as much every 28 days, written
forward from 1970: it changes only when the person acts, and an index over it keeps its order.
"""

from math import exp2, inf, log2

HALF_LIFE_SECONDS = 28 * 86400
#: The decayed sum that is worth a score of 50.
_MIDDLE = 5.0
FULL = 100.0


def score(engagement: float | None, now: float) -> float:
    """0 = never did anything; 100 is approached, not reached."""
    if engagement is None:
        return 0.0
    exponent = engagement - now / HALF_LIFE_SECONDS
    return FULL / (1.0 + _MIDDLE * exp2(-max(min(exponent, 200.0), -200.0)))


def engagement_at(wanted: float, now: float) -> float:
    """The stored engagement that is worth `wanted` now; infinite at and beyond the ends."""
    if wanted <= 0:
        return -inf
    if wanted >= FULL:
        return inf
    return log2(_MIDDLE * wanted / (FULL - wanted)) + now / HALF_LIFE_SECONDS
