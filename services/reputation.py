"""How well an ESP has been doing, as a score from 0 to 100. Pure.

Each dimension is a rate of bad outcomes under a Beta prior; the score uses the upper end of what
the evidence allows (one-sided 90 %), so an ESP without history is `unproven`, not perfect.
Thresholds: SES reviews an account at 5 % hard bounces and 0.1 % complaints (AWS, "Reputation
metrics messages").
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

_Z = 1.2816  # one-sided 90 %


class _Dimension(NamedTuple):
    bad: tuple[str, ...]
    good: tuple[str, ...]
    prior: tuple[float, float]
    tolerated: float  #: bad rate up to which nothing is taken off
    ruinous: float  #: bad rate at which the factor reaches its floor
    floor: float = 0.0


_DIMENSIONS = (
    _Dimension(("requests_failed",), ("requests_ok",), (1, 49), 0.02, 0.30),
    _Dimension(("block",), ("delivered",), (0.8, 19.2), 0.03, 0.20),
    _Dimension(("hard",), ("delivered", "block"), (1, 99), 0.02, 0.08),
    _Dimension(("complained",), ("delivered",), (1.5, 4998.5), 0.001, 0.004),
    _Dimension(("deferred",), ("delivered",), (1, 19), 0.05, 0.40, 0.5),
)


def score(counts: Mapping[str, int]) -> float:
    """0 to 100 from an ESP's event counters (names of `PERFORMANCE_COUNTERS`)."""
    result = 100.0
    for dimension in _DIMENSIONS:
        result *= _factor(dimension, counts)
    return round(result, 1)


def _factor(dimension: _Dimension, counts: Mapping[str, int]) -> float:
    bad = sum(counts.get(name, 0) for name in dimension.bad) + dimension.prior[0]
    good = sum(counts.get(name, 0) for name in dimension.good) + dimension.prior[1]
    mean = bad / (bad + good)
    upper = mean + _Z * math.sqrt(mean * (1 - mean) / (bad + good + 1))
    excess = (upper - dimension.tolerated) / (dimension.ruinous - dimension.tolerated)
    return 1 - (1 - dimension.floor) * min(1.0, max(0.0, excess))
