"""BACK: what ESPs, and our own links, tell us about sends reaches the ledger, people and counters.

Exactly once, whatever the order, repetition or delay; one transaction per call. Verifying a call
and translating an ESP's words is its adapter's matter.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from database import engagement, events, send_acts, subscribers
from database.engagement import Marks
from database.engine import Database
from database.events import OWN
from database.lifecycle import lifted
from database.models import BounceKind, EventKind, SubscriberStatus, bounces, complaints
from database.models import SendStatus as S
from database.send_acts import Lift, SendRow
from inbound import guard, tally
from inbound.evidence import Met, keep, key_of, labelled
from inbound.lessons import Lesson, drawn
from list_manager import ListManager
from services.esp import EspEvent
from utils.addresses import BadAddress, canonical
from utils.score import forward
from utils.signing import read_send_id

#: Events handled by one set of statements; a larger call takes several, in one transaction.
SLICE = 1_000
#: What a human act is worth for the engagement score.
WEIGHTS = {EventKind.CLICK: 5.0, EventKind.OPEN: 1.0}
_REASONS = {
    SubscriberStatus.BOUNCED: "hard bounce",
    SubscriberStatus.COMPLAINED: "complaint",
    SubscriberStatus.UNSUBSCRIBED: "unsubscribed",
}
_EVIDENCE = {EventKind.BOUNCE: bounces, EventKind.COMPLAINT: complaints}


class Applied(NamedTuple):
    """What became of the events of a call."""

    new: int = 0  #: applied to a send of ours
    repeated: int = 0  #: known already: nothing changed
    unknown: int = 0  #: about no send of ours; kept
    ignored: int = 0  #: our send, but another address: kept, without effect


class Feedback:
    """Applies events. Thread-safe."""

    def __init__(
        self, database: Database, lists: ListManager, clock: Callable[[], float] = time.time,
        *, teach: Callable[[list[Lesson]], None] | None = None,
    ) -> None:  # fmt: skip
        """`lists` decides what a bounce, a complaint or an unsubscribe means for a person; `teach`
        is given what events show about their ESPs."""
        self._db = database
        self._lists = lists
        self._clock = clock
        self._teach = teach

    def apply(self, told: Sequence[EspEvent], *, durable: bool = True) -> Applied:
        """Apply the events of one call, or none of them. Not `durable`: a power cut may lose them,
        which is good enough for what our own pixel sees."""
        if not told:
            return Applied()
        applied, lessons = self._db.transact(lambda c: self._apply(c, told), durable=durable)
        if lessons and self._teach:  # only now: the transaction may have been tried several times
            self._teach(lessons)
        return applied

    def apply_in(self, connection: sa.Connection, told: Sequence[EspEvent]) -> Applied:
        """The same inside the caller's transaction; nothing is learnt of it about an ESP."""
        return self._apply(connection, told)[0]

    def _apply(
        self, connection: sa.Connection, told: Sequence[EspEvent]
    ) -> tuple[Applied, list[Lesson]]:
        now, lessons = self._clock(), list[Lesson]()
        totals = [
            self._slice(connection, told[start : start + SLICE], lessons, now)
            for start in range(0, len(told), SLICE)
        ]
        for esp, count in sorted(Counter(event.esp for event in told).items()):
            if esp != OWN:
                events.note_heard(connection, esp, count, now)
        return Applied(*(sum(numbers) for numbers in zip(*totals, strict=True))), lessons

    def _slice(
        self, connection: sa.Connection, told: Sequence[EspEvent], lessons: list[Lesson],
        now: float,
    ) -> Applied:  # fmt: skip
        met = labelled(connection, self._meet(connection, told))
        kept = keep(connection, met, now)
        new = [one for one in met if one.key in kept]
        ours = [one for one in new if one.send]
        lessons += drawn(connection, ours, _lift(connection, ours, now), now)
        self._suppress(connection, [one for one in new if not one.foreign])
        counted = tally.without_double_tracking(connection, ours)
        tally.count(connection, counted, now)
        self._mark(connection, counted, now)
        guard.watch(connection, ours, now)
        ignored = sum(one.foreign for one in new)
        unknown = len(new) - len(ours) - ignored
        return Applied(len(ours), len(told) - len(new), unknown, ignored)

    def _meet(self, connection: sa.Connection, told: Iterable[EspEvent]) -> list[Met]:
        """Find the send of each event, and lock it. What comes twice in one call is one event."""
        once = {key_of(event): (event, read_send_id(event.send_id)) for event in told}
        ids = sorted({ref.id for _, ref in once.values() if ref})
        rows = send_acts.for_events(connection, ids) if ids else {}
        met = []
        for key, (event, ref) in once.items():
            row = rows.get(ref.id) if ref else None
            if row is None or ref is None or row.nonce != ref.nonce:
                met.append(Met(event, key, None))
            else:
                met.append(Met(event, key, row, not self._is_own(row, event.address)))
        return met

    def _is_own(self, row: SendRow, address: str | None) -> bool:
        """Whether an event names the send's address. Some events name none."""
        if not address or address == row.address:
            return True
        named = _canonical(address)
        return named is not None and row.address in {named, self._lists.alias(named)}

    def _suppress(self, connection: sa.Connection, effective: Iterable[Met]) -> None:
        """Take out of reach whom an authentic event names, in the order of their ids."""
        due = [(one, status) for one in effective if (status := _suppresses(one))]
        due.sort(key=lambda pair: (pair[0].send and pair[0].send.subscriber_id) or 0)
        for one, status in due:
            person = one.send.subscriber_id if one.send else None
            address = one.send.address if one.send else one.event.address
            self._lists.suppress(
                connection, status=status, reason=one.words or _REASONS[status],
                source=_by(one), subscriber_id=person, address=address,
            )  # fmt: skip
            named = _canonical(address or "") if person is None else None
            if named and one.event.kind in _EVIDENCE:
                events.own_person(connection, _EVIDENCE[one.event.kind], one.key, named)

    def _mark(self, connection: sa.Connection, counted: Iterable[Met], now: float) -> None:
        """Signs of life, score and soft bounces; a click brings back who had fallen silent."""
        marks: dict[int, Marks] = {}
        for one in counted:
            person = one.send.subscriber_id if one.send else None
            if person is not None and _leaves_mark(one):
                _add_mark(marks.setdefault(person, Marks()), one, now)
        for number in engagement.mark(connection, marks):
            _wake(connection, number, now)


# --- steps ---------------------------------------------------------------------------------------


def _lift(connection: sa.Connection, ours: Iterable[Met], now: float) -> list[Lift]:
    """Move each send up to the highest state that its events prove."""
    best: dict[int, tuple[SendRow, Met]] = {}
    message_ids: dict[int, str] = {}
    for one in ours:
        row = one.send
        if row is None:
            continue
        if row.id not in best or one.rank > best[row.id][1].rank:
            best[row.id] = (row, one)
        if one.event.message_id:
            message_ids.setdefault(row.id, events.stored_text(one.event.message_id))
    lifts = [
        Lift._make((row, target, _esp(connection, row, one), message_ids.get(number), _why(one)))
        for number, (row, one) in sorted(best.items())
        if (target := lifted(row.status, one.proof))
    ]
    if lifts:
        send_acts.lift(connection, lifts, now)
    return lifts


def _esp(connection: sa.Connection, row: SendRow, one: Met) -> str | None:
    """The ESP that a send went through; our own links do not say which."""
    if one.event.esp != OWN:
        return one.event.esp
    return row.esp or engagement.esp_of(connection, row.id)


def _why(one: Met) -> str | None:
    """The reason that is kept with a send that an event stopped."""
    if one.proof is S.BOUNCED:
        kind = one.event.bounce or one.event.kind
        return f"{kind}: {one.words}" if one.words else kind.value
    if one.proof is S.COMPLAINED:
        return f"complaint: {one.words}" if one.words else "complaint"
    return None


def _by(one: Met) -> str:
    """Who says so: what comes by our own pages comes from the person."""
    return "person" if one.event.esp == OWN else one.event.esp


def _suppresses(one: Met) -> SubscriberStatus | None:
    """What an event makes of the person; a block or a soft bounce is never theirs to answer for."""
    match one.event.kind:
        case EventKind.COMPLAINT:
            return SubscriberStatus.COMPLAINED
        case EventKind.UNSUBSCRIBE:
            return SubscriberStatus.UNSUBSCRIBED
        case EventKind.BOUNCE if one.event.bounce is BounceKind.HARD:
            return SubscriberStatus.BOUNCED
        case _:
            return None


def _leaves_mark(one: Met) -> bool:
    kind = one.event.kind
    soft = kind is EventKind.BOUNCE and one.event.bounce in {None, BounceKind.SOFT}
    return kind is EventKind.DELIVERED or soft or one.human


def _add_mark(marks: Marks, one: Met, now: float) -> None:
    """An ESP's clock may be ahead; nobody is given an act from the future."""
    at, kind = events.stored_time(one.event.at), one.event.kind
    if kind is EventKind.DELIVERED:
        marks.delivered_at = max(marks.delivered_at, at)
    elif kind is EventKind.BOUNCE:
        marks.soft_bounced = True
    elif kind is EventKind.OPEN:
        marks.opened_at = max(marks.opened_at, min(at, now))
        marks.acts.append(forward(WEIGHTS[kind], min(at, now)))
    elif kind is EventKind.CLICK:
        marks.clicked_at = max(marks.clicked_at, min(at, now))
        marks.acts.append(forward(WEIGHTS[kind], min(at, now)))


def _wake(connection: sa.Connection, number: int, now: float) -> None:
    """Contract §3: a click lifts `inactive`."""
    person = subscribers.by_id(connection, number)
    if person is not None:
        active = SubscriberStatus.ACTIVE
        entry = {"at": now, "what": active, "by": "click", "was": person.status}
        subscribers.move(connection, person, active, reason="", entry=entry, at=now)


def _canonical(address: str) -> str | None:
    try:
        return canonical(address)
    except BadAddress:
        return None
