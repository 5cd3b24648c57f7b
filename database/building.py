"""Making a campaign's rows, slice by slice: who is meant, and how far it got."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from database import audience, campaigns, sends
from database.segment_sql import Condition, condition


def people_of(row: Mapping[Any, Any], now: float, *, sqlite: bool) -> Condition | None:
    """Whom a campaign means, beside being active: its segment at `now`, less those who opted out
    of its topic; None = everybody."""
    rules = []
    if row["segment"] is not None:
        rules.append(condition(row["segment"], now=now, sqlite=sqlite))
    if row["topic"] is not None:
        rules.append(audience.not_opted_out(row["topic"], sqlite=sqlite))
    return sa.and_(*rules) if rules else None


def build_slice(connection: sa.Connection, campaign_id: int, now: float) -> bool:
    """Make the next rows; running it again, or twice at once, makes no row twice. Returns whether
    all are made."""
    row = campaigns.lock_building(connection, campaign_id)
    if row is None:
        return True
    after, last = row["build_cursor"], row["max_subscriber_id"]
    upto = min(after + campaigns.SLICE, last)
    people = people_of(row, row["launched_at"], sqlite=connection.dialect.name == "sqlite")
    sends.build(connection, campaign_id, people, after, upto, now)
    campaigns.built(connection, campaign_id, upto, last)
    return bool(upto >= last)
