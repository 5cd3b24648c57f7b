"""OUT: the journey of a batch, as a recipe of named steps: claim, render, hand over, send, record.

Knows no HTTP, no ESP by name and no SQL. What is certain at each step is written down before the
next one begins, so that a crash between any two of them loses nobody and mails nobody twice.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa

from database import campaigns, sends, transactional, unsendable
from database import esp_performance as performance
from database.engine import Database, DatabaseUnavailable
from database.models import CampaignStatus, Lane, SendStatus
from database.sends import Lease, Picked
from mail.message import Message
from outbound import esp_states
from outbound.batches import Claim, Parcel
from outbound.choice import Chooser
from outbound.composer import Composer, Render, Rendered, Unrenderable
from outbound.mailboxes import Mailboxes
from services import learning, settling
from services.esp import Batch, Call, InDoubt, Report
from services.esp_manager import EspManager
from services.esp_state import EspState

log = logging.getLogger(__name__)

#: How long a drain waits by itself for a rate or a probe; longer waits go back to the queue.
PATIENCE_SECONDS = 1.0
#: Pause between tries to write down what an ESP answered while the database refuses.
RECORD_RETRY_SECONDS = 0.5
#: A request may begin only while this much of the lease is left beside the request's own deadline.
LEASE_MARGIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """How long things may take, and what a suspension does."""

    lease_seconds: float = 60.0
    timeout_seconds: float = 30.0  #: the longest request of any ESP
    pause_on_suspension: bool = True


class Step(NamedTuple):
    """What one round of a drain did."""

    taken: int
    wait_until: float | None = None  #: nothing taken: when to come back; None = nothing is left


class EmailSender:
    """Sends what is queued. Several threads and processes may drain the same campaign."""

    def __init__(
        self, database: Database, manager: EspManager, composer: Composer,
        options: Options | None = None, clock: Callable[[], float] = time.time,
        *, mailboxes: Mailboxes | None = None,
    ) -> None:  # fmt: skip
        """`clock` gives Unix seconds; quotas, leases and rates go by it. `mailboxes` tells mailbox
        providers; without it, domains alone do."""
        self._db = database
        self._manager = manager
        self._composer = composer
        self._chooser = Chooser(manager, mailboxes or Mailboxes(database, None, clock))
        self._options = options or Options()
        self._clock = clock
        self._pool = ThreadPoolExecutor(thread_name_prefix="esp")
        self._ending = threading.Event()

    def drain(
        self, campaign_id: int, *, seconds: float, stopping: Callable[[], bool] = lambda: False,
        patience: float = PATIENCE_SECONDS,
    ) -> float | None:  # fmt: skip
        """Send the campaign's queued sends for up to `seconds`, waiting up to `patience` seconds
        at a time. Returns when to come back, as Unix seconds (infinity: when an operator acts);
        None = nothing is left to claim."""
        end = time.monotonic() + seconds
        while not stopping() and time.monotonic() < end:
            step = self.step(campaign_id)
            if step.taken:
                continue
            if step.wait_until is None:
                self._db.transact(lambda c: campaigns.finish(c, campaign_id, self._clock()))
                return None
            wait = step.wait_until - self._clock()
            if wait > patience:
                return step.wait_until
            time.sleep(max(0.01, wait))
        return self._clock()

    def step(self, campaign_id: int) -> Step:
        """One round: claim, render, hand over, send, record."""
        claims, render, wait_until = self._claim(campaign_id)
        if not claims:
            return Step(0, wait_until)
        try:
            parcels = [self._rendered(claim, render) for claim in claims]
        except Unrenderable as fault:
            self._pause_unrenderable(claims, fault)
        else:
            leaving = self._hand_over(parcels)
            self._give_probes_back(claims, leaving)
            self._send_all(leaving)
        return Step(sum(len(claim.picked) for claim in claims))

    def halt(self) -> None:
        """Begin no further request; those in flight end, and what was not sent is given back."""
        self._ending.set()

    def close(self) -> None:
        """Wait for requests in flight."""
        self._pool.shutdown(wait=True)

    # --- claim -------------------------------------------------------------------------------

    def _claim(self, campaign_id: int) -> tuple[list[Claim], Render, float | None]:
        """Take due sends, choose each one's ESP and reserve its quota, in one transaction. It
        may be lost in a power cut: nothing has left yet."""

        def claim(connection: sa.Connection) -> tuple[list[Claim], Render, float | None]:
            now = self._clock()
            campaign = campaigns.brief(connection, campaign_id)
            if campaign is None or campaign.status != CampaignStatus.SENDING:
                return [], _nothing, None
            lease = Lease(campaign_id, secrets.token_hex(8), now + self._options.lease_seconds)
            claims, wait_until = self._chooser.choose(connection, campaign, lease, now)
            if not claims:
                return [], _nothing, wait_until
            return claims, self._composer.compose(connection, campaign_id, campaign.nonce), None

        return self._db.transact(claim, durable=False)

    # --- render and hand over ------------------------------------------------------------------

    def _rendered(self, claim: Claim, render: Render) -> Parcel:
        """Fill in everybody's slots. Whoever cannot be rendered fails alone."""
        content, results = render(claim.picked)
        pairs = list(zip([row.id for row in claim.picked], results, strict=True))
        messages = {id_: result for id_, result in pairs if isinstance(result, Message)}
        if len(messages) < len(pairs):
            failed = [(id_, str(error)) for id_, error in pairs if id_ not in messages]
            self._db.transact(lambda connection: self._fail(connection, claim, failed))
        return Parcel(
            claim.esp, claim.lease, claim.day, content, messages,
            lane=claim.lane, expires_at=claim.expires_at,
        )  # fmt: skip

    def _fail(
        self, connection: sa.Connection, claim: Claim | Parcel, failed: Sequence[tuple[int, str]]
    ) -> None:
        ours = unsendable.fail(connection, claim.lease, failed, self._clock())
        performance.give_back(connection, claim.esp, claim.day, ours)

    def _pause_unrenderable(self, claims: Sequence[Claim], fault: Unrenderable) -> None:
        """Only this campaign stops (contract promise 7); a person mends and resumes it. A single
        mail ends."""
        log.error("a campaign cannot be rendered", exc_info=fault)
        campaign_id, reason = claims[0].lease.campaign_id, f"it cannot be rendered: {fault}"

        def give_up(connection: sa.Connection) -> None:
            for claim in claims:
                ids = [row.id for row in claim.picked]
                if claim.lane is Lane.TRANSACTIONAL:
                    self._fail(connection, claim, [(id_, reason) for id_ in ids])
                    return
                released = sends.release(connection, claim.lease, ids, self._clock())
                performance.give_back(connection, claim.esp, claim.day, released)
            campaigns.move(connection, campaign_id, CampaignStatus.PAUSED, reason=reason)

        self._db.transact(give_up)

    def _hand_over(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Commit, durably, which sends now leave; from here on they are in doubt until recorded."""

        def hand_over(connection: sa.Connection) -> list[Parcel]:
            now, deadline = self._clock(), time.monotonic() + self._sending_seconds
            states = performance.states(connection, [parcel.esp for parcel in parcels])
            leaving = []
            for parcel in parcels:
                if parcel.expires_at <= now:
                    late = [(id_, transactional.EXPIRED) for id_ in parcel.messages]
                    self._fail(connection, parcel, late)
                    continue
                lease = parcel.lease._replace(until=now + self._options.lease_seconds)
                decided = sends.hand_over(connection, lease, list(parcel.messages), now)
                unused = decided.suppressed + decided.released
                performance.give_back(connection, parcel.esp, parcel.day, unused)
                ready = parcel.messages
                if len(decided.ready) < len(ready):
                    ready = {id_: m for id_, m in ready.items() if id_ in decided.ready}
                careful = bool(states[parcel.esp].get("careful"))
                leaving.append(parcel._replace(
                    lease=lease, messages=ready, handed_over_at=now, careful=careful,
                    deadline=deadline,
                ))  # fmt: skip
            return leaving

        return [parcel for parcel in self._db.transact(hand_over) if parcel.messages]

    def _give_probes_back(self, claims: Sequence[Claim], leaving: Sequence[Parcel]) -> None:
        """Nobody will answer a probe that was suppressed, released or failed on its way."""
        left = {parcel.esp: len(parcel.messages) for parcel in leaving}
        for claim in claims:
            if lost := len(claim.picked) - left.get(claim.esp, 0):
                self._change(claim.esp, partial(learning.unprobed, count=lost))

    def _change(self, esp: str, alter: Callable[[EspState], EspState]) -> None:
        now = self._clock()
        self._db.transact(lambda c: esp_states.change(c, esp, alter, now), durable=False)

    # --- send and record -----------------------------------------------------------------------

    def _send_all(self, parcels: Sequence[Parcel]) -> None:
        """Send to several ESPs side by side; one's failure waits until the others are recorded."""
        if len(parcels) == 1:
            self._send_and_record(parcels[0])
            return
        errors = [
            future.exception()
            for future in [self._pool.submit(self._send_and_record, parcel) for parcel in parcels]
        ]
        for error in errors:
            if error is not None:
                raise error

    def _send_and_record(self, parcel: Parcel) -> None:
        """No transaction is open during the ESP's call."""
        messages = list(parcel.messages.values())
        batch = Batch(
            parcel.content, messages, parcel.lane, parcel.deadline, parcel.careful,
            self._ending.is_set,
        )  # fmt: skip
        try:
            report = self._manager.esps[parcel.esp].send(batch)
            if len(report.outcomes) != len(messages):
                raise ValueError(f"{len(report.outcomes)} outcomes for {len(messages)} messages")
        except Exception as bug:  # a mistake of ours: nobody can know what was sent
            log.exception("the adapter of %s failed", parcel.esp)
            doubt = InDoubt(f"the adapter failed: {type(bug).__name__}")
            report = Report([doubt] * len(messages), [Call(len(messages), doubt, 0.0)])
        self._record_patiently(parcel, report)

    @property
    def _sending_seconds(self) -> float:
        """How long after hand-over a request may still begin: it must end within the lease."""
        margin = self._options.timeout_seconds + LEASE_MARGIN_SECONDS
        return self._options.lease_seconds - margin

    def _record_patiently(self, parcel: Parcel, report: Report) -> None:
        """Write down what the ESP said. While the database refuses, try until the lease is over:
        after that the sends are in doubt, which is the truth as far as the database knows it."""
        while True:
            try:
                self._db.transact(lambda connection: self._record(connection, parcel, report))
            except DatabaseUnavailable as error:
                if self._clock() > parcel.lease.until:
                    raise
                log.warning("cannot record what %s answered, trying again: %s", parcel.esp, error)
                time.sleep(RECORD_RETRY_SECONDS)
            else:
                return

    def _record(self, connection: sa.Connection, parcel: Parcel, report: Report) -> None:
        now = self._clock()
        esp, lease = parcel.esp, parcel.lease
        self._learn(connection, parcel, report, now)
        settled = settling.settle(list(parcel.messages), report.outcomes, parcel.lane)
        if settled.accepted:
            sends.record_accepted(connection, lease, esp, settled.accepted, now)
        if settled.not_tried:
            sends.release(connection, lease, settled.not_tried, now, never_left=True)
        for target, rows in settled.stopped.items():
            if rows:
                sends.record_stopped(connection, lease, esp, target, rows, now)
        performance.give_back(connection, esp, parcel.day, settled.unused)
        performance.count(connection, esp, settling.counts(report), now)
        if parcel.lane is Lane.CAMPAIGN:
            self._pause_if_told(connection, parcel, report)
        elif settled.stopped[SendStatus.IN_DOUBT]:
            transactional.resend_doubt(connection, lease.campaign_id, now)

    def _learn(self, connection: sa.Connection, parcel: Parcel, report: Report, now: float) -> None:
        esp, sent_at = parcel.esp, parcel.handed_over_at
        esp_states.change(
            connection, esp, lambda state: self._manager.answered(esp, state, report, sent_at, now),
            now,
        )  # fmt: skip

    def _pause_if_told(self, connection: sa.Connection, parcel: Parcel, report: Report) -> None:
        reason = settling.reason_to_pause(
            parcel.esp, report.outcomes, on_suspension=self._options.pause_on_suspension
        )
        campaign_id = parcel.lease.campaign_id
        if reason and campaigns.move(connection, campaign_id, CampaignStatus.PAUSED, reason=reason):
            log.warning("campaign %s paused: %s", campaign_id, reason)


def _nothing(_people: Sequence[Picked]) -> Rendered:
    raise AssertionError("nothing was claimed")
