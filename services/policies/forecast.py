"""When a campaign would be out at the earliest, and through which ESPs. Pure.

A flow, not a rehearsal: while a campaign is larger than what leaves in a second, every ESP that may
take mail is busy at its rate, and one without a rate takes all that nobody else has room for. Other
campaigns, failures and slower answers come on top.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

DAY_SECONDS = 86_400.0
#: Further ahead nobody plans; whoever has no end by then is told so.
MOST_DAYS = 366
RATE, DAILY_LIMIT, NO_RATE = "rate", "daily limit", "no rate is known"
NO_ESP = "no ESP may take it"
NOTHING = "nothing"  #: it leaves at once

#: The shares that some ESPs get of messages for which all of them have room; sums up to 1.
Split = Callable[[Collection[str]], Mapping[str, float]]


class Capacity(NamedTuple):
    """What one ESP can take."""

    esp: str
    rate: float | None  #: messages a second; None = no limit
    left_today: int | None  #: None = any number
    per_day: int | None


class Forecast(NamedTuple):
    """The earliest end."""

    by_esp: Mapping[str, int]
    finish: float | None  #: Unix seconds; None = it is not known, or there is none
    binds: str


def forecast(
    count: int, capacities: Sequence[Capacity], split: Split, now: float, day_ends: float
) -> Forecast:
    """Where so many messages go, and when the last one leaves."""
    flow = _Flow(count, capacities, split, now, day_ends)
    last = day_ends + MOST_DAYS * DAY_SECONDS
    while flow.left >= 1 and flow.now < last and flow.goes_on():
        pass
    over = flow.left < 1
    finish = flow.now if over and flow.binds in (RATE, DAILY_LIMIT) else None
    return Forecast(_whole(flow.taken, count if over else int(count - flow.left)), finish,
                    flow.binds if over or flow.binds == DAILY_LIMIT else NO_ESP)  # fmt: skip


class _Flow:
    """Messages on their way, in steps during which nothing changes."""

    def __init__(
        self, count: int, capacities: Sequence[Capacity], split: Split, now: float, day_ends: float
    ) -> None:
        self.left, self.now, self.binds = float(count), now, NO_RATE
        self.taken: dict[str, float] = {}
        self._capacities, self._split, self._day_ends = capacities, split, day_ends
        self._room = {c.esp: _or_any(c.left_today) for c in capacities}

    def goes_on(self) -> bool:
        """One step. False: nobody will ever take the rest."""
        able = [c for c in self._capacities if self._room[c.esp] >= 1]
        if not able:
            return self._waits()
        free = [c.esp for c in able if c.rate is None]
        if free:
            shares = {esp: share for esp, share in self._split(free).items() if share > 0}
            whole = min([self.left, *(self._room[esp] / share for esp, share in shares.items())])
            return self._take({esp: share * whole for esp, share in shares.items()})
        rates = {c.esp: c.rate for c in able if c.rate}
        if not rates:
            return False
        return self._flows(rates)

    def _flows(self, rates: Mapping[str, float]) -> bool:
        seconds = min(
            self.left / sum(rates.values()), self._day_ends - self.now,
            *(self._room[esp] / rate for esp, rate in rates.items()),
        )  # fmt: skip
        self.now += seconds
        if self.binds == NO_RATE:
            self.binds = RATE
        moved = self._take({esp: rate * seconds for esp, rate in rates.items()})
        if self.now >= self._day_ends:
            self._begin_day()
        return moved

    def _take(self, amounts: Mapping[str, float]) -> bool:
        for esp, amount in amounts.items():
            self.taken[esp] = self.taken.get(esp, 0.0) + amount
            self._room[esp] -= amount
            self.left -= amount
        return bool(amounts)

    def _waits(self) -> bool:
        if not any(_or_any(c.per_day) >= 1 for c in self._capacities):
            return False
        self.now, self.binds = max(self.now, self._day_ends), DAILY_LIMIT
        self._begin_day()
        return True

    def _begin_day(self) -> None:
        self._day_ends += DAY_SECONDS
        self._room = {c.esp: _or_any(c.per_day) for c in self._capacities}


def _or_any(number: int | None) -> float:
    return float("inf") if number is None else float(number)


def _whole(taken: Mapping[str, float], count: int) -> dict[str, int]:
    """The parts as whole messages that sum up to `count`."""
    found = {esp: int(amount) for esp, amount in taken.items()}
    rest = sorted(taken, key=lambda esp: found[esp] - taken[esp])
    for number in range(count - sum(found.values())):
        found[rest[number % len(rest)]] += 1
    return {esp: amount for esp, amount in found.items() if amount}
