"""What an operator, or an ESP's event, does to sends outside of a worker's lease.

Works in slices, so that no transaction grows with the campaign.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from database import esp_performance as performance
from database import ledger
from database.bulk import packed, relation
from database.campaigns import forget_attachments
from database.ledger import Move
from database.models import Lane, campaigns, sends
from database.models import SendStatus as S
from database.sends import longer

#: `reason` of an in-doubt send that its ESP does not know; `resolve-in-doubt` can pick these.
NOT_FOUND = "not found at the ESP"


class SendRow(NamedTuple):
    """A send as an event meets it."""

    id: int
    campaign_id: int
    nonce: str
    status: S
    esp: str | None
    address: str
    subscriber_id: int | None
    claimed_at: float | None = None  #: while it is claimed and not handed over
    lane: Lane = Lane.CAMPAIGN
    handed_over_at: float | None = None


class Lift(NamedTuple):
    """A send whose state an authentic event proves to be further on."""

    row: SendRow
    target: S
    esp: str
    message_id: str | None
    reason: str | None


def for_events(connection: sa.Connection, ids: Iterable[int]) -> dict[int, SendRow]:
    """Lock the sends that events are about, in id order."""
    rows = connection.execute(
        sa.select(
            sends.c.id, sends.c.campaign_id, campaigns.c.nonce, sends.c.status, sends.c.esp,
            sends.c.address, sends.c.subscriber_id, _CLAIMED_AT, sends.c.lane,
            sends.c.handed_over_at,
        )
        .join(campaigns, campaigns.c.id == sends.c.campaign_id)
        .where(sends.c.id.in_(list(ids)))
        .order_by(sends.c.id)
        .with_for_update(of=sends)
    )  # fmt: skip
    return {
        row.id: SendRow(*row[:3], S(row.status), *row[4:8], Lane(row.lane), row[9]) for row in rows
    }


#: Nothing writes to a send between its claim and its hand-over.
_CLAIMED_AT = sa.case(
    (
        sa.and_(sends.c.status == S.SENDING, sends.c.handed_over_at.is_(None)),
        sends.c.updated_at,
    ),
    else_=sa.null(),
)


def lift(connection: sa.Connection, lifts: Sequence[Lift], now: float) -> None:
    """Move locked sends up to what their events prove, with the ledger. The lease of a send that
    was being sent ends: the worker's own record then only adds the message id."""
    source = relation(
        connection,
        [
            ("id", "bigint"), ("status", "text"), ("esp", "text"),
            ("message_id", "text"), ("reason", "text"),
        ],
    )  # fmt: skip
    rows = [(l_.row.id, l_.target, l_.esp, l_.message_id, l_.reason) for l_ in lifts]
    connection.execute(
        sa.text(
            "UPDATE sends SET status = j.status, esp = COALESCE(sends.esp, j.esp),"
            " message_id = COALESCE(sends.message_id, j.message_id),"
            " reason = COALESCE(j.reason, sends.reason), lease_token = NULL, lease_until = NULL,"
            f" updated_at = :now FROM {source} AS j WHERE sends.id = j.id"
        ),
        {"rows": packed(rows), "now": now},
    )
    moves: dict[int, Counter[Move]] = {}
    for item in lifts:
        row = item.row
        move = Move(row.status, item.target, row.esp or item.esp, from_nowhere=row.esp is None)
        moves.setdefault(row.campaign_id, Counter())[move] += 1
    for campaign_id in sorted(moves):
        ledger.apply(connection, campaign_id, moves[campaign_id])
    claims = [(l_.row.esp, l_.row.claimed_at) for l_ in lifts if l_.row.claimed_at is not None]
    performance.give_back_claimed(connection, claims)
    single = [l_.row for l_ in lifts if l_.row.lane is Lane.TRANSACTIONAL]
    forget_attachments(connection, {row.campaign_id for row in single if row.status is S.IN_DOUBT})


class Slice(NamedTuple):
    """The next sends of one pass through a campaign, in the order of their ids."""

    after: int
    limit: int


def requeue_failed(
    connection: sa.Connection, campaign_id: int, now: float, part: Slice
) -> Sequence[int]:
    """Queue a slice of the failed sends again (`retry-failed`); returns which."""
    why = "retried by an operator"
    return _move(connection, campaign_id, S.FAILED, S.QUEUED, why, now=now, part=part)


def resolve(
    connection: sa.Connection, campaign_id: int, target: S, why: str, now: float, part: Slice,
    *, only_not_found: bool = False,
) -> Sequence[int]:  # fmt: skip
    """End the doubt of a slice of sends as an operator says; returns which."""
    extra = [sends.c.reason == NOT_FOUND] if only_not_found else []
    return _move(connection, campaign_id, S.IN_DOUBT, target, why, now=now, part=part, extra=extra)


def _move(
    connection: sa.Connection, campaign_id: int, source: S, target: S, why: str, *, now: float,
    part: Slice, extra: Sequence[sa.ColumnElement[bool]] = (),
) -> Sequence[int]:  # fmt: skip
    rows = connection.execute(
        sa.select(sends.c.id, sends.c.esp, sends.c.trail, sends.c.reason)
        .where(
            sends.c.campaign_id == campaign_id, sends.c.id > part.after,
            sends.c.status == sa.literal_column(f"'{source.value}'"), *extra,
        )
        .order_by(sends.c.id)
        .limit(part.limit)
        .with_for_update()
    ).all()  # fmt: skip
    if not rows:
        return ()
    changes = [(row.id, _reason(target, why), _trail(row, target, why, now)) for row in rows]
    table = relation(connection, [("id", "bigint"), ("reason", "text"), ("trail", "json")])
    fresh = ", esp = NULL, handed_over_at = NULL, message_id = NULL" if target is S.QUEUED else ""
    connection.execute(
        sa.text(
            f"UPDATE sends SET status = '{target.value}', reason = j.reason, trail = j.trail,"
            f" updated_at = :now{fresh} FROM {table} AS j WHERE sends.id = j.id"
        ),
        {"rows": packed(changes), "now": now},
    )
    esps = Counter(row.esp for row in rows)
    ledger.apply(connection, campaign_id, {Move(source, target, esp): n for esp, n in esps.items()})
    return [row.id for row in rows]


def _reason(target: S, why: str) -> str | None:
    return None if target is S.QUEUED else why


def _trail(row: Any, target: S, why: str, now: float) -> list[dict[str, Any]]:
    line = {"at": now, "esp": row.esp, "to": target, "why": why, "was": row.reason}
    return longer(row.trail, line)


def get(connection: sa.Connection, send_id: int) -> sa.RowMapping | None:
    """One send with all its columns."""
    return (
        connection.execute(sa.select(sends).where(sends.c.id == send_id)).mappings().one_or_none()
    )


def page(
    connection: sa.Connection, campaign_id: int, limit: int, after: str = "",
    status: str | None = None, esp: str | None = None,
) -> Sequence[sa.RowMapping]:  # fmt: skip
    """A campaign's sends after an address, in the order of their addresses: the order of the index
    that every campaign's sends have, so that a page reads no more than itself."""
    query = sa.select(sends).where(sends.c.campaign_id == campaign_id, sends.c.address > after)
    if status is not None:
        query = query.where(sends.c.status == status)
    if esp is not None:
        query = query.where(sends.c.esp == esp)
    return connection.execute(query.order_by(sends.c.address).limit(limit)).mappings().all()
