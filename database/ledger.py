"""The campaign's counters, moved in the same transaction as the rows they count.

`audience` equals the sum over all states at every moment (contract promise 2). Every change of a
`sends.status` anywhere goes with exactly one call here; `database.audit` recomputes them.

A campaign's row is hot: everybody who moves a send of it needs it. So what a transaction counts is
added at its end, in one order everywhere: no row that others want is waited for while it is held.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sa

from database.lifecycle import may_become
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
    #: The send had stopped before it was at an ESP: only its new state counts at `esp`.
    from_nowhere: bool = False


@dataclass
class _Sums:
    """What a transaction has counted and not added yet."""

    campaigns: dict[int, Counter[str]] = field(default_factory=dict)
    performance: dict[tuple[str, str, str], Counter[str]] = field(default_factory=dict)
    times: dict[tuple[str, str, str], float] = field(default_factory=dict)


_SUMS = "ledger"  # in a connection's `info`


@contextmanager
def added_at_the_end(connection: sa.Connection) -> Iterator[None]:
    """Around the work of a transaction. Without it, counters move at once."""
    info = connection.info
    info[_SUMS] = _Sums()
    try:
        yield
        settle(connection)
    finally:
        del info[_SUMS]


def settle(connection: sa.Connection) -> None:
    """Add what was counted so far: before the transaction reads a counter that it has moved."""
    sums: _Sums | None = connection.info.get(_SUMS)
    if sums is None:
        return
    connection.info[_SUMS] = _Sums()
    for campaign_id in sorted(sums.campaigns):
        _add(connection, campaign_id, sums.campaigns[campaign_id])
    for key in sorted(sums.performance):
        _add_performance(connection, key, sums.performance[key], sums.times[key])


def move(
    connection: sa.Connection, campaign_id: int, source: SendStatus | None, target: SendStatus,
    count: int = 1, esp: str | None = None,
) -> None:  # fmt: skip
    """Count `count` sends of a campaign from `source` to `target`."""
    apply(connection, campaign_id, {Move(source, target, esp): count})


def apply(
    connection: sa.Connection, campaign_id: int, moves: Mapping[Move, int],
    *, restoring: bool = False,
) -> None:  # fmt: skip
    """Count several moves of one campaign at once. Raises ValueError for a move that the lifecycle
    does not know: the transaction that made it must not be kept. `restoring`: see RESTORE_MOVES."""
    totals: dict[str, int] = {}
    per_esp: dict[str, dict[str, int]] = {}
    for (source, target, esp, from_nowhere), count in moves.items():
        if not may_become(source, target, restoring=restoring):
            raise ValueError(f"a send may not go from {source or 'nothing'} to {target}")
        if source is None:
            totals["audience"] = totals.get("audience", 0) + count
        was_at = None if from_nowhere else esp
        for status, signed, at in ((source, -count, was_at), (target, count, esp)):
            if status is None:
                continue
            totals[f"n_{status}"] = totals.get(f"n_{status}", 0) + signed
            if at and status in PER_ESP:
                bucket = per_esp.setdefault(at, {})
                bucket[status] = bucket.get(status, 0) + signed
    _count(connection, campaign_id, totals)
    for esp in sorted(per_esp):
        add_performance(connection, "campaign", esp, str(campaign_id), per_esp[esp])


def count_engagement(
    connection: sa.Connection, campaign_id: int, counts: Mapping[str, int]
) -> None:
    """Add to a campaign's engagement counters; names are `ENGAGEMENT_COUNTERS`."""
    unknown = set(counts) - set(ENGAGEMENT_COUNTERS)
    if unknown:
        raise ValueError(f"no such engagement counter: {sorted(unknown)}")
    _count(connection, campaign_id, counts)


def _count(connection: sa.Connection, campaign_id: int, counts: Mapping[str, int]) -> None:
    sums: _Sums | None = connection.info.get(_SUMS)
    if sums is None:
        _add(connection, campaign_id, counts)
    else:
        sums.campaigns.setdefault(campaign_id, Counter()).update(counts)


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
    unknown = {name for name, count in counts.items() if count} - set(PERFORMANCE_COUNTERS)
    if unknown:
        raise ValueError(f"no such performance counter: {sorted(unknown)}")
    row, at = (scope, key, period), now or time.time()
    sums: _Sums | None = connection.info.get(_SUMS)
    if sums is None:
        _add_performance(connection, row, counts, at)
    else:
        sums.performance.setdefault(row, Counter()).update(counts)
        sums.times[row] = at


def _add_performance(
    connection: sa.Connection, row: tuple[str, str, str], counts: Mapping[str, int], now: float
) -> None:
    counts = {name: count for name, count in counts.items() if count}
    if counts:
        scope, key, period = row
        values = {"scope": scope, "key": key, "period": period, "now": now}
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
