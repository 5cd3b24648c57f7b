"""From sandbox to live: people and their consent stay, whatever was only simulated goes.

A person whom nothing but a simulated bounce or complaint took out of reach returns to where they
were. Opt-outs, imports and operators' acts stay.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from database import import_log
from database.bulk import listed, packed, relation
from database.engine import Database
from database.models import (
    CampaignStatus,
    Mode,
    SubscriberStatus,
    bounces,
    campaigns,
    complaints,
    engagement,
    esp_performance,
    sends,
    subscribers,
)  # fmt: skip

ACTOR = "promote-sandbox"
_OUTCOMES = frozenset({SubscriberStatus.BOUNCED, SubscriberStatus.COMPLAINED})
_PAGE = 1_000


class NotASandbox(Exception):
    """The database holds campaigns that went to real people; the text says how many."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """What was kept and what was dropped."""

    people: int
    restored: int  #: of them: out of reach only by what was simulated
    strangers: int  #: people that only a simulated event had named
    campaigns: int
    sends: int
    events: int

    def numbers(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


def promote(connection: sa.Connection, esps: Iterable[str], now: float) -> Promoted:
    """Do it, inside the caller's transaction. `esps` are the names under which simulated events
    acted. Doing it again changes nothing."""
    _must_be_sandbox(connection)
    names = frozenset(esps)
    strangers = _forget_strangers(connection, names)
    restored = _restore(connection, names, now)
    _forget_marks(connection)
    events = sum(_empty(connection, table) for table in (engagement, bounces, complaints))
    sent = _empty(connection, sends)
    dropped = _drop_campaigns(connection)
    kept = esp_performance.c.scope.in_(("instance", *import_log.SCOPES))
    connection.execute(esp_performance.delete().where(sa.not_(kept)))
    people = connection.execute(sa.select(sa.func.count()).select_from(subscribers)).scalar_one()
    return Promoted(people, restored, strangers, dropped, sent, events)


def promote_copy(db: Database, target: Path, esps: Iterable[str], now: float) -> Promoted:
    """Do it in a copy of a SQLite database, under another name until it is done, so that no
    half-made database is ever found at `target`."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished.touch(mode=0o600)
    with (
        closing(sqlite3.connect(str(db.path))) as source,
        closing(sqlite3.connect(unfinished)) as copy,
    ):
        source.backup(copy)
    made = Database(f"sqlite:///{unfinished}")
    try:
        done = made.transact(lambda connection: promote(connection, esps, now))
    finally:
        made.dispose()
    with closing(sqlite3.connect(unfinished)) as copy:  # nothing simulated stays in free pages
        copy.execute("VACUUM")
    unfinished.rename(target)
    for beside in target.parent.glob(f"{unfinished.name}.*"):  # the lock files of a writer
        beside.unlink(missing_ok=True)
    return done


def _must_be_sandbox(connection: sa.Connection) -> None:
    query = sa.select(sa.func.count()).select_from(campaigns)
    went = (campaigns.c.mode == Mode.LIVE, campaigns.c.status != CampaignStatus.DRAFT)
    live = connection.execute(query.where(*went)).scalar_one()
    if live:
        raise NotASandbox(f"{live} campaigns of this database are live: nothing was changed")


def _drop_campaigns(connection: sa.Connection) -> int:
    """What somebody is writing was not simulated: it stays, for the mode to come."""
    written = campaigns.c.status == CampaignStatus.DRAFT
    connection.execute(campaigns.update().where(written).values(mode=Mode.LIVE))
    return int(connection.execute(campaigns.delete().where(sa.not_(written))).rowcount)


def _empty(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(table.delete()).rowcount)


def before_simulation(
    history: Sequence[Mapping[str, Any]], status: str, esps: frozenset[str]
) -> str:
    """The status a person had before simulated events, by their history, newest entry first."""
    for entry in reversed(history):
        if entry.get("what") not in set(SubscriberStatus):
            continue
        simulated = entry.get("by") in esps and "source" not in entry
        if entry["what"] != status or status not in _OUTCOMES or not simulated:
            break
        status = str(entry.get("was") or status)
    return status


def _restore(connection: sa.Connection, esps: frozenset[str], now: float) -> int:
    restored = 0
    for page in _out_of_reach(connection):
        rows = [
            (row.id, status, orjson.Fragment(_entry(row.status, status, now)))
            for row in page
            if (status := before_simulation(row.history, row.status, esps)) != row.status
        ]
        restored += len(rows)
        if rows:
            _write(connection, rows, now)
    return restored


def _entry(was: str, status: str, now: float) -> bytes:
    why = "only a simulated event said otherwise"
    return orjson.dumps({"at": now, "what": status, "by": ACTOR, "reason": why, "was": was})


def _out_of_reach(connection: sa.Connection) -> Iterable[Sequence[Any]]:
    c, after = subscribers.c, 0
    while True:
        page = connection.execute(
            sa.select(c.id, c.status, c.history)
            .where(c.status.in_(sorted(_OUTCOMES)), c.id > after)
            .order_by(c.id)
            .limit(_PAGE)
        ).all()
        if not page:
            return
        yield page
        after = page[-1].id


def _write(connection: sa.Connection, rows: Sequence[Any], now: float) -> None:
    source = relation(connection, [("id", "bigint"), ("status", "text"), ("entry", "json")])
    sqlite = connection.dialect.name == "sqlite"
    history = "json_insert(history, '$[#]', json(r.entry))" if sqlite else "history || r.entry"
    connection.execute(
        sa.text(
            "UPDATE subscribers SET status = r.status, status_reason = '', status_at = :now,"
            f" updated_at = :now, history = {history}"
            f" FROM {source} AS r WHERE subscribers.id = r.id"
        ),
        {"rows": packed(rows), "now": now},
    )


def named_by_simulation(history: Sequence[Mapping[str, Any]], esps: frozenset[str]) -> bool:
    """Whether a simulated event put this person on the list, and nobody else knows them."""
    added = bool(history) and history[0].get("what") == "added"
    return added and all(entry.get("by") in esps for entry in history)


def _forget_strangers(connection: sa.Connection, esps: frozenset[str]) -> int:
    """People whom nobody added: a simulated bounce or complaint named them first, and nothing else
    is known of them."""
    gone = [
        row.id
        for page in _out_of_reach(connection)
        for row in page
        if named_by_simulation(row.history, esps)
    ]
    connection.execute(
        sa.text(f"DELETE FROM subscribers WHERE id {listed(connection)}"), {"ids": packed(gone)}
    )
    return len(gone)


def _forget_marks(connection: sa.Connection) -> None:
    """Signs of life and soft bounces that were simulated."""
    connection.execute(
        subscribers.update().values(
            engagement=None, last_delivered_at=None, last_open_at=None, last_click_at=None,
            soft_bounce_run=0, soft_bounce_since=None,
        )
    )  # fmt: skip
