"""The house's policies as a contender: what the product keeps in database rows is kept here in
memory, and the same functions are called in the same order."""

import hashlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.world.contenders import Message
from bench.world.scene import ESPS, Event
from services.policies import breakers, cells, chooser, memory, scores, stalls
from services.policies.cells import Cell
from services.policies.memory import EspMemory, Heard
from services.policies.routes import Ask, Option, kept
from services.policies.scores import Tally
from services.policies.stalls import Due


class Logged(NamedTuple):
    """A breaker's change."""

    at: int
    esp: str
    what: str
    state: str
    why: str
    deadline: float  #: of its mail's first event, as learnt by then (s)


#: A worker claims every second or two; the score of a claim need not be newer than this (s).
_WEIGHED_EVERY = 10


@dataclass
class Second:
    """Messages that one ESP accepted in one second."""

    sent_at: int
    total: int = 0
    answered: int = 0
    judged: bool = False


@dataclass
class Known:
    """One ESP's rows and ledger."""

    seed: bytes
    memory: EspMemory = field(default_factory=EspMemory)
    cells: dict[str, Cell] = field(default_factory=dict)
    waiting: deque[Second] = field(default_factory=deque)
    seconds: dict[int, Second] = field(default_factory=dict)
    weighed_at: int = -60
    weight: float = 1.0  #: by the score's band
    requests: int = 0  #: answered well in this second, not yet told to the memory


class Ours:
    """Thompson sampling with breakers and the stall detector."""

    def __init__(
        self, seed: int, *, tiers: Mapping[str, int] | None = None,
        weights: Mapping[str, float] | None = None, band: float = chooser.BAND,
        floor: int = chooser.FLOOR,
    ) -> None:  # fmt: skip
        self.seed = f"bench {seed}".encode()
        self.esps = {esp: Known(f"{esp} {seed}".encode()) for esp in ESPS}
        self.tiers, self.weights = tiers or {}, weights or {}
        self.band, self.floor = band, floor
        self.log: list[Logged] = []
        self.alerts: Counter[str] = Counter()
        self.sent_while_open = 0
        self._digest = hashlib.blake2b(digest_size=16)

    @property
    def replay(self) -> str:
        """A hash of every decision so far."""
        return self._digest.hexdigest()

    def choose(
        self, now: int, messages: Sequence[Message], room: Mapping[str, int]
    ) -> Sequence[str | None]:
        """Route a batch and reserve its probes."""
        options = [option for esp in ESPS if (option := self._option(now, esp, room[esp]))]
        asks = [Ask(m.id, m.provider, m.attempt, m.avoid) for m in messages]
        routes = chooser.route(
            asks, options, now, self.seed, band=self.band, floor=self.floor
        )  # fmt: skip
        for (esp, provider), spread in routes.spread.items():
            rows = self.esps[esp].cells
            rows[provider] = kept(rows.get(provider, Cell()), spread)
        self._reserve(now, options, routes.chosen)
        self._digest.update(repr((now, routes.chosen)).encode())
        return routes.chosen

    def _option(self, now: int, esp: str, room: int) -> Option | None:
        known = self.esps[esp]
        self._change(now, esp, memory.at(known.memory, now))
        admitted = memory.admission(known.memory, now, bulk=True)
        if room <= 0 or admitted.probes == 0:
            return None
        if now >= known.weighed_at + _WEIGHED_EVERY:
            known.weighed_at, known.weight = now, scores.band(known.memory.evidence, now).weight
        weight = known.weight * self.weights.get(esp, 1.0)
        return Option(
            esp, cells.esp_mean(known.memory.track, now), known.cells, self.tiers.get(esp, 1),
            weight, room, admitted.share, admitted.probes,
        )  # fmt: skip

    def _reserve(self, now: int, options: Sequence[Option], chosen: Sequence[str | None]) -> None:
        counts = Counter(chosen)
        for option in options:
            known, count = self.esps[option.esp], counts[option.esp]
            if option.probes is not None and count:
                self.sent_while_open += max(0, count - option.probes)
                known.memory = memory.probing(known.memory, count, now)

    def answered(self, now: int, esp: str, provider: str, *, ok: bool) -> bool:
        """A failure is learnt from at once, successes at the end of the second."""
        del provider  # breakers are the ESP's
        known = self.esps[esp]
        if ok:
            known.requests += 1
            if now not in known.seconds:
                known.seconds[now] = Second(now)
                known.waiting.append(known.seconds[now])
            known.seconds[now].total += 1
            return True
        self._tell(now, esp, failed=1)
        return known.memory.api.state in (breakers.CLOSED, breakers.RAMP)

    def _tell(self, now: int, esp: str, failed: int = 0) -> None:
        known, count = self.esps[esp], self.esps[esp].requests
        if count or failed:
            known.requests = 0
            tally = Tally(requests_ok=count, requests_failed=failed, accepted=count)
            self._change(
                now, esp, memory.answered(known.memory, tally, now, now, known.seed, "503")
            )

    def heard(self, now: int, events: Sequence[Event]) -> None:
        """Outcomes and delays."""
        by_esp: dict[str, list[Event]] = {}
        for event in events:
            by_esp.setdefault(event.esp, []).append(event)
        for esp, own in by_esp.items():
            self._heard(now, esp, own)

    def _heard(self, now: int, esp: str, events: list[Event]) -> None:
        known = self.esps[esp]
        delivered = Counter(event.provider for event in events if event.delivered)
        block = Counter(event.provider for event in events if not event.delivered)
        tally = Tally(delivered=delivered.total(), block=block.total())
        after = memory.informed(known.memory, tally, now, known.seed, known.cells)
        for provider in dict.fromkeys(event.provider for event in events):
            part = Tally(delivered=delivered[provider], block=block[provider])
            known.cells[provider] = memory.informed_cell(
                known.cells.get(provider, Cell()), after, part, now, known.seed
            )
        news = self._acknowledge(known, events, now)
        self._change(now, esp, memory.heard(after, news, now, known.seed))

    @staticmethod
    def _acknowledge(known: Known, events: list[Event], now: int) -> Heard:
        fresh = late = 0
        half_open = known.memory.stall.state == breakers.HALF_OPEN
        for event in events:
            second = known.seconds[event.sent_at]
            if not second.judged:
                second.answered += 1
                fresh += half_open and event.sent_at >= known.memory.stall.fresh
            elif 0 < known.memory.watch.onset <= event.sent_at:
                late += 1
        return Heard([now - event.sent_at for event in events], fresh, late)

    def settle(self, now: int) -> None:
        """Tell the memories what was answered, and judge what is due."""
        for esp, known in self.esps.items():
            self._tell(now, esp)
            limit = now - stalls.deadline(known.memory.watch)
            while known.waiting and known.waiting[0].sent_at <= limit:
                self._judge(now, esp, known.waiting.popleft())

    def _judge(self, now: int, esp: str, second: Second) -> None:
        second.judged = True
        known = self.esps[esp]
        others = [other.memory for name, other in self.esps.items() if name != esp]
        eligible = any(memory.admission(o, now, bulk=True).probes is None for o in others)
        silent, limit = second.total - second.answered, stalls.deadline(known.memory.watch)
        due = Due(silent, second.answered, second.sent_at, limit)
        after, alert = memory.judged(
            known.memory, due, now, known.seed, others=others, others_eligible=eligible
        )
        self.alerts[alert.rpartition("; ")[2]] += bool(alert)
        self._change(now, esp, after)

    def _change(self, now: int, esp: str, after: EspMemory) -> None:
        known = self.esps[esp]
        for switch in memory.switches(known.memory, after):
            deadline = stalls.deadline(known.memory.watch)
            self.log.append(Logged(now, esp, switch.what, switch.state, switch.why, deadline))
        known.memory = after
