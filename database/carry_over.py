"""What must not be lost with the database that a restore replaces: whoever asked, since the backup,
not to be mailed stays out of reach, and what was used of the ESPs' days stays used.

Reads the former database, writes the restored one. A copied person keeps their own history.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from database import erasure, suppression
from database import esp_performance as performance
from database import subscribers as store
from database.ledger import add_performance
from database.lifecycle import moves_away
from database.models import CampaignStatus as C
from database.models import SubscriberStatus as P
from database.models import campaigns, esp_performance, sends, subscribers

ACTOR = "restore"
_PAGE = 1_000
_FIRM = (P.UNSUBSCRIBED, P.BOUNCED, P.COMPLAINED, P.ERASED)
_s = subscribers.c
#: Of a person whom the backup does not know; the number is the restored database's own.
_COPIED = (
    _s.address, _s.email, _s.name, _s.status, _s.status_reason, _s.status_at, _s.tags,
    _s.attributes, _s.topic_opt_outs, _s.history, _s.opt_in_at, _s.opt_in_ip, _s.created_at,
)  # fmt: skip
#: Runs a query on the database that is being replaced. Raises FormerUnreadable.
Former = Callable[[sa.Select[Any]], Sequence[Any]]
_c = campaigns.c
#: Sends that were claimed at least once; none of them goes back to where it waited by itself,
#: unless it is certain that it did not leave.
_TOUCHED = (
    _c.n_sending + _c.n_accepted + _c.n_delivered + _c.n_bounced + _c.n_complained + _c.n_failed
    + _c.n_in_doubt
).label("touched")  # fmt: skip


class FormerUnreadable(Exception):
    """The database that is replaced is damaged at this place, or of another version."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What was taken over."""

    out_of_reach: int  #: people who opted out, bounced or complained since the backup
    topics: int  #: topic opt-outs
    erased: int
    waited: frozenset[str]  #: nonces of paused campaigns of which nothing left since
    unread: tuple[str, ...]  #: what the replaced database could not tell


def carry_over(
    connection: sa.Connection, former: Former, alias: Callable[[str], str], now: float
) -> Carried:
    """Apply it to the restored database; `alias` names an erased address. What cannot be read
    does not keep the rest from being applied."""
    people = _People(connection, alias, now)
    unread = []
    try:
        for page in _unwilling(former):
            people.apply(page)
    except FormerUnreadable:
        unread.append("who opted out, bounced, complained or was erased")
    people.erase()
    try:
        _use(connection, former, now)
    except FormerUnreadable:
        unread.append("what was used of the ESPs' limits, and who is paused")
    waited = frozenset[str]()
    with suppress(FormerUnreadable):  # then nothing is known to have waited
        waited = _waited(connection, former)
    return Carried(people.out_of_reach, people.topics, people.erased, waited, tuple(unread))


class _People:
    """Applies what became of people, and counts what is news."""

    def __init__(self, connection: sa.Connection, alias: Callable[[str], str], now: float) -> None:
        self.out_of_reach = self.topics = self.erased = 0
        self._aliases: set[str] = set()
        self._connection, self._alias, self._now = connection, alias, now

    def apply(self, page: Sequence[Any]) -> None:
        known = _known(self._connection, [row.address for row in page])
        for row in page:
            if row.status == P.ERASED:
                self._aliases |= {row.address} - known.keys()
                continue
            person = known.get(row.address)
            out, left = _apply(self._connection, row, person, self._alias, self._now)
            self.out_of_reach += out
            self.topics += left

    def erase(self) -> None:
        """Whoever was forgotten since the backup is in it under their address."""
        self.erased = len(self._aliases)
        _erase(self._connection, self._aliases, self._alias, self._now)


def _unwilling(former: Former) -> Iterator[Sequence[Any]]:
    """Pages of people out of reach by their own act, or fully or partly opted out."""
    after = 0
    partly = sa.cast(_s.topic_opt_outs, sa.Text) != "{}"
    while True:
        page = former(
            sa.select(_s.id, *_COPIED)
            .where(_s.id > after, sa.or_(_s.status.in_(_FIRM), partly))
            .order_by(_s.id)
            .limit(_PAGE)
        )
        if not page:
            return
        yield page
        after = page[-1].id


def _known(connection: sa.Connection, addresses: Sequence[str]) -> dict[str, Any]:
    rows = connection.execute(
        sa.select(_s.id, _s.address, _s.status, _s.topic_opt_outs).where(
            store.among(connection, addresses)
        )
    )
    return {row.address: row for row in rows}


def _apply(
    connection: sa.Connection, row: Any, known: Any, alias: Callable[[str], str], now: float
) -> tuple[int, int]:
    """One person; (out of reach, topics) that are news to the restored database."""
    firm = row.status in _FIRM
    if known is None:
        if store.by_address(connection, alias(row.address)) is not None:
            return 0, 0
        _copy(connection, row, now)
        return int(firm), len(row.topic_opt_outs)
    away = firm and moves_away(P(known.status), P(row.status))
    new = row.topic_opt_outs.keys() - known.topic_opt_outs.keys()
    if not away and not new:
        return 0, 0
    person = store.by_address(connection, row.address, lock=True)
    if person is None:
        return 0, 0
    if away:
        _move(connection, person, row, now)
    for topic in sorted(new):
        person = store.by_id(connection, person.id) or person
        entry = {"at": now, "what": "topic opt-out", "by": ACTOR, "topic": topic,
                 "since": row.topic_opt_outs[topic]}  # fmt: skip
        suppression.opt_out_of_topic(connection, person, topic, entry=entry, at=now)
    return int(away), len(new)


def _move(connection: sa.Connection, person: store.Subscriber, row: Any, now: float) -> None:
    status = P(row.status)
    entry = {"at": now, "what": status, "by": ACTOR, "reason": row.status_reason,
             "was": person.status, "since": row.status_at}  # fmt: skip
    store.move(connection, person, status, reason=row.status_reason, entry=entry, at=now)
    suppression.stop_sends(connection, [person.id], status, at=now)
    suppression.stop_strangers_sends(connection, person.address, status, at=now)


def _copy(connection: sa.Connection, row: Any, now: float) -> None:
    values = {column.name: getattr(row, column.name) for column in _COPIED}
    connection.execute(subscribers.insert().values(**values, updated_at=now))
    status = P(row.status)
    if status in _FIRM:
        suppression.stop_strangers_sends(connection, row.address, status, at=now)


def _erase(
    connection: sa.Connection, aliases: set[str], alias: Callable[[str], str], now: float
) -> None:
    """The address is looked for by what it would be called."""
    found = {}
    for address in _addresses(connection) if aliases else ():
        if (name := alias(address)) in aliases:
            found[name] = address
    entry = {"at": now, "what": "erased", "by": ACTOR}
    for name in sorted(aliases):
        address = found.get(name, name)
        person = store.by_address(connection, address, lock=True)
        if person is None:
            _add_erased(connection, address, entry, now)
            person = store.by_address(connection, address, lock=True)
        if person is not None and address != name:
            strangers = erasure.strangers_sends(connection, address)
            erasure.erase(connection, person, name, entry=entry, at=now, strangers=strangers)


def _add_erased(connection: sa.Connection, address: str, entry: dict[str, Any], now: float) -> None:
    """One whom the backup does not know as a subscriber."""
    connection.execute(
        subscribers.insert().values(
            address=address, email="", status=P.ERASED, status_at=now, created_at=now,
            updated_at=now, history=[entry],
        )
    )  # fmt: skip


def _addresses(connection: sa.Connection) -> Iterator[str]:
    """Everybody's, also of single mails to people who are no subscribers."""
    s = sends.c
    strangers = sa.select(s.address).where(
        s.lane == sa.literal_column("'transactional'"), s.subscriber_id.is_(None)
    )
    yield from connection.scalars(strangers.distinct()).all()
    after = 0
    while page := connection.execute(
        sa.select(_s.id, _s.address)
        .where(_s.id > after, _s.status != P.ERASED)
        .order_by(_s.id)
        .limit(_PAGE)
    ).all():
        yield from (row.address for row in page)
        after = page[-1].id


def _use(connection: sa.Connection, former: Former, now: float) -> None:
    """The days' limits, and whether an ESP is paused or suspended, are the ESPs' and not ours."""
    c = esp_performance.c
    days = (performance.day_of(now), performance.day_of(now, 1))
    found = former(
        sa.select(c.key, c.period, c.used, c.state).where(
            c.scope == "esp", c.period.in_((*days, performance.LIVE))
        )
    )
    used = {(row.key, row.period): row.used for row in _used_here(connection, days)}
    states: dict[str, Mapping[str, Any]] = {}
    for row in found:
        if row.period == performance.LIVE:
            performance.add_state(connection, "esp", row.key, row.state, now)
            states[row.key] = row.state
            continue
        more = row.used - used.get((row.key, row.period), 0)
        if more > 0:
            add_performance(connection, "esp", row.key, row.period, {"used": more}, now)
    performance.save_states(connection, states, now)


def _used_here(connection: sa.Connection, days: Sequence[str]) -> Sequence[Any]:
    c = esp_performance.c
    query = sa.select(c.key, c.period, c.used).where(c.scope == "esp", c.period.in_(days))
    return connection.execute(query).all()


def _waited(connection: sa.Connection, former: Former) -> frozenset[str]:
    """Campaigns that were paused in the backup, are so still, and sent nothing in between. One
    that the former database does not know may have gone on anywhere."""
    columns = sa.select(_c.nonce, _TOUCHED).where(_c.status == C.PAUSED)
    paused = {row.nonce: row.touched for row in connection.execute(columns)}
    if not paused:
        return frozenset()
    since = former(columns.where(_c.nonce.in_(sorted(paused))))
    return frozenset(row.nonce for row in since if row.touched <= paused[row.nonce])
