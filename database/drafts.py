"""Campaigns before their launch: edited and deleted only as long as nobody can have been mailed."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from database.models import CampaignKind, campaigns
from database.models import CampaignStatus as C

_t = campaigns.c
#: Nothing of it has left, and it may still leave.
_EDITABLE = (C.DRAFT, C.SCHEDULED, C.PAUSED)


def is_editable(row: Mapping[Any, Any]) -> bool:
    """Whether a campaign may be edited: it was never launched, and may be."""
    return row["launched_at"] is None and row["status"] in _EDITABLE


def change(
    connection: sa.Connection, row: Mapping[Any, Any], values: Mapping[str, Any], nonce: str
) -> bool:
    """Edit a campaign that nobody has edited or launched since `row` was read. The new `nonce`
    tells whoever examined the former content that it is no more."""
    changed = connection.execute(
        campaigns.update()
        .where(
            _t.id == row["id"], _t.nonce == row["nonce"], _t.launched_at.is_(None),
            _t.status.in_(_EDITABLE),
        )
        .values(**values, nonce=nonce)
    ).rowcount  # fmt: skip
    return changed == 1


def delete(connection: sa.Connection, campaign_id: int, remembered_since: float) -> bool:
    """Remove a campaign that was never launched. Not one that a request with an Idempotency-Key
    made at or after `remembered_since`: a repeat of that request would make it again."""
    deleted = connection.execute(
        campaigns.delete().where(
            _t.id == campaign_id, _t.kind == CampaignKind.CAMPAIGN, _t.launched_at.is_(None),
            sa.or_(_t.idempotency_key.is_(None), _t.created_at < remembered_since),
        )
    ).rowcount  # fmt: skip
    return deleted == 1


#: In the very words of `ix_campaigns_open`, so that old campaigns are not looked at.
_OPEN = sa.text("status IN ('scheduled', 'sending', 'paused')")


def due(connection: sa.Connection, now: float) -> list[int]:
    """Scheduled campaigns whose time has come."""
    query = sa.select(_t.id).where(_OPEN, *_due(now)).order_by(_t.scheduled_at)
    return list(connection.scalars(query))


def due_row(connection: sa.Connection, campaign_id: int, now: float) -> sa.RowMapping | None:
    """A scheduled campaign whose time has come, with all its columns."""
    query = sa.select(campaigns).where(_t.id == campaign_id, *_due(now))
    return connection.execute(query).mappings().one_or_none()


def _due(now: float) -> tuple[sa.ColumnElement[bool], ...]:
    return (_t.status == C.SCHEDULED, _t.scheduled_at <= now)
