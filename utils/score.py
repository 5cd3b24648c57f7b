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


def forward(weight: float, at: float) -> float:
    """What an act of that weight at that moment adds to the sum; as its logarithm, because the sum
    itself is too large for a float."""
    return log2(weight) + at / HALF_LIFE_SECONDS


def added(engagement: float | None, *acts: float) -> float | None:
    """The stored engagement after more acts (each from `forward`), in whatever order they come."""
    powers = [power for power in (engagement, *acts) if power is not None]
    if not powers:
        return None
    top = max(powers)
    return top + log2(sum(exp2(power - top) for power in powers))


def engagement_at(wanted: float, now: float) -> float:
    """The stored engagement that is worth `wanted` now; infinite at and beyond the ends."""
    if wanted <= 0:
        return -inf
    if wanted >= FULL:
        return inf
    return log2(_MIDDLE * wanted / (FULL - wanted)) + now / HALF_LIFE_SECONDS
