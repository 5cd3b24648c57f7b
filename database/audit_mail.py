"""What a single mail asked for, as far as the ledger shows it: not after its time, and in doubt
either held or sent once more, as it said."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from database.audit_check import Check, Facts, Row, sql
from database.models import CampaignKind, campaigns, sends
from database.models import SendStatus as S
from database.transactional import EXPIRED, RESENT, WANTED

_MAILS = f"SELECT COUNT(*) FROM campaigns WHERE kind = '{CampaignKind.TRANSACTIONAL}'"
_OVER_AT = "CAST(c.options ->> 'expires_at' AS double precision)"
_SENDS = (
    "FROM campaigns c JOIN sends s ON s.campaign_id = c.id"
    f" WHERE c.kind = '{CampaignKind.TRANSACTIONAL}'"
)
#: A send that waited when a backup was taken has no ESP and a hand-over that is only feared. The
#: options of an erased person's mail are gone.
_EXPIRY_BROKEN = f"""
    SELECT s.id AS send, s.campaign_id, 'handed over after its time' AS wrong {_SENDS}
    AND s.esp IS NOT NULL AND s.handed_over_at >= {_OVER_AT}
    UNION ALL SELECT s.id, s.campaign_id, 'expired, but handed over' {_SENDS}
    AND s.reason = '{EXPIRED}' AND s.status = '{S.FAILED}' AND s.handed_over_at IS NOT NULL
    UNION ALL SELECT s.id, s.campaign_id, 'expired before its time' {_SENDS}
    AND s.reason = '{EXPIRED}' AND s.status = '{S.FAILED}'
    AND COALESCE({_OVER_AT}, s.updated_at + 1) > s.updated_at
"""


def wrong_in(trail: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> str | None:
    """What a mail's trail says against its `on_doubt`; None when nothing does."""
    resent = [step for step in trail if step.get("why") == RESENT]
    if not resent:
        return None
    if options.get("on_doubt") != "resent":
        return "resent in doubt, though it did not ask for that"
    if len(resent) > 1:
        return "resent in doubt more than once"
    if resent[0].get("at", 0) >= options.get("expires_at", float("inf")):
        return "resent in doubt after its time"
    return None


def _not_as_asked(connection: sa.Connection, _facts: Facts) -> Iterable[Row]:
    s, c = sends.c, campaigns.c
    query = (
        sa.select(s.id, s.campaign_id, s.status, s.esp, s.updated_at, s.trail, c.options)
        .join(campaigns, c.id == s.campaign_id)
        .where(c.kind == CampaignKind.TRANSACTIONAL, s.trail.is_not(None))
    )
    for row in connection.execution_options(yield_per=1000).execute(query):
        wrong = wrong_in(row.trail, row.options) or (_held(row) if row.esp else None)
        if wrong:
            yield {"send": row.id, "campaign_id": row.campaign_id, "wrong": wrong}


def _held(row: Any) -> str | None:
    """The doubt and its end are written in one transaction, so nobody sees it in between."""
    wanted = row.options.get("on_doubt") == WANTED
    in_time = row.options.get("expires_at", float("inf")) > row.updated_at
    if row.status == S.IN_DOUBT and wanted and in_time:
        return "held in doubt, though it asked to be resent"
    return None


CHECKS = (
    Check(
        "expiry-holds", "house",
        "No single mail was handed over after its time, or ended as expired before it.", _MAILS,
        sql(_EXPIRY_BROKEN),
    ),
    Check(
        "doubt-as-asked", "house",
        "A single mail in doubt was sent once more if it asked for that, in its time, else never.",
        _MAILS, _not_as_asked,
    ),
)  # fmt: skip
