"""Putting what imports and requests say about people into `subscribers`, many in one transaction.

The one place where a change meets what is stored: an opt-out is never lifted here.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import orjson
import sqlalchemy as sa

from database import records as rows
from database.lifecycle import moves_away
from database.models import SubscriberStatus
from database.records import Origin, Record
from utils.person import Change

#: Serialises imports on PostgreSQL, as SQLite's write lock does: chunks that share people in
#: different order would only meet in deadlocks. The number is ours and means nothing.
_IMPORT_LOCK = 7_236_401


class Verdict(StrEnum):
    """What became of one change."""

    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    ERASED = "erased"  #: the person asked to be forgotten: nothing was stored


def merge(connection: sa.Connection, changes: Sequence[Change], origin: Origin) -> list[Verdict]:
    """Apply `changes` in their order; one verdict for each."""
    if origin.import_id and connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_IMPORT_LOCK)))
    records, verdicts = _judge(connection, changes, origin, lock=True)
    lost = rows.insert(connection, [r for r in records if r.stored is None], origin)
    rows.update(connection, [r for r in records if r.stored and r.changed], origin)
    rows.move(connection, [r for r in records if r.stored not in {None, r.status}], origin)
    rows.leave_topics(connection, [r for r in records if r.stored and r.left_topics], origin)
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
) -> tuple[Iterable[Record], list[Verdict]]:
    addresses = {change.address.canonical for change in changes}
    records = rows.stored(connection, addresses, lock=lock)
    erased = rows.erased(connection, addresses - records.keys(), origin.alias)
    verdicts = [
        Verdict.ERASED if change.address.canonical in erased else _put(records, change, origin)
        for change in changes
    ]
    return records.values(), verdicts


def _put(records: dict[str, Record], change: Change, origin: Origin) -> Verdict:
    address = change.address.canonical
    record = records.get(address)
    if record is None:
        records[address] = _new(change, origin)
        return Verdict.ADDED
    if not _apply(record, change, origin):
        return Verdict.UNCHANGED
    record.changed = True
    return Verdict.UPDATED


def _new(change: Change, origin: Origin) -> Record:
    given = {name: value for name, value in change.attributes.items() if value is not None}
    return Record(
        address=change.address.canonical,
        email=change.address.email,
        name=change.name or change.spare_name,
        status=change.status or origin.status,
        tags=origin.first_tags(change.tags),
        attributes=orjson.dumps(given).decode() if given else "{}",
        topic_opt_outs=_since(change.topic_opt_outs, origin) if change.topic_opt_outs else "{}",
        opt_in_at=change.opt_in_at,
        opt_in_ip=change.opt_in_ip,
        created_at=origin.at if change.created_at is None else change.created_at,
    )


def _apply(record: Record, change: Change, origin: Origin) -> bool:
    """Let `change` act on `record`; False when it says nothing new."""
    before = _told(record)
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
    if change.topic_opt_outs:
        _leave_topics(record, change, origin)
    if record.opt_in_at is None:
        record.opt_in_at, record.opt_in_ip = change.opt_in_at, change.opt_in_ip or record.opt_in_ip
    return before != _told(record)


def _told(record: Record) -> tuple[Any, ...]:
    return (
        record.name, record.status, record.tags, record.attributes, record.topic_opt_outs,
        record.opt_in_at, record.opt_in_ip,
    )  # fmt: skip


def _leave_topics(record: Record, change: Change, origin: Origin) -> None:
    """Opt-outs are added; nothing that comes this way takes one back."""
    old = orjson.loads(record.topic_opt_outs)
    new = [topic for topic in change.topic_opt_outs if topic not in old]
    if new:
        record.topic_opt_outs = orjson.dumps({**old, **dict.fromkeys(new, origin.at)}).decode()
        record.left_topics += new


def _since(words: Sequence[str], origin: Origin) -> str:
    return orjson.dumps(dict.fromkeys(words, origin.at)).decode()


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
