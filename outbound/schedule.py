"""Campaigns that leave at a time of their own: launched when it comes, and held when it was missed.

The time is kept in the campaign's row alone, so that restarts and lost hints change nothing;
whoever comes first launches (compare-and-set).
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from database import campaigns, drafts
from database.engine import Database
from database.models import CampaignStatus as C
from outbound.checks import PAST_TOLERANCE_SECONDS, Examined, Examiner
from outbound.draft import NotReady, draft_of
from outbound.launch import begin
from utils.errors import Conflict, Invalid
from utils.times import rfc3339

log = logging.getLogger(__name__)

#: The reason of a campaign whose time went by while nothing was running.
MISSED = "missed_schedule"
#: Nothing is missed that a sweep still finds in time, whatever the settings say.
LEAST_GRACE_SECONDS = 2 * PAST_TOLERANCE_SECONDS
_LONGEST_REASON = 1_000


class Scheduler:
    """Launches what was scheduled, and what waited for a person instead."""

    def __init__(
        self, database: Database, examiner: Examiner, *, grace_seconds: float,
        wake: Callable[[int], None], clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """`grace_seconds`: what is later than that waits for a person."""
        self._db = database
        self._examiner = examiner
        self._grace = max(grace_seconds, LEAST_GRACE_SECONDS)
        self._wake = wake
        self._clock = clock

    def due(self) -> list[int]:
        """Campaigns whose time has come."""
        with self._db.read() as connection:
            return drafts.due(connection, self._clock())

    def launch_if_due(self, campaign_id: int) -> None:
        """Launch a scheduled campaign whose time has come. What would be refused now, or comes too
        late, is paused and mails nobody."""
        with self._db.read() as connection:
            row = drafts.due_row(connection, campaign_id, self._clock())
        if row is None:
            return
        late = self._clock() - row["scheduled_at"]
        if late > self._grace:
            when = f"it was due at {rfc3339(row['scheduled_at'])}, {_in_words(late)} ago"
            self._hold(row, f"{MISSED}: {when}; resume sends it now")
            return
        found = self._examiner.examine(draft_of(row), campaign_id=campaign_id)
        if problems := [*self._examiner.identity.blockers, *found.problems]:
            told = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
            self._hold(row, f"it cannot be sent as it is: {told}"[:_LONGEST_REASON])
        elif self._begin(row, found, C.SCHEDULED):
            log.info("campaign %s was launched at its time", campaign_id)

    def resume(self, campaign_id: int, reason: str) -> bool:
        """Let a campaign go on that was paused before its launch: at its time if that is ahead,
        else now. False: it was launched already, or is not paused. Raises Invalid, NotReady or
        Conflict."""
        with self._db.read() as connection:
            row = campaigns.get(connection, campaign_id)
        if row is None or row["status"] != C.PAUSED or row["launched_at"] is not None:
            return False
        found = self._examiner.examine(draft_of(row), campaign_id=campaign_id)
        if self._examiner.identity.blockers:
            raise NotReady(self._examiner.identity.blockers)
        if found.problems:
            raise Invalid(found.problems)
        if not self._goes_on(row, found, reason):
            raise Conflict(f"campaign {campaign_id} was changed meanwhile; nothing was sent")
        return True

    def _goes_on(self, row: Mapping[Any, Any], found: Examined, reason: str) -> bool:
        if (row["scheduled_at"] or 0) <= self._clock():
            return self._begin(row, found, C.PAUSED, reason)
        return self._db.transact(
            lambda c: campaigns.move(
                c, row["id"], C.SCHEDULED, reason=reason, only_from=(C.PAUSED,), nonce=row["nonce"]
            )
        )

    def _begin(self, row: Mapping[Any, Any], found: Examined, source: C, reason: str = "") -> bool:
        def start(connection: sa.Connection) -> bool:
            return begin(connection, row, found, self._clock(), source=source, reason=reason)

        begun = self._db.transact(start)
        if begun:
            self._wake(row["id"])
        return begun

    def _hold(self, row: Mapping[Any, Any], reason: str) -> None:
        held = self._db.transact(
            lambda c: campaigns.move(
                c, row["id"], C.PAUSED, reason=reason, only_from=(C.SCHEDULED,), nonce=row["nonce"]
            )
        )
        if held:
            log.warning("campaign %s was paused: %s", row["id"], reason)


def _in_words(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
