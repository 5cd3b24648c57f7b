"""What events leave on sends and people: first opens and clicks, last signs of life, the score and
the run of soft bounces. Every rule gives the same result in whatever order events come."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from database.bulk import listed, packed, relation
from database.models import sends
from utils.score import added


@dataclass(slots=True)
class Marks:
    """What a batch of events says about one person; times are 0 for never."""

    delivered_at: float = 0.0
    opened_at: float = 0.0  #: by a human
    clicked_at: float = 0.0  #: by a human
    acts: list[float] = field(default_factory=list)  #: each from `utils.score.forward`
    soft_bounced: bool = False


def first_acts(connection: sa.Connection, column: str, firsts: Mapping[int, float]) -> Counter[int]:
    """Set `opened_at` or `clicked_at` of (locked) sends to the earliest human act; one of which no
    time is known (0) counts as done when the send was handed over. Returns, by campaign, the sends
    that had none before."""
    if not firsts:
        return Counter()
    source = relation(connection, [("id", "bigint"), ("at", "double")])
    values = {"rows": packed(sorted(firsts.items()))}
    at = "COALESCE(NULLIF(j.at, 0), sends.handed_over_at, sends.updated_at)"
    change = f"UPDATE sends SET {column} = {at} FROM {source} AS j WHERE sends.id = j.id"
    connection.execute(sa.text(f"{change} AND sends.{column} > j.at AND j.at > 0"), values)
    new = connection.execute(
        sa.text(f"{change} AND sends.{column} IS NULL RETURNING sends.campaign_id"), values
    )
    return Counter(new.scalars())


def mark(connection: sa.Connection, marks: Mapping[int, Marks]) -> list[int]:
    """Write marks to people, in the order of their ids. Returns who clicked while `inactive`."""
    if not marks:
        return []
    rows = _locked(connection, marks)
    runs = _soft_runs(connection, _with_runs(rows, marks))
    changes = [_changed(row, marks[row.id], runs) for row in rows]
    source = relation(
        connection,
        [
            ("id", "bigint"), ("delivered", "double"), ("opened", "double"),
            ("clicked", "double"), ("engagement", "double"), ("run", "bigint"),
            ("since", "double"),
        ],
    )  # fmt: skip
    connection.execute(
        sa.text(
            "UPDATE subscribers SET last_delivered_at = j.delivered, last_open_at = j.opened,"
            " last_click_at = j.clicked, engagement = j.engagement, soft_bounce_run = j.run,"
            f" soft_bounce_since = j.since FROM {source} AS j WHERE subscribers.id = j.id"
        ),
        {"rows": packed(changes)},
    )
    return [row.id for row in rows if row.status == "inactive" and marks[row.id].clicked_at]


def _locked(connection: sa.Connection, ids: Iterable[int]) -> list[Any]:
    lock = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
    return list(
        connection.execute(
            sa.text(
                "SELECT id, status, last_delivered_at, last_open_at, last_click_at, engagement,"
                " soft_bounce_run, soft_bounce_since FROM subscribers"
                f" WHERE id {listed(connection)} AND status <> 'erased' ORDER BY id{lock}"
            ),
            {"ids": packed(sorted(ids))},
        )
    )


def _changed(row: Any, new: Marks, runs: Mapping[int, tuple[int, float | None]]) -> tuple[Any, ...]:
    number, _, delivered, opened, clicked, engagement, run, since = row
    run, since = runs.get(number, (run, since))
    return (
        number,
        _later(delivered, new.delivered_at),
        _later(opened, new.opened_at),
        _later(clicked, new.clicked_at),
        added(engagement, *new.acts),
        run,
        since,
    )


def _later(stored: float | None, new: float) -> float | None:
    if not new:
        return stored
    return new if stored is None else max(stored, new)


def _with_runs(rows: Iterable[Any], marks: Mapping[int, Marks]) -> dict[int, float]:
    """People whose run of soft bounces this batch may change, with their last delivery."""
    return {
        row.id: _later(row.last_delivered_at, marks[row.id].delivered_at) or 0.0
        for row in rows
        if marks[row.id].soft_bounced or (row.soft_bounce_run and marks[row.id].delivered_at)
    }


def _soft_runs(
    connection: sa.Connection, delivered: Mapping[int, float]
) -> dict[int, tuple[int, float | None]]:
    """Soft bounces since the last delivery and the last change of status, counted from the rows, so
    that a late event changes nothing twice."""
    if not delivered:
        return {}
    source = relation(connection, [("id", "bigint"), ("at", "double")])
    rows = connection.execute(
        sa.text(
            f"SELECT j.id, count(b.id), min(b.at) FROM {source} AS j"
            " JOIN subscribers p ON p.id = j.id"
            " LEFT JOIN bounces b ON b.subscriber_id = j.id AND b.kind = 'soft'"
            " AND b.at > j.at AND b.received_at >= p.status_at GROUP BY j.id"
        ),
        {"rows": packed(sorted(delivered.items()))},
    )
    return {number: (run, since) for number, run, since in rows}


def esp_of(connection: sa.Connection, send_id: int) -> str | None:
    """The ESP that a send was last tried at, when its row no longer names one."""
    trail = connection.execute(sa.select(sends.c.trail).where(sends.c.id == send_id)).scalar()
    return next((line["esp"] for line in reversed(trail or []) if line.get("esp")), None)
