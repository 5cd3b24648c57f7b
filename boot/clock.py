"""The house's time: real, or in a drill so many times as fast. Leases, rates, cool-downs, deadlines
and quota days go by it, in all processes alike; sleeping and an ESP's request take real seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from config.settings import Settings


@dataclass(frozen=True, slots=True)
class FastClock:
    """Unix seconds that go `speed` times as fast since a moment at which both agree."""

    speed: float
    since: float
    real: Callable[[], float] = time.time

    def __call__(self) -> float:
        """Now."""
        return self.since + (self.real() - self.since) * self.speed


def of(settings: Settings) -> Callable[[], float]:
    """The clock for processes with these settings."""
    fast = settings.service.drill_clock
    return time.time if fast is None else FastClock(fast.speed, fast.since)
