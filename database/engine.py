"""Connections and transactions: where SQLite and PostgreSQL differ, so that no store has to know.

A transaction that must survive a power cut is durable; a claim, which may be lost, is not.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy import event, exc

from database import ledger
from utils.turnstile import Crowded, Turnstile

T = TypeVar("T")

BUSY_SECONDS = 30
#: PostgreSQL ends a transaction whose process says nothing for so long: it is frozen or out of
#: reach, and holds rows that others need. No transaction of ours idles for more than moments.
IDLE_SECONDS = 60
#: How soon a PostgreSQL that is out of reach is noticed, rather than after hours.
_REACH = {
    "connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}  # fmt: skip
#: SQLite's page cache per connection; more buys nothing for sending (docs/performance.md).
_CACHE_KIB = 8192
#: How often a transaction that lost a deadlock, or met a locked file, is run again.
_RETRIES = 5


class DatabaseUnavailable(Exception):
    """The database cannot be written now (locked, full, gone): nothing was changed, try later."""


class Database:
    """One database, opened lazily; safe to share between threads, not over a fork."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's; SQLite must name a file, whose folder is made when missing."""
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # SQLite writes one at a time anyway, but its busy handler sleeps and is unfair: a process
        # with many small transactions starves the others. So writers queue before it.
        self._turnstile = Turnstile(self.path, BUSY_SECONDS) if self.path else None
        if self.is_sqlite:
            self._reads = self._open_sqlite("NORMAL")
            self._normal = self._open_sqlite("NORMAL")
            self._full = self._open_sqlite("FULL")
        else:
            self._reads = self._normal = self._full = self._open_postgresql()

    @property
    def engine(self) -> sa.Engine:
        """For migrations and inspection."""
        return self._full

    @property
    def path(self) -> Path | None:
        """The SQLite file."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A snapshot to read from. Keep it short: an open reader lets SQLite's WAL grow."""
        with _translated(), self._reads.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """One writing transaction. SQLite takes its write lock at once (BEGIN IMMEDIATE), because
        a read that becomes a write fails with SQLITE_BUSY_SNAPSHOT without waiting."""
        engine = self._full if durable else self._normal
        with _translated(), self._in_turn(), engine.connect() as opened:
            connection = opened.execution_options(begin="IMMEDIATE")
            with connection.begin():
                if not self.is_sqlite and not durable:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
                with ledger.added_at_the_end(connection):
                    yield connection

    def transact(self, work: Callable[[sa.Connection], T], *, durable: bool = True) -> T:
        """Run `work` in a writing transaction, again when it lost a deadlock. `work` must have no
        effect outside the database."""
        for attempt in range(_RETRIES):
            try:
                with self.write(durable=durable) as connection:
                    return work(connection)
            except DatabaseUnavailable as error:
                if attempt == _RETRIES - 1 or not _is_deadlock(error):
                    raise
                time.sleep(0.02 * 2**attempt)
        raise AssertionError("unreachable")

    def dispose(self) -> None:
        """Close pooled connections: before a fork's child uses them, and at the end."""
        for engine in {self._reads, self._normal, self._full}:
            engine.dispose()
        if self._turnstile is not None:
            self._turnstile.close()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._turnstile is None:
            yield
            return
        try:
            with self._turnstile.turn():
                yield
        except Crowded:
            raise DatabaseUnavailable("other writers kept the database locked") from None

    def _open_postgresql(self) -> sa.Engine:
        return sa.create_engine(
            self.url, pool_pre_ping=True, pool_size=20, max_overflow=20,
            json_serializer=_dumps, json_deserializer=orjson.loads,
            connect_args={
                "options": f"-c timezone=UTC -c lock_timeout={BUSY_SECONDS}s"
                f" -c idle_in_transaction_session_timeout={IDLE_SECONDS}s",
                **_REACH,
            },
        )  # fmt: skip

    def _open_sqlite(self, synchronous: str) -> sa.Engine:
        if self.path:
            _make_folder(self.path.parent)
        engine = sa.create_engine(
            self.url,
            poolclass=sa.QueuePool,
            pool_size=20,
            max_overflow=40,
            json_serializer=_dumps,
            json_deserializer=orjson.loads,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # SQLAlchemy emits BEGIN itself, see `begin`
            for pragma in (
                "journal_mode=WAL",
                f"synchronous={synchronous}",
                "foreign_keys=ON",
                f"busy_timeout={BUSY_SECONDS * 1000}",
                f"cache_size=-{_CACHE_KIB}",
                "temp_store=MEMORY",
                "journal_size_limit=67108864",
            ):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            kind = connection.get_execution_options().get("begin", "DEFERRED")
            connection.exec_driver_sql(f"BEGIN {kind}")

        return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailable(
            f"the folder {folder} cannot be made: {error.strerror}"
        ) from error


def _dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


#: PostgreSQL's undefined table and undefined column.
_OTHER_SCHEMA = {"42P01", "42703"}


@contextmanager
def _translated() -> Iterator[None]:
    """Driver errors of a database that is locked, full or gone become one of ours."""
    try:
        yield
    except (exc.OperationalError, exc.InternalError, exc.TimeoutError) as error:
        raise DatabaseUnavailable(str(getattr(error, "orig", error))) from error
    except exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) not in _OTHER_SCHEMA:
            raise
        raise DatabaseUnavailable("the schema is older: run ./setup.sh db upgrade") from error
    except exc.DatabaseError as error:
        if type(error) is not exc.DatabaseError:
            raise
        raise DatabaseUnavailable(str(error.orig)) from error  # no SQLite file, or a broken one


def _is_deadlock(error: DatabaseUnavailable) -> bool:
    original = getattr(error.__cause__, "orig", None)
    return getattr(original, "sqlstate", None) in {"40P01", "40001"}
