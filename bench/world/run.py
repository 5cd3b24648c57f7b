"""Plays a scene with one contender and counts what happened, second by second."""

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from bench.world.contenders import Contender, Message
from bench.world.scene import CAPS, ESPS, HARD, SILENT, SLUMP, Event, Fault, Scene

ATTEMPTS = 3


@dataclass
class Outcome:
    """What one contender did with one scene."""

    arrived: int = 0
    accepted: int = 0
    left: int = 0  #: still waiting at the end
    expected: float = 0.0  #: deliveries, by the true probabilities
    into: Counter[str] = field(default_factory=Counter)  #: messages into a fault, by its kind
    submissions: list[tuple[int, str]] = field(default_factory=list)  #: requests into HARD
    sent: dict[str, list[int]] = field(default_factory=dict)  #: by ESP, per second
    by_cell: Counter[tuple[str, str]] = field(default_factory=Counter)
    requeued: int = 0


class Player:
    """One scene, one contender."""

    def __init__(self, scene: Scene, contender: Contender) -> None:
        self.scene, self.contender = scene, contender
        self.rng = random.Random(f"outcomes {scene.seed}")
        self.events: list[list[Event]] = [[] for _ in range(scene.seconds)]
        self.outcome = Outcome(sent={esp: [0] * scene.seconds for esp in ESPS})
        self.tokens = dict.fromkeys(ESPS, 0.0)
        self.queue: deque[Message] = deque()
        self.broken: Sequence[Fault] = ()

    def play(self, each: Callable[[int], None] | None = None) -> Outcome:
        """The whole day."""
        for now in range(self.scene.seconds):
            self.second(now)
            if each is not None:
                each(now)
        self.outcome.left = len(self.queue)
        return self.outcome

    def second(self, now: int) -> None:
        """Events, then mail, then a look at what is due."""
        self.broken = self.scene.broken(now)
        for esp in ESPS:
            rate = CAPS[esp] * self.scene.rate
            self.tokens[esp] = min(self.tokens[esp] + rate, max(1.0, rate) + rate)
        if self.events[now]:
            self.contender.heard(now, self.events[now])
            self.events[now] = []
        for provider in self.scene.arrivals[now]:
            self.queue.append(Message(self.outcome.arrived, provider, now))
            self.outcome.arrived += 1
        if self.queue:
            self._dispatch(now)
        self.contender.settle(now)

    def _dispatch(self, now: int) -> None:
        """As many rounds as a message may have attempts: who failed goes elsewhere at once."""
        batch = [self.queue.popleft() for _ in range(min(len(self.queue), self._room()))]
        left: list[Message] = []
        for _ in range(ATTEMPTS):
            if not batch:
                break
            again = self._round(now, batch)
            left += [message for message in again if message.attempt == 0]
            batch = [message for message in again if message.attempt > 0]
        waiting = sorted([*left, *batch])
        self.outcome.requeued += len(waiting)
        self.queue.extendleft(
            message._replace(attempt=0, avoid=frozenset()) for message in reversed(waiting)
        )

    def _room(self) -> int:
        return sum(int(tokens) for tokens in self.tokens.values())

    def _round(self, now: int, batch: list[Message]) -> list[Message]:
        room = {esp: int(tokens) for esp, tokens in self.tokens.items()}
        chosen = self.contender.choose(now, batch, room)
        again: list[Message] = []
        closed: set[str] = set()
        for message, esp in zip(batch, chosen, strict=True):
            if esp is None:
                again.append(message)
            elif esp in closed:  # it failed a moment ago: never began, goes elsewhere
                again.append(message._replace(attempt=message.attempt + 1))
            elif not self._submit(now, esp, message):
                again.append(message._replace(
                    attempt=message.attempt + 1, avoid=message.avoid | {esp}
                ))  # fmt: skip
                if not self.contender.answered(now, esp, message.provider, ok=False):
                    closed.add(esp)
        return again

    def _submit(self, now: int, esp: str, message: Message) -> bool:
        self.tokens[esp] -= 1
        refusal = self.scene.refusal(esp, self.broken)
        if refusal == 1.0:
            self.outcome.submissions.append((now, esp))
            self.outcome.into[HARD] += 1
        if self.rng.random() < refusal:
            return False
        self.contender.answered(now, esp, message.provider, ok=True)
        self._accept(now, esp, message.provider)
        return True

    def _accept(self, now: int, esp: str, provider: str) -> None:
        outcome = self.outcome
        chance = self.scene.chance(esp, provider, now, self.broken)
        for fault in self.broken:
            if fault.esp == esp and fault.kind in (SILENT, SLUMP):
                outcome.into[fault.kind] += fault.provider in ("", provider)
        outcome.accepted += 1
        outcome.expected += chance
        outcome.sent[esp][now] += 1
        outcome.by_cell[esp, provider] += 1
        fate = self.scene.fate(self.rng, esp, now, chance)
        if fate.event_at is not None and fate.event_at < self.scene.seconds:
            self.events[fate.event_at].append(Event(esp, provider, now, fate.delivered))


def without(scene: Scene, kind: str) -> Scene:
    """The same day without one kind of fault."""
    return replace(scene, faults=[fault for fault in scene.faults if fault.kind != kind])
