"""Everybody of a segment, in pages that each stand by themselves: no snapshot stays open for a
million people, and no more of them than a page is held."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from database.engine import Database
from database.models import SubscriberStatus, subscribers
from database.segment_sql import condition
from database.segments import Tree

_c = subscribers.c
PAGE = 1_000


def pages(
    db: Database, rule: Tree | None, status: SubscriberStatus | None, now: float
) -> Iterator[list[dict[str, Any]]]:
    """Pages of people by column, in the order they were added; who was erased is nobody."""
    wanted = [_c.status != SubscriberStatus.ERASED]
    if rule is not None:
        wanted.append(condition(rule, now=now, sqlite=db.is_sqlite))
    if status is not None:
        wanted.append(_c.status == status)
    query = (
        sa.select(
            _c.id, _c.email, _c.name, _c.status, _c.tags, _c.topic_opt_outs, _c.attributes,
            _c.created_at, _c.opt_in_at, _c.opt_in_ip,
        )
        .where(*wanted)
        .order_by(_c.id)
        .limit(PAGE)
    )  # fmt: skip
    after = 0
    while True:
        with db.read() as connection:
            found = [row._asdict() for row in connection.execute(query.where(_c.id > after))]
        if not found:
            return
        yield found
        after = found[-1]["id"]
