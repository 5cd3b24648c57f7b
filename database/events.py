"""The log of what ESPs and our own links told us: every event is stored once, however often, late
or in whatever order it comes. What an event means is not decided here."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from database import ledger
from database.bulk import listed, packed, relation
from database.models import EventKind, bounces, campaigns, complaints, engagement, esp_performance

#: `esp` of what our own pixel, links and pages saw.
OWN = "own"
#: An event of the year 5138 or of before 1970 is a mistake of whoever wrote it.
_LATEST = 1e11
#: Longest raw event kept; an ESP's are about 1 kB.
_RAW_LIMIT = 32_768
#: NUL is refused by PostgreSQL, lone surrogates by every encoder.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Entry(NamedTuple):
    """An event as it is kept in `engagement`."""

    at: float
    esp: str
    key: str
    kind: EventKind
    label: str | None = None
    send_id: int | None = None
    campaign_id: int | None = None
    subscriber_id: int | None = None
    link: int | None = None
    detail: str | None = None  #: JSON


class Bounce(NamedTuple):
    """A row of `bounces`."""

    at: float
    esp: str
    key: str
    kind: str
    send_id: int | None
    campaign_id: int | None
    subscriber_id: int | None
    address: str
    code: str
    reason: str
    raw: str | None


class Complaint(NamedTuple):
    """A row of `complaints`."""

    at: float
    esp: str
    key: str
    feedback_type: str
    send_id: int | None
    campaign_id: int | None
    subscriber_id: int | None
    address: str
    raw: str | None


#: (esp, event key): what makes an event itself.
Key = tuple[str, str]
#: Types of columns that are not text, as `bulk.relation` names them; `json` arrives as text.
_TYPES = {
    "at": "double", "send_id": "bigint", "campaign_id": "bigint", "subscriber_id": "bigint",
    "link": "bigint",
}  # fmt: skip
_JSON = {"detail", "raw"}


def keep(connection: sa.Connection, rows: Sequence[Entry], now: float) -> set[Key]:
    """Store events; returns those that were not there yet."""
    return _keep(connection, engagement, Entry._fields, rows, now)


def keep_bounces(connection: sa.Connection, rows: Sequence[Bounce], now: float) -> set[Key]:
    """Store bounces; returns those that were not there yet."""
    return _keep(connection, bounces, Bounce._fields, rows, now)


def keep_complaints(connection: sa.Connection, rows: Sequence[Complaint], now: float) -> set[Key]:
    """Store complaints; returns those that were not there yet."""
    return _keep(connection, complaints, Complaint._fields, rows, now)


def _keep(
    connection: sa.Connection, table: sa.Table, fields: Sequence[str], rows: Sequence[Any],
    now: float,
) -> set[Key]:  # fmt: skip
    if not rows:
        return set()
    # In one order everywhere: two calls that share events wait for each other, not in a circle.
    rows = sorted(rows, key=lambda row: (row.at, row.esp, row.key))
    names = ["event_key" if name == "key" else name for name in fields]
    source = relation(connection, [(name, _TYPES.get(name, "text")) for name in names])
    postgresql = connection.dialect.name != "sqlite"
    values = [
        f"CAST(j.{name} AS jsonb)" if postgresql and name in _JSON else f"j.{name}"
        for name in names
    ]
    kept = connection.execute(
        sa.text(
            f"INSERT INTO {table.name} ({', '.join(names)}, received_at)"
            f" SELECT {', '.join(values)}, :now FROM {source} AS j WHERE true"
            " ON CONFLICT DO NOTHING RETURNING esp, event_key"
        ),
        {"rows": packed(map(tuple, rows)), "now": now},
    )
    return {(esp, key) for esp, key in kept}


def own_person(connection: sa.Connection, table: sa.Table, key: Key, address: str) -> None:
    """Tie a kept bounce or complaint to the person of a canonical address, so that forgetting them
    finds it."""
    connection.execute(
        sa.text(
            f"UPDATE {table.name} SET subscriber_id ="
            " (SELECT id FROM subscribers WHERE address = :address)"
            " WHERE esp = :esp AND event_key = :key AND subscriber_id IS NULL"
        ),
        {"esp": key[0], "key": key[1], "address": address},
    )


def delivered_at(connection: sa.Connection, people: Iterable[int]) -> dict[int, float]:
    """When sends to these people were delivered, by send, as far as it was told."""
    rows = connection.execute(
        sa.text(
            "SELECT send_id, min(at) FROM engagement"
            f" WHERE subscriber_id {listed(connection)} AND kind = 'delivered' GROUP BY send_id"
        ),
        {"ids": packed(sorted(set(people)))},
    )
    return {send: at for send, at in rows if send is not None}


def deferrals(connection: sa.Connection, rows: Iterable[Any]) -> dict[int, int]:
    """How often each of these sends (`id`, `subscriber_id`) was deferred. Found by its person, so
    nothing is known of a stranger's mail."""
    people = {row.id: row.subscriber_id for row in rows if row.subscriber_id is not None}
    if not people:
        return {}
    found = connection.execute(
        sa.text(
            "SELECT send_id, COUNT(*) FROM engagement"
            f" WHERE subscriber_id {listed(connection)} AND kind = 'deferred' GROUP BY send_id"
        ),
        {"ids": packed(sorted(set(people.values())))},
    )
    return {send_id: count for send_id, count in found if send_id in people}


def unsubscribes(
    connection: sa.Connection, send_id: int, campaign_id: int, subscriber_id: int | None
) -> int:
    """How often the person of a (locked) send said by that very mail that they want no more."""
    if subscriber_id is None:  # a stranger's mail is a campaign of its own
        ledger.settle(connection)
        query = sa.select(campaigns.c.unsubscribes).where(campaigns.c.id == campaign_id)
        return int(connection.execute(query).scalar() or 0)
    e = engagement.c
    count = sa.select(sa.func.count()).where(
        e.subscriber_id == subscriber_id, e.send_id == send_id, e.kind == EventKind.UNSUBSCRIBE
    )
    return int(connection.execute(count).scalar_one())


def tracking(connection: sa.Connection, ids: Iterable[int]) -> dict[int, Mapping[str, Any]]:
    """The options of campaigns: whether their opens and clicks are our own to count."""
    query = sa.select(campaigns.c.id, campaigns.c.options).where(campaigns.c.id.in_(sorted(ids)))
    return {row.id: row.options for row in connection.execute(query)}


def stored_time(at: float) -> float:
    """A moment that both databases can hold; always the same for the same event."""
    return float(at) if 0 <= at < _LATEST and math.isfinite(at) else 0.0


def stored_text(text: str) -> str:
    """Text without what PostgreSQL or JSON refuses."""
    return text if text.isprintable() else _UNSTORABLE.sub("", text)


def stored_json(value: Mapping[str, Any]) -> str | None:
    """JSON text of an event as it came; None when there is nothing to keep."""
    if not value:
        return None
    try:
        text = orjson.dumps(value, default=str).decode()
    except TypeError:  # numbers beyond 64 bits, lone surrogates
        text = orjson.dumps(_cleaned(value), default=str).decode()
    if "\\u0000" in text:
        text = orjson.dumps(_cleaned(orjson.loads(text)), default=str).decode()
    if len(text) > _RAW_LIMIT:
        return orjson.dumps({"cut": stored_text(text[:_RAW_LIMIT])}).decode()
    return text


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("", value)
    if isinstance(value, Mapping):
        return {_UNSTORABLE.sub("", str(k)): _cleaned(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        return str(value)
    return value


# --- how the webhooks of each ESP are doing ------------------------------------------------------


class Heard(NamedTuple):
    """What an ESP told us in the last 24 hours, to the hour."""

    last_at: float | None
    last_24h: int
    refused_24h: int


_HOURS = 24


def note_heard(connection: sa.Connection, esp: str, events: int, now: float) -> None:
    """Count events of one webhook call, whatever they are about."""
    sqlite = connection.dialect.name == "sqlite"
    make = "json_object('events', {})" if sqlite else "jsonb_build_object('events', {})"
    number = ":events" if sqlite else "CAST(:events AS bigint)"
    before = "CAST(COALESCE(esp_performance.state ->> 'events', '0') AS bigint)"
    connection.execute(
        sa.text(
            "INSERT INTO esp_performance (scope, key, period, state, updated_at)"
            f" VALUES ('hour', :esp, :period, {make.format(number)}, :now)"
            " ON CONFLICT (scope, key, period) DO UPDATE SET updated_at = :now,"
            f" state = {make.format(f'{before} + {number}')}"
        ),
        {"esp": esp, "period": _hour(now), "events": events, "now": now},
    )


def note_refused(connection: sa.Connection, esp: str, calls: int, now: float) -> None:
    """Count webhook calls that were not authentic or could not be read."""
    for scope, period in (("esp", _hour(now)[:10]), ("hour", _hour(now))):
        ledger.add_performance(connection, scope, esp, period, {"refused": calls}, now)


def heard(connection: sa.Connection, esp: str, now: float) -> Heard:
    """What an ESP told us lately."""
    ledger.settle(connection)
    p = esp_performance.c
    rows = connection.execute(
        sa.select(p.state, p.refused, p.updated_at).where(
            p.scope == "hour", p.key == esp, p.period > _hour(now - _HOURS * 3600)
        )
    ).all()
    told = [(row.state.get("events", 0), row.updated_at) for row in rows]
    last = max((at for events, at in told if events), default=None)
    return Heard(last, sum(events for events, _ in told), sum(row.refused for row in rows))


def _hour(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H")
