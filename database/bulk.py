"""Many rows in one statement: lists of values as a relation, the same text on both databases."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def listed(connection: sa.Connection) -> str:
    """`IN (…)` over the JSON array of numbers bound as `:ids`."""
    if connection.dialect.name == "sqlite":
        return "IN (SELECT value FROM json_each(:ids))"
    return "IN (SELECT CAST(value AS bigint) FROM jsonb_array_elements_text(CAST(:ids AS jsonb)))"


def texts_in(dialect: str, name: str) -> str:
    """`IN (…)` over the JSON array of texts bound as `:name`. SQLAlchemy's expanding parameter
    writes the statement anew for each run, which takes longer than a short statement itself."""
    if dialect == "sqlite":
        return f"IN (SELECT value FROM json_each(:{name}))"
    return f"IN (SELECT value FROM jsonb_array_elements_text(CAST(:{name} AS jsonb)))"


def among(connection: sa.Connection, ids: Collection[int]) -> tuple[str, dict[str, Any]]:
    """A condition on a column of row numbers, and what to bind for it. Numbers without a gap, as a
    claim's nearly always are, become a range: a third cheaper than a list."""
    low, high = min(ids, default=0), max(ids, default=-1)
    if high - low + 1 == len(set(ids)):
        return "BETWEEN :low AND :high", {"low": low, "high": high}
    return listed(connection), {"ids": packed(ids)}


def relation(connection: sa.Connection, columns: Sequence[tuple[str, str]]) -> str:
    """A table expression over the JSON array of arrays bound as `:rows`.

    `columns` are (name, type), type one of text, bigint, double, json. JSON values arrive as the
    database keeps JSON: text on SQLite, jsonb on PostgreSQL.
    """
    return relation_in(connection.dialect.name, columns)


def relation_in(dialect: str, columns: Sequence[tuple[str, str]]) -> str:
    """The same by the dialect's name, for a statement that is made once."""
    on_sqlite = dialect == "sqlite"
    parts = []
    for position, (name, kind) in enumerate(columns):
        if kind == "json":
            expression = f"value -> {position}"
        elif on_sqlite or kind == "text":
            expression = f"value ->> {position}"
        else:
            cast = {"bigint": "bigint", "double": "double precision"}[kind]
            expression = f"CAST(value ->> {position} AS {cast})"
        parts.append(f"{expression} AS {name}")
    source = "json_each(:rows)" if on_sqlite else "jsonb_array_elements(CAST(:rows AS jsonb))"
    return f"(SELECT {', '.join(parts)} FROM {source})"


def packed(values: Iterable[Any]) -> str:
    """The JSON text to bind as `:ids` or `:rows`."""
    return orjson.dumps(list(values)).decode()


def dialect_insert(connection: sa.Connection) -> Any:
    """`insert` with `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert
