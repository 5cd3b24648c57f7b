"""What is known of each import: rows of `esp_performance`. Scope `import`: how far it got and what
became of its rows; scope `import-errors`: what was wrong with every bad row, in pieces.

Knows numbers and words, nobody's address.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from database import esp_performance as performance
from database.campaigns import highest_subscriber_id
from database.models import esp_performance

SCOPE, ERRORS = "import", "import-errors"
SCOPES = (SCOPE, ERRORS)
#: Errors of one row; a reader may ask for as many at once.
PIECE = 1_000
_PIECES = 10
#: What was wrong with a file three months ago is nobody's question any more.
ERRORS_KEPT_SECONDS = 90 * 86_400.0
#: An import that was silent for so long was killed, or its file stopped coming.
SILENT_SECONDS = 600.0
_t = esp_performance


class RowError(NamedTuple):
    """What is wrong with one row."""

    row: int
    field: str
    message: str


def new_id(now: float) -> str:
    """Later imports have higher ids."""
    return f"imp_{int(now):09x}{secrets.token_hex(4)}"


def start(connection: sa.Connection, import_id: str, about: Mapping[str, Any], now: float) -> None:
    """Remember a new import, and what it will add its people behind."""
    state = {**about, "first_id": highest_subscriber_id(connection)}
    performance.add_state(connection, SCOPE, import_id, state, now)
    connection.execute(
        _t.delete().where(_t.c.scope == ERRORS, _t.c.updated_at < now - ERRORS_KEPT_SECONDS)
    )


def save(connection: sa.Connection, import_id: str, news: Mapping[str, Any], now: float) -> None:
    """Put `news` into what is known of it."""
    known = performance.get_state(connection, SCOPE, import_id) or {}
    performance.put_state(connection, SCOPE, import_id, {**known, **news}, now)


def add_errors(
    connection: sa.Connection, import_id: str, first: int, errors: Sequence[RowError], now: float
) -> None:
    """Keep errors; `first` is how many there were before."""
    pieces = [
        {
            "scope": ERRORS, "key": import_id, "period": f"{first + start:010d}",
            "state": {"errors": [_storable(error) for error in errors[start : start + PIECE]]},
            "updated_at": now,
        }
        for start in range(0, len(errors), PIECE)
    ]  # fmt: skip
    if pieces:
        connection.execute(_t.insert(), pieces)


def _storable(error: RowError) -> list[Any]:
    """A file may name its columns by letters that no database keeps."""
    name = error.field.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return [error.row, name, error.message]


def errors_of(
    connection: sa.Connection, import_id: str, *, after: int, limit: int
) -> list[RowError]:
    """Errors in the order they were found, without the first `after`."""
    # No piece is longer: the one that holds the next error begins behind this.
    behind = f"{after - PIECE:010d}" if after >= PIECE else ""
    found: list[RowError] = []
    while len(found) < limit:
        pieces = _pieces(connection, import_id, behind)
        if not pieces:
            break
        for period, state in pieces:
            found += map(RowError._make, state["errors"][max(0, after - int(period)) :])
            behind = period
    return found[:limit]


def _pieces(connection: sa.Connection, import_id: str, behind: str) -> Sequence[Any]:
    query = (
        sa.select(_t.c.period, _t.c.state)
        .where(_t.c.scope == ERRORS, _t.c.key == import_id, _t.c.period > behind)
        .order_by(_t.c.period)
        .limit(_PIECES)
    )
    return connection.execute(query).all()


def get(connection: sa.Connection, import_id: str, now: float) -> dict[str, Any] | None:
    """What is known of one import."""
    query = sa.select(_t.c.key, _t.c.state, _t.c.updated_at).where(
        _t.c.scope == SCOPE, _t.c.key == import_id
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _told(row, now)


def page(
    connection: sa.Connection, *, before: str | None, limit: int, now: float
) -> list[dict[str, Any]]:
    """Imports, newest first, that are older than the one called `before`."""
    query = sa.select(_t.c.key, _t.c.state, _t.c.updated_at).where(_t.c.scope == SCOPE)
    if before is not None:
        query = query.where(_t.c.key < before)
    rows = connection.execute(query.order_by(_t.c.key.desc()).limit(limit))
    return [_told(row, now) for row in rows]


def with_digest(connection: sa.Connection, digest: str, now: float) -> dict[str, Any] | None:
    """The finished import of a file with these very bytes."""
    query = sa.select(_t.c.key, _t.c.state, _t.c.updated_at).where(
        _t.c.scope == SCOPE,
        _t.c.state["digest"].as_string() == digest,
        _t.c.state["status"].as_string() == "finished",
    )
    row = connection.execute(query.limit(1)).one_or_none()
    return None if row is None else _told(row, now)


def _told(row: Any, now: float) -> dict[str, Any]:
    told = {**row.state, "import_id": row.key, "updated_at": row.updated_at}
    if told["status"] == "running" and row.updated_at < now - SILENT_SECONDS:
        told["status"] = "interrupted"
    return told
