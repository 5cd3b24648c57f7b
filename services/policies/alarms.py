"""Change detectors: has a rate of bad outcomes risen from p0 to p1? (CUSUM, Page 1954)

The level climbs by the log likelihood ratio of each outcome and never falls below zero. While the
rate stays at or below p0 the mean run between false alarms is at least e^threshold outcomes (Lorden
1971).
"""

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Test:
    """Which change is looked for, and how sure to be."""

    usual: float  #: p0, the rate of bad outcomes that is in order
    worse: float  #: p1, the rate that must be noticed
    threshold: float
    climb: float = field(init=False)  #: per bad outcome
    fall: float = field(init=False)  #: per good outcome

    __test__ = False  # pytest: not a test class

    def __post_init__(self) -> None:
        object.__setattr__(self, "climb", math.log(self.worse / self.usual))
        object.__setattr__(self, "fall", math.log((1 - self.usual) / (1 - self.worse)))


def level_after(level: float, test: Test, bad: int, good: float) -> float:
    """The level after a batch; at or above `test.threshold` it stays where the alarm was raised.

    The order inside a batch is not known: bad outcomes are taken as spread evenly among the good,
    which raises no more false alarms than any real order does on average.
    """
    if not bad:
        return max(0.0, level - good * test.fall)
    drop = good / (bad + 1) * test.fall
    for _ in range(bad):
        level = max(0.0, level - drop) + test.climb
        if level >= test.threshold:
            return level
    return max(0.0, level - drop)


def poisson_level_after(level: float, test: Test, bad: float, trials: float) -> float:
    """The same for rare outcomes that are counted apart from their trials, which may be weighted
    (a delivery whose complaint may still come is not yet a whole trial)."""
    return max(0.0, level + bad * test.climb - trials * (test.worse - test.usual))
