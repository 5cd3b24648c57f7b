"""Promises 3 and 5, and forgetting: suppression wins, events count once, erased means gone."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from database.audit_check import Check, Facts, Row, sql
from database.lifecycle import PROVEN, proof_of
from database.models import EventKind, SubscriberStatus, subscribers
from database.models import SendStatus as S

_ALL_EVENTS = (
    "SELECT (SELECT COUNT(*) FROM engagement) + (SELECT COUNT(*) FROM bounces)"
    " + (SELECT COUNT(*) FROM complaints)"
)
_OUT = ("pending", "unsubscribed", "bounced", "complained", "inactive", "erased")


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


# --- promise 3: suppression wins -----------------------------------------------------------------

_MAILED = f"""
    SELECT s.id AS send, s.campaign_id, p.id AS subscriber, p.status, p.status_at, s.handed_over_at
    FROM subscribers p JOIN sends s ON s.subscriber_id = p.id
    WHERE p.status IN ({_listed(_OUT)})
    AND (s.lane = 'campaign' OR p.status IN ('bounced', 'complained', 'erased'))
    AND s.handed_over_at > p.status_at + :commit_seconds
"""
_OUT_OF_REACH = "SELECT COUNT(*) FROM subscribers WHERE status <> 'active'"
#: Whoever was brought back afterwards has a later `status_at`.
_NOT_SUPPRESSED = f"""
    SELECT e.what, e.event, e.esp, p.id AS subscriber, p.status FROM (
        SELECT 'hard bounce' AS what, id AS event, esp, subscriber_id, received_at
        FROM bounces WHERE kind = 'hard'
        UNION ALL SELECT 'complaint', id, esp, subscriber_id, received_at FROM complaints
    ) AS e JOIN subscribers p ON p.id = e.subscriber_id
    WHERE p.status IN ({_listed(("pending", "active", "inactive"))}) AND p.status_at < e.received_at
"""
_EVIDENCE = (
    "SELECT (SELECT COUNT(*) FROM bounces WHERE kind = 'hard') + (SELECT COUNT(*) FROM complaints)"
)
_FIRM = frozenset(
    {SubscriberStatus.BOUNCED, SubscriberStatus.UNSUBSCRIBED, SubscriberStatus.COMPLAINED}
)


def last_word(history: Sequence[dict[str, Any]]) -> str | None:
    """The status that the last entry of a person's history leaves them in."""
    for entry in reversed(history):
        word = entry.get("status") if entry.get("what") == "added" else entry.get("what")
        if word in set(SubscriberStatus):
            return str(word)
    return None


def _back_by_nobody(connection: sa.Connection, _facts: Facts) -> Iterable[Row]:
    p = subscribers.c
    told = sa.cast(p.history, sa.Text)
    query = sa.select(p.id, p.status, p.history).where(
        p.status == SubscriberStatus.ACTIVE,
        sa.or_(*(told.contains(f'"{word}"') for word in sorted(_FIRM))),
    )
    for row in connection.execution_options(yield_per=1000).execute(query):
        word = last_word(row.history)
        if word in _FIRM:
            yield {"subscriber": row.id, "status": row.status, "history_says": word}


# --- promise 5: events count once ----------------------------------------------------------------

_REPEATED = " UNION ALL ".join(
    f"SELECT '{table}' AS in_table, esp, event_key, COUNT(*) AS times FROM {table}"
    " GROUP BY esp, event_key HAVING COUNT(*) > 1"
    for table in ("bounces", "complaints", "engagement")
)


def _below(proof: S) -> str:
    """States that a proof of `proof` would have lifted."""
    return _listed(status for status in S if status not in PROVEN[PROVEN.index(proof) :])


def _unlifted(table: str, condition: str, what: str, proof: S) -> str:
    return (
        f"SELECT {what} AS event, e.esp, s.id AS send, s.campaign_id, s.status"
        f" FROM {table} e JOIN sends s ON s.id = e.send_id"
        f" WHERE {condition} AND s.status IN ({_below(proof)})"
    )


def _kinds(proof: S) -> str:
    return _listed(kind for kind in EventKind if proof_of(kind) is proof)


_UNLIFTED = " UNION ALL ".join(
    [
        _unlifted("complaints", "1 = 1", "'complaint'", S.COMPLAINED),
        _unlifted("bounces", "e.kind = 'hard'", "'hard bounce'", S.BOUNCED),
        _unlifted("bounces", "e.kind <> 'hard'", "'bounce'", S.ACCEPTED),
        *(
            _unlifted("engagement", f"e.kind IN ({_kinds(proof)})", "e.kind", proof)
            for proof in (S.ACCEPTED, S.DELIVERED, S.BOUNCED)
        ),
    ]
)


def _counters(tracked: str) -> str:
    """Rows of (campaign, counter, value, by rows) that differ. `tracked` is the dialect's SQL for
    "we do not count this ourselves", with the option's name to fill in."""
    parts = []
    for kind, plural, option in (
        ("open", "opens", "track_opens"),
        ("click", "clicks", "track_clicks"),
    ):
        foreign = tracked.format(option=option)
        parts += [
            f"SELECT id AS campaign_id, '{plural}_{label}' AS name, {plural}_{label} AS counter,"
            " 0 AS in_rows FROM campaigns"
            for label in ("human", "machine", "privacy")
        ]
        parts.append(
            f"SELECT e.campaign_id, '{plural}_' || e.label, 0, COUNT(*) FROM engagement e"
            f" JOIN campaigns c ON c.id = e.campaign_id WHERE e.kind = '{kind}'"
            f" AND (e.esp = 'own' OR {foreign}) GROUP BY e.campaign_id, e.label"
        )
        column = "opened_at" if kind == "open" else "clicked_at"
        parts += [
            f"SELECT id, 'unique_{plural}', unique_{plural}, 0 FROM campaigns",
            (
                f"SELECT campaign_id, 'unique_{plural}', 0, COUNT(*) FROM sends"
                f" WHERE {column} IS NOT NULL GROUP BY campaign_id"
            ),
        ]
    parts += [
        "SELECT id, 'unsubscribes', unsubscribes, 0 FROM campaigns",
        (
            "SELECT campaign_id, 'unsubscribes', 0, COUNT(DISTINCT send_id) FROM engagement"
            " WHERE kind = 'unsubscribe' AND campaign_id IS NOT NULL GROUP BY campaign_id"
        ),
        "SELECT id, 'replies', replies, 0 FROM campaigns",
        (
            "SELECT campaign_id, 'replies', 0, COUNT(*) FROM engagement"
            " WHERE kind = 'reply' AND campaign_id IS NOT NULL GROUP BY campaign_id"
        ),
    ]
    return (
        "SELECT campaign_id, name, SUM(counter) AS counter, SUM(in_rows) AS in_rows"
        f" FROM ({' UNION ALL '.join(parts)}) AS k"
        " GROUP BY campaign_id, name HAVING SUM(counter) <> SUM(in_rows)"
    )


_ENGAGEMENT_SQLITE = _counters("COALESCE(c.options ->> '{option}', 1) = 0")
_ENGAGEMENT_POSTGRESQL = _counters("COALESCE(c.options ->> '{option}', 'true') = 'false'")

# --- forgetting ----------------------------------------------------------------------------------

_NOT_GONE = " UNION ALL ".join(
    [
        (
            "SELECT 'subscribers' AS in_table, id, id AS subscriber FROM subscribers"
            " WHERE status = 'erased' AND (address NOT LIKE 'erased:%' OR email <> '' OR name <> ''"
            " OR CAST(attributes AS text) <> '{}' OR opt_in_ip IS NOT NULL)"
        ),
        *(
            f"SELECT '{table}', t.id, p.id FROM {table} t JOIN subscribers p"
            " ON p.id = t.subscriber_id WHERE p.status = 'erased'"
            " AND t.address NOT LIKE 'erased:%'"
            for table in ("sends", "bounces", "complaints")
        ),
        (
            "SELECT 'engagement', e.send_id, p.id FROM engagement e JOIN subscribers p"
            " ON p.id = e.subscriber_id WHERE p.status = 'erased' AND e.detail IS NOT NULL"
        ),
    ]
)

CHECKS = (
    Check(
        "suppression-wins", "3",
        "Nobody was handed over after they were out of reach.", _OUT_OF_REACH, sql(_MAILED),
    ),
    Check(
        "bounces-and-complaints-suppress", "3",
        "Whoever bounced hard or complained is out of reach, unless brought back later.",
        _EVIDENCE, sql(_NOT_SUPPRESSED),
    ),
    Check(
        "opt-outs-hold", "3",
        "Nobody is active whose history ends with an opt-out, a bounce or a complaint.",
        "SELECT COUNT(*) FROM subscribers WHERE status = 'active'", _back_by_nobody,
    ),
    Check(
        "events-once", "5",
        "Every event of an ESP is stored once.", _ALL_EVENTS, sql(_REPEATED),
    ),
    Check(
        "events-lift-their-sends", "5",
        "Every send stands at least where its events prove it to be.", _ALL_EVENTS, sql(_UNLIFTED),
    ),
    Check(
        "engagement-equals-events", "5",
        "Every campaign's opens, clicks, unsubscribes and replies equal its events.", _ALL_EVENTS,
        sql(_ENGAGEMENT_SQLITE, postgresql=_ENGAGEMENT_POSTGRESQL),
    ),
    Check(
        "erased-means-gone", "house",
        "No row about an erased person holds their address or what they said.",
        "SELECT COUNT(*) FROM subscribers WHERE status = 'erased'", sql(_NOT_GONE),
    ),
)  # fmt: skip
