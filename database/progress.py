"""How fast a campaign leaves: what was handed over lately, found without reading all its rows."""

from typing import NamedTuple

import sqlalchemy as sa

from database.models import sends

#: Only what left within this time counts: a pause of yesterday says nothing about now.
WINDOW_SECONDS = 60.0
#: Rows looked at, so that a campaign of a million costs no more than one of ten thousand.
WINDOW_ROWS = 20_000


class Recent(NamedTuple):
    """Sends handed over within the window, and when the first of them was."""

    number: int
    since: float | None


def recent(connection: sa.Connection, campaign_id: int, queued: int, now: float) -> Recent:
    """What was handed over lately. The queue is drained in the order of ids, so whatever left last
    lies just below the part that still waits."""
    head = _head(connection, campaign_id, queued)
    if head is None:
        return Recent(0, None)
    s = sends.c
    row = connection.execute(
        sa.select(sa.func.count(), sa.func.min(s.handed_over_at)).where(
            # `+ 0`: by the range of ids, not by an index over all of the campaign's sends.
            s.campaign_id + 0 == campaign_id,
            s.id.between(head - WINDOW_ROWS, head),
            s.handed_over_at > now - WINDOW_SECONDS,
        )
    ).one()
    return Recent(row[0], row[1])


def _head(connection: sa.Connection, campaign_id: int, queued: int) -> int | None:
    """About where the queue begins: its last id less its length (ids of one campaign are dense, and
    the few sends that came back to the queue shift this by no more than their number)."""
    for status in ("queued", "sending"):
        last = connection.execute(
            sa.select(sa.func.max(sends.c.id)).where(
                sends.c.campaign_id == campaign_id,
                sends.c.status == sa.literal_column(f"'{status}'"),
            )
        ).scalar()
        if last is not None:
            return int(last) - (queued if status == "queued" else 0)
    return None
