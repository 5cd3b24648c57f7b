"""What the pages behind a token need: the campaign by its nonce, and the person of a send.

A test is nobody's mail: whatever its links say, there is no such campaign and no such send.
"""

from typing import Any, NamedTuple

import sqlalchemy as sa

from database.models import (
    CampaignKind,
    SendStatus,
    SubscriberStatus,
    campaigns,
    sends,
    subscribers,
)
from database.send_acts import SendRow

_c = campaigns.c
_REAL = _c.kind != CampaignKind.TEST


class Reader(NamedTuple):
    """Whom a send went to; an erased person has nothing but an alias."""

    email: str
    name: str
    attributes: dict[str, Any]
    erased: bool


def links(connection: sa.Connection, nonce: str) -> tuple[str, ...]:
    """The click targets of a campaign, by number; they never change after its launch."""
    found = connection.execute(sa.select(_c.links).where(_c.nonce == nonce, _REAL)).scalar()
    return tuple(found or ())


def campaign(connection: sa.Connection, nonce: str) -> sa.RowMapping | None:
    """All columns of a campaign."""
    query = sa.select(campaigns).where(_c.nonce == nonce, _REAL)
    return connection.execute(query).mappings().one_or_none()


def send(connection: sa.Connection, nonce: str, send_id: int) -> SendRow | None:
    """The send that a token names, without a lock."""
    s = sends.c
    row = connection.execute(
        sa.select(s.id, s.campaign_id, _c.nonce, s.status, s.esp, s.address, s.subscriber_id)
        .join(campaigns, _c.id == s.campaign_id)
        .where(s.id == send_id, _c.nonce == nonce, _REAL)
    ).one_or_none()
    return None if row is None else SendRow(*row[:3], SendStatus(row[3]), *row[4:])


def reader(connection: sa.Connection, nonce: str, send_id: int) -> Reader | None:
    """The person of a send, as its message was made for them."""
    s, p = sends.c, subscribers.c
    row = connection.execute(
        sa.select(s.address, p.email, p.name, p.attributes, p.status)
        .select_from(
            sends.join(campaigns, _c.id == s.campaign_id).outerjoin(
                subscribers, p.id == s.subscriber_id
            )
        )
        .where(s.id == send_id, _c.nonce == nonce, _REAL)
    ).one_or_none()
    if row is None:
        return None
    erased = row.status == SubscriberStatus.ERASED or row.address.startswith("erased:")
    return Reader(row.email or row.address, row.name or "", row.attributes or {}, erased)
