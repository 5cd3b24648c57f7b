"""Campaigns while they are written: kept whatever is wrong with them, which is told, not refused.

Launching one is `launch`'s matter.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from database import campaigns, drafts
from database.engine import Database
from database.models import CampaignStatus
from outbound.checks import Examiner, time_problems
from outbound.draft import Draft, columns, draft_of
from outbound.idempotency import KEY_KEPT_SECONDS
from utils.errors import Conflict, FieldError, Invalid
from utils.signing import new_nonce

#: Edits of one campaign that may come in between before ours is given up.
_TRIES = 5


class Drafts:
    """Keeps what authors write."""

    def __init__(
        self, database: Database, examiner: Examiner, clock: Callable[[], float] = time.time
    ) -> None:
        self._db = database
        self._examiner = examiner
        self._clock = clock

    def create(self, draft: Draft) -> int:
        """Keep a new draft; returns its id. Raises Invalid for a time that cannot be meant."""
        now = self._clock()
        _check_time(draft.scheduled_at, now)
        values = columns(draft, self._examiner.identity) | {
            "status": CampaignStatus.DRAFT, "mode": self._examiner.identity.mode,
            "nonce": new_nonce(), "created_at": now,
        }  # fmt: skip
        return self._db.transact(lambda c: campaigns.insert(c, values))

    def change(self, campaign_id: int, fields: Mapping[str, Any]) -> None:
        """Edit some fields of a campaign that was not launched. Raises NotFound, Conflict, or
        Invalid for a time that cannot be meant."""
        _check_time(fields.get("scheduled_at"), self._clock())
        for _ in range(_TRIES):
            row = self._row(campaign_id)
            if not drafts.is_editable(row):
                raise Conflict(f"campaign {campaign_id} is {_state(row)}: it cannot be edited")
            draft = replace(draft_of(row), **fields)
            if row["status"] == CampaignStatus.SCHEDULED and draft.scheduled_at is None:
                words = "a scheduled campaign needs a time; a moment of now sends it"
                raise Invalid.of("scheduled_at", words)
            values = columns(draft, self._examiner.identity)
            if self._db.transact(lambda c: drafts.change(c, row, values, new_nonce())):  # noqa: B023
                return
        raise Conflict(f"campaign {campaign_id} is edited by somebody else; try again")

    def read(self, campaign_id: int, fields: Mapping[str, Any]) -> Draft:
        """What any campaign says, with these fields instead. Raises NotFound."""
        return replace(draft_of(self._row(campaign_id)), **fields)

    def delete(self, campaign_id: int) -> None:
        """Remove a campaign that was never launched. Raises NotFound or Conflict."""
        since = self._clock() - KEY_KEPT_SECONDS
        if self._db.transact(lambda c: drafts.delete(c, campaign_id, since)):
            return
        row = self._row(campaign_id)
        if row["launched_at"] is None:
            raise Conflict(
                f"campaign {campaign_id} was made by a request with an Idempotency-Key, which is "
                "remembered for 7 days: cancel it instead"
            )
        raise Conflict(f"campaign {campaign_id} is {_state(row)}: it cannot be deleted")

    def copy(self, campaign_id: int) -> int:
        """A new draft of what any campaign says; returns its id."""
        draft = draft_of(self._row(campaign_id))
        return self.create(replace(draft, name=f"{draft.shown_name} (copy)", scheduled_at=None))

    def problems(self, row: Mapping[Any, Any]) -> list[FieldError] | None:
        """All that a launch now would refuse; None when a launch is no question any more."""
        if not drafts.is_editable(row):
            return None
        draft = draft_of(row)
        found = self._examiner.examine(draft, campaign_id=row["id"])
        wanted = draft.scheduled_at if row["status"] == CampaignStatus.DRAFT else None
        late = time_problems(wanted, self._clock())
        return [*self._examiner.identity.blockers, *found.problems, *late]

    def _row(self, campaign_id: int) -> sa.RowMapping:
        with self._db.read() as connection:
            return campaigns.shown(connection, campaign_id)


def _check_time(at: float | None, now: float) -> None:
    if problems := time_problems(at, now):
        raise Invalid(problems)


def _state(row: Mapping[Any, Any]) -> str:
    """`paused` may be before the launch or after it."""
    launched = row["launched_at"] is not None and row["status"] == CampaignStatus.PAUSED
    return f"{row['status']} and was launched" if launched else str(row["status"])
