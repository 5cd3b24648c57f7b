"""Hands out what has come due and keeps what became of it: events to tell and visits to make.

It has two queues per ESP, numbered in `log`; it posts, visits and words nothing itself.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from itertools import chain

from simulator.log import ESP_CODE, ESPS, MESSAGE_COLUMNS, Log, insert
from simulator.outcomes import KIND_CODE, KINDS, TOLD_AS
from simulator.wire import Event, Json, Settled

KEYS_PER_STATEMENT = 100
READERS = "readers"
NEVER = 1 << 62

Row = tuple[int, int, int, int, int, int]


def due(
    log: Log, connection: sqlite3.Connection, queue: int, until: int, limit: int
) -> list[Event]:
    """What is due in a queue, oldest first; asked so often that the caller brings a connection."""
    connection.execute("BEGIN")  # one snapshot: a reset between the two reads takes half away
    try:
        return _due(log, connection, queue, until, limit)
    finally:
        connection.execute("COMMIT")


def _due(
    log: Log, connection: sqlite3.Connection, queue: int, until: int, limit: int
) -> list[Event]:
    rows = connection.execute(
        f"SELECT o.due, o.kind, o.attempt, o.at, {MESSAGE_COLUMNS} FROM outbox o"  # noqa: S608
        " JOIN messages m ON m.id = o.message"
        " WHERE o.esp = ? AND o.due <= ? ORDER BY o.due LIMIT ?",
        (queue, until, limit),
    ).fetchall()
    messages = log.stored((row[4:] for row in rows), connection)
    return [
        Event(row[0], KINDS[row[1]], row[2], row[3], message)
        for row, message in zip(rows, messages, strict=True)
    ]


def oldest(connection: sqlite3.Connection, queue: int) -> int:
    """When the first entry of a queue is due; NEVER for an empty one."""
    row = connection.execute("SELECT min(due) FROM outbox WHERE esp = ?", (queue,)).fetchone()
    return NEVER if row[0] is None else int(row[0])


def settle(
    log: Log,
    queue: int,
    done: Sequence[Settled],
    again: Sequence[Settled],
    *,
    told: Sequence[Event] = (),
    unseen: Sequence[Event] = (),
) -> None:
    """Take entries out of a queue: what is done is kept on record, what is to be done again is put
    further back, visits that the ESP tells of instead become its events, unseen ones are gone."""
    now = int(time.time() * 1000)
    entries = [*(event for event, _, _ in (*done, *again)), *told, *unseen]
    later = [
        (queue, at, e.message.id, KIND_CODE[e.kind], tries, e.at) for e, at, tries in again
    ] + [
        (ESP_CODE[e.message.esp], e.due, e.message.id, KIND_CODE[TOLD_AS[e.kind]], 0, e.at)
        for e in told
    ]
    with log.writing() as connection:
        _remove(connection, [(queue, e.due, e.message.id, KIND_CODE[e.kind]) for e in entries])
        insert(
            connection,
            "INTO posted(at, esp, message, kind, status, attempts)",
            [
                (now, ESP_CODE[e.message.esp], e.message.id, KIND_CODE[e.kind], status, tries)
                for e, status, tries in done
            ],
        )
        insert(connection, "INTO outbox", _of_kept_mail(connection, later))
        for event, _, _ in done:
            log.told[event.message.esp, event.kind] += 1


def waiting(log: Log) -> dict[int, int]:
    """How many entries wait, by queue."""
    with log.reading() as connection:
        return dict(connection.execute("SELECT esp, count(*) FROM outbox GROUP BY esp").fetchall())


def pending(log: Log) -> dict[str, int]:
    """How many events wait, by ESP, and how many visits of readers."""
    queues = waiting(log)
    shown = {esp: queues[code] for code, esp in enumerate(ESPS) if code in queues}
    visits = sum(n for queue, n in queues.items() if queue >= len(ESPS))
    return shown | ({READERS: visits} if visits else {})


def _of_kept_mail(connection: sqlite3.Connection, rows: Iterable[Row]) -> list[Row]:
    # A reset may have come between; what is put back for forgotten mail would wait for ever.
    known = "SELECT 1 FROM messages WHERE id = ?"
    return [row for row in rows if connection.execute(known, (row[2],)).fetchone()]


def _remove(connection: sqlite3.Connection, keys: Sequence[Sequence[Json]]) -> None:
    # One search of the primary key per row; a row-value IN would scan the whole outbox.
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        part = keys[start : start + KEYS_PER_STATEMENT]
        one = "(esp = ? AND due = ? AND message = ? AND kind = ?)"
        connection.execute(
            f"DELETE FROM outbox WHERE {' OR '.join([one] * len(part))}",  # noqa: S608
            tuple(chain.from_iterable(part)),
        )
