"""Restoring a PostgreSQL database: everything in one transaction, so that nobody ever sees half.

The tables that are replaced move to a schema of their own; new ones are made by the migrations and
filled from the dump, as pg_restore reads it.
"""

import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa

from database import backup, migrate, pg_tools
from database.engine import Database, DatabaseUnavailable
from database.models import metadata
from database.pg_tools import ToolFailed
from database.restore import (
    Here,
    Restored,
    RestoreRefused,
    asking,
    make_safe,
    must_be_for,
    must_be_known,
)

#: Sessions older than this module are not ours (our own queue may have one).
_BEGAN = time.monotonic()
_VERSION = "alembic_version"
_COPY = re.compile(rb'COPY (?:(?:"(?:[^"]|"")+"|[\w$]+)\.)?"?(\w+)"? (\([\w", ]+\)) FROM stdin;\n')
_SETVAL = re.compile(
    rb"SELECT pg_catalog\.setval\('(?:[^']*\.)?\"?(\w+)_id_seq\"?', (\d+), (true|false)\);\n"
)
#: Restores within one second.
_MORE = tuple(f"_{number}" for number in range(2, 100))
_END = b"\\.\n"
_TELL_ROWS = 200_000


class _Taken(NamedTuple):
    """What a dump says of itself."""

    revision: str
    file_time: float


def restore(db: Database, file: Path, here: Here) -> Restored:
    """Put the dump `file` in the place of the database's tables. Raises RestoreRefused."""
    must_be_for(sqlite=False, file=file)
    try:
        dump = _Taken(_revision(file), file.stat().st_mtime)
        with db.write() as connection:
            return _restored(connection, db, file, dump, here)
    except ToolFailed as error:
        raise RestoreRefused(f"{file}: {error}", missing=error.missing) from error
    except DatabaseUnavailable as error:
        raise RestoreRefused(f"nothing was changed: {error}") from error
    except (psycopg.Error, sa.exc.DataError, sa.exc.IntegrityError) as error:
        why = str(error).partition("\n")[0]
        raise RestoreRefused(f"nothing was changed: {file} cannot be loaded: {why}") from error


def _restored(
    connection: sa.Connection, db: Database, file: Path, dump: _Taken, here: Here
) -> Restored:
    _must_be_free(connection)
    kept = _move_away(connection, here.now)
    migrate.upgrade_in(connection, db, dump.revision)
    here.tell("loading the file")
    _load(connection, file, here)
    migrate.upgrade_in(connection, db)
    _analyze(connection)
    former = asking(connection, schema_translate_map={None: kept}) if kept else None
    taken_at = backup.taken_at(connection) or dump.file_time
    fenced, carried = make_safe(connection, former, here, taken_at)
    return Restored(taken_at, f'schema "{kept}"' if kept else None, fenced, carried)


def _revision(file: Path) -> str:
    """The schema that the dump is of."""
    with pg_tools.reading(file, f"--table={_VERSION}") as process:
        lines = list(process.stdout or ())
        pg_tools.check(process)
    start = next((n for n, line in enumerate(lines) if _COPY.fullmatch(line)), len(lines))
    revision = lines[start + 1].decode().strip() if start + 1 < len(lines) else None
    must_be_known(revision)
    return str(revision)


def _must_be_free(connection: sa.Connection) -> None:
    """Refuse while anybody else is connected: a running service remembers campaigns by number."""
    others = connection.execute(
        sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            " AND backend_start < clock_timestamp() - make_interval(secs => :age)"
        ),
        {"age": time.monotonic() - _BEGAN},
    ).scalar_one()
    if others:
        raise RestoreRefused(
            f"the database is in use by {others} other session{'s' if others > 1 else ''}: "
            "stop the service first, and close other clients."
        )


def _move_away(connection: sa.Connection, now: float) -> str | None:
    """The tables that are replaced, with all that belongs to them, under a name of their own;
    returns the schema. None = there are none."""
    inspector = sa.inspect(connection)
    ours = [name for name in (*metadata.tables, _VERSION) if inspector.has_table(name)]
    if not ours:
        return None
    stamp = time.strftime("before_restore_%Y%m%dt%H%M%Sz", time.gmtime(now))
    taken = inspector.get_schema_names()
    schema = next(name for more in ("", *_MORE) if (name := f"{stamp}{more}") not in taken)
    connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
    for name in ours:
        connection.exec_driver_sql(f'ALTER TABLE "{name}" SET SCHEMA "{schema}"')
    return schema if len(ours) > len(metadata.tables) else _only_kept(schema)


def _only_kept(schema: str) -> str:
    raise RestoreRefused(
        f"the database holds some of our tables and lacks others ({schema} was not made): "
        "restore into an empty database."
    )


def _load(connection: sa.Connection, file: Path, here: Here) -> None:
    driver: Any = connection.connection.driver_connection
    missing = set(sa.inspect(connection).get_table_names()) & metadata.tables.keys()
    done = 0
    with pg_tools.reading(file) as process:
        lines = iter(process.stdout or ())
        for line in lines:
            if begun := _COPY.fullmatch(line):
                rows = _rows(lines)
                table, columns = begun[1].decode(), begun[2].decode()
                missing.discard(table)
                done += _fill(driver, table, columns, rows, here, done)
            elif counted := _SETVAL.fullmatch(line):
                _count_on(connection, counted)
            elif line.startswith(b"COPY "):
                raise RestoreRefused(f"the file holds a table that cannot be read: {line[:100]!r}")
        pg_tools.check(process)
    if missing:
        raise RestoreRefused(f"the file lacks {', '.join(sorted(missing))}: it is no backup.")


def _analyze(connection: sa.Connection) -> None:
    """Nobody else does before the transaction ends, and what follows asks for single people."""
    for table in metadata.tables:
        connection.exec_driver_sql(f'ANALYZE "{table}"')


def _rows(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The rows of one table, to their end: reading on must not begin inside them."""
    for line in lines:
        if line == _END:
            return
        yield line
    raise RestoreRefused("the file ends within a table: it is damaged.")


def _fill(
    driver: Any, table: str, columns: str, rows: Iterable[bytes], here: Here, before: int
) -> int:
    """Hand a table's rows on as they are; what is not a table of ours is passed over."""
    number = 0
    if table not in metadata.tables:
        for _ in rows:
            pass
        return 0
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table}" {columns} FROM STDIN') as copy:
        for number, row in enumerate(rows, 1):
            copy.write(row)
            if (before + number) % _TELL_ROWS == 0:
                here.tell(f"{before + number:,} rows")
    return number


def _count_on(connection: sa.Connection, counted: "re.Match[bytes]") -> None:
    table, value, called = (word.decode() for word in counted.groups())
    if table in metadata.tables:
        connection.execute(
            sa.text("SELECT setval(pg_get_serial_sequence(:table, 'id'), :value, :called)"),
            {"table": table, "value": int(value), "called": called == "true"},
        )
