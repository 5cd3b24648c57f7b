"""What a person decides by the consent token of a message: to leave, to come back, or by topic.

The token is all the authority there is, and enough: RFC 8058 asks for no log-in. Every act leaves
its evidence in the person's history.
"""

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from database import events, send_acts, subscribers, tracked
from database.engine import Database
from database.events import OWN
from database.lifecycle import moves_away
from database.models import EventKind, SubscriberStatus
from database.send_acts import SendRow
from database.subscribers import Subscriber
from feedback import Feedback
from list_manager import ListManager
from services.esp import EspEvent
from utils.signing import SendRef

#: `what` of the history entry that tells how a person left.
EVIDENCE = "unsubscribe evidence"
_BY = "person"
_OUT = SubscriberStatus.UNSUBSCRIBED


@dataclass(frozen=True, slots=True)
class Visit:
    """Who acts, as far as that can be seen."""

    ip: str
    user_agent: str
    way: str  #: `one-click` by a mail program, or `page`


@dataclass(frozen=True, slots=True)
class Standing:
    """A person as their own page shows them."""

    email: str  #: empty once they are forgotten
    out: bool  #: no campaign reaches them
    may_undo: bool  #: this token's unsubscribe was the last change
    topics: dict[str, bool]  #: wanted or not


class Consent:
    """Acts on behalf of whoever holds a token. None = the send is not in this database."""

    def __init__(
        self, database: Database, lists: ListManager, feedback: Feedback,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """An unsubscribe is an event like an ESP's, and takes the same road."""
        self._db = database
        self._lists = lists
        self._feedback = feedback
        self._clock = clock

    def standing(self, ref: SendRef) -> Standing | None:
        """What is so now; changes nothing."""
        with self._db.read() as connection:
            row = tracked.send(connection, ref.nonce, ref.id)
            return None if row is None else _standing(row, _person(connection, row), ref)

    def unsubscribe(self, ref: SendRef, visit: Visit) -> Standing | None:
        """No campaign reaches this person any more. Doing it again changes nothing."""

        def work(connection: sa.Connection) -> Standing | None:
            row = _locked(connection, ref)
            if row is None:
                return None
            before = _person(connection, row)
            if not _is_done(connection, row, before):
                self._leave(connection, row, ref, visit)
            return _standing(row, _person(connection, row), ref)

        return self._db.transact(work)

    def undo(self, ref: SendRef, visit: Visit) -> bool:
        """Take the unsubscribe of this very token back. False: it was not the last change."""

        def work(connection: sa.Connection) -> bool:
            row = _locked(connection, ref)
            person = _person(connection, row, lock=True) if row else None
            back = _before(person, ref)
            if person is None or back is None:
                return False
            at = self._clock()
            entry = _entry(at, back, ref, visit) | {"reason": "took it back", "was": person.status}
            return subscribers.move(connection, person, back, reason="", entry=entry, at=at)

        return self._db.transact(work)

    def choose(self, ref: SendRef, wanted: Collection[str]) -> Standing | None:
        """Keep exactly these topics, of those that the person has."""

        def work(connection: sa.Connection) -> Standing | None:
            row = _locked(connection, ref)
            if row is None:
                return None
            person = _person(connection, row, lock=True)
            if person is not None and person.status is not SubscriberStatus.ERASED:
                for topic in _topics(person):
                    act = (
                        self._lists.opt_in_to_topic
                        if topic in wanted
                        else self._lists.opt_out_of_topic
                    )
                    act(connection, person.id, topic, by=_BY)
            return _standing(row, _person(connection, row), ref)

        return self._db.transact(work)

    def _leave(self, connection: sa.Connection, row: SendRow, ref: SendRef, visit: Visit) -> None:
        at = self._clock()
        event = EspEvent(
            esp=OWN, key=secrets.token_hex(12), kind=EventKind.UNSUBSCRIBE, at=at,
            send_id=str(ref), reason=f"unsubscribed by {visit.way}",
            user_agent=visit.user_agent, ip=visit.ip,
        )  # fmt: skip
        self._feedback.apply_in(connection, [event])
        person = _person(connection, row)
        if person is not None and person.status is not SubscriberStatus.ERASED:
            entry = _entry(at, EVIDENCE, ref, visit) | {"way": visit.way}
            subscribers.note(connection, person.id, entry=entry, at=at, values={})


def _locked(connection: sa.Connection, ref: SendRef) -> SendRow | None:
    """The send, locked: two acts by one token follow each other. Of a test there is none."""
    if tracked.send(connection, ref.nonce, ref.id) is None:
        return None
    return send_acts.for_events(connection, [ref.id]).get(ref.id)


def _person(connection: sa.Connection, row: SendRow, *, lock: bool = False) -> Subscriber | None:
    if row.subscriber_id is not None:
        return subscribers.by_id(connection, row.subscriber_id, lock=lock)
    return subscribers.by_address(connection, row.address, lock=lock)


def _is_done(connection: sa.Connection, row: SendRow, person: Subscriber | None) -> bool:
    """Whether this mail was used to leave before, and the person is still gone."""
    gone = person is not None and not moves_away(person.status, _OUT)
    told = events.unsubscribes(connection, row.id, row.campaign_id, row.subscriber_id)
    return gone and told > 0


def _before(person: Subscriber | None, ref: SendRef) -> SubscriberStatus | None:
    """What the person was before they left by this token; None unless that is the last change."""
    if person is None or person.status is not _OUT:
        return None
    since: list[str] = []
    for entry in reversed(person.history):
        if entry.get("what") == EVIDENCE:
            since.append(entry["send"])
        elif entry.get("what") in set(SubscriberStatus):
            was = entry.get("was")
            return SubscriberStatus(was) if was and since == [str(ref)] else None
    return None


def _standing(row: SendRow, person: Subscriber | None, ref: SendRef) -> Standing:
    if person is None:
        return Standing(row.address, out=False, may_undo=False, topics={})
    if person.status is SubscriberStatus.ERASED:
        return Standing("", out=True, may_undo=False, topics={})
    opted_out = person.topic_opt_outs
    return Standing(
        person.email or person.address,
        out=not moves_away(person.status, _OUT),
        may_undo=_before(person, ref) is not None,
        topics={topic: topic not in opted_out for topic in _topics(person)},
    )


def _topics(person: Subscriber) -> list[str]:
    return sorted({*person.tags, *person.topic_opt_outs})


def _entry(at: float, what: str, ref: SendRef, visit: Visit) -> dict[str, Any]:
    return {
        "at": at, "what": what, "by": _BY, "send": str(ref), "ip": visit.ip,
        "user_agent": visit.user_agent,
    }  # fmt: skip
