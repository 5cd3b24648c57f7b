"""Putting a backup in the place of the database: checked, fenced, and either wholly done or not at
all. What is replaced is kept.

What the two databases do differently is in `restore_sqlite` and `restore_postgresql`; what must
hold before and after is here.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from database import backup, campaigns, carry_over, migrate
from database import esp_performance as performance
from database.carry_over import Carried
from database.fence import Fenced, fence

log = logging.getLogger(__name__)

Tell = backup.Tell
_POSTGRESQL, _SQLITE = b"PGDMP", b"SQLite format 3\0"


class RestoreRefused(Exception):
    """Nothing was changed; the text says why and what to do."""

    def __init__(self, words: str, *, missing: bool = False) -> None:
        """`missing`: a program that has to be installed."""
        super().__init__(words)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Here:
    """What the installation is that a backup must fit."""

    mode: str
    erasure_fingerprint: str
    alias: Callable[[str], str]  #: the name of an erased address
    now: float
    tell: Tell


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done."""

    taken_at: float
    kept: str | None  #: where the replaced database is; None = there was none
    fenced: Fenced
    carried: Carried | None  #: None = there was no database of ours, or none that can be read


def must_be_for(sqlite: bool, file: Path) -> None:
    """Refuse what is no backup of this kind of database."""
    try:
        with file.open("rb") as opened:
            head = opened.read(len(_SQLITE))
    except OSError as error:
        raise RestoreRefused(f"{file} cannot be read: {error.strerror}") from error
    if head.startswith(_SQLITE if sqlite else _POSTGRESQL):
        return
    ours, other = ("SQLite", "PostgreSQL") if sqlite else ("PostgreSQL", "SQLite")
    if head.startswith(_POSTGRESQL if sqlite else _SQLITE):
        raise RestoreRefused(f"{file} is a backup of {other}, and DATABASE_URL names {ours}.")
    raise RestoreRefused(f"{file} is no backup of a {ours} database.")


def must_be_known(revision: str | None) -> None:
    """Refuse an empty database and one of a newer version."""
    if revision is None:
        raise RestoreRefused("the file holds no database of this product.")
    if not migrate.knows(revision):
        raise RestoreRefused(
            f"the file's schema ({revision}) is a newer version's; this one needs "
            f"{migrate.head()}. Restore it with the version that made it."
        )


def must_fit(connection: sa.Connection, here: Here) -> None:
    """Refuse another mode's campaigns and another erasure key."""
    others = campaigns.of_other_mode(connection, here.mode)
    if others:
        raise RestoreRefused(
            f"MODE={here.mode}, but the file holds {others} "
            f"campaign{'s' if others > 1 else ''} of the other mode."
        )
    keys = performance.get_state(connection, "instance", "keys") or {}
    if keys.get("erasure", here.erasure_fingerprint) != here.erasure_fingerprint:
        raise RestoreRefused(
            "ERASURE_KEY is not the one the backup was made with: erased people would no longer "
            "be recognised. Put the key of that time into .env; it is never rotated."
        )


def make_safe(
    connection: sa.Connection, former: carry_over.Former | None, here: Here, taken_at: float
) -> tuple[Fenced, Carried | None]:
    """Carry over and fence, inside the caller's transaction. `former` asks the database that is
    replaced; None = there is none to ask."""
    must_fit(connection, here)
    taken_at = min(taken_at, here.now)
    backup.forget_note(connection)
    carried = None
    if former is not None:
        here.tell("re-applying opt-outs, bounces, complaints and erasures since the backup")
        carried = carry_over.carry_over(connection, former, here.alias, here.now)
    here.tell("holding back what may have left since the backup")
    waited = carried.waited if carried else frozenset[str]()
    return fence(connection, taken_at, here.now, waited=waited), carried


def asking(connection: sa.Connection, **how: Any) -> carry_over.Former:
    """Queries on a connection, with execution options; one that fails leaves it usable."""

    def ask(query: sa.Select[Any]) -> Sequence[Any]:
        try:
            with connection.begin_nested():
                return connection.execute(query, execution_options=how).all()
        except sa.exc.DatabaseError as error:
            log.warning("the database that is replaced cannot be read here: %s", error.orig)
            raise carry_over.FormerUnreadable from error

    return ask
