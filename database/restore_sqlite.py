"""Restoring a SQLite file: made ready under another name, then put in place by one rename."""

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from database import backup, migrate
from database.carry_over import Carried
from database.engine import BUSY_SECONDS, Database, DatabaseUnavailable
from database.fence import Fenced
from database.restore import (
    Here,
    Restored,
    RestoreRefused,
    asking,
    make_safe,
    must_be_for,
    must_be_known,
)
from utils.turnstile import Crowded, Turnstile

log = logging.getLogger(__name__)

#: Restores within one second.
_MORE = tuple(f"-{number}" for number in range(2, 100))
_IN_USE = "the database is in use: stop the service first, and whatever else has the file open."


def restore(path: Path, file: Path, here: Here) -> Restored:
    """Put the backup `file` in the place of the database `path`. Raises RestoreRefused."""
    must_be_for(sqlite=True, file=file)
    if any(Path(f"{file}{end}").exists() for end in ("-wal", "-journal")):
        raise RestoreRefused(f"{file} is a database in use, not a backup: see `backup`.")
    try:
        with _nobody_writes(path), _draft(path) as draft:
            readable = _must_be_free(path)
            here.tell("copying and checking the file")
            _copy(file, draft)
            taken_at, fenced, carried = _prepare(draft, path if readable else None, file, here)
            _must_be_free(path)
            kept = _swap(draft, path, here.now)
    except OSError as error:
        raise RestoreRefused(f"nothing was changed: {error.strerror or error}") from error
    backup.sync_folder(path.parent)
    return Restored(taken_at, str(kept) if kept else None, fenced, carried)


@contextmanager
def _nobody_writes(path: Path) -> Iterator[None]:
    """Writers of ours wait at the door, and find the restored file behind it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    turnstile = Turnstile(path, BUSY_SECONDS)
    try:
        with turnstile.turn():
            yield
    except Crowded:
        raise RestoreRefused(_IN_USE) from None
    finally:
        turnstile.close()


def _must_be_free(path: Path) -> bool:
    """Refuse while anybody else has the file open; afterwards all of it is in the one file.
    Returns whether there is a database that can be read."""
    if not path.exists():
        return False
    try:
        # Leaving WAL is refused while another connection is open.
        with closing(sqlite3.connect(path, timeout=2)) as alone:
            mode = alone.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise RestoreRefused(_IN_USE) from error
        raise RestoreRefused(
            f"{path} cannot be opened ({error}). Move it away to restore without it."
        ) from error
    except sqlite3.DatabaseError:
        log.warning("the database that is replaced is damaged and cannot be read")
        return False
    if mode != "delete":
        raise RestoreRefused(_IN_USE)
    return True


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """The name under which the new database is made; what a killed restore left is removed."""
    draft = path.with_name(f".{path.name}.restoring")
    backup.remove(draft)
    for kept in list(path.parent.glob("*.replaced")):
        if path.exists() and kept.samefile(path):
            kept.unlink()
    try:
        yield draft
    finally:
        backup.remove(draft)


def _copy(file: Path, draft: Path) -> None:
    draft.touch(mode=0o600)
    try:
        shutil.copyfile(file, draft)
    except OSError as error:
        raise RestoreRefused(f"{file} cannot be copied: {error.strerror}") from error
    if found := backup.damage(draft):
        raise RestoreRefused(f"{file} is damaged: {found}")


def _prepare(
    draft: Path, former: Path | None, file: Path, here: Here
) -> tuple[float, Fenced, Carried | None]:
    made = Database(f"sqlite:///{draft}")
    try:
        must_be_known(migrate.current(made))
        migrate.upgrade(made, keep_copy=False)
        with made.read() as connection:
            taken_at = backup.taken_at(connection) or file.stat().st_mtime
        fenced, carried = _made_safe(made, former, here, taken_at)
        made.dispose()
        backup.leave_wal(draft)
    except (DatabaseUnavailable, sqlite3.DatabaseError) as error:
        raise RestoreRefused(f"nothing was changed: {error}") from error
    finally:
        made.dispose()
    return taken_at, fenced, carried


def _made_safe(
    made: Database, former: Path | None, here: Here, taken_at: float
) -> tuple[Fenced, Carried | None]:
    if former is None or not _is_ours(former):
        with made.write() as connection:
            return make_safe(connection, None, here, taken_at)
    replaced = Database(f"sqlite:///{former}")
    try:
        with replaced.read() as reader, made.write() as connection:
            return make_safe(connection, asking(reader), here, taken_at)
    finally:
        replaced.dispose()


def _is_ours(former: Path) -> bool:
    """Whether the file that is replaced holds our tables; an empty one has nothing to tell."""
    try:
        with closing(sqlite3.connect(former)) as opened:
            names = {row[0] for row in opened.execute("SELECT name FROM sqlite_schema")}
    except sqlite3.DatabaseError:
        return False
    return {"subscribers", "campaigns", "esp_performance"} <= names


def _swap(draft: Path, path: Path, now: float) -> Path | None:
    """From here on the restored database is there: at no moment there is none, or half of one."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    kept = None
    if path.exists():
        kept = _free_name(path, now)
        _own_as(draft, path.stat())
        _keep(path, kept)
    draft.replace(path)
    return kept


def _free_name(path: Path, now: float) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    names = (path.with_name(f"{path.name}.{stamp}{more}.replaced") for more in ("", *_MORE))
    return next(name for name in names if not name.exists())


def _own_as(draft: Path, former: os.stat_result) -> None:
    """Whoever runs the service can open the restored file, too, though root restored it."""
    draft.chmod(former.st_mode & 0o777)
    with suppress(PermissionError):
        os.chown(draft, former.st_uid, former.st_gid)


def _keep(path: Path, kept: Path) -> None:
    """A second name for the same file; a copy where the file system knows no such thing. A
    journal of a file that could not be opened must not meet the new one."""
    try:
        kept.hardlink_to(path)
    except OSError:
        shutil.copy2(path, kept)
    for end in ("-wal", "-shm", "-journal"):
        if (beside := Path(f"{path}{end}")).exists():
            beside.replace(f"{kept}{end}")
