"""Whether every promise that a database can show holds in this one, check by check, with evidence.

Reads only, in one snapshot. What no database can show is listed with the tests that prove it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from database import audit_ledger, audit_mail, audit_people
from database.audit_check import Check, Facts, Finding, run, sql
from database.engine import Database
from database.models import CampaignStatus, Phase, SendStatus, SubscriberStatus

__all__ = ["CHECKS", "ELSEWHERE", "Facts", "Finding", "Report", "audit", "audit_in"]


class Elsewhere(NamedTuple):
    """A promise, or a part of one, that a database cannot show."""

    promise: str
    sentence: str
    proven_by: str


@dataclass(frozen=True, slots=True)
class Report:
    """All findings."""

    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against any promise."""
        return all(finding.ok for finding in self.findings)


def audit(database: Database, facts: Facts) -> Report:
    """Ask every check."""
    with database.read() as connection:
        if not database.is_sqlite:  # there, each statement would see another moment
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return audit_in(connection, facts)


def audit_in(connection: sa.Connection, facts: Facts) -> Report:
    """The same inside the caller's transaction."""
    return Report([run(check, connection, facts) for check in CHECKS])


# --- what the promises rest on -------------------------------------------------------------------


def _not_in(column: str, words: type[SendStatus | CampaignStatus | SubscriberStatus]) -> str:
    return f"{column} NOT IN ({', '.join(repr(str(word)) for word in words)})"


_PHASES = ", ".join(repr(str(phase)) for phase in Phase)
_ILLEGAL = f"""
    SELECT 'send' AS what, id, status, 'no such state' AS wrong FROM sends
    WHERE {_not_in("status", SendStatus)}
    UNION ALL SELECT 'subscriber', id, status, 'no such state' FROM subscribers
    WHERE {_not_in("status", SubscriberStatus)}
    UNION ALL SELECT 'campaign', id, status, 'no such state' FROM campaigns
    WHERE {_not_in("status", CampaignStatus)}
    UNION ALL SELECT 'campaign', id, status, 'no such phase' FROM campaigns
    WHERE phase NOT IN ({_PHASES})
    UNION ALL SELECT 'campaign', id, status, 'over, but not done or without an end' FROM campaigns
    WHERE status IN ('sent', 'failed') AND (finished_at IS NULL OR COALESCE(phase, '') <> 'done')
    UNION ALL SELECT 'campaign', id, status, 'under way, but with an end or done' FROM campaigns
    WHERE status IN ('sending', 'paused') AND (finished_at IS NOT NULL OR phase = 'done')
    UNION ALL SELECT 'campaign', id, status, 'under way, but never launched' FROM campaigns
    WHERE status = 'sending' AND (launched_at IS NULL OR phase IS NULL)
"""
_ORPHANS = " UNION ALL ".join(
    [
        (
            "SELECT 'send without campaign' AS what, s.id AS id, s.campaign_id AS missing"
            " FROM sends s WHERE NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.id = s.campaign_id)"
        ),
        (
            "SELECT 'send without subscriber', s.id, s.subscriber_id FROM sends s"
            " WHERE s.subscriber_id IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM subscribers p WHERE p.id = s.subscriber_id)"
        ),
        *(
            f"SELECT '{name} without send', e.id, e.send_id FROM {table} e"
            " WHERE e.send_id IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM sends s WHERE s.id = e.send_id)"
            for name, table in (("bounce", "bounces"), ("complaint", "complaints"))
        ),
        (
            "SELECT 'counters without campaign', CAST(e.period AS bigint), CAST(e.period AS bigint)"
            " FROM esp_performance e WHERE e.scope = 'campaign'"
            " AND NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.id = CAST(e.period AS bigint))"
        ),
    ]
)

HOUSE = (
    Check(
        "states-are-legal", "house",
        "Every send, subscriber and campaign is in a state that exists, campaigns with the dates "
        "and phase that belong to it.",
        "SELECT (SELECT COUNT(*) FROM sends) + (SELECT COUNT(*) FROM subscribers)"
        " + (SELECT COUNT(*) FROM campaigns)",
        sql(_ILLEGAL),
    ),
    Check(
        "one-mode", "house",
        "No campaign was made in the other mode.", audit_ledger.ALL_CAMPAIGNS,
        sql("SELECT id AS campaign_id, mode FROM campaigns WHERE mode <> :mode"),
    ),
    Check(
        "no-orphans", "house",
        "No row refers to a campaign, a send or a subscriber that is not there.",
        audit_ledger.ALL_SENDS, sql(_ORPHANS),
    ),
)  # fmt: skip

CHECKS: tuple[Check, ...] = (
    *audit_ledger.CHECKS, *audit_people.CHECKS, *audit_mail.CHECKS, *HOUSE,
)  # fmt: skip

#: Found out by breaking things, not by looking.
ELSEWHERE = (
    Elsewhere(
        "1", "Each person got one copy: only the ESPs' own logs show what arrived.",
        "tests/journeys/test_kills.py",
    ),
    Elsewhere(
        "2", "After a crash every lease is settled within 5 s of its end.",
        "tests/journeys/test_kills.py",
    ),
    Elsewhere(
        "3", "Suppression is checked by the very statement that commits a hand-over.",
        "tests/test_email_sender.py",
    ),
    Elsewhere(
        "4", "Rates hold over all processes, and a daily limit to the message.",
        "tests/test_email_sender.py",
    ),
    Elsewhere(
        "5", "Events in any order, repeated, late, or before our own commit change the same.",
        "tests/test_feedback.py",
    ),
    Elsewhere("6", "A 2xx means it is on disk.", "tests/journeys/test_kills.py"),
    Elsewhere(
        "7", "One sender's or campaign's fault stops nobody else; a suspension is no outage.",
        "tests/test_email_sender.py",
    ),
)  # fmt: skip
