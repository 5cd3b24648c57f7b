"""Reading and moving one subscriber at a time; what a change means is not decided here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from database.models import SubscriberStatus, subscribers

_c = subscribers.c


@dataclass(frozen=True)
class Subscriber:
    """One person, as stored."""

    id: int
    address: str
    email: str
    name: str
    status: SubscriberStatus
    status_reason: str
    status_at: float
    tags: dict[str, float]
    attributes: dict[str, Any]
    topic_opt_outs: dict[str, float]
    history: list[dict[str, Any]]
    opt_in_at: float | None
    opt_in_ip: str | None
    engagement: float | None
    last_delivered_at: float | None
    last_open_at: float | None
    last_click_at: float | None
    soft_bounce_run: int
    soft_bounce_since: float | None
    import_id: str | None
    created_at: float
    updated_at: float


@dataclass(frozen=True)
class Filter:
    """Which subscribers a list shows; None does not filter."""

    status: SubscriberStatus | None = None
    tag: str | None = None
    prefix: str | None = None  #: of the canonical address


def by_address(connection: sa.Connection, address: str, *, lock: bool = False) -> Subscriber | None:
    """The subscriber of a canonical address (or of an erased one's alias)."""
    return _one(connection, _c.address == address, lock)


def by_id(connection: sa.Connection, number: int, *, lock: bool = False) -> Subscriber | None:
    """The subscriber of that number."""
    return _one(connection, _c.id == number, lock)


def page(
    connection: sa.Connection, wanted: Filter, *, after: int = 0, limit: int = 50
) -> list[Subscriber]:
    """At most `limit` subscribers with a number above `after`, in the order of their numbers."""
    query = sa.select(subscribers).where(_c.id > after).order_by(_c.id).limit(limit)
    if wanted.status is not None:
        query = query.where(_c.status == wanted.status)
    if wanted.tag is not None:
        query = query.where(has_key(connection, _c.tags, wanted.tag))
    if wanted.prefix:
        query = query.where(_starts_with(connection, wanted.prefix))
    return [_read(row) for row in connection.execute(query)]


def has_key(
    connection: sa.Connection, column: sa.ColumnElement[Any], key: str
) -> sa.ColumnElement[bool]:
    """Whether the JSON object in `column` has `key`."""
    return key_in(column, key, sqlite=connection.dialect.name == "sqlite")


def key_in(column: sa.ColumnElement[Any], key: str, *, sqlite: bool) -> sa.ColumnElement[bool]:
    """The same for a condition that is built before its connection is known."""
    if not sqlite:
        return sa.cast(column, JSONB).op("?", return_type=sa.Boolean())(key)
    # Not by path: SQLite 3.40 compares a path's label with the raw text between the quotes.
    each = sa.func.json_each(column).table_valued("key")
    return sa.exists(sa.select(sa.literal(1)).select_from(each).where(each.c.key == key))


def move(
    connection: sa.Connection, person: Subscriber, target: SubscriberStatus, *,
    reason: str, entry: dict[str, Any], at: float, also: dict[str, Any] | None = None,
) -> bool:  # fmt: skip
    """Compare-and-set the status and note why; False when somebody was first."""
    moved = connection.execute(
        subscribers.update()
        .where(_c.id == person.id, _c.status == person.status)
        .values(
            status=target, status_reason=reason, status_at=at, updated_at=at,
            history=appended(connection, entry), **(also or {}),
        )
    )  # fmt: skip
    return moved.rowcount == 1


def note(
    connection: sa.Connection, number: int, *, entry: dict[str, Any], at: float,
    values: dict[str, Any],
) -> None:  # fmt: skip
    """Set columns of one subscriber and append `entry` to the history, which nothing shortens."""
    connection.execute(
        subscribers.update()
        .where(_c.id == number)
        .values(history=appended(connection, entry), updated_at=at, **values)
    )


def appended(connection: sa.Connection, entry: dict[str, Any]) -> sa.ColumnElement[Any]:
    """`history` with one more entry, for the SET clause."""
    text = orjson.dumps(entry).decode()
    if connection.dialect.name == "sqlite":
        return sa.func.json_insert(_c.history, "$[#]", sa.func.json(text))
    return sa.type_coerce(_c.history, JSONB).op("||")(sa.cast(sa.literal(text), JSONB))


def among(connection: sa.Connection, addresses: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whether `address` is one of a list of any length, bound as one value."""
    if connection.dialect.name == "sqlite":
        each = sa.func.json_each(orjson.dumps(list(addresses)).decode()).table_valued("value")
        return _c.address.in_(sa.select(each.c.value))
    listed = sa.cast(sa.literal(list(addresses), sa.ARRAY(sa.Text)), sa.ARRAY(sa.Text))
    return _c.address == sa.any_(listed)


def _one(
    connection: sa.Connection, condition: sa.ColumnElement[bool], lock: bool
) -> Subscriber | None:
    query = sa.select(subscribers).where(condition)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _read(row)


def _starts_with(connection: sa.Connection, prefix: str) -> sa.ColumnElement[bool]:
    if connection.dialect.name == "sqlite":  # a range, because LIKE does not use the index
        return sa.and_(_c.address >= prefix, _c.address < prefix + "\U0010ffff")
    return sa.func.starts_with(_c.address, prefix)


def _read(row: sa.Row[Any]) -> Subscriber:
    values = row._asdict()
    return Subscriber(**{**values, "status": SubscriberStatus(values["status"])})
