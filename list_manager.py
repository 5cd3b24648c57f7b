"""WHO may be mailed: adding, consent, suppression, forgetting and counting people.

Knows what may be done to a subscriber; the rows are the stores' in database/.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import sqlalchemy as sa

import utils.addresses
from database import erasure, people, subscriber_stats, suppression, undo
from database import subscribers as store
from database import timeline as timelines
from database.engine import Database
from database.imports import Importer, ImportReport, Upload
from database.lifecycle import moves_away
from database.merge import Verdict, merge
from database.models import SubscriberStatus
from database.records import Origin
from database.segments import SavedSegments, parse
from database.subscribers import Filter, Subscriber
from utils.addresses import BadAddress
from utils.entry import refusal
from utils.errors import Conflict, Invalid, NotFound
from utils.own_export import pieces
from utils.person import Change

_ERASED = "This person asked to be forgotten; the address stays suppressed and cannot be added."


@dataclass(frozen=True)
class Page:
    """A slice of the list and where the next one begins."""

    items: list[Subscriber]
    next_cursor: int | None


class ListManager:
    """The list. Every act on a person goes through here."""

    def __init__(
        self, db: Database, *, erasure_key: str, clock: Callable[[], float] = time.time,
        saved: SavedSegments | None = None, refused: Collection[str] = (),
    ) -> None:  # fmt: skip
        """`erasure_key` names erased addresses; with another one they would be forgotten twice.
        `saved` are segments by name, `refused` the signs with which no address comes in."""
        self._db = db
        self._clock = clock
        self._saved = saved
        self._refused = refused
        self._key = hashlib.sha256(erasure_key.encode()).digest()

    # Reading

    def get(self, email: str) -> Subscriber:
        """The subscriber with that address, in any spelling."""
        with self._db.read() as connection:
            return self._found(connection, _canonical(email))

    def timeline(self, person: Subscriber, *, limit: int = 100) -> list[dict[str, Any]]:
        """What happened to them, newest first."""
        with self._db.read() as connection:
            return timelines.timeline(connection, person, limit=limit)

    def page(self, wanted: Filter, *, after: int = 0, limit: int = 50) -> Page:
        """Subscribers in the order they were added, after the number `after`."""
        with self._db.read() as connection:
            found = store.page(connection, wanted, after=after, limit=limit + 1)
        more = len(found) > limit
        return Page(found[:limit], found[limit - 1].id if more else None)

    def stats(self) -> dict[str, Any]:
        """How many people by status; the active ones by mailbox provider and tag."""
        with self._db.read() as connection:
            statuses = subscriber_stats.by_status(connection)
            return {
                "total": sum(statuses.values()),
                "by_status": statuses,
                "by_mailbox_provider": subscriber_stats.by_mailbox_provider(connection),
                "by_tag": subscriber_stats.by_tag(connection),
            }

    # Adding and changing

    def upsert(self, change: Change, *, by: str, source: str = "api") -> tuple[Subscriber, Verdict]:
        """Add the person, or let `change` act on who is there: a status only moves away."""

        why = refusal(change, self._refused)

        def work(connection: sa.Connection) -> tuple[Subscriber | None, Verdict]:
            if why and store.by_address(connection, change.address.canonical) is None:
                raise Invalid.of("email", f"{why}; such addresses are refused here")
            verdict = merge(connection, [change], self._origin(by=by, source=source))[0]
            return store.by_address(connection, change.address.canonical), verdict

        person, verdict = self._db.transact(work)
        if person is None:
            raise Conflict(_ERASED)
        return person, verdict

    def patch(self, email: str, change: Change, *, by: str) -> Subscriber:
        """Change someone who is there; a status that would bring them back is refused."""
        address = _canonical(email)

        def work(connection: sa.Connection) -> Subscriber:
            person = self._found(connection, address, lock=True)
            if change.status and change.status != person.status:
                _must_move_away(person, SubscriberStatus(change.status))
            merge(connection, [change], self._origin(by=by, source="api"))
            return self._found(connection, address)

        return self._db.transact(work)

    # Consent

    def unsubscribe(self, email: str, *, reason: str, by: str) -> Subscriber:
        """An operator's act: no campaign reaches this person any more."""
        return self._act(email, SubscriberStatus.UNSUBSCRIBED, reason, by)

    def resubscribe(self, email: str, *, reason: str, by: str) -> Subscriber:
        """An operator's act, with the reason that justifies it: the person may be mailed again."""
        return self._act(email, SubscriberStatus.ACTIVE, reason, by)

    def erase(self, email: str, *, by: str) -> None:
        """Forget the person; a keyed hash stays, so that no list brings the address back."""
        address = _canonical(email)
        alias = self.alias(address)
        with self._db.read() as connection:
            strangers = erasure.strangers_sends(connection, address)

        def work(connection: sa.Connection) -> None:
            person = self._found(connection, address, lock=True)
            at = self._clock()
            entry = {"at": at, "what": "erased", "by": by}
            erasure.erase(connection, person, alias, entry=entry, at=at, strangers=strangers)

        self._db.transact(work)

    def suppress(
        self, connection: sa.Connection, *, status: SubscriberStatus, reason: str, source: str,
        subscriber_id: int | None = None, address: str | None = None,
    ) -> bool:  # fmt: skip
        """What an event proves about a person, inside the caller's transaction: they only move
        away. An unknown address is stored, so that it stays suppressed. False = nothing new."""
        at = self._clock()
        person = self._named(connection, subscriber_id, address)
        if person is None:
            return self._suppress_stranger(connection, address, status, reason, source)
        if not moves_away(person.status, status):
            return False
        entry = _entry(at, status, source, reason, person.status)
        store.move(connection, person, status, reason=reason, entry=entry, at=at)
        suppression.stop_sends(connection, [person.id], status, at=at)
        suppression.stop_strangers_sends(connection, person.address, status, at=at)
        return True

    def opt_out_of_topic(
        self, connection: sa.Connection, subscriber_id: int, topic: str, *, by: str
    ) -> bool:
        """No more campaigns about `topic`, inside the caller's transaction."""
        at = self._clock()
        person = store.by_id(connection, subscriber_id, lock=True)
        entry = {"at": at, "what": "topic opt-out", "by": by, "topic": topic}
        return person is not None and suppression.opt_out_of_topic(
            connection, person, topic, entry=entry, at=at
        )

    def opt_in_to_topic(
        self, connection: sa.Connection, subscriber_id: int, topic: str, *, by: str
    ) -> bool:
        """The person takes back an opt-out from `topic`, inside the caller's transaction."""
        at = self._clock()
        person = store.by_id(connection, subscriber_id, lock=True)
        entry = {"at": at, "what": "topic opt-in", "by": by, "topic": topic}
        return person is not None and suppression.opt_in_to_topic(
            connection, person, topic, entry=entry, at=at
        )

    # Many at once

    def import_stream(
        self, file: BinaryIO, *, format: str,  # noqa: A002  (the word of the API)
        by: str, dry_run: bool = False, status: SubscriberStatus = SubscriberStatus.ACTIVE,
        tags: tuple[str, ...] = (), source: str = "", upload: Upload = Upload(),  # noqa: B008
    ) -> ImportReport:  # fmt: skip
        """Put a file of people on the list, in chunks that each stand by themselves: after a
        crash, importing the file again finishes it. Never lifts an opt-out."""
        origin = replace(self._origin(by=by, source=source), status=status, tags=tags)
        importer = Importer(self._db, origin, self._clock, upload, self._refused)
        return importer.run(file, format, dry_run=dry_run)

    def undo_import(self, import_id: str, *, by: str) -> dict[str, Any]:
        """Take back the people whom only that import brought; the import as it is then known."""
        return undo.undo(self._db, import_id, by=by, clock=self._clock)

    def export(
        self, *, format: str, segment: Any = None,  # noqa: A002  (the word of the API)
        status: SubscriberStatus | None = None,
    ) -> Iterator[str]:  # fmt: skip
        """Everybody, or a segment, as text in pieces that an import reads back without lifting or
        losing anything. Raises SegmentError before the first piece."""
        rule = None if segment is None else parse(segment, self._saved)
        return pieces(people.pages(self._db, rule, status, self._clock()), format)

    def alias(self, address: str) -> str:
        """The name under which an erased canonical address is kept."""
        mac = hashlib.blake2b(address.encode(), key=self._key, digest_size=20)
        return f"erased:{mac.hexdigest()}"

    # Steps

    # The moment of an act is read inside its transaction: one that had to wait, or a long import,
    # must not claim to have stopped mail that left before it was committed.

    def _origin(self, *, by: str, source: str) -> Origin:
        return Origin(at=self._clock(), by=by, alias=self.alias, source=source)

    def _found(self, connection: sa.Connection, address: str, *, lock: bool = False) -> Subscriber:
        person = store.by_address(connection, address, lock=lock)
        if person is not None:
            return person
        if store.by_address(connection, self.alias(address)) is not None:
            raise NotFound("This person was erased at their request.")
        raise NotFound("There is no subscriber with this address.")

    def _act(self, email: str, target: SubscriberStatus, reason: str, by: str) -> Subscriber:
        address = _canonical(email)
        if not reason.strip():
            raise Invalid.of("reason", "say why: it is kept with the person's history")

        def work(connection: sa.Connection) -> Subscriber:
            person = self._found(connection, address, lock=True)
            leaving = target is SubscriberStatus.UNSUBSCRIBED
            if person.status == target or (leaving and not moves_away(person.status, target)):
                return person
            at = self._clock()
            entry = _entry(at, target, by, reason, person.status)
            fresh = {"soft_bounce_run": 0, "soft_bounce_since": None}
            store.move(connection, person, target, reason=reason, entry=entry, at=at, also=fresh)
            if leaving:
                suppression.stop_sends(connection, [person.id], target, at=at)
            return self._found(connection, address)

        return self._db.transact(work)

    def _named(
        self, connection: sa.Connection, number: int | None, address: str | None
    ) -> Subscriber | None:
        """By number, else by address; an erased person answers to their old address."""
        if number is not None:
            return store.by_id(connection, number, lock=True)
        try:
            canonical = utils.addresses.canonical(address or "")
        except BadAddress:
            return None
        return store.by_address(connection, canonical, lock=True) or store.by_address(
            connection, self.alias(canonical)
        )

    def _suppress_stranger(
        self, connection: sa.Connection, address: str | None, status: SubscriberStatus,
        reason: str, source: str,
    ) -> bool:  # fmt: skip
        try:
            parsed = utils.addresses.parse(address or "")
        except BadAddress:
            return False
        origin = replace(self._origin(by=source, source=source), status=status)
        # With a status as well: somebody may have added them just now.
        merge(connection, [Change(parsed, status=status)], origin)
        person = store.by_address(connection, parsed.canonical)
        if person is not None:
            entry = _entry(origin.at, status, source, reason, None)
            note = {"status_reason": reason}
            store.note(connection, person.id, entry=entry, at=origin.at, values=note)
        suppression.stop_strangers_sends(connection, parsed.canonical, status, at=origin.at)
        return True


def _canonical(email: str) -> str:
    """The key of an address that a caller names; nobody has an address that is none."""
    try:
        return utils.addresses.canonical(email)
    except BadAddress as error:
        raise NotFound(f"There is no subscriber with this address: {error}") from None


def _must_move_away(person: Subscriber, target: SubscriberStatus) -> None:
    if not moves_away(person.status, target):
        raise Conflict(
            f"This person is {person.status}; that does not become {target} by a change. "
            "Bringing someone back is an act of its own, with a reason: resubscribe."
        )


def _entry(
    at: float, what: str, by: str, reason: str, was: SubscriberStatus | None
) -> dict[str, Any]:
    return {"at": at, "what": what, "by": by, "reason": reason} | ({"was": was} if was else {})
