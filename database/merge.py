"""Putting what imports and requests say about people into `subscribers`, many in one transaction.

The one place where a change meets what is stored: an opt-out is never lifted here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson
import sqlalchemy as sa

from database import bulk, suppression
from database.lifecycle import moves_away
from database.models import SubscriberStatus, subscribers
from database.subscribers import among
from utils.person import Change

_c = subscribers.c
#: Serialises imports on PostgreSQL, as SQLite's write lock does: chunks that share people in
#: different order would only meet in deadlocks. The number is ours and means nothing.
_IMPORT_LOCK = 7_236_401


_MOST_WRITTEN = 1_000


class Verdict(StrEnum):
    """What became of one change."""

    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    ERASED = "erased"  #: the person asked to be forgotten: nothing was stored


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
class _Record:
    """A row of `subscribers` while it is merged. JSON stays text until something touches it."""

    address: str
    email: str
    id: int | None = None
    name: str = ""
    status: str = ""
    tags: str = "{}"
    attributes: str = "{}"
    opt_in_at: float | None = None
    opt_in_ip: str | None = None
    created_at: float = 0.0
    stored: str | None = None  #: status before this transaction; None = a new row
    changed: bool = False


def merge(connection: sa.Connection, changes: Sequence[Change], origin: Origin) -> list[Verdict]:
    """Apply `changes` in their order; one verdict for each."""
    if origin.import_id and connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_IMPORT_LOCK)))
    records, verdicts = _judge(connection, changes, origin, lock=True)
    lost = _insert(connection, [r for r in records if r.stored is None], origin)
    _update(connection, [r for r in records if r.stored and r.changed], origin)
    _move(connection, [r for r in records if r.stored not in {None, r.status}], origin)
    if not lost:
        return verdicts
    # Added by others while we looked; now that their rows are there, they are merged like any.
    again = [change for change in changes if change.address.canonical in lost]
    found = iter(merge(connection, again, origin))
    return [
        next(found) if change.address.canonical in lost else verdict
        for change, verdict in zip(changes, verdicts, strict=True)
    ]


def rehearse(connection: sa.Connection, changes: Sequence[Change], origin: Origin) -> list[Verdict]:
    """What `merge` would say; writes nothing and waits for nobody."""
    return _judge(connection, changes, origin, lock=False)[1]


def _judge(
    connection: sa.Connection, changes: Sequence[Change], origin: Origin, *, lock: bool
) -> tuple[Iterable[_Record], list[Verdict]]:
    addresses = {change.address.canonical for change in changes}
    records = _stored(connection, addresses, lock=lock)
    erased = _erased(connection, addresses - records.keys(), origin.alias)
    verdicts = [
        Verdict.ERASED if change.address.canonical in erased else _put(records, change, origin)
        for change in changes
    ]
    return records.values(), verdicts


def _put(records: dict[str, _Record], change: Change, origin: Origin) -> Verdict:
    address = change.address.canonical
    record = records.get(address)
    if record is None:
        records[address] = _new(change, origin)
        return Verdict.ADDED
    if not _apply(record, change, origin):
        return Verdict.UNCHANGED
    record.changed = True
    return Verdict.UPDATED


def _new(change: Change, origin: Origin) -> _Record:
    given = {name: value for name, value in change.attributes.items() if value is not None}
    return _Record(
        address=change.address.canonical,
        email=change.address.email,
        name=change.name or change.spare_name,
        status=change.status or origin.status,
        tags=origin.first_tags(change.tags),
        attributes=orjson.dumps(given).decode() if given else "{}",
        opt_in_at=change.opt_in_at,
        opt_in_ip=change.opt_in_ip,
        created_at=origin.at if change.created_at is None else change.created_at,
    )


def _apply(record: _Record, change: Change, origin: Origin) -> bool:
    """Let `change` act on `record`; False when it says nothing new."""
    before = (
        record.name, record.status, record.tags, record.attributes,
        record.opt_in_at, record.opt_in_ip,
    )  # fmt: skip
    if change.name is not None:
        record.name = change.name
    record.name = record.name or change.spare_name
    if change.status and moves_away(
        SubscriberStatus(record.status), SubscriberStatus(change.status)
    ):
        record.status = change.status
    if change.tags or origin.tags or change.drop_tags:
        record.tags = _tagged(record.tags, (*change.tags, *origin.tags), change.drop_tags, origin)
    if change.attributes or change.drop_attributes:
        record.attributes = _attributed(record.attributes, change)
    if record.opt_in_at is None:
        record.opt_in_at, record.opt_in_ip = change.opt_in_at, change.opt_in_ip or record.opt_in_ip
    return before != (
        record.name, record.status, record.tags, record.attributes,
        record.opt_in_at, record.opt_in_ip,
    )  # fmt: skip


def _tagged(stored: str, wanted: Sequence[str], drop: bool, origin: Origin) -> str:
    old = orjson.loads(stored)
    kept = {tag: since for tag, since in old.items() if not drop or tag in wanted}
    new = {tag: origin.at for tag in wanted if tag not in kept}
    return stored if not new and len(kept) == len(old) else orjson.dumps(kept | new).decode()


def _attributed(stored: str, change: Change) -> str:
    old = orjson.loads(stored) if stored != "{}" else {}
    new = {} if change.drop_attributes else dict(old)
    for name, value in change.attributes.items():
        if value is None:
            new.pop(name, None)
        else:
            new[name] = value
    return stored if _same(new, old) else orjson.dumps(new).decode()


def _same(new: Any, old: Any) -> bool:
    """Equal as JSON. For Python true is 1 as well; for PostgreSQL 1e3 and 1000 are one number."""
    if isinstance(new, bool) or isinstance(old, bool):
        return new is old
    if isinstance(new, dict) and isinstance(old, dict):
        return new.keys() == old.keys() and all(_same(new[name], old[name]) for name in new)
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(map(_same, new, old))
    return bool(new == old)


def _stored(connection: sa.Connection, addresses: set[str], *, lock: bool) -> dict[str, _Record]:
    query = (
        sa.select(
            _c.address, _c.email, _c.id, _c.name, _c.status,
            sa.cast(_c.tags, sa.Text), sa.cast(_c.attributes, sa.Text),
            _c.opt_in_at, _c.opt_in_ip, _c.created_at, _c.status,
        )
        .where(among(connection, sorted(addresses)))
        .order_by(_c.address)
    )  # fmt: skip
    if lock:
        query = query.with_for_update()
    return {row[0]: _Record(*row) for row in connection.execute(query)}


def _erased(
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
    ("history", "json"), ("opt_in_at", "double"), ("opt_in_ip", "text"), ("import_id", "text"),
    ("created_at", "double"), ("updated_at", "double"),
)  # fmt: skip


def _insert(connection: sa.Connection, records: list[_Record], origin: Origin) -> set[str]:
    """Add new rows; returns the addresses that somebody else has added meanwhile."""
    if not records:
        return set()
    at, sqlite = origin.at, connection.dialect.name == "sqlite"
    json: Callable[[str], Any] = str if sqlite else orjson.Fragment
    rows = [
        (
            r.address, r.email, r.name, r.status, origin.source, at, json(r.tags),
            json(r.attributes), json(origin.first_entry(r.status)), r.opt_in_at,
            r.opt_in_ip, origin.import_id, r.created_at, at,
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
    ("opt_in_at", "double"), ("opt_in_ip", "text"),
)  # fmt: skip


def _update(connection: sa.Connection, records: list[_Record], origin: Origin) -> None:
    if not records:
        return
    rows = [
        (
            r.id, r.name, orjson.Fragment(r.tags), orjson.Fragment(r.attributes),
            r.opt_in_at, r.opt_in_ip,
        )
        for r in records
    ]  # fmt: skip
    sets = ", ".join(f"{name} = r.{name}" for name, _ in _CHANGED[1:])
    connection.execute(
        sa.text(
            f"UPDATE subscribers SET {sets}, updated_at = :at,"
            " import_id = coalesce(:import_id, import_id)"
            f" FROM {bulk.relation(connection, _CHANGED)} AS r WHERE subscribers.id = r.id"
        ),
        {"rows": bulk.packed(rows), "at": origin.at, "import_id": origin.import_id},
    )


_MOVED = (("id", "bigint"), ("status", "text"), ("entry", "json"))


def _move(connection: sa.Connection, records: list[_Record], origin: Origin) -> None:
    if not records:
        return
    rows = [(r.id, r.status, origin.entry(r.status, was=r.stored)) for r in records]
    if connection.dialect.name == "sqlite":
        history = "json_insert(history, '$[#]', json(r.entry))"
    else:
        history = "history || r.entry"
    connection.execute(
        sa.text(
            "UPDATE subscribers SET status = r.status, status_reason = :why, status_at = :at,"
            f" history = {history}"
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
