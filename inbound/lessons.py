"""What events teach about the ESPs they come from: gathered while they are applied, learnt a moment
later in a transaction of its own. An ESP's row is locked before any send by every claim, so it may
not be locked after one; and beliefs need no exactness, while the ledger does."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from database import esp_performance as performance
from database import events
from database.engine import Database
from database.events import OWN
from database.models import BounceKind, EventKind
from database.models import SendStatus as S
from database.send_acts import Lift, SendRow
from inbound.evidence import Met
from services import learning
from services.esp_state import EspState
from services.learning import News
from services.policies.scores import Tally
from utils.buffer import Buffer

LEARN_SECONDS = 0.5
#: A first word within this time is about mail that was not deferred before.
LATE_SECONDS = 20.0

log = logging.getLogger(__name__)

#: The tally's field that an event counts in. A soft bounce says nothing about the ESP.
_FIELDS = {
    EventKind.DELIVERED: "delivered",
    EventKind.DEFERRED: "deferred",
    EventKind.COMPLAINT: "complained",
    BounceKind.HARD: "hard",
    BounceKind.BLOCK: "block",
}
#: Of a mailbox provider only these are learnt.
_OF_PROVIDER = ("delivered", "block")
#: The states of a send of which nothing has been heard.
_SILENT = frozenset({S.SENDING, S.ACCEPTED, S.IN_DOUBT})


class Lesson(NamedTuple):
    """What one event shows."""

    esp: str
    domain: str  #: of the address, in lower case
    field: str  #: of `Tally`; empty = nothing
    words: str
    handed_over_at: float | None  #: of the send, if this is the first that is heard of it
    own: bool  #: our own pixel or link: says nothing about the ESP's webhooks
    at: float  #: when we heard


def drawn(
    connection: sa.Connection, ours: Sequence[Met], lifts: Iterable[Lift], now: float
) -> list[Lesson]:
    """The lessons of new events about sends of ours, which are stored already; `lifts` moved some
    of these."""
    firsts = {lift.row.id: lift.row for lift in lifts if lift.row.status in _SILENT}
    deferred = _Deferred(connection, ours, firsts.values(), now)
    lessons = []
    for one in ours:
        row, esp = one.send, one.event.esp
        if row is None or (esp == OWN and row.id not in firsts):
            continue
        is_first = firsts.pop(row.id, None) is not None and not deferred.before(row.id)
        field = "" if esp == OWN else _FIELDS.get(one.event.bounce or one.event.kind, "")
        if one.event.kind is EventKind.DEFERRED:
            is_first = deferred.is_first(row) and row.status in _SILENT
            field = field if is_first else ""
        sent_at = row.handed_over_at if is_first else None
        if name := row.esp if esp == OWN else esp:
            domain = row.address.rpartition("@")[2]
            lessons.append(Lesson(name, domain, field, one.words, sent_at, esp == OWN, now))
    return lessons


class _Deferred:
    """Which sends had been deferred: their delivery is no first word, and its delay is the mailbox
    provider's. Looked up only for what could have been, mail that took its time."""

    def __init__(
        self, connection: sa.Connection, ours: Iterable[Met], firsts: Iterable[SendRow],
        now: float,
    ) -> None:  # fmt: skip
        rows = [one.send for one in ours if one.event.kind is EventKind.DEFERRED and one.send]
        self._told = Counter(row.id for row in rows)
        late = [row for row in firsts if now - (row.handed_over_at or now) > LATE_SECONDS]
        asked = {row.id: row for row in (*rows, *late)}
        self._stored = events.deferrals(connection, asked.values()) if asked else {}

    def before(self, send_id: int) -> bool:
        """Whether it was deferred at any time."""
        return send_id in self._stored or send_id in self._told

    def is_first(self, row: SendRow) -> bool:
        """Whether this deferral is its first; asked once for each event, true once."""
        told = self._told.pop(row.id, 0)
        return bool(told) and self._stored.get(row.id, 0) <= told


class KnowsProviders(Protocol):
    """Tells mailbox providers (`outbound.mailboxes`)."""

    def of_domain(self, domain: str) -> str:
        """Of a domain, as far as this process knows."""

    def recall(self, domains: Iterable[str]) -> None:
        """Learn what other processes know."""


class Learner:
    """Lets the ESPs' states learn, with what was gathered for a moment: an ESP that sends one event
    a call costs no more than another."""

    def __init__(
        self, database: Database, mailboxes: KnowsProviders,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """Nothing is started before the first lesson."""
        self._db = database
        self._mailboxes = mailboxes
        self._clock = clock
        self._waiting: Buffer[list[Lesson]] = Buffer(self._learn, LEARN_SECONDS)

    def add(self, lessons: list[Lesson]) -> None:
        """Learn within `LEARN_SECONDS`; whoever adds waits for nothing."""
        self._waiting.add(lessons)

    def flush(self) -> None:
        """Learn at once."""
        self._waiting.flush()

    def close(self) -> None:
        """Learn the rest."""
        self._waiting.close()

    def _learn(self, waiting: Iterable[list[Lesson]]) -> None:
        lessons = [lesson for some in waiting for lesson in some]
        self._mailboxes.recall(lesson.domain for lesson in lessons)
        news = by_esp(lessons, self._mailboxes.of_domain)
        self._db.transact(lambda c: learn(c, news, self._clock()), durable=False)


def learn(connection: sa.Connection, news: Mapping[str, News], now: float) -> None:
    """Let the ESPs' states learn."""
    states = performance.lock_states(connection, news, now)
    for esp, told in sorted(news.items()):
        before = EspState.from_json(states[esp])
        after = learning.informed(before, told, now, esp.encode())
        performance.save_states(connection, {esp: after.to_json()}, now)
        for line in after.news_since(before):
            log.warning("%s: %s, %s", esp, line["what"], line["why"])


def by_esp(lessons: Sequence[Lesson], provider_of: Callable[[str], str]) -> dict[str, News]:
    """What the lessons show together; `provider_of` tells a domain's mailbox provider."""
    found: dict[str, News] = {}
    for esp, field, number in _counted((one.esp, one.field) for one in lessons if one.field):
        news = found.setdefault(esp, News())
        news.tally = news.tally._replace(**{field: number})
    cells = (
        (one.esp, provider_of(one.domain), one.field)
        for one in lessons
        if one.field in _OF_PROVIDER
    )
    for esp, provider, field, number in _counted(cells):
        tallies = found[esp].by_provider
        tallies[provider] = tallies.get(provider, Tally())._replace(**{field: number})
    for one in lessons:
        _follow(found.setdefault(one.esp, News()), one, provider_of)
    return found


def _counted(keys: Iterable[tuple[str, ...]]) -> Iterator[tuple[Any, ...]]:
    return ((*key, number) for key, number in sorted(Counter(keys).items()))


def _follow(news: News, one: Lesson, provider_of: Callable[[str], str]) -> None:
    """What a single event adds beside the counts."""
    if one.field == BounceKind.BLOCK and one.words:
        news.words[provider_of(one.domain)] = one.words
    if one.handed_over_at is not None:
        news.handed_over.append(one.handed_over_at)
        if not one.own:
            news.delays.append(max(0.0, one.at - one.handed_over_at))
