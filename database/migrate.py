"""Brings a database to the newest schema, or one step back, and keeps a copy before it does.

Alembic does the work, in-process; the only thing it needs to know is the engine.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

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


def is_current(database: Database) -> bool:
    """Whether the code can work with the database as it is."""
    return current(database) == head()


def upgrade(database: Database, *, keep_copy: bool = True) -> Path | None:
    """Bring the schema to `head`. Returns the copy that was kept of a SQLite file that changed.

    Several processes may do this at once: one does the work, the others find nothing to do.
    """
    before = current(database)
    if before == head():
        return None
    copy = copy_of(database) if keep_copy and before is not None else None
    command.upgrade(_config(database), "head")
    return copy


def downgrade(database: Database, revision: str = "-1") -> Path | None:
    """Go back one step, or to a named revision. Returns the copy that was kept."""
    copy = copy_of(database)
    command.downgrade(_config(database), revision)
    return copy


def copy_of(database: Database) -> Path | None:
    """A consistent copy of a SQLite database beside it, taken while others write. PostgreSQL has
    its own backups: None."""
    if database.path is None or not database.path.exists():
        return None
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    copy = database.path.with_name(f"{database.path.name}.{stamp}.bak")
    with (
        closing(sqlite3.connect(database.path)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    copy.chmod(0o600)
    return copy


def _config(database: Database | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    if database is not None:
        config.attributes["database"] = database
    return config
