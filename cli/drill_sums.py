"""The arithmetic of a drill: what this mail became, and what others would have made of the same
mail on the same day. Pure."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cli.drill_day import ESPS, Day, Fate

#: The share of an ESP is looked at over so many messages, and told from so many on.
LATEST, FEW = 40, 12


class Sent(NamedTuple):
    """A message that an ESP took."""

    at: float  #: seconds of the day
    domain: str
    esp: str
    outcome: str  #: the simulator's word


@dataclass(frozen=True, slots=True)
class Way:
    """How a way of choosing fares with the day's mail; expected numbers of messages."""

    name: str
    delivered: float = 0.0
    vanished: float = 0.0
    blocked: float = 0.0

    def plus(self, fate: Fate) -> "Way":
        """With one more message."""
        return Way(
            self.name, self.delivered + fate.delivered, self.vanished + fate.vanished,
            self.blocked + fate.blocked,
        )  # fmt: skip

    def regret(self, oracle: "Way") -> float:
        """The share of the oracle's deliveries that were missed."""
        return 1.0 - self.delivered / oracle.delivered if oracle.delivered else 0.0


def in_order(day: Day, order: Sequence[str], domain: str, now: float) -> Fate:
    """The fate of a message that is tried in this order, going on at once where it is refused.
    What all refuse waits until one takes it, and is delivered then."""
    left, total = 1.0, (0.0, 0.0, 0.0)
    for esp in order:
        taken = left * (1.0 - day.refused(esp, now))
        fate = day.fate(esp, domain, now)
        total = (
            total[0] + taken * fate.delivered, total[1] + taken * fate.vanished,
            total[2] + taken * fate.blocked,
        )  # fmt: skip
        left -= taken
    return Fate(total[0] + left, total[1], total[2])


def round_robin(day: Day, domain: str, now: float) -> Fate:
    """The mean over whose turn it may be."""
    turns = [in_order(day, (*ESPS[n:], *ESPS[:n]), domain, now) for n in range(len(ESPS))]
    return Fate(*(sum(values) / len(turns) for values in zip(*turns, strict=True)))


def best(day: Day, domain: str, now: float) -> Fate:
    """What the oracle gets: it knows the day, and asks the ESP that delivers most."""
    orders = itertools.permutations(ESPS)
    return max((in_order(day, order, domain, now) for order in orders), key=lambda one: one[0])


def greedy(day: Day, sent: Iterable[Sent]) -> Way:
    """Whoever has the best ratio of good answers and events so far is asked first. What vanishes is
    no news, so it stays with the ESP whose mail does. In its favour, events come at once."""
    way, good, known = Way("greedy ratio"), dict.fromkeys(ESPS, 1.0), dict.fromkeys(ESPS, 1.0)
    for one in sent:
        order, left = sorted(ESPS, key=lambda esp: -good[esp] / known[esp]), 1.0
        way = way.plus(in_order(day, order, one.domain, one.at))
        for esp in order:
            fate, refused = day.fate(esp, one.domain, one.at), day.refused(esp, one.at)
            taken = left * (1.0 - refused)
            good[esp] += taken * fate.delivered
            known[esp] += left * refused + taken * (fate.delivered + fate.blocked)
            left -= taken
    return way


def ours(day: Day, sent: Iterable[Sent]) -> Way:
    """Where the house's mail really went, without the luck of the dice."""
    way = Way("the house")
    for one in sent:
        way = way.plus(day.fate(one.esp, one.domain, one.at))
    return way


def oracle(day: Day, sent: Iterable[Sent]) -> Way:
    """The best that could have been done."""
    way = Way("oracle")
    for one in sent:
        way = way.plus(best(day, one.domain, one.at))
    return way


def others(day: Day, sent: Sequence[Sent]) -> list[Way]:
    """Round robin, greedy, and a fixed order by whoever is first in it."""
    turns = Way("round robin")
    for one in sent:
        turns = turns.plus(round_robin(day, one.domain, one.at))
    fixed = []
    for n, first in enumerate(ESPS):
        way = Way(f"static, {first} first")
        for one in sent:
            way = way.plus(in_order(day, (*ESPS[n:], *ESPS[:n]), one.domain, one.at))
        fixed.append(way)
    mean = Way("static, mean of the orders", *(
        sum(getattr(way, name) for way in fixed) / len(fixed)
        for name in ("delivered", "vanished", "blocked")
    ))  # fmt: skip
    return [turns, greedy(day, sent), *fixed, mean]


def share(sent: Iterable[Sent], esp: str, domains: Sequence[str] = ()) -> float | None:
    """An ESP's share of these messages; None when they are too few to tell."""
    asked = [one.esp for one in sent if not domains or one.domain in domains]
    return asked.count(esp) / len(asked) if len(asked) >= FEW else None


def between(sent: Iterable[Sent], start: float, end: float) -> list[Sent]:
    """Those of a stretch of the day."""
    return [one for one in sent if start <= one.at < end]


def crossed(
    sent: Iterable[Sent], esp: str, passes: Callable[[float], bool], domains: Sequence[str] = ()
) -> float | None:
    """When the ESP's share of the last messages among these first passes; None = never."""
    latest: deque[Sent] = deque(maxlen=LATEST)
    for one in sent:
        if not domains or one.domain in domains:
            latest.append(one)
            had = share(latest, esp)
            if had is not None and passes(had):
                return one.at
    return None


def kept(
    sent: Iterable[Sent], esp: str, passes: Callable[[float], bool], domains: Sequence[str] = ()
) -> float | None:
    """Since when the ESP's share of the last messages has passed for good; None = it does not."""
    latest: deque[Sent] = deque(maxlen=LATEST)
    since: float | None = None
    for one in sent:
        if not domains or one.domain in domains:
            latest.append(one)
            had = share(latest, esp)
            good = had is not None and passes(had)
            since = (one.at if since is None else since) if good else None
    return since
