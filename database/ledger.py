"""The campaign's counters, moved in the same transaction as the rows they count.

`audience` equals the sum over all states at every moment (contract promise 2). Every change of a
`sends.status` anywhere goes with exactly one call here; `database.audit` recomputes them.
"""

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sa

from database.models import ENGAGEMENT_COUNTERS, PERFORMANCE_COUNTERS, SendStatus

#: States that are also counted per ESP (`by_esp`), in `esp_performance` scope `campaign`.
PER_ESP = frozenset(
    {
        SendStatus.ACCEPTED, SendStatus.DELIVERED, SendStatus.BOUNCED, SendStatus.COMPLAINED,
        SendStatus.FAILED, SendStatus.IN_DOUBT,
    }
)  # fmt: skip


class Move(NamedTuple):
    """One kind of change: from a state (None = a new row) to another, at an ESP if one counts."""

    source: SendStatus | None
    target: SendStatus
    esp: str | None = None


def move(
    connection: sa.Connection, campaign_id: int, source: SendStatus | None, target: SendStatus,
    count: int = 1, esp: str | None = None,
) -> None:  # fmt: skip
    """Count `count` sends of a campaign from `source` to `target`."""
    apply(connection, campaign_id, {Move(source, target, esp): count})


def apply(connection: sa.Connection, campaign_id: int, moves: Mapping[Move, int]) -> None:
    """Count several moves of one campaign at once."""
    totals: dict[str, int] = {}
    per_esp: dict[str, dict[str, int]] = {}
    for (source, target, esp), count in moves.items():
        if source is None:
            totals["audience"] = totals.get("audience", 0) + count
        for status, signed in ((source, -count), (target, count)):
            if status is None:
                continue
            totals[f"n_{status}"] = totals.get(f"n_{status}", 0) + signed
            if esp and status in PER_ESP:
                bucket = per_esp.setdefault(esp, {})
                bucket[status] = bucket.get(status, 0) + signed
    _add(connection, campaign_id, totals)
    for esp in sorted(per_esp):  # always in one order: two transactions never wait for each other
        add_performance(connection, "campaign", esp, str(campaign_id), per_esp[esp])


def count_engagement(
    connection: sa.Connection, campaign_id: int, counts: Mapping[str, int]
) -> None:
    """Add to a campaign's engagement counters; names are `ENGAGEMENT_COUNTERS`."""
    unknown = set(counts) - set(ENGAGEMENT_COUNTERS)
    if unknown:
        raise ValueError(f"no such engagement counter: {sorted(unknown)}")
    _add(connection, campaign_id, counts)


def _add(connection: sa.Connection, campaign_id: int, counts: Mapping[str, int]) -> None:
    counts = {name: count for name, count in counts.items() if count}
    if counts:
        statement = _campaign_addition(tuple(sorted(counts)))
        connection.execute(statement, counts | {"campaign": campaign_id})


@lru_cache(maxsize=256)
def _campaign_addition(names: tuple[str, ...]) -> sa.TextClause:
    sums = ", ".join(f"{name} = {name} + :{name}" for name in names)
    return sa.text(f"UPDATE campaigns SET {sums} WHERE id = :campaign")


def add_performance(
    connection: sa.Connection, scope: str, key: str, period: str, counts: Mapping[str, int],
    now: float | None = None,
) -> None:  # fmt: skip
    """Add to the counters of one row of `esp_performance`, made when it is not there yet."""
    counts = {name: count for name, count in counts.items() if count}
    unknown = counts.keys() - set(PERFORMANCE_COUNTERS)
    if unknown:
        raise ValueError(f"no such performance counter: {sorted(unknown)}")
    if not counts:
        return
    values = {"scope": scope, "key": key, "period": period, "now": now or time.time()}
    connection.execute(_addition(tuple(sorted(counts))), values | counts)


@lru_cache(maxsize=64)
def _addition(names: tuple[str, ...]) -> sa.TextClause:
    """The statement for these counters, built once: building costs more than running it."""
    sums = ", ".join(f"{name} = esp_performance.{name} + :{name}" for name in names)
    return sa.text(
        f"INSERT INTO esp_performance (scope, key, period, updated_at, {', '.join(names)})"
        f" VALUES (:scope, :key, :period, :now, {', '.join(f':{name}' for name in names)})"
        f" ON CONFLICT (scope, key, period) DO UPDATE SET {sums}, updated_at = :now"
    )
