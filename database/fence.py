"""What makes a restored database safe to run: whatever may have left after the backup was taken
never leaves again by itself.

Runs inside the transaction of whoever restores, before anybody else sees the database.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa

from database import building, campaigns, ledger, transactional
from database.bulk import packed, relation
from database.ledger import Move
from database.models import CampaignKind, sends
from database.models import CampaignStatus as C
from database.models import SendStatus as S
from database.models import campaigns as campaigns_table
from database.reach import suppression_sql

#: Nothing of these is over: each may have gone on after the backup.
_UNFINISHED = (C.SCHEDULED, C.SENDING, C.PAUSED)
_t = campaigns_table.c


@dataclass(frozen=True, slots=True)
class Fenced:
    """What was held back."""

    paused: int  #: campaigns
    in_doubt: int  #: sends that may have left since
    suppressed: int  #: sends to people who may not be mailed


def moment(at: float) -> str:
    """A time as the reasons show it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def fence(
    connection: sa.Connection, taken_at: float, now: float, *, waited: Collection[str] = ()
) -> Fenced:
    """Pause every unfinished campaign. Sends that waited are in doubt, but for those of campaigns
    that were paused and of which it is known that nothing left since (`waited`: nonces); so is what
    was claimed. The hidden campaign of a single mail is not paused: nobody could resume it."""
    rows = connection.execute(
        sa.select(_t.id, _t.status, _t.status_reason, _t.nonce, _t.kind)
        .where(_t.status.in_(_UNFINISHED))
        .order_by(_t.id)
    ).all()
    paused = in_doubt = suppressed = 0
    why = f"restored from a backup of {moment(taken_at)}"
    for row in rows:
        if row.kind == CampaignKind.CAMPAIGN:
            paused += 1
            _pause(connection, row, why)
        if row.status == C.SENDING or row.nonce not in waited:
            _build_all(connection, row.id, now)
            suppressed += _suppress(connection, row.id, now)
            in_doubt += _doubt_queued(connection, row.id, why, taken_at, now)
    _warn_of_drafts(connection, why)
    ledger.settle(connection)
    for campaign_id in campaigns.with_leases(connection):
        in_doubt += _doubt_claimed(connection, campaign_id, why, taken_at, now)
    # Mails whose request said that twice is better than never.
    singles = [row.id for row in rows if row.kind == CampaignKind.TRANSACTIONAL]
    in_doubt -= sum(transactional.resend_doubt(connection, id_, now) for id_ in singles)
    return Fenced(paused, in_doubt, suppressed)


def _pause(connection: sa.Connection, row: Any, why: str) -> None:
    """One that was paused keeps its reason beside ours."""
    if row.status == C.PAUSED:
        was = f"; it was paused: {row.status_reason}" if row.status_reason else ""
        connection.execute(
            campaigns_table.update()
            .where(_t.id == row.id, _t.status == C.PAUSED)
            .values(status_reason=f"{why}{was}")
        )
        return
    since = "; it was scheduled, and may have been sent since" if row.status == C.SCHEDULED else ""
    campaigns.move(connection, row.id, C.PAUSED, reason=f"{why}{since}")


def _warn_of_drafts(connection: sa.Connection, why: str) -> None:
    """A draft leaves only by a person's word; they should know that somebody may have said it."""
    connection.execute(
        campaigns_table.update()
        .where(_t.status == C.DRAFT)
        .values(status_reason=f"{why}; it may have been sent since")
    )


def _build_all(connection: sa.Connection, campaign_id: int, now: float) -> None:
    """Whoever had no row yet may have been mailed since: a row made later would be a second copy.
    A campaign that was never launched has no rows to make."""
    while not building.build_slice(connection, campaign_id, now):
        pass


def _suppress(connection: sa.Connection, campaign_id: int, now: float) -> int:
    """The hand-over would have refused these in the backup's time, too."""
    reach = suppression_sql(connection.dialect.name)
    count = connection.execute(
        sa.text(
            f"UPDATE sends SET status = 'suppressed', reason = {reach.words}, updated_at = :now"
            " WHERE campaign_id = :campaign AND status = 'queued'"
            f" AND {reach.condition}"
        ),
        {"campaign": campaign_id, "now": now},
    ).rowcount
    ledger.move(connection, campaign_id, S.QUEUED, S.SUPPRESSED, count)
    return int(count)


def _doubt_queued(
    connection: sa.Connection, campaign_id: int, why: str, taken_at: float, now: float
) -> int:
    """By which ESP they left, if they did, nobody knows: no ESP's "not found" may end the doubt."""
    line = {"at": now, "esp": None, "to": S.IN_DOUBT, "why": why, "was": S.QUEUED}
    longer = {
        "sqlite": "json_insert(COALESCE(trail, '[]'), '$[#]', json(:line))",
        "postgresql": "COALESCE(trail, CAST('[]' AS jsonb)) || CAST(:line AS jsonb)",
    }[connection.dialect.name]
    count = connection.execute(
        sa.text(
            f"UPDATE sends SET status = 'in_doubt', reason = :why, trail = {longer}, esp = NULL,"
            " message_id = NULL, handed_over_at = :taken_at, updated_at = :now"
            " WHERE campaign_id = :campaign AND status = 'queued'"
        ),
        {
            "why": why, "line": orjson.dumps(line).decode(), "taken_at": taken_at, "now": now,
            "campaign": campaign_id,
        },
    ).rowcount  # fmt: skip
    moves = Counter({Move(S.QUEUED, S.IN_DOUBT): int(count)})
    ledger.apply(connection, campaign_id, moves, restoring=True)
    return int(count)


def _doubt_claimed(
    connection: sa.Connection, campaign_id: int, why: str, taken_at: float, now: float
) -> int:
    """Claimed, or at an ESP, when the backup was taken. Afterwards it may have been given back and
    have left through another ESP, so its ESP stands in the trail alone."""
    rows = connection.execute(
        sa.select(sends.c.id, sends.c.esp, sends.c.trail)
        .where(
            sends.c.campaign_id == campaign_id, sends.c.status == sa.literal_column("'sending'")
        )
        .order_by(sends.c.id)
        .with_for_update()
    ).all()  # fmt: skip
    lines = [
        (row.id, [*(row.trail or []), {"at": now, "esp": row.esp, "to": S.IN_DOUBT, "why": why}])
        for row in rows
    ]
    table = relation(connection, [("id", "bigint"), ("trail", "json")])
    connection.execute(
        sa.text(
            "UPDATE sends SET status = 'in_doubt', reason = :why, trail = j.trail, esp = NULL,"
            " lease_token = NULL, lease_until = NULL, updated_at = :now,"
            " handed_over_at = COALESCE(handed_over_at, :taken_at)"
            f" FROM {table} AS j WHERE sends.id = j.id"
        ),
        {"rows": packed(lines), "why": why, "now": now, "taken_at": taken_at},
    )
    ledger.move(connection, campaign_id, S.SENDING, S.IN_DOUBT, len(rows))
    return len(rows)
