"""Leases that ran out: whoever held them is lost, and their sends are settled."""

from typing import NamedTuple

import sqlalchemy as sa

from database.models import SendStatus as S
from database.models import sends
from database.sends import Lease, record_stopped, release


class Expired(NamedTuple):
    """A lease that ran out and was settled."""

    esp: str | None
    claimed_at: float
    handed_over: bool


def expire(connection: sa.Connection, campaign_id: int, now: float) -> list[Expired]:
    """Settle the leases of a campaign that ran out: not handed over goes back, handed over is in
    doubt. That one column is the difference between a retry and a duplicate."""
    s = sends.c
    rows = connection.execute(
        sa.select(s.id, s.esp, s.updated_at, s.handed_over_at, s.lease_token)
        .where(
            s.campaign_id == campaign_id, s.status == sa.literal_column("'sending'"),
            s.lease_until < now,
        )
        .order_by(s.id)
        .with_for_update(skip_locked=True)
    ).all()  # fmt: skip
    for token in sorted({row.lease_token for row in rows}):
        lease = Lease(campaign_id, token, now)
        ours = [row for row in rows if row.lease_token == token]
        release(connection, lease, [row.id for row in ours if row.handed_over_at is None], now)
        doubtful = [row for row in ours if row.handed_over_at is not None]
        for esp in sorted({row.esp for row in doubtful}):
            lost = [(row.id, LOST_WORKER) for row in doubtful if row.esp == esp]
            record_stopped(connection, lease, esp, S.IN_DOUBT, lost, now)
    return [Expired(r.esp, r.updated_at, r.handed_over_at is not None) for r in rows]


LOST_WORKER = "the worker was lost after hand-over"
