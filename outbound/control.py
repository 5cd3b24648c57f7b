"""What an operator does with a campaign under way, and what heals by itself.

Every act is a compare-and-set: where the state does not allow it, Conflict says which state it is.
The hidden campaign of a single mail is nobody's to act on: to the acts there is none.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import sqlalchemy as sa

from database import campaigns, expiry, send_acts, transactional
from database import esp_performance as performance
from database.engine import Database
from database.models import SINGLE, Phase
from database.models import CampaignStatus as C
from database.models import SendStatus as S
from database.send_acts import Slice
from outbound import guard
from utils.errors import Conflict

log = logging.getLogger(__name__)

#: Sends moved in one transaction by an operator's act.
SLICE = 1_000
_RESOLUTIONS = {"mark_sent": S.ACCEPTED, "mark_failed": S.FAILED, "resend": S.QUEUED}


class CampaignControl:
    """Pause, resume, cancel, retry, resolve; and settle what a lost worker left."""

    def __init__(
        self, database: Database, *, wake: Callable[[int], None],
        clock: Callable[[], float] = time.time,
        resume_unlaunched: Callable[[int, str], bool] = lambda _id, _why: False,
    ) -> None:  # fmt: skip
        """`wake` tells the work engine that a campaign has something to do; it may be lost.
        `resume_unlaunched` is asked first: a campaign that was paused before its launch must be
        launched (`Scheduler.resume`)."""
        self._db = database
        self._resume_unlaunched = resume_unlaunched
        self._wake = wake
        self._clock = clock

    def pause(self, campaign_id: int, *, by: str, reason: str = "") -> None:
        """Stop claiming. What is handed over already, ends."""
        why = f"paused by {by}" + (f": {reason}" if reason else "")
        self._move(campaign_id, C.PAUSED, why, (C.SENDING, C.SCHEDULED))

    def resume(self, campaign_id: int, *, by: str = "operator") -> None:
        """Go on where it stopped; touches no recipient's row."""
        why = f"resumed by {by}"
        if self._resume_unlaunched(campaign_id, why):
            return

        def resume(connection: sa.Connection) -> None:
            self._move_in(connection, campaign_id, C.SENDING, why, (C.PAUSED,))
            guard.forget_alarm(connection, campaign_id, self._clock())

        self._db.transact(resume)
        self._wake(campaign_id)

    def cancel(self, campaign_id: int, *, by: str) -> None:
        """Never send the rest. What is handed over already, ends as it ends."""
        self._move(campaign_id, C.CANCELLED, f"cancelled by {by}", None)
        self._cancel_queued(campaign_id)

    def retry_failed(self, campaign_id: int, *, by: str = "operator") -> int:
        """Queue every failed send again; returns how many."""
        why = f"failed sends queued again by {by}"

        def retry(part: Slice, connection: sa.Connection) -> Sequence[int]:
            self._must_be(connection, campaign_id, (C.SENDING, C.PAUSED, C.SENT, C.FAILED))
            moved = send_acts.requeue_failed(connection, campaign_id, self._clock(), part)
            return self._reopened(connection, campaign_id, moved, why)

        count = self._in_slices(campaign_id, retry)
        log.warning("campaign %s: %d %s", campaign_id, count, why)
        return count

    def resolve_in_doubt(
        self, campaign_id: int, action: str, *, by: str, only_not_found: bool = False
    ) -> int:
        """End the doubt by an operator's word: `mark_sent`, `mark_failed` or `resend` (which may
        mail somebody twice, and is logged). Returns how many sends moved."""
        target = _RESOLUTIONS[action]
        why = f"{action} by {by}"

        def resolve(part: Slice, connection: sa.Connection) -> Sequence[int]:
            allowed = (
                tuple(C) if target is not S.QUEUED else (C.SENDING, C.PAUSED, C.SENT, C.FAILED)
            )
            self._must_be(connection, campaign_id, allowed)
            moved = send_acts.resolve(
                connection, campaign_id, target, why, self._clock(), part,
                only_not_found=only_not_found,
            )  # fmt: skip
            if target is not S.QUEUED:
                return moved
            return self._reopened(connection, campaign_id, moved, why)

        count = self._in_slices(campaign_id, resolve)
        log.warning("campaign %s: %d sends in doubt: %s", campaign_id, count, why)
        return count

    def resolve_mail(self, campaign_id: int, action: str, *, by: str) -> None:
        """The same for the single mail that this hidden campaign carries."""
        target, why = _RESOLUTIONS[action], f"{action} by {by}"

        def resolve(connection: sa.Connection) -> None:
            mail = campaigns.brief(connection, campaign_id)
            if mail is None or mail.kind not in SINGLE:
                raise Conflict("that send belongs to a campaign: resolve its doubt there")
            if target is S.QUEUED and not mail.options.get("to"):
                raise Conflict("its person was erased: there is nobody to send it to")
            one = Slice(0, 1)
            if not send_acts.resolve(connection, campaign_id, target, why, self._clock(), one):
                raise Conflict("that send is not in doubt")
            if target is S.QUEUED:
                self._reopened(connection, campaign_id, [campaign_id], why)
            else:
                campaigns.forget_attachments(connection, [campaign_id])

        self._db.transact(resolve)
        log.warning("single mail %s in doubt: %s", campaign_id, why)

    def _in_slices(
        self, campaign_id: int, act: Callable[[Slice, sa.Connection], Sequence[int]]
    ) -> int:
        """One pass: a send that stops again meanwhile has had its turn."""
        total, part = 0, Slice(0, SLICE)
        while moved := self._db.transact(partial(act, part)):
            total, part = total + len(moved), part._replace(after=moved[-1])
        if total:
            self._wake(campaign_id)
        return total

    def _reopened(
        self, connection: sa.Connection, campaign_id: int, moved: Sequence[int], why: str
    ) -> Sequence[int]:
        """A campaign that was over is `sending` again once a send of it is queued."""
        if moved:
            campaigns.move(
                connection, campaign_id, C.SENDING, reason=why, only_from=(C.SENT, C.FAILED),
                phase=Phase.DRAINING, finished_at=None,
            )  # fmt: skip
        return moved

    def _move(
        self, campaign_id: int, target: C, reason: str, only_from: tuple[C, ...] | None
    ) -> None:
        self._db.transact(lambda c: self._move_in(c, campaign_id, target, reason, only_from))

    def _move_in(
        self, connection: sa.Connection, campaign_id: int, target: C, reason: str,
        only_from: tuple[C, ...] | None,
    ) -> None:  # fmt: skip
        self._must_be(connection, campaign_id, tuple(C))
        if not campaigns.move(connection, campaign_id, target, reason=reason, only_from=only_from):
            self._must_be(connection, campaign_id, ())

    def _must_be(self, connection: sa.Connection, campaign_id: int, allowed: tuple[C, ...]) -> None:
        status = campaigns.shown_brief(connection, campaign_id).status
        if status not in allowed:
            raise Conflict(f"campaign {campaign_id} is {status}")

    # --- heal ----------------------------------------------------------------------------------

    def heal(self) -> None:
        """Settle what a lost worker left: run-out leases, half-done cancels, finished campaigns."""
        with self._db.read() as connection:
            leased = campaigns.with_leases(connection)
            cancelled = campaigns.cancelled_with_queued(connection)
        _each(leased, self._expire)
        _each(cancelled, self._cancel_queued)
        with self._db.read() as connection:
            over = campaigns.to_finish(connection)
        _each(over, self._finish)

    def due(self) -> tuple[list[int], list[int]]:
        """Campaigns to build, and campaigns to drain."""
        with self._db.read() as connection:
            return campaigns.to_build(connection), campaigns.to_drain(connection)

    def _finish(self, campaign_id: int) -> None:
        state = self._db.transact(lambda c: campaigns.finish(c, campaign_id, self._clock()))
        if state:
            log.info("campaign %s is %s", campaign_id, state)

    def _expire(self, campaign_id: int) -> None:
        def expire(connection: sa.Connection) -> list[expiry.Expired]:
            expired = expiry.expire(connection, campaign_id, self._clock())
            performance.give_back_claimed(
                connection,
                [(lease.esp, lease.claimed_at) for lease in expired if not lease.handed_over],
            )
            if any(lease.handed_over for lease in expired):
                transactional.resend_doubt(connection, campaign_id, self._clock())
            return expired

        expired = self._db.transact(expire)
        if expired:
            log.warning(
                "campaign %s: %d leases ran out, %d sends of them are in doubt",
                campaign_id, len(expired), sum(lease.handed_over for lease in expired),
            )  # fmt: skip

    def _cancel_queued(self, campaign_id: int) -> None:
        while self._db.transact(
            lambda c: campaigns.cancel_queued(c, campaign_id, self._clock(), campaigns.SLICE)
        ):
            pass


def _each(campaign_ids: Iterable[int], act: Callable[[int], None]) -> None:
    """One campaign that cannot be healed keeps no other from it."""
    for campaign_id in campaign_ids:
        try:
            act(campaign_id)
        except Exception:
            log.exception("campaign %s cannot be healed now; it is tried again", campaign_id)
