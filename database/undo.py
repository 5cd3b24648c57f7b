"""Taking back the people whom one import, and nothing else, has brought.

The rule: somebody goes if this import added them and nothing has happened since. Whoever is out of
reach stays, because the row is what keeps them so; whoever acted stays, because their history is
evidence; whoever was mailed stays, because the ledger names them; whoever was changed by somebody
else stays, because that was somebody else's wish. What the import changed about people who were
there before is not taken back: nothing remembers what it was.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from database import bulk, import_log
from database.engine import Database
from database.models import (
    Phase,
    SubscriberStatus,
    bounces,
    campaigns,
    complaints,
    engagement,
    sends,
    subscribers,
)  # fmt: skip
from utils.errors import Conflict, NotFound

_c = subscribers.c
#: People of one transaction.
_SLICE = 1_000
_REACHABLE = (SubscriberStatus.ACTIVE, SubscriberStatus.PENDING)
#: Why somebody stays; the first that is true is counted.
WHY = {
    "out_of_reach": "unsubscribed, bounced, complained, inactive, or opted out of a topic",
    "acted": "opted in, confirmed, came back or was changed by an operator's act",
    "mailed": "a campaign or a single mail names them",
    "changed": "another import or request changed them since",
}


def undo(db: Database, import_id: str, *, by: str, clock: Callable[[], float]) -> dict[str, Any]:
    """Remove whom the rule lets go; the import as it is then known. Raises NotFound, Conflict.

    Slices stand by themselves: after a crash, doing it again finishes it. Again changes nothing."""
    with db.read() as connection:
        known = _known(connection, import_id, clock())
    after: int | None = known["first_id"]
    fresh = {"at": clock(), "by": by, "removed": _removed(known), "kept": dict.fromkeys(WHY, 0)}
    # With the status: one that was killed is over now, and does not look alive for being touched.
    begun = {"undone": fresh, "status": known["status"]}
    db.transact(lambda c: import_log.save(c, import_id, begun, clock()))
    while after is not None:
        after = db.transact(partial(_slice, import_id=import_id, after=after, now=clock()))
    with db.read() as connection:
        return _known(connection, import_id, clock())


def _known(connection: sa.Connection, import_id: str, now: float) -> dict[str, Any]:
    known = import_log.get(connection, import_id, now)
    if known is None:
        raise NotFound(f"There is no import {import_id[:60]!r}. A dry run leaves none.")
    if known["status"] == "running":
        raise Conflict("This import is still running: undo it when it has ended.")
    return known


def _removed(known: dict[str, Any]) -> int:
    return known["undone"]["removed"] if known["undone"] else 0


def _slice(connection: sa.Connection, import_id: str, after: int, now: float) -> int | None:
    """One transaction's part of the import's people behind `after`; the last one's number, or None
    when there are no more."""
    _keep_still(connection)
    people = _people(connection, import_id, after)
    if not people:
        return None
    numbers = [person.id for person in people]
    mailed = _mailed(connection, numbers)
    stay = {person.id: why for person in people if (why := _why(person, import_id, mailed))}
    _remove(connection, [number for number in numbers if number not in stay])
    undone = _known(connection, import_id, now)["undone"]
    kept = Counter(undone["kept"]) + Counter(stay.values())
    undone |= {
        "removed": undone["removed"] + len(people) - len(stay),
        "kept": dict.fromkeys(WHY, 0) | kept,
    }
    import_log.save(connection, import_id, {"undone": undone}, now)
    return int(people[-1].id)


def _keep_still(connection: sa.Connection) -> None:
    """No mail to these people may begin while they are looked at."""
    if connection.dialect.name == "postgresql":  # writers of SQLite are alone anyway
        connection.execute(sa.text("LOCK TABLE sends IN SHARE MODE"))
    # A campaign reaches numbers up to the one that was highest at its launch. SQLite gives the
    # numbers of the last people away again once they are gone.
    building = sa.select(campaigns.c.id).where(campaigns.c.phase == Phase.BUILDING).limit(1)
    campaign = connection.execute(building).scalar()
    if campaign is not None:
        raise Conflict(
            f"Campaign {campaign} is making its rows: undo the import when it has begun."
        )


def _people(connection: sa.Connection, import_id: str, after: int) -> Sequence[Any]:
    """Whom the import has added, whoever has changed them since; locked."""
    added_by = _c.history[(0, "import")].as_string()
    return connection.execute(
        sa.select(
            _c.id, _c.import_id, _c.status, _c.history, _c.topic_opt_outs, _c.soft_bounce_run,
            _c.last_open_at, _c.last_click_at, _c.last_delivered_at,
        )
        .where(_c.id > after, added_by == import_id)
        .order_by(_c.id)
        .limit(_SLICE)
        .with_for_update()
    ).all()  # fmt: skip


def _why(person: Any, import_id: str, mailed: set[int]) -> str | None:
    """Why somebody stays; None = nothing has happened to them."""
    if person.status not in _REACHABLE or person.topic_opt_outs:
        return "out_of_reach"
    if len(person.history) > 1 or person.last_open_at or person.last_click_at:
        return "acted"
    if person.id in mailed or person.soft_bounce_run or person.last_delivered_at:
        return "mailed"
    return "changed" if person.import_id != import_id else None


def _mailed(connection: sa.Connection, people: Sequence[int]) -> set[int]:
    """Whom a send or an event names."""
    found: set[int] = set()
    for table in (sends, bounces, complaints, engagement):
        named = sa.text(
            f"SELECT DISTINCT subscriber_id FROM {table.name}"
            f" WHERE subscriber_id {bulk.listed(connection)}"
        )
        found |= set(connection.execute(named, {"ids": bulk.packed(people)}).scalars())
    return found


def _remove(connection: sa.Connection, people: Sequence[int]) -> None:
    connection.execute(
        sa.text(f"DELETE FROM subscribers WHERE id {bulk.listed(connection)}"),
        {"ids": bulk.packed(people)},
    )
