"""Which mailbox provider takes a domain's mail, as MX records said: rows of scope `mx`."""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from database.bulk import dialect_insert
from database.esp_performance import LIVE
from database.models import esp_performance as _t

SCOPE = "mx"


def read(connection: sa.Connection, domains: Iterable[str], since: float) -> dict[str, str]:
    """The mailbox providers of these domains that were looked up after `since`."""
    rows = connection.execute(
        sa.select(_t.c.key, _t.c.state).where(
            _t.c.scope == SCOPE, _t.c.key.in_(list(domains)), _t.c.period == LIVE,
            _t.c.updated_at > since,
        )
    )  # fmt: skip
    return {row.key: row.state["provider"] for row in rows}


def put(connection: sa.Connection, found: Mapping[str, str], now: float) -> None:
    """Keep what was looked up."""
    rows = [
        {"scope": SCOPE, "key": domain, "period": LIVE, "state": {"provider": provider},
         "updated_at": now}
        for domain, provider in sorted(found.items())
    ]  # fmt: skip
    if rows:
        insert = dialect_insert(connection)(_t)
        fresh = {"state": insert.excluded.state, "updated_at": insert.excluded.updated_at}
        keys = ["scope", "key", "period"]
        connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=fresh), rows)


def forget(connection: sa.Connection, before: float) -> None:
    """Drop what was looked up before a moment."""
    connection.execute(sa.delete(_t).where(_t.c.scope == SCOPE, _t.c.updated_at < before))
