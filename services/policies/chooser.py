"""Which ESP each message of a batch leaves through: discounted Thompson sampling per mailbox
provider, priority tiers with slack, smooth weighted spreading among equals, a floor against
starvation. The same inputs give the same answer; every answer can be explained.

One draw serves up to `CHUNK` messages of a batch that go to the same mailbox provider: with
batches of one this is a draw per message, with batches of 1,000 it costs little, and what a draw
could learn from the chunk's own outcomes comes back seconds later anyway.
"""

from collections.abc import Sequence

from services.policies import breakers, cells, chance
from services.policies.cells import Cell
from services.policies.routes import (
    BEST,
    FLOORED,
    NOBODY,
    ONLY,
    PROBE,
    SPREAD,
    Ask,
    Draw,
    Option,
    Routes,
    Spread,
)

CHUNK = 32
#: A tier is taken when its best draw is at most this far below the best of all.
TIER_SLACK = 0.01
#: Draws this close to the best are as good: the configured shares decide.
BAND = 0.003
#: An eligible ESP that was passed over this often in a mailbox provider is taken: 1 % at least.
FLOOR = 99
MAX_CREDIT = 50.0

#: Draws are taken as if the evidence were this many times as much. The floor and the change
#: detectors explore already. Of 1, 3 and 10 the best on seeds 0 to 5, by 5 to 9 % of the regret.
SHARPNESS = 3.0


def route(
    asks: Sequence[Ask], options: Sequence[Option], now: float, seed: bytes, *,
    bulk: bool = True, band: float = BAND, slack: float = TIER_SLACK, floor: int = FLOOR,
) -> Routes:  # fmt: skip
    """The ESP of each message. `bulk`: campaigns take probes and keep the floor, a one-time
    password does neither."""
    work = _Work(asks, options, now, seed, band=band, slack=slack, floor=floor if bulk else 0)
    rest = work.probe() if bulk else range(len(asks))
    groups: dict[tuple[str, frozenset[str]], list[int]] = {}
    for i in rest:
        ask = asks[i]
        groups.setdefault((ask.mailbox_provider, ask.avoid), []).append(i)
    for (provider, avoid), indices in groups.items():
        for start in range(0, len(indices), CHUNK):
            work.fill(provider, avoid, indices[start : start + CHUNK])
    return work.routes()


class _Place:
    """One ESP at one mailbox provider while a batch is routed."""

    __slots__ = ("alpha", "beta", "credit", "known", "option", "share", "unused")

    def __init__(self, option: Option, cell: Cell, now: float) -> None:
        self.option = option
        self.alpha, self.beta = cells.posterior(cell, option.delivery, now)
        self.known = cell.track.belief.size > 0 or option.delivery != cells.UNKNOWN
        self.share = option.share
        if cell.breaker.state != breakers.CLOSED:
            breaker = breakers.at(cell.breaker, breakers.CELL, now)
            self.share *= breakers.admission(breaker, breakers.CELL, now).share
        self.credit, self.unused = cell.credit, cell.unused


_BLANK = Cell()


class _Work:
    """The state of routing one batch."""

    def __init__(
        self, asks: Sequence[Ask], options: Sequence[Option], now: float, seed: bytes, *,
        band: float, slack: float, floor: int,
    ) -> None:  # fmt: skip
        self.asks, self.now, self.seed = asks, now, seed
        self.band, self.slack, self.floor = band, slack, floor
        self.options = sorted(options, key=lambda option: option.esp)
        self.room = {o.esp: len(asks) if o.room is None else o.room for o in self.options}
        self.places: dict[str, list[_Place]] = {}
        self.chosen: list[str | None] = [None] * len(asks)
        self.reasons = [NOBODY] * len(asks)
        self.drawn_by = [-1] * len(asks)
        self.draws: list[Draw] = []

    def probe(self) -> Sequence[int]:
        """Hand out the probes that are due; the messages that are left."""
        left = list(range(len(self.asks)))
        for option in self.options:
            due = min(option.probes or 0, self.room[option.esp])
            for i in [i for i in left if option.esp not in self.asks[i].avoid][:due]:
                self.chosen[i], self.reasons[i] = option.esp, PROBE
                self.room[option.esp] -= 1
                left.remove(i)
        return left

    def places_of(self, provider: str) -> list[_Place]:
        """All ESPs at a mailbox provider, made when it is first met."""
        if provider not in self.places:
            self.places[provider] = [
                _Place(option, option.cells.get(provider, _BLANK), self.now)
                for option in self.options
                if option.probes is None
            ]
        return self.places[provider]

    def fill(self, provider: str, avoid: frozenset[str], indices: Sequence[int]) -> None:
        """Route one chunk."""
        places = [
            place for place in self.places_of(provider)
            if place.share > 0 and place.option.esp not in avoid and self.room[place.option.esp] > 0
        ]  # fmt: skip
        if not places:
            return
        if len(places) == 1 and places[0].share >= 1.0:
            self._give_all(indices, places[0].option.esp)
            return
        first = self.asks[indices[0]]
        drawn = self._drawn(provider, first, places)
        chunk = _Chunk(self, places, drawn)
        self._note(provider, first.id, chunk)
        chunk.take(indices)

    def _give_all(self, indices: Sequence[int], esp: str) -> None:
        """There is nothing to choose and nothing to draw."""
        for i in indices[: self.room[esp]]:
            self.chosen[i], self.reasons[i] = esp, ONLY
        self.room[esp] -= min(self.room[esp], len(indices))

    def _drawn(self, provider: str, first: Ask, places: Sequence[_Place]) -> list[float]:
        """Chance explores what is uncertain. Where nothing was ever heard of any ESP (no webhooks
        are set up) it could not learn from it, and the configured order serves better."""
        if not any(place.known for place in places):
            return [place.alpha / (place.alpha + place.beta) for place in places]
        rng = chance.generator(self.seed, "draw", first.id, first.attempt, provider)
        return [
            rng.betavariate(place.alpha * SHARPNESS, place.beta * SHARPNESS) for place in places
        ]

    def _note(self, provider: str, first: int | str, chunk: "_Chunk") -> None:
        best = chunk.best(chunk.everyone)
        names = [place.option.esp for place in chunk.places]
        means = {p.option.esp: p.alpha / (p.alpha + p.beta) for p in chunk.places}
        drawn = dict(zip(names, chunk.drawn, strict=True))
        band = tuple(names[k] for k in best)
        self.draws.append(
            Draw(provider, first, means, drawn, chunk.places[best[0]].option.tier, band)
        )

    def assign(self, i: int, esp: str, reason: str) -> None:
        """Give message `i` to an ESP."""
        self.chosen[i], self.reasons[i] = esp, reason
        self.drawn_by[i] = len(self.draws) - 1
        self.room[esp] -= 1

    def routes(self) -> Routes:
        """The answer."""
        spread = {
            (place.option.esp, provider): Spread(place.credit, place.unused)
            for provider, places in self.places.items()
            for place in places
        }
        return Routes(self.chosen, self.reasons, self.draws, self.drawn_by, spread)


class _Chunk:
    """Messages to one mailbox provider that share their draws."""

    def __init__(self, work: _Work, places: list[_Place], drawn: list[float]) -> None:
        self.work, self.places, self.drawn = work, places, drawn
        self.everyone = tuple(range(len(places)))
        # What nobody will ever be heard of shows nothing, however often it is used.
        self.floor = work.floor if any(place.known for place in places) else 0
        self._best: dict[tuple[int, ...], list[int]] = {}
        self.ramping = any(place.share < 1.0 for place in places)

    def best(self, able: tuple[int, ...]) -> list[int]:
        """Of these places: the ones within the band of the best, in the tier that serves."""
        if able not in self._best:
            least = max(self.drawn[k] for k in able) - self.work.slack
            tiers: dict[int, float] = {}
            for k in able:
                tier = self.places[k].option.tier
                tiers[tier] = max(self.drawn[k], tiers.get(tier, 0.0))
            tier = min(tier for tier, top in tiers.items() if top >= least)
            near = tiers[tier] - self.work.band
            self._best[able] = [
                k for k in able
                if self.places[k].option.tier == tier and self.drawn[k] >= near
            ]  # fmt: skip
        return self._best[able]

    def take(self, indices: Sequence[int]) -> None:
        """Give every message of the chunk an ESP while there is room."""
        for i in indices:
            able = self._able(i)
            if able:
                self._take(i, able)

    def _able(self, i: int) -> tuple[int, ...]:
        room = self.work.room
        if not self.ramping:
            if all(room[place.option.esp] > 0 for place in self.places):
                return self.everyone
            return tuple(k for k in self.everyone if room[self.places[k].option.esp] > 0)
        return tuple(
            k for k, place in enumerate(self.places)
            if room[place.option.esp] > 0 and (place.share >= 1.0 or self._considered(i, place))
        )  # fmt: skip

    def _considered(self, i: int, place: _Place) -> bool:
        """By chance, anew each second: a message that only a ramping ESP could take is not kept
        waiting until the ramp is over."""
        work, ask = self.work, self.work.asks[i]
        esp = place.option.esp
        luck = chance.uniform(work.seed, "ramp", ask.id, ask.attempt, esp, int(work.now))
        return luck < place.share

    def _take(self, i: int, able: tuple[int, ...]) -> None:
        places, floor = self.places, self.floor
        best = self.best(able)
        overdue = [k for k in able if places[k].unused >= floor] if floor else []
        if overdue and len(able) > 1:
            pick, reason = max(overdue, key=lambda k: places[k].unused), FLOORED
        elif len(best) > 1:
            pick, reason = self._next(best), SPREAD
        else:
            pick, reason = best[0], BEST if len(able) > 1 else ONLY
        for k in able:
            places[k].unused += 1
        places[pick].unused = 0
        self.work.assign(i, places[pick].option.esp, reason)

    def _next(self, best: list[int]) -> int:
        """One step of smooth weighted round robin (as in nginx's upstream balancing)."""
        places = [self.places[k] for k in best]
        total = sum(place.option.weight for place in places)
        for place in places:
            part = place.option.weight / total if total else 1.0 / len(places)
            place.credit = min(MAX_CREDIT, place.credit + part)
        pick = max(best, key=lambda k: self.places[k].credit)
        self.places[pick].credit = max(-MAX_CREDIT, self.places[pick].credit - 1.0)
        return pick
