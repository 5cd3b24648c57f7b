"""Numbers for monitoring, cheap enough to be asked every few seconds: counters, not rows."""

from typing import NamedTuple

import sqlalchemy as sa

from database.models import (
    LEDGER,
    PERFORMANCE_COUNTERS,
    CampaignStatus,
    campaigns,
    esp_performance,
    subscribers,
)

_c, _p = campaigns.c, esp_performance.c


class Snapshot(NamedTuple):
    """One moment."""

    sends: dict[str, int]  #: by state
    campaigns: dict[str, int]  #: by state
    subscribers: dict[str, int]  #: by status
    esps: dict[str, dict[str, int]]  #: counters of all days, by ESP
    oldest_queued_at: float | None  #: launch of the oldest campaign that has something queued


def snapshot(connection: sa.Connection) -> Snapshot:
    """Ask everything in one reading transaction."""
    return Snapshot(
        _sends(connection),
        _by(connection, _c.status),
        _by(connection, subscribers.c.status),
        _esps(connection),
        _oldest(connection),
    )


def _sends(connection: sa.Connection) -> dict[str, int]:
    sums = [sa.func.coalesce(sa.func.sum(campaigns.c[name]), 0) for name in LEDGER]
    row = connection.execute(sa.select(*sums)).one()
    return {name.removeprefix("n_"): int(n) for name, n in zip(LEDGER, row, strict=True)}


def _by(connection: sa.Connection, column: sa.Column[str]) -> dict[str, int]:
    rows = connection.execute(sa.select(column, sa.func.count()).group_by(column))
    return {str(status): int(n) for status, n in rows}


def _esps(connection: sa.Connection) -> dict[str, dict[str, int]]:
    sums = [sa.func.sum(_p[name]) for name in PERFORMANCE_COUNTERS]
    rows = connection.execute(sa.select(_p.key, *sums).where(_p.scope == "esp").group_by(_p.key))
    return {
        str(key): {name: int(n) for name, n in zip(PERFORMANCE_COUNTERS, numbers, strict=True)}
        for key, *numbers in rows
    }


def _oldest(connection: sa.Connection) -> float | None:
    return connection.execute(
        sa.select(sa.func.min(_c.launched_at)).where(
            _c.status == CampaignStatus.SENDING, _c.n_queued > 0
        )
    ).scalar()
