"""Hands out events whose time has come and keeps what was told; posts and words none of them."""

import sqlite3
import time
from collections.abc import Sequence
from itertools import chain

from simulator.log import ESP_CODE, ESPS, MESSAGE_COLUMNS, Log, insert
from simulator.outcomes import KIND_CODE, KINDS
from simulator.wire import Event, Json, Settled

KEYS_PER_STATEMENT = 100


def due(log: Log, connection: sqlite3.Connection, esp: str, until: int, limit: int) -> list[Event]:
    """Events to be posted now, oldest first; asked so often that the caller brings a connection."""
    rows = connection.execute(
        f"SELECT o.due, o.kind, o.attempt, o.at, {MESSAGE_COLUMNS} FROM outbox o"  # noqa: S608
        " JOIN messages m ON m.id = o.message"
        " WHERE o.esp = ? AND o.due <= ? ORDER BY o.due LIMIT ?",
        (ESP_CODE[esp], until, limit),
    ).fetchall()
    messages = log.stored((row[4:] for row in rows), connection)
    return [
        Event(row[0], KINDS[row[1]], row[2], row[3], message)
        for row, message in zip(rows, messages, strict=True)
    ]


def settle(log: Log, esp: str, done: Sequence[Settled], again: Sequence[Settled]) -> None:
    """Take told events out of the outbox, and put those to be told again further back."""
    code, now = ESP_CODE[esp], int(time.time() * 1000)
    gone = [(code, e.due, e.message.id, KIND_CODE[e.kind]) for e, _, _ in (*done, *again)]
    with log.writing() as connection:
        _remove(connection, gone)
        insert(
            connection,
            "INTO posted(at, esp, message, kind, status, attempts)",
            [(now, code, e.message.id, KIND_CODE[e.kind], n, tries) for e, n, tries in done],
        )
        insert(
            connection,
            "INTO outbox",
            [
                (code, later, e.message.id, KIND_CODE[e.kind], tries, e.at)
                for e, later, tries in again
            ],
        )
        for event, _, _ in done:
            log.told[esp, event.kind] += 1


def pending(log: Log) -> dict[str, int]:
    """How many events wait, by ESP."""
    with log.reading() as connection:
        rows = connection.execute("SELECT esp, count(*) FROM outbox GROUP BY esp").fetchall()
    return {ESPS[code]: n for code, n in rows}


def _remove(connection: sqlite3.Connection, keys: Sequence[Sequence[Json]]) -> None:
    # One search of the primary key per row; a row-value IN would scan the whole outbox.
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        part = keys[start : start + KEYS_PER_STATEMENT]
        one = "(esp = ? AND due = ? AND message = ? AND kind = ?)"
        connection.execute(
            f"DELETE FROM outbox WHERE {' OR '.join([one] * len(part))}",  # noqa: S608
            tuple(chain.from_iterable(part)),
        )
