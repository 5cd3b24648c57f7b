"""Transactional mail: a campaign of one send, on a lane of its own. What may be sent, and to whom,
is decided above; every change of a state goes through the stores of campaigns and sends."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from database import campaigns, ledger, send_acts, sends, unsendable
from database.bulk import packed, texts_in
from database.models import CampaignKind, CampaignStatus, Lane, subscribers
from database.models import SendStatus as S
from database.models import campaigns as campaigns_table
from database.models import sends as sends_table
from database.send_acts import Slice
from database.sends import Lease, Picked

#: Why a mail ended that was not sent in its time.
EXPIRED = "expired"
#: The word in a trail for a doubt that the request itself wanted resent. `verify` knows how it
#: begins: somebody asked for it.
RESENT = "resend by on_doubt"
#: `on_doubt` of a mail that goes once more when an ESP may have taken it; then it is `resent`.
WANTED = "resend"


class Recipient(NamedTuple):
    """A subscriber as far as transactional mail must know them."""

    id: int
    status: str
    status_reason: str


def recipient(connection: sa.Connection, addresses: Collection[str]) -> Recipient | None:
    """The subscriber under one of these names: the canonical address, or its erased form."""
    s = subscribers.c
    query = sa.select(s.id, s.status, s.status_reason).where(s.address.in_(sorted(addresses)))
    row = connection.execute(query).first()
    return Recipient._make(row) if row else None


def insert(
    connection: sa.Connection, values: Mapping[str, Any], address: str, subscriber_id: int | None
) -> tuple[int, int]:
    """Store a mail that may leave at once; returns the ids of its campaign and of its send."""
    campaign_id = campaigns.insert(connection, values)
    send_id = connection.execute(
        sends_table.insert()
        .values(
            campaign_id=campaign_id, address=address, subscriber_id=subscriber_id,
            lane=Lane.TRANSACTIONAL, status=S.QUEUED, updated_at=values["created_at"],
        )
        .returning(sends_table.c.id)
    ).scalar_one()  # fmt: skip
    ledger.move(connection, campaign_id, None, S.QUEUED)
    return campaign_id, int(send_id)


class Due(NamedTuple):
    """A mail that waits."""

    campaign_id: int
    esp: str  #: the only ESP it may go through; empty = any


def due(
    connection: sa.Connection, now: float, *, without: Collection[str] = (), limit: int = 100
) -> list[Due]:
    """Mails that may leave, oldest first; those for an ESP among `without` only when their time is
    over, so that they end."""
    values = {"now": now, "limit": limit, "without": packed(without)}
    return [Due._make(row) for row in connection.execute(_due(connection.dialect.name), values)]


@lru_cache
def _due(dialect: str) -> sa.TextClause:
    pinned = "COALESCE(c.options ->> 'esp', '')"
    return sa.text(
        f"SELECT s.campaign_id, {pinned} FROM sends s JOIN campaigns c ON c.id = s.campaign_id"
        " WHERE s.status = 'queued' AND s.lane = 'transactional' AND c.status = 'sending'"
        f" AND (NOT ({pinned} {texts_in(dialect, 'without')})"
        " OR CAST(c.options ->> 'expires_at' AS double precision) <= :now)"
        " ORDER BY s.id LIMIT :limit"
    )


def trail(connection: sa.Connection, send_id: int) -> Sequence[Mapping[str, Any]]:
    """What happened to a send off the happy path."""
    query = sa.select(sends_table.c.trail).where(sends_table.c.id == send_id)
    return connection.execute(query).scalar_one() or ()


def expire(connection: sa.Connection, lease: Lease, picked: Sequence[Picked], now: float) -> None:
    """End queued mail whose time is over. Nothing fails that is not claimed, so it is claimed."""
    ids = [row.id for row in picked]
    sends.take(connection, lease, None, ids, now)
    unsendable.fail(connection, lease, [(id_, EXPIRED) for id_ in ids], now)


def resend_doubt(connection: sa.Connection, campaign_id: int, now: float) -> bool:
    """Queue a mail in doubt again if its request wanted that (`on_doubt`), its time is not over,
    and it was not done before. Returns whether it was done."""
    mail = campaigns.brief(connection, campaign_id)
    if mail is None or mail.kind != CampaignKind.TRANSACTIONAL or mail.status not in _OPEN:
        return False
    wanted = mail.options.get("on_doubt") == WANTED
    if not wanted or (mail.options.get("expires_at") or now + 1) <= now:
        return False
    if not send_acts.resolve(connection, campaign_id, S.QUEUED, RESENT, now, Slice(0, 1)):
        return False
    connection.execute(_DONE[connection.dialect.name], {"id": campaign_id})
    return True


_OPEN = (CampaignStatus.SENDING, CampaignStatus.PAUSED)
#: The option says that it was done: a trail forgets its oldest lines. One that was emptied
#: meanwhile, since its person was erased, stays empty.
_DONE = {
    "sqlite": sa.text(
        "UPDATE campaigns SET options = json_replace(options, '$.on_doubt', 'resent')"
        " WHERE id = :id"
    ),
    "postgresql": sa.text(
        "UPDATE campaigns SET options = jsonb_set(options, '{on_doubt}', '\"resent\"', false)"
        " WHERE id = :id"
    ),
}


# --- did they get it? ----------------------------------------------------------------------------


def to_address(
    connection: sa.Connection, address: str, *, since: float | None, before: int | None, limit: int
) -> Sequence[sa.RowMapping]:
    """Sends of every kind to a canonical address, newest first, with their campaign's nonce, kind
    and subject. `since`: only what changed at or after it; `before`: only ids below it."""
    s = sends_table.c
    person = sa.select(subscribers.c.id).where(subscribers.c.address == address).scalar_subquery()
    conditions = [] if before is None else [s.id < before]
    if since is not None:
        conditions.append(s.updated_at >= since)
    # Each half by its own index; one condition with OR would read all sends.
    halves = [
        sa.select(s.id).where(whose, *conditions).order_by(s.id.desc()).limit(limit).subquery()
        for whose in (
            s.subscriber_id == person,
            sa.and_(s.address == address, s.subscriber_id.is_(None)),
        )
    ]
    ids = sa.union_all(*(sa.select(half.c.id) for half in halves)).subquery()
    c = campaigns_table.c
    query = (
        sa.select(sends_table, c.nonce, c.kind, c.subject)
        .join(campaigns_table, c.id == s.campaign_id)
        .where(s.id.in_(sa.select(ids.c.id)))
        .order_by(s.id.desc())
        .limit(limit)
    )
    return connection.execute(query).mappings().all()
