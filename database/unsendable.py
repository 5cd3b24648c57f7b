"""Claimed sends that turn out to be no message, or too late. Suppression wins (contract promise 3):
whoever may not be mailed is suppressed, whatever else is wrong with the send; the others fail."""

from collections.abc import Sequence

import sqlalchemy as sa

from database import ledger
from database.bulk import listed, packed
from database.models import SendStatus as S
from database.reach import suppression_sql
from database.sends import Lease, record_stopped


def fail(
    connection: sa.Connection, lease: Lease, rows: Sequence[tuple[int, str]], now: float
) -> int:
    """End these (send, reason) of a lease before their hand-over. Returns how many were still ours
    to end."""
    suppressed = _suppress(connection, lease, [id_ for id_, _ in rows], now)
    return suppressed + record_stopped(connection, lease, None, S.FAILED, rows, now)


def _suppress(connection: sa.Connection, lease: Lease, ids: Sequence[int], now: float) -> int:
    reach = suppression_sql(connection.dialect.name)
    count = connection.execute(
        sa.text(
            "UPDATE sends SET status = 'suppressed', lease_token = NULL, lease_until = NULL,"
            f" esp = NULL, reason = {reach.words}, updated_at = :now"
            f" WHERE id {listed(connection)} AND status = 'sending'"
            f" AND lease_token = :token AND handed_over_at IS NULL AND {reach.condition}"
        ),
        {"ids": packed(ids), "token": lease.token, "now": now},
    ).rowcount
    ledger.move(connection, lease.campaign_id, S.SENDING, S.SUPPRESSED, count)
    return int(count)
