"""Claimed sends that turn out to be no message, or too late. Suppression wins (contract promise 3):
whoever may not be mailed is suppressed, whatever else is wrong with the send; the others fail."""

from collections.abc import Sequence

import sqlalchemy as sa

from database.models import SendStatus as S
from database.sends import Lease, record_stopped, suppress


def fail(
    connection: sa.Connection, lease: Lease, rows: Sequence[tuple[int, str]], now: float
) -> int:
    """End these (send, reason) of a lease before their hand-over. Returns how many were still ours
    to end."""
    suppressed = suppress(connection, lease, [id_ for id_, _ in rows], now)
    return suppressed + record_stopped(connection, lease, None, S.FAILED, rows, now)
