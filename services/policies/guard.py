"""Stops a campaign whose hard bounces or complaints are clearly too many, long before a fixed
"rate after 1,000" would: sequential tests over its deliveries in send order."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.policies import beliefs, scores
from services.policies.alarms import Test, level_after, poisson_level_after
from services.policies.beliefs import Belief, Prior
from services.policies.memory import COMPLAINT_LIMIT, COMPLAINT_MESSAGES, HARD_LIMIT
from services.policies.stored import Stored

#: Above 9.8 a list whose tail turns bad is noticed too late: at 10, five in a hundred of 1,600
#: campaigns sent 654 messages into it, where 650 are allowed.
PAUSE_HARD = Test(0.03, 0.08, 9.8)
WARN_HARD = Test(0.02, 0.06, 9.0)
PAUSE_COMPLAINT = Test(0.001, 0.003, 8.0)
WARN_COMPLAINT = Test(0.0005, 0.0015, 7.0)
#: Parts of a campaign (a mailbox provider, an import) are many tests at once: each must be surer.
PART_MARGIN = 2.0
#: The mean delay of a complaint, believed before any is seen, and how many complaints that weighs.
COMPLAINT_DELAY = 6 * 3600.0
_DELAY_WEIGHT = 20
#: The first messages of a campaign go at a tenth of the rate: bad news is cheap while it is early.
CANARY_MESSAGES = 1_000
CANARY_SHARE = 0.10

GO, WARN, PAUSE = "go", "warn", "pause"
_SEVERITY = {GO: 0, WARN: 1, PAUSE: 2}


@dataclass(frozen=True, slots=True)
class Guard(Stored):
    """The state of one campaign's (or part's) tests."""

    verdict: str = GO  #: never falls by itself: a person, or the offending part taken out
    cause: str = ""
    hard_pause: float = 0.0
    hard_warn: float = 0.0
    complaint_pause: float = 0.0
    complaint_warn: float = 0.0
    unripe: float = 0.0  #: deliveries whose complaint may still come
    at: float = 0.0
    deliveries: int = 0
    hard: int = 0
    complaints: int = 0
    #: Of these, until a person let the campaign go on; only `untold` asks.
    hard_forgiven: int = 0
    complaints_forgiven: int = 0
    taken: int = 0  #: messages that ESPs had taken when `untold` looked last
    taken_forgiven: int = 0


class News(NamedTuple):
    """What became of messages since the last look, in send order."""

    delivered: int = 0
    hard: int = 0
    complained: int = 0


def after(
    guard: Guard, news: News, now: float, margin: float = 0.0, delay: float = COMPLAINT_DELAY
) -> Guard:
    """With a slice of news. A delivery is a trial for complaints only as far as it has matured:
    the share 1 - exp(-age/`delay`) of complaints has come by then."""
    ripened = guard.unripe * -math.expm1(-max(0.0, now - guard.at) / delay)
    hard, complained = news.hard, news.complained
    guard = replace(
        guard,
        hard_pause=level_after(guard.hard_pause, PAUSE_HARD, hard, news.delivered),
        hard_warn=level_after(guard.hard_warn, WARN_HARD, hard, news.delivered),
        complaint_pause=poisson_level_after(
            guard.complaint_pause, PAUSE_COMPLAINT, complained, ripened
        ),
        complaint_warn=poisson_level_after(
            guard.complaint_warn, WARN_COMPLAINT, complained, ripened
        ),
        unripe=guard.unripe - ripened + news.delivered, at=max(now, guard.at),
        deliveries=guard.deliveries + news.delivered, hard=guard.hard + hard,
        complaints=guard.complaints + complained,
    )  # fmt: skip
    return _judged(guard, margin)


def untold(guard: Guard, news: News, taken: int) -> Guard:
    """With news of an ESP that has told of no deliveries: it may be new, or tell of bounces alone.
    What the ESPs have `taken` of the campaign and did not bounce counts as delivered, on its way or
    not, and only a rate over the whole is judged: 95 % sure to be beyond what ruins an ESP."""
    guard = replace(
        guard, deliveries=guard.deliveries + news.delivered, hard=guard.hard + news.hard,
        complaints=guard.complaints + news.complained, taken=taken,
    )  # fmt: skip
    sent = taken - guard.taken_forgiven
    hard = guard.hard - guard.hard_forgiven
    complaints = guard.complaints - guard.complaints_forgiven
    cause = ""
    if _surely(hard, sent, scores.BOUNCE.prior) > HARD_LIMIT:
        cause = f"{hard} hard bounces of {sent} messages"
    elif sent >= COMPLAINT_MESSAGES and (
        _surely(complaints, sent, scores.COMPLAINT.prior) > COMPLAINT_LIMIT
    ):
        cause = f"{complaints} complaints about {sent} messages"
    if not cause or guard.verdict == PAUSE:
        return guard
    return replace(guard, verdict=PAUSE, cause=cause)


def _surely(bad: int, sent: int, prior: Prior) -> float:
    return beliefs.sure_rate(Belief(max(0, sent - bad), bad), prior)


def _judged(guard: Guard, margin: float) -> Guard:
    bounced = f"{guard.hard} hard bounces of {guard.deliveries + guard.hard} messages"
    complained = f"{guard.complaints} complaints about {guard.deliveries} deliveries"
    found = [
        (verdict, cause)
        for level, test, verdict, cause in (
            (guard.hard_pause, PAUSE_HARD, PAUSE, bounced),
            (guard.complaint_pause, PAUSE_COMPLAINT, PAUSE, complained),
            (guard.hard_warn, WARN_HARD, WARN, bounced),
            (guard.complaint_warn, WARN_COMPLAINT, WARN, complained),
        )
        if level >= test.threshold + margin
    ]
    if not found or _SEVERITY[found[0][0]] <= _SEVERITY[guard.verdict]:
        return guard
    return replace(guard, verdict=found[0][0], cause=found[0][1])


def resumed(guard: Guard) -> Guard:
    """A person lets it go on: the tests begin anew, the counts stay."""
    return replace(
        guard, verdict=GO, cause="", hard_pause=0.0, hard_warn=0.0,
        complaint_pause=0.0, complaint_warn=0.0, hard_forgiven=guard.hard,
        complaints_forgiven=guard.complaints, taken_forgiven=guard.taken,
    )  # fmt: skip


def learnt_delay(total_seconds: float, complaints: int) -> float:
    """The mean delay of complaints, from the sum of the delays seen."""
    return (_DELAY_WEIGHT * COMPLAINT_DELAY + total_seconds) / (_DELAY_WEIGHT + complaints)


def canary_rate(sent: int, rate: float | None, *, armed: bool) -> float | None:
    """Messages per second for a campaign that has `sent` so many; None = unlimited. Without events
    to learn from a slow start would teach nothing."""
    if not armed or rate is None or sent >= CANARY_MESSAGES:
        return rate
    return rate * CANARY_SHARE
