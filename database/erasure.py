"""Forgetting a person: every trace of them is emptied, the rows stay so that sums stay true."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from database import suppression
from database.models import (
    CampaignKind,
    SubscriberStatus,
    bounces,
    campaigns,
    complaints,
    engagement,
    sends,
    subscribers,
)  # fmt: skip
from database.subscribers import Subscriber

_HIDDEN = (CampaignKind.TRANSACTIONAL, CampaignKind.TEST)


def strangers_sends(connection: sa.Connection, address: str) -> list[int]:
    """Transactional and test mails to `address`: no other sends name no subscriber."""
    query = sa.select(sends.c.id).where(sends.c.address == address, sends.c.subscriber_id.is_(None))
    return list(connection.scalars(query))


def erase(
    connection: sa.Connection, person: Subscriber, alias: str, *,
    entry: dict[str, Any], at: float, strangers: Sequence[int] = (),
) -> None:  # fmt: skip
    """Put `alias` in the place of the address everywhere; `person` must be locked."""
    status = SubscriberStatus.ERASED
    suppression.stop_sends(connection, [person.id], status, at=at)
    suppression.stop_strangers_sends(connection, person.address, status, at=at)
    connection.execute(
        subscribers.update()
        .where(subscribers.c.id == person.id)
        .values(
            address=alias, email="", name="", status=status, status_reason="", status_at=at,
            tags={}, attributes={}, topic_opt_outs={}, history=[entry], opt_in_at=None,
            opt_in_ip=None, engagement=None, last_delivered_at=None, last_open_at=None,
            last_click_at=None, soft_bounce_run=0, soft_bounce_since=None, import_id=None,
            updated_at=at,
        )
    )  # fmt: skip
    _forget_sends(connection, sends.c.subscriber_id == person.id, alias)
    if strangers:
        _forget_sends(connection, sends.c.id.in_(strangers), alias)
    _forget_events(connection, person.id, alias)


def _forget_sends(connection: sa.Connection, condition: sa.ColumnElement[bool], alias: str) -> None:
    """What was sent stays counted; a transactional mail's own content goes as well."""
    theirs = sa.select(sends.c.campaign_id).where(condition)
    connection.execute(
        campaigns.update()
        .where(campaigns.c.id.in_(theirs), campaigns.c.kind.in_(_HIDDEN))
        .values(name="", subject="", html=None, text=None, options={}, links=[], attachments=None)
    )
    # An ESP's own words often repeat the address.
    reason = sa.case((sends.c.reason.is_(None), sa.null()), else_="erased")
    connection.execute(
        sends.update().where(condition).values(address=alias, reason=reason, trail=sa.null())
    )


def _forget_events(connection: sa.Connection, number: int, alias: str) -> None:
    connection.execute(
        bounces.update()
        .where(bounces.c.subscriber_id == number)
        .values(address=alias, reason="", raw=sa.null())
    )
    connection.execute(
        complaints.update()
        .where(complaints.c.subscriber_id == number)
        .values(address=alias, raw=sa.null())
    )
    connection.execute(
        engagement.update().where(engagement.c.subscriber_id == number).values(detail=sa.null())
    )
