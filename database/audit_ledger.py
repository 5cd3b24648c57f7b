"""Promises 1, 2 and 4, as far as the ledger shows them: once each, none lost, within the limits."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from database import esp_performance as performance
from database.audit_check import Check, Facts, Row, sql
from database.ledger import PER_ESP
from database.lifecycle import PROVEN
from database.models import LEDGER, SendStatus, sends

ALL_SENDS = "SELECT COUNT(*) FROM sends"
ALL_CAMPAIGNS = "SELECT COUNT(*) FROM campaigns"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


# --- promise 1: nobody twice ---------------------------------------------------------------------

_TWICE = """
    SELECT campaign_id, address, COUNT(*) AS sends FROM sends
    GROUP BY campaign_id, address HAVING COUNT(*) > 1
"""
_QUEUED_BUT_LEFT = """
    SELECT id AS send, campaign_id, status, handed_over_at, esp FROM sends
    WHERE status = 'queued' AND handed_over_at IS NOT NULL
    UNION ALL
    SELECT id, campaign_id, status, handed_over_at, esp FROM sends
    WHERE status = 'in_doubt' AND handed_over_at IS NULL
"""


def wrong_in(trail: Sequence[dict[str, Any]], handed_over_at: float | None) -> str | None:
    """What a send's trail says against "nobody twice"; None when nothing does."""
    targets = [step.get("to") for step in trail]
    if targets.count(SendStatus.ACCEPTED) > 1:
        return "accepted twice"
    for step, after in pairwise(trail):
        back = step.get("to") == SendStatus.IN_DOUBT and after.get("to") == SendStatus.QUEUED
        if back and not str(after.get("why", "")).startswith("resend by "):
            return "queued again while in doubt, by nobody's word"
    last = trail[-1] if trail else {}
    if last.get("to") == SendStatus.IN_DOUBT and (handed_over_at or 0) > last.get("at", 0):
        return "handed over again after it was in doubt"
    return None


def _twice_by_trail(connection: sa.Connection, _facts: Facts) -> Iterable[Row]:
    s = sends.c
    query = sa.select(s.id, s.campaign_id, s.trail, s.handed_over_at).where(s.trail.is_not(None))
    for row in connection.execution_options(yield_per=1000).execute(query):
        wrong = wrong_in(row.trail, row.handed_over_at)
        if wrong:
            yield {"send": row.id, "campaign_id": row.campaign_id, "wrong": wrong}


# --- promise 2: none lost ------------------------------------------------------------------------

_COUNTERS = " UNION ALL ".join(
    f"SELECT id AS campaign_id, '{status}' AS status, n_{status} AS counter, 0 AS in_rows"
    " FROM campaigns"
    for status in SendStatus
)
_COUNTERS_DIFFER = f"""
    SELECT campaign_id, status, SUM(counter) AS counter, SUM(in_rows) AS in_rows FROM (
        {_COUNTERS} UNION ALL
        SELECT campaign_id, status, 0, COUNT(*) FROM sends GROUP BY campaign_id, status
    ) AS k GROUP BY campaign_id, status HAVING SUM(counter) <> SUM(in_rows)
"""
_UNBALANCED = f"""
    SELECT id AS campaign_id, audience, {" + ".join(LEDGER)} AS in_states FROM campaigns
    WHERE audience <> {" + ".join(LEDGER)}
"""
_BY_ESP = " UNION ALL ".join(
    f"SELECT CAST(period AS bigint) AS campaign_id, key AS esp, '{status}' AS status,"
    f" {status} AS counter, 0 AS in_rows FROM esp_performance WHERE scope = 'campaign'"
    for status in sorted(PER_ESP)
)
_BY_ESP_DIFFERS = f"""
    SELECT campaign_id, esp, status, SUM(counter) AS counter, SUM(in_rows) AS in_rows FROM (
        {_BY_ESP} UNION ALL
        SELECT campaign_id, esp, status, 0, COUNT(*) FROM sends
        WHERE esp IS NOT NULL AND status IN ({_listed(sorted(PER_ESP))})
        GROUP BY campaign_id, esp, status
    ) AS k GROUP BY campaign_id, esp, status HAVING SUM(counter) <> SUM(in_rows)
"""
_OVER_TOO_SOON = """
    SELECT c.id AS campaign_id, c.status AS campaign_is, s.id AS send, s.status AS send_is
    FROM campaigns c JOIN sends s ON s.campaign_id = c.id
    WHERE c.status IN ('sent', 'failed') AND s.status IN ('queued', 'sending')
"""
_LEASE_OUTLIVED = """
    SELECT id AS send, campaign_id, esp, lease_until FROM sends
    WHERE status = 'sending' AND (lease_until IS NULL OR lease_until < :late)
"""
_OPEN_SENDS = "SELECT COUNT(*) FROM sends WHERE status = 'sending'"
#: A join with what is known, not NOT IN, which PostgreSQL answers row by row once it is large.
_NO_ID = f"""
    SELECT s.id AS send, s.campaign_id, s.esp, s.updated_at FROM sends s LEFT JOIN (
        SELECT send_id FROM engagement WHERE send_id IS NOT NULL
        UNION SELECT send_id FROM bounces WHERE send_id IS NOT NULL
    ) AS told ON told.send_id = s.id
    WHERE s.status = '{SendStatus.ACCEPTED}' AND s.message_id IS NULL AND told.send_id IS NULL
    AND s.address NOT LIKE 'erased:%'
    AND (s.trail IS NULL OR CAST(s.trail AS text) NOT LIKE '%mark_sent by %')
"""


def _no_heart(facts: Facts) -> str:
    return "" if facts.worker_beats else "no worker beats, so nobody would settle them"


# --- promise 4: limits ---------------------------------------------------------------------------

_LEFT = """
    SELECT esp, COUNT(*) AS number FROM sends
    WHERE handed_over_at >= :surely_today AND esp IS NOT NULL
    AND (status = 'in_doubt' OR status IN ({proven})
         AND (trail IS NULL OR COALESCE({last}, '') <> 'failed'))
    GROUP BY esp
"""
#: A send that failed gave its quota back; that an event lifted it later does not take it again.
_LAST_STEP = {
    "sqlite": "trail -> '$[#-1]' ->> 'to'",
    "postgresql": "trail -> -1 ->> 'to'",
}


def _used_too_little(connection: sa.Connection, facts: Facts) -> Iterable[Row]:
    last = _LAST_STEP[connection.dialect.name]
    text = sa.text(_LEFT.format(proven=_listed(PROVEN), last=last))
    left = connection.execute(text, {"surely_today": facts.values()["surely_today"]}).all()
    used = performance.read(connection, [row.esp for row in left], facts.now)
    for row in left:
        counted = used[row.esp].used_today
        if counted < row.number:
            yield {"esp": row.esp, "counted_as_used": counted, "left_today": row.number}


def _over_limit(connection: sa.Connection, facts: Facts) -> Iterable[Row]:
    for esp, row in performance.read(connection, facts.daily_limits, facts.now).items():
        limit = facts.daily_limits[esp]
        if limit is not None and row.used_today > limit:
            yield {"esp": esp, "used_today": row.used_today, "limit": limit}


def _no_limits(facts: Facts) -> str:
    return "" if facts.daily_limits else "no limits were given"


CHECKS = (
    Check(
        "one-send-per-address", "1",
        "A campaign has one send for each address.", ALL_SENDS, sql(_TWICE),
    ),
    Check(
        "no-second-acceptance", "1",
        "No trail shows two acceptances, or a send that left again while it was in doubt without "
        "an operator's word.",
        "SELECT COUNT(*) FROM sends WHERE trail IS NOT NULL", _twice_by_trail,
    ),
    Check(
        "queued-never-left", "1",
        "What is queued was not handed over, and what is in doubt was.",
        "SELECT COUNT(*) FROM sends WHERE status IN ('queued', 'in_doubt')", sql(_QUEUED_BUT_LEFT),
    ),
    Check(
        "counters-equal-rows", "2",
        "Every campaign's counters equal its rows, state by state.", ALL_SENDS,
        sql(_COUNTERS_DIFFER),
    ),
    Check(
        "audience-equals-states", "2",
        "Every campaign's audience equals the sum over all states.", ALL_CAMPAIGNS,
        sql(_UNBALANCED),
    ),
    Check(
        "by-esp-equals-rows", "2",
        "Every campaign's counters by ESP equal its rows.", ALL_SENDS, sql(_BY_ESP_DIFFERS),
    ),
    Check(
        "over-means-over", "2",
        "No campaign is sent or failed while a send of it is queued or sending.", ALL_CAMPAIGNS,
        sql(_OVER_TOO_SOON),
    ),
    Check(
        "no-lease-outlived", "2",
        "No send stays `sending` for more than 5 s after its lease.", _OPEN_SENDS,
        sql(_LEASE_OUTLIVED), _no_heart,
    ),
    Check(
        "accepted-has-an-id", "2",
        "An accepted send names the ESP's message id, unless an event or an operator said so.",
        "SELECT COUNT(*) FROM sends WHERE status = 'accepted'", sql(_NO_ID),
    ),
    Check(
        "quota-covers-what-left", "4",
        "Each ESP's count of today covers all that it accepted, or may have, since midnight UTC.",
        ALL_SENDS, _used_too_little,
    ),
    Check(
        "daily-limits-hold", "4",
        "No ESP was used beyond its daily limit today.",
        "SELECT COUNT(*) FROM esp_performance WHERE scope = 'esp' AND period <> 'live'",
        _over_limit, _no_limits,
    ),
)  # fmt: skip
