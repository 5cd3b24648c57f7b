"""Ways of choosing an ESP that others use: the baselines."""

# ruff: noqa: ARG002 - a contender takes what the protocol gives, and the simple ones look away
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from bench.world.scene import ESPS, Event


class Message(NamedTuple):
    """One message that wants an ESP."""

    id: int
    provider: str
    arrived: int
    attempt: int = 0
    avoid: frozenset[str] = frozenset()


class Contender(Protocol):
    """A way of choosing. All of them get synchronous failover and the same rate limits."""

    def choose(
        self, now: int, messages: Sequence[Message], room: Mapping[str, int]
    ) -> Sequence[str | None]:
        """The ESP of each message; None: not now."""
        ...

    def answered(self, now: int, esp: str, provider: str, *, ok: bool) -> bool:
        """A request was answered; whether the rest of this second may still go there."""
        ...

    def heard(self, now: int, events: Sequence[Event]) -> None:
        """First events of messages arrived."""
        ...

    def settle(self, now: int) -> None:
        """The second is over."""
        ...


class Baseline:
    """What the simple ways share: message by message, best first, while there is room."""

    def choose(
        self, now: int, messages: Sequence[Message], room: Mapping[str, int]
    ) -> Sequence[str | None]:
        """The first in order that has room."""
        left = dict(room)
        chosen: list[str | None] = []
        for message in messages:
            order = [e for e in self.order(message.provider) if e not in message.avoid and left[e]]
            chosen.append(order[0] if order else None)
            if order:
                left[order[0]] -= 1
        return chosen

    def order(self, provider: str) -> Sequence[str]:
        """ESPs, best first."""
        raise NotImplementedError

    def answered(self, now: int, esp: str, provider: str, *, ok: bool) -> bool:
        """Learns nothing."""
        return True

    def heard(self, now: int, events: Sequence[Event]) -> None:
        """Learns nothing."""

    def settle(self, now: int) -> None:
        """Does nothing."""


class Static(Baseline):
    """Always in one order."""

    def __init__(self, order: Sequence[str] = ESPS) -> None:
        self._order = order

    def order(self, provider: str) -> Sequence[str]:
        """As configured."""
        return self._order


class RoundRobin(Baseline):
    """One after the other."""

    def __init__(self) -> None:
        self._turn = 0

    def order(self, provider: str) -> Sequence[str]:
        """The next one first."""
        self._turn = (self._turn + 1) % len(ESPS)
        return [*ESPS[self._turn :], *ESPS[: self._turn]]


class Greedy(Baseline):
    """The best ratio of successes so far, over requests and events."""

    def __init__(self) -> None:
        self.good = dict.fromkeys(ESPS, 1.0)
        self.all = dict.fromkeys(ESPS, 1.0)

    def order(self, provider: str) -> Sequence[str]:
        """By ratio."""
        return sorted(ESPS, key=lambda esp: -self.good[esp] / self.all[esp])

    def answered(self, now: int, esp: str, provider: str, *, ok: bool) -> bool:
        """A failed request is a failure; an accepted one waits for its event."""
        if not ok:
            self.all[esp] += 1
        return True

    def heard(self, now: int, events: Sequence[Event]) -> None:
        """Counts events."""
        for event in events:
            self.all[event.esp] += 1
            self.good[event.esp] += event.delivered


class Ewma(Baseline):
    """The best moving average, and 5 % at random."""

    def __init__(self, seed: int, step: float = 0.02, explore: float = 0.05) -> None:
        self._rng = random.Random(f"explore {seed}")
        self._step, self._explore = step, explore
        self._value = dict.fromkeys(ESPS, 1.0)

    def order(self, provider: str) -> Sequence[str]:
        """By average, or at random."""
        if self._rng.random() < self._explore:
            return self._rng.sample(ESPS, len(ESPS))
        return sorted(ESPS, key=lambda esp: -self._value[esp])

    def _learn(self, esp: str, good: float) -> None:
        self._value[esp] += self._step * (good - self._value[esp])

    def answered(self, now: int, esp: str, provider: str, *, ok: bool) -> bool:
        """A failed request counts as undelivered."""
        if not ok:
            self._learn(esp, 0.0)
        return True

    def heard(self, now: int, events: Sequence[Event]) -> None:
        """Counts events."""
        for event in events:
            self._learn(event.esp, float(event.delivered))
