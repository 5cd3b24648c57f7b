"""What counts of good and bad outcomes let us believe about a rate: Beta distributions whose
evidence fades with time and never grows beyond a cap, so that they follow a world that drifts."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from services.policies.stored import Stored

#: One-sided 90 % of a normal distribution (facts: UCB of bad = 1 - LCB of good).
Z90 = 1.2816
#: One-sided 95 %.
Z95 = 1.6449


class Prior(NamedTuple):
    """Outcomes that are believed before any is seen."""

    good: float
    bad: float


@dataclass(frozen=True, slots=True)
class Belief(Stored):
    """Evidence: effective numbers of good and bad outcomes at a time (Unix seconds)."""

    good: float = 0.0
    bad: float = 0.0
    at: float = 0.0

    @property
    def size(self) -> float:
        """The effective number of outcomes."""
        return self.good + self.bad


def faded(belief: Belief, now: float, half_life: float) -> Belief:
    """The evidence as it weighs `now`. A clock that was set back makes nothing younger."""
    passed = now - belief.at
    if passed <= 0 or not belief.size:
        return belief
    weight: float = 2.0 ** (-passed / half_life)
    return Belief(belief.good * weight, belief.bad * weight, now)


def learnt(
    belief: Belief, good: float, bad: float, now: float, half_life: float, cap: float
) -> Belief:
    """With the outcomes of a batch added; the older evidence makes room under the cap.

    `good` may be negative: a trial that counted as good turned out bad later (a complaint).
    """
    passed = max(0.0, now - belief.at)
    weight = 2.0 ** (-passed / half_life)
    old = belief.size * weight
    if old + good + bad > cap and old > 0:
        weight *= max(0.0, cap - good - bad) / old
    return Belief(
        max(0.0, belief.good * weight + good), belief.bad * weight + bad, max(now, belief.at)
    )


def shortened(belief: Belief, size: float) -> Belief:
    """The same rate on at most `size` outcomes: old evidence is forgotten after a change."""
    if belief.size <= size:
        return belief
    weight = size / belief.size
    return Belief(belief.good * weight, belief.bad * weight, belief.at)


def bad_rate(belief: Belief, prior: Prior) -> float:
    """The posterior mean of the rate of bad outcomes."""
    return (belief.bad + prior.bad) / (belief.size + prior.good + prior.bad)


def bad_rate_bound(belief: Belief, prior: Prior, z: float = Z90) -> float:
    """The bad rate that lies `z` standard deviations above the mean (below it for z < 0)."""
    size = belief.size + prior.good + prior.bad
    mean = (belief.bad + prior.bad) / size
    return mean + z * math.sqrt(mean * (1.0 - mean) / (size + 1.0))


def sure_rate(belief: Belief, prior: Prior) -> float:
    """The bad rate that is 95 % sure to be exceeded."""
    return bad_rate_bound(belief, prior, -Z95)


_HOUR = 3600.0
_LONGEST_HALF_LIFE = 72 * _HOUR


@dataclass(frozen=True, slots=True)
class Track(Stored):
    """A belief whose half-life follows the traffic: busy tracks forget within an hour, quiet ones
    remember for days."""

    belief: Belief = field(default_factory=Belief)
    seen: float = 0.0  #: outcomes, fading with a half-life of an hour: tells the rate

    def half_life(self, cap: float) -> float:
        """Seconds: the time in which this traffic fills the cap, an hour to 72 hours."""
        rate = self.seen * math.log(2) / _HOUR
        return min(_LONGEST_HALF_LIFE, max(_HOUR, cap / rate)) if rate else _LONGEST_HALF_LIFE

    def faded(self, now: float, cap: float) -> Belief:
        """The evidence as it weighs now."""
        return faded(self.belief, now, self.half_life(cap))

    def after(self, good: int, bad: int, now: float, cap: float) -> "Track":
        """With a batch's outcomes."""
        passed = max(0.0, now - self.belief.at)
        seen = self.seen * 2.0 ** (-passed / _HOUR) + good + bad
        belief = learnt(self.belief, good, bad, now, self.half_life(cap), cap)
        return Track(belief, seen)
