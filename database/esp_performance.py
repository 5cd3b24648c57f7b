"""The rows of `esp_performance`: what all processes share about each ESP, now and by the day.

Keeps numbers and JSON; what they mean is decided in `services.esp_manager`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from database.bulk import dialect_insert, packed, texts_in
from database.ledger import add_performance
from database.models import PERFORMANCE_COUNTERS, esp_performance

LIVE = "live"
#: Scope of what the campaign guard keeps, by campaign.
GUARD = "guard"
_t = esp_performance


class EspRow(NamedTuple):
    """One ESP at this moment."""

    state: dict[str, Any]
    used_today: int
    counts: dict[str, int]  #: event counters of today and yesterday


def day_of(now: float, days_back: int = 0) -> str:
    """The UTC day of a moment, as the `period` of a day's row."""
    return (datetime.fromtimestamp(now, UTC).date() - timedelta(days=days_back)).isoformat()


def lock(connection: sa.Connection, names: Collection[str], now: float) -> dict[str, EspRow]:
    """Read the ESPs and keep other writers out until the transaction ends, so that what is read
    can be reserved exactly (contract promise 4). Makes the live rows when they are missing."""
    if connection.dialect.name != "sqlite":
        lock_states(connection, names, now)
        return read(connection, names, now)
    rows = _rows(connection, names, now)  # a writer of SQLite has locked everything already
    for name in set(names) - {row["key"] for row in rows if row["period"] == LIVE}:
        add_state(connection, "esp", name, {}, now)
    return _summed(rows, names, now)


def lock_states(
    connection: sa.Connection, names: Iterable[str], now: float
) -> dict[str, dict[str, Any]]:
    """The live states alone, under the same lock."""
    names = sorted(names)
    found = _states(connection, names, locked=True)
    for name in set(names) - found.keys():
        add_state(connection, "esp", name, {}, now)
    return found if len(found) == len(names) else _states(connection, names, locked=True)


def states(connection: sa.Connection, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The live states as they are, without a lock."""
    return _states(connection, names, locked=False)


def read(connection: sa.Connection, names: Collection[str], now: float) -> dict[str, EspRow]:
    """The ESPs as they are, without a lock."""
    return _summed(_rows(connection, names, now), names, now)


def _rows(connection: sa.Connection, names: Iterable[str], now: float) -> Sequence[sa.RowMapping]:
    bound = {"names": packed(names), "today": day_of(now), "yesterday": day_of(now, 1)}
    return connection.execute(_select_rows(connection.dialect.name), bound).mappings().all()


def _summed(rows: Sequence[sa.RowMapping], names: Iterable[str], now: float) -> dict[str, EspRow]:
    today = day_of(now)
    found: dict[str, EspRow] = {name: EspRow({}, 0, {}) for name in names}
    for row in rows:
        esp = found[row["key"]]
        if row["period"] == LIVE:
            found[row["key"]] = esp._replace(state=row["state"])
            continue
        counts = {name: esp.counts.get(name, 0) + row[name] for name in PERFORMANCE_COUNTERS}
        used = row["used"] if row["period"] == today else esp.used_today
        found[row["key"]] = esp._replace(counts=counts, used_today=used)
    return found


def _states(
    connection: sa.Connection, names: Iterable[str], *, locked: bool
) -> dict[str, dict[str, Any]]:
    statement = _select_states(connection.dialect.name, locked)
    rows = connection.execute(statement, {"names": packed(names)})
    return {row.key: row.state for row in rows}


# These run several times per batch: a text is read once and kept.
@lru_cache
def _select_states(dialect: str, locked: bool) -> sa.TextualSelect:
    lock = " FOR UPDATE" if locked and dialect != "sqlite" else ""
    return _with_state(
        "SELECT key, state FROM esp_performance WHERE scope = 'esp'"
        f" AND key {texts_in(dialect, 'names')} AND period = 'live' ORDER BY key{lock}"
    )


@lru_cache
def _select_rows(dialect: str) -> sa.TextualSelect:
    return _with_state(
        f"SELECT key, period, state, {', '.join(PERFORMANCE_COUNTERS)} FROM esp_performance"
        f" WHERE scope = 'esp' AND key {texts_in(dialect, 'names')}"
        f" AND period IN ('{LIVE}', :today, :yesterday)"
    )


def _with_state(sql: str) -> sa.TextualSelect:
    return sa.text(sql).columns(state=_t.c.state.type)


def save_states(
    connection: sa.Connection, states: Mapping[str, Mapping[str, Any]], now: float
) -> None:
    """Write live states that were read under a lock in this transaction."""
    rows = [{"name": name, "state": states[name], "now": now} for name in sorted(states)]
    if rows:
        connection.execute(_SAVE, rows)


_SAVE = sa.text(
    "UPDATE esp_performance SET state = :state, updated_at = :now"
    " WHERE scope = 'esp' AND key = :name AND period = 'live'"
).bindparams(sa.bindparam("state", type_=_t.c.state.type))


def add_state(
    connection: sa.Connection, scope: str, key: str, state: Mapping[str, Any], now: float
) -> None:
    """Make a live row unless somebody was first."""
    row = dialect_insert(connection)(_t).values(
        scope=scope, key=key, period=LIVE, state=dict(state), updated_at=now
    )
    connection.execute(row.on_conflict_do_nothing())


def lock_state(connection: sa.Connection, scope: str, key: str, now: float) -> dict[str, Any]:
    """The JSON of a live row, locked until the transaction ends; made when it is missing."""
    locked = sa.select(_t.c.state).where(*_live(scope, key)).with_for_update()
    state: dict[str, Any] | None = connection.execute(locked).scalar()
    if state is None:
        add_state(connection, scope, key, {}, now)
        state = connection.execute(locked).scalar_one()
    return state


def _live(scope: str, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _t.c.scope == scope, _t.c.key == key, _t.c.period == LIVE


def put_state(
    connection: sa.Connection, scope: str, key: str, state: Mapping[str, Any], now: float
) -> None:
    """Write a live row that was locked in this transaction."""
    connection.execute(
        sa.update(_t).where(*_live(scope, key)).values(state=dict(state), updated_at=now)
    )


def count(connection: sa.Connection, esp: str, counts: Mapping[str, int], now: float) -> None:
    """Add to an ESP's counters of the day that `now` falls on."""
    add_performance(connection, "esp", esp, day_of(now), counts, now)


def give_back(connection: sa.Connection, esp: str, day: str, number: int) -> None:
    """Take back what was reserved on `day` and then certainly not used."""
    add_performance(connection, "esp", esp, day, {"used": -number})


def give_back_claimed(
    connection: sa.Connection, claims: Iterable[tuple[str | None, float]]
) -> None:
    """The same for claimed sends (ESP, moment of the claim) that will not be handed over. Whoever
    takes a send out of its claim does this, in the same transaction: so it is done once."""
    unused = Counter((esp, day_of(claimed_at)) for esp, claimed_at in claims if esp)
    for (esp, day), number in sorted(unused.items()):
        give_back(connection, esp, day, number)


def history(connection: sa.Connection, esp: str, days: int = 30) -> Sequence[sa.RowMapping]:
    """An ESP's daily rows, newest first."""
    return (
        connection.execute(
            sa.select(_t)
            .where(_t.c.scope == "esp", _t.c.key == esp, _t.c.period != LIVE)
            .order_by(_t.c.period.desc())
            .limit(days)
        )
        .mappings()
        .all()
    )


def by_esp(connection: sa.Connection, campaign_id: int) -> dict[str, dict[str, int]]:
    """A campaign's sends by ESP and state."""
    rows = connection.execute(
        sa.select(_t).where(_t.c.scope == "campaign", _t.c.period == str(campaign_id))
    ).mappings()
    states = ("accepted", "delivered", "bounced", "complained", "failed", "in_doubt")
    return {row["key"]: {state: row[state] for state in states} for row in rows}


def get_state(connection: sa.Connection, scope: str, key: str) -> dict[str, Any] | None:
    """The JSON of a live row; None when there is none."""
    return connection.execute(sa.select(_t.c.state).where(*_live(scope, key))).scalar()
