"""Rows of `subscribers` on their way through a merge: read and locked together, written together.

Knows both databases' quickest statements; what a change means is `database.merge`'s business.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa

from database import bulk, suppression
from database.models import SubscriberStatus, subscribers
from database.subscribers import among

_c = subscribers.c
_MOST_WRITTEN = 1_000


@dataclass(frozen=True)
class Origin:
    """Who says it, when, and what holds for everybody it is said about."""

    at: float
    by: str
    alias: Callable[[str], str]  #: a canonical address -> the name its erased row has
    source: str = ""
    import_id: str | None = None
    status: SubscriberStatus = SubscriberStatus.ACTIVE  #: of new people whose change names none
    tags: Sequence[str] = ()
    #: JSON that many new people share.
    written: dict[Any, str] = field(default_factory=dict, init=False, compare=False)

    def entry(self, what: str, **more: Any) -> dict[str, Any]:
        """A line for the history."""
        given = {"source": self.source, "import": self.import_id, **more}
        return {"at": self.at, "what": what, "by": self.by, **{k: v for k, v in given.items() if v}}

    def first_entry(self, status: str) -> str:
        """The history of a new person, as JSON."""
        if status not in self.written:
            self.written[status] = orjson.dumps([self.entry("added", status=status)]).decode()
        return self.written[status]

    def first_tags(self, tags: Sequence[str]) -> str:
        """The tags of a new person, as JSON."""
        key = (*tags, *self.tags)
        if key not in self.written:
            if len(self.written) > _MOST_WRITTEN:
                self.written.clear()
            self.written[key] = orjson.dumps(dict.fromkeys(key, self.at)).decode()
        return self.written[key]


@dataclass(slots=True)
class Record:
    """A row of `subscribers` while it is merged. JSON stays text until something touches it."""

    address: str
    email: str
    id: int | None = None
    name: str = ""
    status: str = ""
    tags: str = "{}"
    attributes: str = "{}"
    topic_opt_outs: str = "{}"
    opt_in_at: float | None = None
    opt_in_ip: str | None = None
    created_at: float = 0.0
    stored: str | None = None  #: status before this transaction; None = a new row
    changed: bool = False
    left_topics: list[str] = field(default_factory=list)  #: opt-outs that this transaction adds


def stored(connection: sa.Connection, addresses: set[str], *, lock: bool) -> dict[str, Record]:
    query = (
        sa.select(
            _c.address, _c.email, _c.id, _c.name, _c.status,
            sa.cast(_c.tags, sa.Text), sa.cast(_c.attributes, sa.Text),
            sa.cast(_c.topic_opt_outs, sa.Text),
            _c.opt_in_at, _c.opt_in_ip, _c.created_at, _c.status,
        )
        .where(among(connection, sorted(addresses)))
        .order_by(_c.id)  # as everybody locks people
    )  # fmt: skip
    if lock:
        query = query.with_for_update()
    return {row[0]: Record(*row) for row in connection.execute(query)}


def erased(
    connection: sa.Connection, addresses: Iterable[str], alias: Callable[[str], str]
) -> set[str]:
    """Which of `addresses` belong to people who asked to be forgotten."""
    any_at_all = sa.select(_c.id).where(_c.status == SubscriberStatus.ERASED).limit(1)
    if connection.execute(any_at_all).first() is None:
        return set()
    names = {alias(address): address for address in addresses}
    found = connection.execute(sa.select(_c.address).where(among(connection, list(names))))
    return {names[row[0]] for row in found}


_NEW = (
    ("address", "text"), ("email", "text"), ("name", "text"), ("status", "text"),
    ("status_reason", "text"), ("status_at", "double"), ("tags", "json"), ("attributes", "json"),
    ("topic_opt_outs", "json"), ("history", "json"), ("opt_in_at", "double"),
    ("opt_in_ip", "text"), ("import_id", "text"), ("created_at", "double"),
    ("updated_at", "double"),
)  # fmt: skip


def insert(connection: sa.Connection, records: list[Record], origin: Origin) -> set[str]:
    """Add new rows; returns the addresses that somebody else has added meanwhile."""
    if not records:
        return set()
    at, sqlite = origin.at, connection.dialect.name == "sqlite"
    json: Callable[[str], Any] = str if sqlite else orjson.Fragment
    rows = [
        (
            r.address, r.email, r.name, r.status, origin.source, at, json(r.tags),
            json(r.attributes), json(r.topic_opt_outs), json(origin.first_entry(r.status)),
            r.opt_in_at, r.opt_in_ip, origin.import_id, r.created_at, at,
        )
        for r in records
    ]  # fmt: skip
    names = ", ".join(name for name, _ in _NEW)
    if sqlite:  # one by one is three times as fast there, and under its lock nobody is first
        marks = ", ".join("?" * len(_NEW))
        connection.exec_driver_sql(f"INSERT INTO subscribers ({names}) VALUES ({marks})", rows)
        return set()
    added = connection.execute(
        sa.text(
            f"INSERT INTO subscribers ({names}) SELECT {names} FROM"
            f" {bulk.relation(connection, _NEW)} AS r WHERE true"
            " ON CONFLICT (address) DO NOTHING RETURNING address"
        ),
        {"rows": bulk.packed(rows)},
    )
    return {record.address for record in records}.difference(added.scalars())


_CHANGED = (
    ("id", "bigint"), ("name", "text"), ("tags", "json"), ("attributes", "json"),
    ("topic_opt_outs", "json"), ("opt_in_at", "double"), ("opt_in_ip", "text"),
)  # fmt: skip


def update(connection: sa.Connection, records: list[Record], origin: Origin) -> None:
    if not records:
        return
    rows = [
        (
            r.id, r.name, orjson.Fragment(r.tags), orjson.Fragment(r.attributes),
            orjson.Fragment(r.topic_opt_outs), r.opt_in_at, r.opt_in_ip,
        )
        for r in records
    ]  # fmt: skip
    sets = ", ".join(f"{name} = r.{name}" for name, _ in _CHANGED[1:])
    connection.execute(
        sa.text(
            # Whatever changed somebody last: null when it was no import (database/undo.py).
            f"UPDATE subscribers SET {sets}, updated_at = :at, import_id = :import_id"
            f" FROM {bulk.relation(connection, _CHANGED)} AS r WHERE subscribers.id = r.id"
        ),
        {"rows": bulk.packed(rows), "at": origin.at, "import_id": origin.import_id},
    )


_MOVED = (("id", "bigint"), ("status", "text"), ("entry", "json"))


def move(connection: sa.Connection, records: list[Record], origin: Origin) -> None:
    if not records:
        return
    rows = [(r.id, r.status, origin.entry(r.status, was=r.stored)) for r in records]
    connection.execute(
        sa.text(
            "UPDATE subscribers SET status = r.status, status_reason = :why, status_at = :at,"
            f" history = {_history(connection)}"
            f" FROM {bulk.relation(connection, _MOVED)} AS r WHERE subscribers.id = r.id"
        ),
        {"rows": bulk.packed(rows), "at": origin.at, "why": origin.source or origin.by},
    )
    for status in {r.status for r in records}:
        suppression.stop_sends(
            connection,
            [r.id for r in records if r.status == status and r.id is not None],
            SubscriberStatus(status),
            at=origin.at,
        )


def leave_topics(connection: sa.Connection, records: list[Record], origin: Origin) -> None:
    """Note new topic opt-outs of people who were there, and stop what waits for them."""
    leaving: dict[str, list[int]] = {}
    for record in records:
        for topic in record.left_topics:
            if record.id is not None:
                leaving.setdefault(topic, []).append(record.id)
    for topic, people in leaving.items():
        entry = origin.entry("topic opt-out", topic=topic)
        connection.execute(
            sa.text(
                f"UPDATE subscribers SET history = {_history(connection)}"
                f" FROM {bulk.relation(connection, _NOTED)} AS r WHERE subscribers.id = r.id"
            ),
            {"rows": bulk.packed((number, entry) for number in people)},
        )
        suppression.stop_sends(
            connection, people, SubscriberStatus.UNSUBSCRIBED, at=origin.at, topic=topic
        )


_NOTED = (("id", "bigint"), ("entry", "json"))


def _history(connection: sa.Connection) -> str:
    """`history` with `r.entry` behind it."""
    if connection.dialect.name == "sqlite":
        return "json_insert(history, '$[#]', json(r.entry))"
    return "history || r.entry"
