"""A consistent copy of the database, taken while everything runs: one snapshot, checked, and either
whole under its name or not there at all."""

import contextlib
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from database import esp_performance as performance
from database import pg_tools
from database.engine import Database, DatabaseUnavailable
from database.models import esp_performance

#: What is done, and which share of it, or how much, is done.
Tell = Callable[[str], None]
#: Key of the note in `esp_performance` that says when a backup was taken.
_NOTE = "backup"
#: Pages (of 4 KiB) between two words about the progress.
_PAGES = 25_000
_TELL_SECONDS = 5.0


class BackupFailed(DatabaseUnavailable):
    """There is no backup; the text says why and what to do."""

    def __init__(self, words: str, *, missing: bool = False) -> None:
        """`missing`: a program that has to be installed."""
        super().__init__(words)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Taken:
    """A finished backup."""

    path: Path
    bytes: int
    at: float  #: the snapshot holds everything before this moment


def take(
    db: Database, target: Path, now: float, *, overwrite: bool = False, tell: Tell | None = None
) -> Taken:
    """Back up to the file `target`, mode 0600. Raises BackupFailed."""
    if db.path is not None and target.resolve() == db.path.resolve():
        raise BackupFailed(f"{target} is the database itself: name another file.")
    if target.exists() and not overwrite:
        raise BackupFailed(f"{target} exists; it is not overwritten without --force.")
    copy = _sqlite if db.is_sqlite else _postgresql
    with _unfinished(target) as draft:
        copy(db, draft, now, tell or _nothing)
        _sync(draft)
        size = draft.stat().st_size
        draft.replace(target)
    sync_folder(target.parent)
    return Taken(target, size, now)


def taken_at(connection: sa.Connection) -> float | None:
    """When the backup that this database came from was taken; None = it does not say."""
    note = performance.get_state(connection, "instance", _NOTE) or {}
    return float(note["at"]) if "at" in note else None


def forget_note(connection: sa.Connection) -> None:
    """A database in use is no backup."""
    c = esp_performance.c
    connection.execute(esp_performance.delete().where(c.scope == "instance", c.key == _NOTE))


def copy_before(db: Database, target: Path) -> None:
    """A copy before the schema changes, whatever it is now. Raises BackupFailed."""
    with _unfinished(target) as draft:
        if db.is_sqlite and db.path is not None:
            copy_sqlite(db.path, draft)
        else:
            _dump(db, draft, _nothing)
        _sync(draft)
        draft.replace(target)
    sync_folder(target.parent)


def copy_sqlite(source: Path, target: Path, tell: Tell | None = None) -> None:
    """One snapshot of a SQLite file in a new file that needs no other beside it."""
    say = tell or _nothing

    def progress(_status: int, remaining: int, total: int) -> None:
        say(f"{100 * (total - remaining) // max(total, 1)} % of {total * 4 // 1024} MiB")

    with closing(sqlite3.connect(source, isolation_level=None)) as reader:
        # An open snapshot keeps the copy from beginning anew with each write of a worker.
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        with closing(sqlite3.connect(target, isolation_level=None)) as writer:
            reader.backup(writer, pages=_PAGES, progress=progress)
            writer.execute("PRAGMA journal_mode=DELETE")


def damage(path: Path) -> str:
    """What is wrong with a SQLite file; nothing when it is sound."""
    try:
        with closing(sqlite3.connect(path)) as opened:
            found = str(opened.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else found


def sync_folder(folder: Path) -> None:
    """Make a rename in it outlive a power cut."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _nothing(_words: str) -> None:
    pass


def _sqlite(db: Database, draft: Path, now: float, tell: Tell) -> None:
    if db.path is None or not db.path.exists():
        raise BackupFailed(f"there is no database at {db.path}: nothing to back up.")
    made = Database(f"sqlite:///{draft}")
    try:
        with db.read():  # which also sees to it that writers need not wait for the copy (WAL)
            copy_sqlite(db.path, draft, tell)
        if found := damage(draft):
            raise BackupFailed(f"the database is damaged: {found}")
        made.transact(lambda connection: _note(connection, now))
        made.dispose()
        leave_wal(draft)
    except BackupFailed:
        raise
    except (sqlite3.DatabaseError, DatabaseUnavailable) as error:
        raise BackupFailed(f"the database cannot be copied: {error}") from error
    finally:
        made.dispose()


def leave_wal(path: Path) -> None:
    """All of a SQLite database in its one file."""
    with closing(sqlite3.connect(path)) as alone:
        alone.execute("PRAGMA journal_mode=DELETE")


def _note(connection: sa.Connection, now: float) -> None:
    forget_note(connection)
    performance.add_state(connection, "instance", _NOTE, {"at": now}, now)


def _postgresql(db: Database, draft: Path, now: float, tell: Tell) -> None:
    """The note is in the database for as long as pg_dump takes, which sees one snapshot."""
    db.transact(lambda connection: _note(connection, now))
    try:
        _dump(db, draft, tell)
    finally:
        db.transact(forget_note)


def _dump(db: Database, draft: Path, tell: Tell) -> None:
    with db.read() as connection:
        schema = str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    try:
        with pg_tools.dumping(db.url, schema, draft) as process:
            _watch(process, draft, tell)
            pg_tools.check(process)
        tell("reading the copy")
        pg_tools.read_through(draft)
    except pg_tools.ToolFailed as error:
        raise BackupFailed(str(error), missing=error.missing) from error


def _watch(process: "subprocess.Popen[bytes]", draft: Path, tell: Tell) -> None:
    told = time.monotonic()
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            tell(f"{draft.stat().st_size // 2**20} MiB written")


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A file of our own beside `target`, gone if the work fails."""
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_orphans(target)
        draft = target.with_name(f".{target.name}.{os.getpid()}.part")
        draft.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise BackupFailed(f"{target} cannot be written: {error.strerror}") from error
    try:
        yield draft
    except OSError as error:
        raise BackupFailed(f"{target} cannot be written: {error.strerror}") from error
    finally:
        remove(draft)


def remove(draft: Path) -> None:
    """An unfinished file and what a database laid beside it."""
    for left in list(draft.parent.iterdir()):
        if left.name.startswith(draft.name):
            left.unlink(missing_ok=True)


def _remove_orphans(target: Path) -> None:
    """What backups to the same file left that were killed."""
    name = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.part.*")
    for left in list(target.parent.iterdir()):
        found = name.fullmatch(left.name)
        if found and not _alive(int(found[1])):
            left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
