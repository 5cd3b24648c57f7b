"""How many people a segment reaches and what they lack; the indexes that make it quick."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from database.engine import Database
from database.models import SubscriberStatus, subscribers
from database.segment_sql import Attribute, Condition
from database.segments import ATTRIBUTE
from database.subscribers import key_in

_c = subscribers.c
_INDEX = "ix_subscribers_field_"
_EXAMPLES = 3


def reachable(condition: Condition | None = None) -> Condition:
    """Active people of a segment; None = everybody."""
    active = _c.status == SubscriberStatus.ACTIVE
    return active if condition is None else sa.and_(active, condition)


def not_opted_out(topic: str, *, sqlite: bool) -> Condition:
    """Whether a person still wants campaigns about `topic`."""
    return sa.not_(key_in(_c.topic_opt_outs, topic, sqlite=sqlite))


def count(connection: sa.Connection, condition: Condition | None) -> int:
    """How many active people a segment has."""
    query = sa.select(sa.func.count()).select_from(subscribers).where(reachable(condition))
    return connection.execute(query).scalar_one()


class Reader(NamedTuple):
    """A subscriber as a message is made for them."""

    id: int
    email: str
    name: str
    attributes: dict[str, Any]


def sample(connection: sa.Connection, condition: Condition | None) -> Reader | None:
    """Somebody whom a campaign reaches: the first of them."""
    query = sa.select(_c.id, _c.email, _c.name, _c.attributes).where(reachable(condition))
    row = connection.execute(query.order_by(_c.id).limit(1)).one_or_none()
    return Reader._make(row) if row else None


def addresses(connection: sa.Connection, condition: Condition | None, limit: int) -> list[str]:
    """Deliverable addresses of the first whom a campaign reaches."""
    query = sa.select(_c.email).where(reachable(condition)).order_by(_c.id).limit(limit)
    return list(connection.scalars(query))


def missing_counts(
    connection: sa.Connection, condition: Condition | None, names: Sequence[str]
) -> dict[str, tuple[int, list[str]]]:
    """Of each variable that somebody lacks (absent or null): how many do, and up to three of them.

    One pass over the audience; only what is lacking is looked up again, for examples.
    """
    if not names:
        return {}
    sqlite = connection.dialect.name == "sqlite"
    lacks = {name: _lacks(name, sqlite) for name in names}
    counts = [sa.func.count().filter(rule) for rule in lacks.values()]
    row = connection.execute(sa.select(*counts).where(reachable(condition))).one()
    return {
        name: (number, _examples(connection, condition, lacks[name]))
        for name, number in zip(lacks, row, strict=True)
        if number
    }


def ensure_field_indexes(db: Database, fields: Mapping[str, str]) -> None:
    """Make an index for each declared field (`SavedSegments.fields`), drop those of others.

    On PostgreSQL this waits for writers and they wait for it: call it at start.
    """
    wanted = {_index_name(field, form): (field, form) for field, form in fields.items()}
    with db.write() as connection:
        existing = {name for name in _indexes(connection) if name.startswith(_INDEX)}
        for name in existing - wanted.keys():
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
        for name in wanted.keys() - existing:
            field, form = wanted[name]
            attribute = Attribute(field.removeprefix(ATTRIBUTE), sqlite=db.is_sqlite)
            _create(connection, name, attribute.number if form == "number" else attribute.text)


def _lacks(name: str, sqlite: bool) -> Condition:
    """`name` and `first_name` are known from the name column as well."""
    nameless = _c.name == ""
    if name == "name":
        return nameless
    absent = sa.not_(Attribute(name, sqlite=sqlite).exists)
    return sa.and_(absent, nameless) if name == "first_name" else absent


def _examples(
    connection: sa.Connection, condition: Condition | None, lacks: Condition
) -> list[str]:
    query = sa.select(_c.email).where(reachable(condition), lacks).order_by(_c.id).limit(_EXAMPLES)
    return list(connection.scalars(query))


def _index_name(field: str, form: str) -> str:
    return _INDEX + hashlib.sha256(f"{form}:{field}".encode()).hexdigest()[:12]


def _indexes(connection: sa.Connection) -> list[str]:
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'subscribers'"
    else:
        query = "SELECT indexname FROM pg_indexes WHERE tablename = 'subscribers'"
    return list(connection.scalars(sa.text(query)))


def _create(connection: sa.Connection, name: str, expression: sa.ColumnElement[Any]) -> None:
    # Written out: an `Index` object would join the table's metadata, which migrations compare.
    compiled = expression.compile(
        dialect=connection.dialect, compile_kwargs={"literal_binds": True, "include_table": False}
    )
    connection.exec_driver_sql(
        f"CREATE INDEX IF NOT EXISTS {name} ON subscribers (status, ({compiled}))"
    )
