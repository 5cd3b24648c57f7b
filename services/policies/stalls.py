"""Mail that an ESP accepts and that then vanishes: nothing is heard of it. Greedy routing would
even favour such an ESP, since no events mean no bad news.

Only an ESP whose events have proven to arrive is judged by them, the last one that can send is
never taken out, and when nobody's events come the fault is looked for at our own door.
"""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.policies import breakers
from services.policies.breakers import Breaker
from services.policies.stored import Stored

#: Authentic delivery events before an ESP is judged by them (facts, binding amendments).
ARMED_AFTER = 50
#: How long the first event may take: this many times the 95th percentile, within bounds (s).
DEADLINE_FACTOR = 1.5
DEADLINE_QUANTILE = 0.95
DEADLINE_FLOOR = 60.0
DEADLINE_CEILING = 900.0
#: Late events that prove a slow webhook instead of lost mail: so many, and half of what is missed.
LATE_PROOF = 5
LATE_SHARE = 0.5
#: A returning ESP whose mail was never lost starts with the second stage of the ramp.
LAG_STAGE = 1
#: Delays of an excursion teach the deadline only when lags recur: then they are the new usual.
LAGS_TO_LEARN = 2

#: The delay sketch: a histogram with bins that grow by a quarter, 1 s to about an hour. Unlike P2
#: it takes a batch at once, can be merged, and forgets.
_RATIO = 1.25
_EDGES = tuple(_RATIO**i for i in range(38))
_SKETCH_CAP = 5_000.0


@dataclass(frozen=True, slots=True)
class Watch(Stored):
    """What is known of an ESP's events."""

    events: int = 0  #: authentic delivery events, ever
    heard: bool = False  #: since the last restart
    last_event_at: float = 0.0
    last_sent_at: float = 0.0
    delays: tuple[float, ...] = ()  #: of the first event of a message, counts per bin
    onset: float = 0.0  #: when the first silent message of this excursion was sent; 0 = none
    silent: int = 0  #: messages of the excursion that nothing was heard of in time
    late: int = 0  #: of those, heard of after all
    lags: int = 0  #: excursions in a row that were only a slow webhook
    lagged_at: float = 0.0


class Due(NamedTuple):
    """Messages that reached the deadline together."""

    silent: int  #: without any event
    answered: int
    sent_at: float  #: of the oldest: take them in slices of a second or two
    deadline: float = DEADLINE_FLOOR  #: that they reached, see `deadline`


class Judgement(NamedTuple):
    """What came of a look at the mail that is due."""

    breaker: Breaker
    watch: Watch
    alert: str = ""  #: words for an operator when nothing was done about it


def armed(watch: Watch) -> bool:
    """Whether silence means anything. Unarmed is shown as `feedback: none`."""
    return watch.heard and watch.events >= ARMED_AFTER


def restarted(watch: Watch) -> Watch:
    """After a restart of the house: our door may be shut, so the first event arms it again."""
    return replace(watch, heard=False)


def deadline(watch: Watch, floor: float = DEADLINE_FLOOR) -> float:
    """Seconds after which a message without any event counts as silent."""
    learnt = DEADLINE_FACTOR * quantile(watch.delays, DEADLINE_QUANTILE)
    return min(DEADLINE_CEILING, max(floor, learnt))


def quantile(delays: Sequence[float], share: float) -> float:
    """Seconds within which this share of first events came; 0 when nothing is known."""
    total, wanted = 0.0, sum(delays) * share
    for i, count in enumerate(delays):
        if count and total + count >= wanted:
            low = _EDGES[i - 1] if i else 0.0
            return low + (_EDGES[min(i, len(_EDGES) - 1)] - low) * (wanted - total) / count
        total += count
    return 0.0


def sent(watch: Watch, now: float) -> Watch:
    """Messages were accepted."""
    if now <= watch.last_sent_at:
        return watch
    return replace(watch, last_sent_at=now)


def heard(watch: Watch, delays: Sequence[float], now: float) -> Watch:
    """First events of messages arrived, so many seconds after acceptance; messages of an excursion
    come through `late` as well."""
    learning = not watch.onset or watch.lags >= LAGS_TO_LEARN
    return replace(
        watch, events=watch.events + len(delays), heard=True, last_event_at=now,
        delays=_sketched(watch.delays, delays) if learning else watch.delays,
    )  # fmt: skip


def _sketched(bins: Sequence[float], delays: Iterable[float]) -> tuple[float, ...]:
    counts = list(bins) or [0.0] * (len(_EDGES) + 1)
    for delay in delays:
        counts[bisect.bisect_left(_EDGES, delay)] += 1.0
    total = sum(counts)
    if total > _SKETCH_CAP:
        counts = [count * _SKETCH_CAP / total for count in counts]
    return tuple(counts)


def heard_elsewhere(others: Iterable[Watch], onset: float, since: float) -> bool | None:
    """Whether other ESPs' events came after `since`: None when no other, used since the `onset`,
    could tell."""
    witnesses = [one for one in others if armed(one) and one.last_sent_at > onset]
    return any(one.last_event_at > since for one in witnesses) if witnesses else None


def judged(
    breaker: Breaker, watch: Watch, due: Due, now: float, seed: bytes, *,
    others: Iterable[Watch], others_eligible: bool,
) -> Judgement:  # fmt: skip
    """After messages reached the deadline. `others` are the watches of the other ESPs."""
    if not armed(watch):
        return Judgement(breaker, watch)
    watch = _counted(breaker, watch, due)
    # An answered probe was counted when its event came, see `acknowledged`.
    good = 0 if breaker.state == breakers.HALF_OPEN else due.answered
    cause = f"{watch.silent} accepted messages without any event for {due.deadline:.0f} s"
    after = breakers.after(
        breaker, breakers.STALL, due.silent, good,
        sent_at=due.sent_at, now=now, seed=seed, cause=cause,
    )  # fmt: skip
    # Failed probes are no news: nobody's mail hangs on a half-open ESP.
    opened = after.state == breakers.OPEN and breaker.state in (breakers.CLOSED, breakers.RAMP)
    since = now - due.deadline / 2  # events are frequent: twice as long and one would have come
    if opened and (why := _reason_to_stay(others, watch, since, others_eligible=others_eligible)):
        return Judgement(_held(breaker), watch, f"{cause}; {why}")
    return Judgement(after, _calmed(after, watch))


def _counted(breaker: Breaker, watch: Watch, due: Due) -> Watch:
    silent, sent_at = due.silent, due.sent_at
    if not silent or (breaker.state != breakers.OPEN and sent_at < breaker.fresh):
        return watch
    forgiven = sent_at - watch.lagged_at > breakers.FORGIVEN_AFTER_SECONDS
    return replace(
        watch, onset=watch.onset or sent_at, silent=watch.silent + silent,
        lags=0 if forgiven else watch.lags,
    )  # fmt: skip


def _reason_to_stay(
    others: Iterable[Watch], watch: Watch, since: float, *, others_eligible: bool
) -> str:
    if not others_eligible:
        return "kept: no other ESP could take its mail"
    if heard_elsewhere(others, watch.onset, since) is False:
        return "kept: no ESP's events arrive, look at our own webhook address"
    return ""


def _held(breaker: Breaker) -> Breaker:
    """At the brink: the next look decides again."""
    test = breakers.STALL.test
    return replace(breaker, level=test.threshold if test else 0.0)


def _calmed(breaker: Breaker, watch: Watch) -> Watch:
    """An excursion ends when mail is heard of again."""
    over = breaker.state in (breakers.CLOSED, breakers.RAMP) and breaker.level == 0.0
    return replace(watch, onset=0.0, silent=0, late=0) if over and watch.onset else watch


def acknowledged(breaker: Breaker, count: int, sent_at: float, now: float, seed: bytes) -> Breaker:
    """Events arrived for messages that were sent at `sent_at` or later: answered probes."""
    if breaker.state != breakers.HALF_OPEN:
        return breaker
    return breakers.after(
        breaker, breakers.STALL, 0, count, sent_at=sent_at, now=now, seed=seed, cause=""
    )


def late(breaker: Breaker, watch: Watch, count: int, now: float) -> Judgement:
    """Events arrived for messages that had been counted as silent and were sent at the onset of
    the excursion or later: enough of them, and only the webhooks were slow."""
    watch = replace(watch, late=watch.late + count)
    away = breaker.state in (breakers.OPEN, breakers.HALF_OPEN)
    if not away or watch.late < max(LATE_PROOF, LATE_SHARE * watch.silent):
        return Judgement(breaker, watch)
    cause = f"{watch.late} late events: the webhooks lagged, no mail was lost"
    back = breakers.ramped(breaker, now, cause, LAG_STAGE)
    lags = watch.lags + 1
    return Judgement(back, replace(watch, onset=0.0, silent=0, late=0, lags=lags, lagged_at=now))
