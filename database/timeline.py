"""What happened to one subscriber, newest first: their history, sends and events in one list."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from database.models import bounces, campaigns, complaints, engagement, sends
from database.subscribers import Subscriber
from utils.signing import SendRef


def timeline(
    connection: sa.Connection, person: Subscriber, *, limit: int = 100
) -> list[dict[str, Any]]:
    """At most `limit` entries, each with `at` (Unix seconds) and `what`."""
    found = list(person.history[-limit:])
    for read in _SOURCES:
        found += read(connection, person.id, limit)
    return sorted(found, key=lambda entry: float(entry["at"]), reverse=True)[:limit]


def _sends(connection: sa.Connection, number: int, limit: int) -> list[dict[str, Any]]:
    c = sends.c
    rows = connection.execute(
        sa.select(
            c.updated_at, campaigns.c.nonce, c.id, c.campaign_id, campaigns.c.name, c.status,
            c.esp, c.reason,
        )
        .join(campaigns, campaigns.c.id == c.campaign_id)
        .where(c.subscriber_id == number)
        .order_by(c.id.desc())
        .limit(limit)
    )  # fmt: skip
    return [
        {
            "at": at, "what": "send", "send_id": str(SendRef(nonce, send)),
            "campaign_id": campaign, "campaign": name, "status": status, "esp": esp,
            "reason": reason,
        }
        for at, nonce, send, campaign, name, status, esp, reason in rows
    ]  # fmt: skip


def _bounces(connection: sa.Connection, number: int, limit: int) -> list[dict[str, Any]]:
    c = bounces.c
    query = sa.select(c.at, c.esp, c.campaign_id, c.kind, c.code, c.reason)
    rows = connection.execute(_newest(query, c.at, c.subscriber_id == number, limit))
    return [
        {
            "at": at, "what": "bounce", "esp": esp, "campaign_id": campaign, "kind": kind,
            "code": code, "reason": reason,
        }
        for at, esp, campaign, kind, code, reason in rows
    ]  # fmt: skip


def _complaints(connection: sa.Connection, number: int, limit: int) -> list[dict[str, Any]]:
    c = complaints.c
    query = sa.select(c.at, c.esp, c.campaign_id, c.feedback_type)
    rows = connection.execute(_newest(query, c.at, c.subscriber_id == number, limit))
    return [
        {"at": at, "what": "complaint", "esp": esp, "campaign_id": campaign, "kind": kind}
        for at, esp, campaign, kind in rows
    ]


def _engagement(connection: sa.Connection, number: int, limit: int) -> list[dict[str, Any]]:
    c = engagement.c
    at = sa.case((c.at > 0, c.at), else_=c.received_at)  # an ESP may tell no time
    query = sa.select(at, c.esp, c.campaign_id, c.kind, c.label, c.link)
    rows = connection.execute(_newest(query, c.at, c.subscriber_id == number, limit))
    return [
        {"at": at, "what": kind, "esp": esp, "campaign_id": campaign, "label": label, "link": link}
        for at, esp, campaign, kind, label, link in rows
    ]


def _newest(
    query: sa.Select[Any],
    at: sa.ColumnElement[float],
    whose: sa.ColumnElement[bool],
    limit: int,
) -> sa.Select[Any]:
    return query.where(whose).order_by(at.desc()).limit(limit)


_SOURCES: tuple[Callable[[sa.Connection, int, int], list[dict[str, Any]]], ...] = (
    _sends,
    _bounces,
    _complaints,
    _engagement,
)
