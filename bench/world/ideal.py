"""The most that could be known: our breakers, but routing by the exact posterior (Bayes' rule) of
somebody who knows beforehand how the world drifts and where each ESP usually is. No real system
knows that; it shows how much of a regret is the price of not being told the truth.
"""

import math
from collections.abc import Mapping, Sequence

from bench.world.contenders import Message
from bench.world.ours import Ours
from bench.world.scene import DRIFT_SD, DRIFT_SECONDS, ESPS, MINUTE, PROVIDERS, USUAL, Event
from services.policies.routes import Option

#: How far a cell may be from its usual place, in logits: five standard deviations either way.
_AWAY = [DRIFT_SD * step / 4 for step in range(-20, 21)]
_DRIFTS_EVERY = 5 * MINUTE


def _scaled(values: Sequence[float]) -> list[float]:
    total = sum(values)
    return [value / total for value in values]


def _bell(middle: float, sd: float) -> list[float]:
    return _scaled([math.exp(-(((x - middle) / sd) ** 2) / 2) for x in _AWAY])


_KEPT = math.exp(-_DRIFTS_EVERY / DRIFT_SECONDS)
_MOVES = [_bell(_KEPT * x, DRIFT_SD * math.sqrt(1 - _KEPT**2)) for x in _AWAY]


class Posterior:
    """What is known of one cell, on a grid."""

    def __init__(self, usual: float) -> None:
        """`usual`: its true share delivered when nothing has drifted."""
        middle = math.log(usual / (1 - usual))
        self._delivered = [1 / (1 + math.exp(-middle - x)) for x in _AWAY]
        self._lost = [1 - share for share in self._delivered]
        self._weights = _bell(0.0, DRIFT_SD)

    @property
    def mean(self) -> float:
        """The share of the next messages that is delivered."""
        return sum(map(float.__mul__, self._weights, self._delivered))

    def saw(self, *, delivered: bool) -> None:
        """One message's event."""
        chances = self._delivered if delivered else self._lost
        self._weights = _scaled(list(map(float.__mul__, self._weights, chances)))

    def drifted(self) -> None:
        """`_DRIFTS_EVERY` seconds went by."""
        after = [0.0] * len(_AWAY)
        for weight, moves in zip(self._weights, _MOVES, strict=True):
            after = [total + weight * move for total, move in zip(after, moves, strict=True)]
        self._weights = after


class Ideal(Ours):
    """The best posterior mean that has room; breakers, probes and detectors are ours."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.cells = {
            (esp, provider): Posterior(share)
            for esp in ESPS
            for provider, share in zip(PROVIDERS, USUAL[esp], strict=True)
        }
        self._means = {cell: known.mean for cell, known in self.cells.items()}

    def choose(
        self, now: int, messages: Sequence[Message], room: Mapping[str, int]
    ) -> Sequence[str | None]:
        options = {esp: one for esp in ESPS if (one := self._option(now, esp, room[esp]))}
        left = {esp: _places(option, room[esp]) for esp, option in options.items()}
        chosen: list[str | None] = []
        for message in messages:
            able = [esp for esp, free in left.items() if free and esp not in message.avoid]
            best = max(able, default=None, key=lambda esp: self._worth(options[esp], message))
            chosen.append(best)
            if best:
                left[best] -= 1
        self._reserve(now, list(options.values()), chosen)
        return chosen

    def _worth(self, option: Option, message: Message) -> float:
        """A probe first: without it the ESP never comes back."""
        return 1.0 if option.probes is not None else self._means[option.esp, message.provider]

    def heard(self, now: int, events: Sequence[Event]) -> None:
        for event in events:
            cell = event.esp, event.provider
            self.cells[cell].saw(delivered=event.delivered)
            self._means[cell] = self.cells[cell].mean
        super().heard(now, events)

    def settle(self, now: int) -> None:
        super().settle(now)
        if now % _DRIFTS_EVERY == 0:
            for cell, known in self.cells.items():
                known.drifted()
                self._means[cell] = known.mean


def _places(option: Option, room: int) -> int:
    return room if option.probes is None else min(room, option.probes)
