"""Brings a database to the newest schema, or one step back, and keeps a copy before it does.

Alembic does the work, in-process; the only thing it needs to know is the engine.
"""

import time
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from database import backup
from database.engine import Database

_SCRIPTS = Path(__file__).with_name("migrations")


def head() -> str:
    """The revision this code needs."""
    revision = ScriptDirectory.from_config(_config(None)).get_current_head()
    if revision is None:
        raise LookupError("there are no migrations")
    return revision


def current(database: Database) -> str | None:
    """The revision the database is at; None = it is empty."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def knows(revision: str) -> bool:
    """Whether this code has a revision: one that it has not is a newer version's."""
    script = ScriptDirectory.from_config(_config(None))
    return any(each.revision == revision for each in script.walk_revisions())


def is_current(database: Database) -> bool:
    """Whether the code can work with the database as it is."""
    return current(database) == head()


def upgrade(
    database: Database, *, keep_copy: bool = True, folder: Path | None = None
) -> Path | None:
    """Bring the schema to `head`. Returns the copy that was kept of a database that changed (see
    `copy_of`).

    Several processes may do this at once: one does the work, the others find nothing to do.
    """
    before = current(database)
    if before == head():
        return None
    copy = copy_of(database, folder) if keep_copy and before is not None else None
    command.upgrade(_config(database), "head")
    return copy


def upgrade_in(connection: sa.Connection, database: Database, revision: str = "head") -> None:
    """The same inside the caller's transaction."""
    config = _config(database)
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def downgrade(
    database: Database, revision: str = "-1", *, keep_copy: bool = True, folder: Path | None = None
) -> Path | None:
    """Go back one step, or to a named revision. Returns the copy that was kept."""
    copy = copy_of(database, folder) if keep_copy else None
    command.downgrade(_config(database), revision)
    return copy


def copy_of(database: Database, folder: Path | None = None) -> Path | None:
    """A consistent copy, taken while others write: of a SQLite file beside it, of PostgreSQL in
    `folder` (None = it has its own backups: no copy). Raises BackupFailed."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    if database.path is not None:
        if not database.path.exists():
            return None
        copy = database.path.with_name(f"{database.path.name}.{stamp}.bak")
    elif folder is not None:
        copy = folder / f"{database.url.database}.{stamp}.dump"
    else:
        return None
    backup.copy_before(database, copy)
    return copy


def _config(database: Database | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    if database is not None:
        config.attributes["database"] = database
    return config
