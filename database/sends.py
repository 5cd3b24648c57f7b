"""The ledger's rows: build, claim, hand over, record. Every write names the state it expects.

Two rules of the contract live in single statements here: suppression, pause and cancel are checked
by the very UPDATE that commits a hand-over, and a final write needs the token of its lease.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from database import ledger
from database.bulk import among, dialect_insert, listed, packed, relation, relation_in
from database.ledger import Move
from database.models import SendStatus as S
from database.models import sends, subscribers
from database.reach import suppression_sql


class Picked(NamedTuple):
    """A send about to be claimed and its person, in the order in which `mail` renders people."""

    id: int
    to: str  #: deliverable address
    name: str
    email: str  #: the address as the person gave it
    attributes: dict[str, Any] | str | None  #: SQLite gives the JSON as it is


class Lease(NamedTuple):
    """Our timed right to some sends of one campaign."""

    campaign_id: int
    token: str
    until: float


class HandedOver(NamedTuple):
    """What the hand-over statement decided about each send of a batch."""

    ready: set[int]  #: committed as handed over: exactly these may be sent
    suppressed: int
    released: int  #: given back, because the campaign is paused or cancelled


def build(
    connection: sa.Connection, campaign_id: int, condition: sa.ColumnElement[bool] | None,
    after: int, upto: int, now: float,
) -> int:  # fmt: skip
    """Make the rows for the active subscribers with `after < id <= upto` that match. Running it
    again makes nothing twice. Returns the rows made."""
    people = (
        sa.select(
            sa.literal(campaign_id), subscribers.c.address, subscribers.c.id,
            sa.literal(S.QUEUED.value), sa.literal(now, sa.Double),
        )
        .where(
            subscribers.c.id > after, subscribers.c.id <= upto,
            subscribers.c.status == "active",
            sa.true() if condition is None else condition,
        )
        .order_by(subscribers.c.id)
    )  # fmt: skip
    made = connection.execute(
        dialect_insert(connection)(sends)
        .from_select(["campaign_id", "address", "subscriber_id", "status", "updated_at"], people)
        .on_conflict_do_nothing(),
        # SQLAlchemy keeps the count of an INSERT only when asked.
        execution_options={"preserve_rowcount": True},
    ).rowcount
    if made:
        ledger.move(connection, campaign_id, None, S.QUEUED, made)
    return made


def pick(connection: sa.Connection, campaign_id: int, limit: int, after: int = 0) -> list[Picked]:
    """Up to `limit` queued sends of a campaign behind the send `after`, oldest first, locked until
    the transaction ends; sends that another worker is claiming right now are passed over."""
    statement = _PICK if connection.dialect.name == "sqlite" else _PICK_LOCKED
    bound = {"campaign": campaign_id, "limit": limit, "after": after}
    result = connection.execute(statement, bound)
    # Straight from the driver: SQLAlchemy's rows would cost as much as the query.
    rows = result.cursor.fetchall()
    result.close()
    new = tuple.__new__  # a NamedTuple's own is a Python function around it
    return [new(Picked, (id_, to, name, to, known)) for id_, to, name, known in rows]


#: A literal state: no plan can use a partial index for a bound value.
_PICK_SQL = (
    "SELECT s.id, COALESCE(p.email, s.address), COALESCE(p.name, ''), p.attributes FROM sends s"
    " LEFT JOIN subscribers p ON p.id = s.subscriber_id"
    " WHERE s.campaign_id = :campaign AND s.status = 'queued' AND s.id > :after"
    " ORDER BY s.id LIMIT :limit"
)
_PICK = sa.text(_PICK_SQL)
_PICK_LOCKED = sa.text(f"{_PICK_SQL} FOR UPDATE OF s SKIP LOCKED")


def take(
    connection: sa.Connection, lease: Lease, esp: str | None, ids: Sequence[int], now: float
) -> None:
    """Claim picked sends under a lease, with the ESP they are reserved at, if at any."""
    condition, bound = among(connection, ids)
    values = {"token": lease.token, "until": lease.until, "esp": esp, "now": now}
    taken = connection.execute(_take(condition), bound | values).rowcount
    ledger.move(connection, lease.campaign_id, S.QUEUED, S.SENDING, taken)


# Statements of the hot path are made once for each form of their condition: reading a text costs
# as much as running it.
@lru_cache
def _take(among_ids: str) -> sa.TextClause:
    return sa.text(
        "UPDATE sends SET status = 'sending', lease_token = :token, lease_until = :until,"
        f" esp = :esp, updated_at = :now WHERE id {among_ids} AND status = 'queued'"
    )


def hand_over(
    connection: sa.Connection, lease: Lease, ids: Sequence[int], now: float
) -> HandedOver:
    """Commit that these sends now go to the ESP they are reserved at. Whoever may not be mailed
    any more is suppressed instead, and the rest is released when the campaign stopped. The lease
    is renewed to `lease.until`."""
    condition, bound = among(connection, ids)
    values = bound | {
        "token": lease.token, "until": lease.until, "now": now, "campaign": lease.campaign_id,
    }  # fmt: skip
    statement = _hand_over(condition, connection.dialect.name)
    if connection.execute(statement, values).rowcount == len(ids):
        return HandedOver(set(ids), 0, 0)
    left = set(connection.execute(_HANDED_OVER_NOW, values).scalars())
    ready = left.intersection(ids)  # one lease covers the batches of several ESPs
    suppressed = suppress(connection, lease, ids, now)
    released = release(connection, lease, [id_ for id_ in ids if id_ not in ready], now)
    return HandedOver(ready, suppressed, released)


@lru_cache
def _hand_over(among_ids: str, dialect: str) -> sa.TextClause:
    return sa.text(
        "UPDATE sends SET handed_over_at = :now, lease_until = :until,"
        " attempts = attempts + 1, updated_at = :now"
        f" WHERE id {among_ids} AND status = 'sending'"
        " AND lease_token = :token AND handed_over_at IS NULL AND lease_until > :now"
        " AND EXISTS (SELECT 1 FROM campaigns c WHERE c.id = :campaign"
        f" AND c.status = 'sending') AND NOT {suppression_sql(dialect).condition}"
    )


_HANDED_OVER_NOW = sa.text(
    "SELECT id FROM sends WHERE campaign_id = :campaign AND status = 'sending'"
    " AND lease_token = :token AND handed_over_at = :now"
)


def suppress(connection: sa.Connection, lease: Lease, ids: Sequence[int], now: float) -> int:
    """End those of a lease's sends, before their hand-over, whose person may not be mailed any
    more. Returns how many."""
    condition, bound = among(connection, ids)
    sql = suppression_sql(connection.dialect.name)
    count = connection.execute(
        sa.text(
            "UPDATE sends SET status = 'suppressed', lease_token = NULL, lease_until = NULL,"
            f" esp = NULL, reason = {sql.words}, updated_at = :now"
            f" WHERE id {condition} AND status = 'sending'"
            f" AND lease_token = :token AND handed_over_at IS NULL AND {sql.condition}"
        ),
        bound | {"token": lease.token, "now": now},
    ).rowcount
    ledger.move(connection, lease.campaign_id, S.SENDING, S.SUPPRESSED, count)
    return count


def release(
    connection: sa.Connection, lease: Lease, ids: Iterable[int], now: float,
    *, never_left: bool = False,
) -> int:  # fmt: skip
    """Give claimed sends back that were certainly not handed over: to `cancelled` when their
    campaign is, else to `queued`. `never_left`: they were committed as handed over, but their ESP's
    adapter knows that no request for them began. Returns how many were still ours."""
    untouched = "" if never_left else " AND handed_over_at IS NULL"
    states = Counter(
        connection.execute(
            sa.text(
                f"UPDATE sends SET status = {_GIVEN_BACK}, lease_token = NULL, lease_until = NULL,"
                " esp = NULL, handed_over_at = NULL, updated_at = :now"
                f" WHERE id {listed(connection)} AND status = 'sending'"
                f" AND lease_token = :token{untouched} RETURNING status"
            ),
            {"ids": packed(ids), "token": lease.token, "now": now},
        ).scalars()
    )
    moves = {Move(S.SENDING, S(state)): count for state, count in states.items()}
    ledger.apply(connection, lease.campaign_id, moves)
    return sum(states.values())


#: Where a send goes that is certainly not at an ESP.
_GIVEN_BACK = (
    "CASE WHEN (SELECT c.status FROM campaigns c WHERE c.id = sends.campaign_id)"
    " = 'cancelled' THEN 'cancelled' ELSE 'queued' END"
)


def record_accepted(
    connection: sa.Connection, lease: Lease, esp: str, rows: Sequence[tuple[int, str | None]],
    now: float,
) -> int:  # fmt: skip
    """Write that `esp` took these (send, message id). A send that an event, or the sweep, moved
    meanwhile keeps its state and only learns its message id. Returns how many moved."""
    ids, message_ids = zip(*rows, strict=True)
    if message_ids.count(message_ids[0]) == len(rows):  # one id for a whole request
        moved = _accept_with_one_id(connection, lease, ids, message_ids[0], now)
    else:
        values = {"rows": packed(rows), "token": lease.token, "now": now}
        moved = connection.execute(_accept(connection.dialect.name), values).rowcount
    if moved < len(rows):
        values = {"rows": packed(rows), "esp": esp}
        connection.execute(_learn_message_ids(connection.dialect.name), values)
    ledger.move(connection, lease.campaign_id, S.SENDING, S.ACCEPTED, moved, esp)
    return moved


@lru_cache
def _accept(dialect: str) -> sa.TextClause:
    return sa.text(
        "UPDATE sends SET status = 'accepted', message_id = j.message_id,"
        " lease_token = NULL, lease_until = NULL, updated_at = :now"
        f" FROM {relation_in(dialect, _MESSAGE_IDS)} AS j"
        " WHERE sends.id = j.id AND sends.lease_token = :token AND sends.status = 'sending'"
    )


@lru_cache
def _learn_message_ids(dialect: str) -> sa.TextClause:
    return sa.text(
        f"UPDATE sends SET message_id = j.message_id FROM {relation_in(dialect, _MESSAGE_IDS)} AS j"
        " WHERE sends.id = j.id AND sends.esp = :esp AND sends.message_id IS NULL"
        " AND sends.status IN ('accepted', 'delivered', 'bounced', 'complained', 'in_doubt')"
    )


_MESSAGE_IDS = (("id", "bigint"), ("message_id", "text"))


def _accept_with_one_id(
    connection: sa.Connection, lease: Lease, ids: Sequence[int], message_id: str | None, now: float
) -> int:
    condition, bound = among(connection, ids)
    values = {"token": lease.token, "now": now, "message_id": message_id}
    return connection.execute(_accept_all(condition), bound | values).rowcount


@lru_cache
def _accept_all(among_ids: str) -> sa.TextClause:
    return sa.text(
        "UPDATE sends SET status = 'accepted', message_id = :message_id, lease_token = NULL,"
        f" lease_until = NULL, updated_at = :now WHERE id {among_ids}"
        " AND lease_token = :token AND status = 'sending'"
    )


def record_stopped(
    connection: sa.Connection, lease: Lease, esp: str | None, target: S,
    rows: Sequence[tuple[int, str]], now: float,
) -> int:  # fmt: skip
    """Write that these (send, reason) ended in `target`: queued (certainly not accepted), failed
    or in doubt. Each leaves a line in its trail. Returns how many were still ours to move."""
    kept = _with_trail(connection, esp, target, rows, now)
    back = target is S.QUEUED  # it will go to whichever ESP the router says then
    target_sql = _GIVEN_BACK if back else f"'{target.value}'"
    source = relation(connection, [("id", "bigint"), ("reason", "text"), ("trail", "json")])
    states = Counter(
        connection.execute(
            sa.text(
                f"UPDATE sends SET status = {target_sql}, reason = j.reason, trail = j.trail,"
                f" lease_token = NULL, lease_until = NULL, updated_at = :now"
                f"{', esp = NULL, handed_over_at = NULL' if back else ', esp = :esp'}"
                f" FROM {source} AS j WHERE sends.id = j.id AND sends.lease_token = :token"
                " AND sends.status = 'sending' RETURNING status"
            ),
            {
                "rows": packed(kept),
                "token": lease.token,
                "now": now,
                **({} if back else {"esp": esp}),
            },
        ).scalars()
    )
    moves = {Move(S.SENDING, S(state), esp): count for state, count in states.items()}
    ledger.apply(connection, lease.campaign_id, moves)
    return sum(states.values())


#: Lines kept in a send's trail.
TRAIL_LENGTH = 20


def longer(trail: Sequence[Any] | None, line: Mapping[str, Any]) -> list[Any]:
    """A send's trail with one more line, the newest last."""
    return [*(trail or ()), line][-TRAIL_LENGTH:]


def _with_trail(
    connection: sa.Connection, esp: str | None, target: S, rows: Sequence[tuple[int, str]],
    now: float,
) -> list[tuple[int, str, list[dict[str, Any]]]]:  # fmt: skip
    trails = dict(
        connection.execute(
            sa.select(sends.c.id, sends.c.trail).where(
                sends.c.id.in_([id_ for id_, _ in rows]), sends.c.trail.is_not(None)
            )
        ).all()
    )
    return [
        (
            id_,
            reason,
            longer(trails.get(id_), {"at": now, "esp": esp, "to": target, "why": reason}),
        )
        for id_, reason in rows
    ]
