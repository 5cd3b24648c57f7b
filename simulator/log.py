"""Keeps what the simulated ESPs took and what they still have to tell, in one SQLite file.

Every write is committed before the caller answers. `synchronous=OFF` is enough for that: the
log has to survive the death of this process, which the operating system's cache does; it does
not have to survive the machine's.
"""

import random
import sqlite3
import threading
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import chain
from pathlib import Path

import orjson

from simulator.outcomes import KINDS
from simulator.schedule import Schedule
from simulator.wire import Accepted, Json, Stored

ESPS = ("sendgrid", "ses", "postmark")
ESP_CODE = {esp: code for code, esp in enumerate(ESPS)}
# The outbox has two queues per ESP: its events under its code, visits to its mail so many further.
VISITS = len(ESPS)

# `copy_of`: two messages to one address are copies if they agree in it; the campaign, or the send
# id where no campaign is named. Empty: such a message cannot be told from a second, different one.
SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents(id INTEGER PRIMARY KEY, digest BLOB UNIQUE, content BLOB);
CREATE TABLE IF NOT EXISTS messages(
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, esp INTEGER NOT NULL, content INTEGER,
  address TEXT NOT NULL, send_id TEXT NOT NULL, campaign TEXT NOT NULL, outcome TEXT NOT NULL,
  extra BLOB NOT NULL, body BLOB NOT NULL, copy_of TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS messages_by_address ON messages(address, copy_of, esp, outcome);
CREATE INDEX IF NOT EXISTS messages_by_send ON messages(send_id);
CREATE TABLE IF NOT EXISTS outbox(
  esp INTEGER, due INTEGER, message INTEGER, kind INTEGER,
  attempt INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(esp, due, message, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS posted(
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, esp INTEGER NOT NULL, message INTEGER NOT NULL,
  kind INTEGER NOT NULL, status INTEGER NOT NULL, attempts INTEGER NOT NULL);
"""
LAYOUT = 2
TABLES = ("messages", "contents", "outbox", "posted")
# A statement that inserts many rows gives the interpreter lock away once, not once a row: with
# other threads busy, `executemany` would wait for its turn a thousand times.
ROWS_PER_STATEMENT = 200
KEYS_PER_STATEMENT = 100
CONTENT_CACHE = 64

MESSAGE_COLUMNS = (
    "m.id, m.at, m.esp, m.address, m.send_id, m.campaign, m.outcome, m.content, m.extra"
)


class Log:
    """The delivery log, its outbox of events and a key-value drawer for keys and settings."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.wake = threading.Event()
        self.schedule = Schedule(ESPS)
        self._writer = self.connect()
        self._prepare()
        self._content_ids: OrderedDict[bytes, int] = OrderedDict()
        self._contents: OrderedDict[int, Json] = OrderedDict()
        self._load()

    def _prepare(self) -> None:
        """Lay out the file; an older layout loses its rehearsals, never its keys and settings."""
        if self._writer.execute("PRAGMA user_version").fetchone()[0] != LAYOUT:
            for table in TABLES:
                self._writer.execute(f"DROP TABLE IF EXISTS {table}")
            self._writer.execute(f"PRAGMA user_version = {LAYOUT}")
        self._writer.executescript(SCHEMA)

    def connect(self) -> sqlite3.Connection:
        """A new connection, to be closed by whoever asked for it."""
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=30
        )
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;")
        return connection

    def _load(self) -> None:
        one = self._writer.execute
        self._next: int = one("SELECT coalesce(max(id), 0) + 1 FROM messages").fetchone()[0]
        self.accepted: Counter[tuple[str, str]] = Counter()
        for esp, outcome, n in one("SELECT esp, outcome, count(*) FROM messages GROUP BY 1, 2"):
            self.accepted[ESPS[esp], outcome] = n
        self.told: Counter[tuple[str, str]] = Counter()
        for esp, kind, n in one("SELECT esp, kind, count(*) FROM posted GROUP BY 1, 2"):
            self.told[ESPS[esp], KINDS[kind]] = n
        self.salt = self.get("salt") or self.put("salt", random.SystemRandom().randbytes(16))

    def minutes(self) -> list[tuple[str, int, int]]:
        """Messages of the last day by ESP and minute."""
        since = int((time.time() - 86400) * 1000)
        rows = self._writer.execute(
            "SELECT esp, at / 60000, count(*) FROM messages WHERE at > ? GROUP BY 1, 2", (since,)
        )
        return [(ESPS[esp], minute, count) for esp, minute, count in rows]

    def close(self) -> None:
        with self.lock:
            self._writer.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; other writers of this process wait."""
        with self.lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of the caller's own, so that a long read never holds up a send."""
        connection = self.connect()
        try:
            yield connection
        finally:
            connection.close()

    # -- the drawer -------------------------------------------------------------------------

    def get(self, key: str) -> bytes | None:
        with self.lock:
            row = self._writer.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: str, value: bytes) -> bytes:
        with self.lock:
            self._writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
        return value

    # -- taking mail ------------------------------------------------------------------------

    def accept(self, esp: str, content: bytes, rows: Sequence[Accepted]) -> tuple[int, int]:
        """Store messages and the events that will follow; the first one's id and the time in ms."""
        code, at = ESP_CODE[esp], int(time.time() * 1000)
        with self.writing() as connection:
            shared = self._content_id(connection, content) if content else None
            first = self._next
            stored = [
                (first + n, at, code, shared, *row, row.campaign or row.send_id)
                for n, row in enumerate(rows)
            ]
            insert(connection, "INTO messages", stored)
            insert(connection, "INTO outbox", self.schedule.rows(code, at, first, rows))
            self._next = first + len(rows)
        for row in rows:
            self.accepted[esp, row.outcome] += 1
        self.wake.set()
        return first, at

    def _content_id(self, connection: sqlite3.Connection, content: bytes) -> int:
        digest = blake2b(content, digest_size=16).digest()
        known = self._content_ids.get(digest)
        if known is not None:
            return known
        row = connection.execute("SELECT id FROM contents WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            row = connection.execute(
                "INSERT INTO contents(digest, content) VALUES (?, ?) RETURNING id",
                (digest, zlib.compress(content, 1)),
            ).fetchone()
        self._content_ids[digest] = row[0]
        if len(self._content_ids) > CONTENT_CACHE:
            self._content_ids.popitem(last=False)
        return int(row[0])

    def suppressed(self, esp: str, addresses: Iterable[str]) -> set[str]:
        """Which addresses bounced hard or complained at this ESP before."""
        asked = list(addresses)
        marks = ",".join("?" * len(asked))
        with self.lock:
            found = self._writer.execute(
                f"SELECT DISTINCT address FROM messages WHERE address IN ({marks}) AND esp = ?"  # noqa: S608
                " AND outcome IN ('hard', 'complaint')",
                (*asked, ESP_CODE[esp]),
            ).fetchall()
        return {row[0] for row in found}

    # -- reading back -----------------------------------------------------------------------

    def stored(
        self, rows: Iterable[tuple[Json, ...]], connection: sqlite3.Connection
    ) -> list[Stored]:
        """Rows of `select_messages` with their JSON read."""
        return [
            Stored(
                row[0], row[1], ESPS[row[2]], row[3], row[4], row[5], row[6],
                self._content(row[7], connection), orjson.loads(row[8]),
            )
            for row in rows
        ]  # fmt: skip

    def body(self, message: int) -> bytes:
        with self.reading() as connection:
            row = connection.execute(
                "SELECT body FROM messages WHERE id = ?", (message,)
            ).fetchone()
        return b"" if row is None else bytes(row[0])

    def _content(self, content: int | None, connection: sqlite3.Connection) -> Json:
        if content is None:
            return {}
        found = self._contents.get(content)
        if found is None:
            row = connection.execute(
                "SELECT content FROM contents WHERE id = ?", (content,)
            ).fetchone()
            if row is None:
                return {}  # forgotten by a reset; not kept, its number will be another's
            found = orjson.loads(zlib.decompress(row[0]))
            with self.lock:
                self._contents[content] = found
                if len(self._contents) > CONTENT_CACHE:
                    self._contents.popitem(last=False)
        return found

    def select_messages(
        self, where: str, arguments: Sequence[Json], order: str = "m.id", limit: int = 100
    ) -> list[Stored]:
        """Messages by a condition on `messages m`; `where` and `order` are this package's words."""
        sql = f"SELECT {MESSAGE_COLUMNS} FROM messages m WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
        with self.reading() as connection:
            return self.stored(connection.execute(sql, (*arguments, limit)), connection)

    def reset(self) -> None:
        """Forget all mail and events; keys and settings stay. New ids never repeat old ones."""
        with self.writing() as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608
            self.salt = random.SystemRandom().randbytes(16)
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('salt', ?)", (self.salt,))
            self._content_ids.clear()
            self._contents.clear()
            self.accepted.clear()
            self.told.clear()


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[Json]]) -> None:
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        part = rows[start : start + ROWS_PER_STATEMENT]
        row = f"({','.join('?' * len(part[0]))})"
        connection.execute(
            f"INSERT {into} VALUES {','.join([row] * len(part))}",  # noqa: S608
            tuple(chain.from_iterable(part)),
        )
