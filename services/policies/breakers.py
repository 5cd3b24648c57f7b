"""When an ESP (or one mailbox provider at it) is left alone, and how it comes back.

closed -> open (cool-down) -> half_open (counted probes) -> ramp (10, 25, 50 %) -> closed.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from services.policies import chance, clocks
from services.policies.alarms import Test, level_after
from services.policies.stored import Stored

CLOSED, OPEN, HALF_OPEN, RAMP = "closed", "open", "half_open", "ramp"
#: The share of messages for which a returning ESP is considered, and how long each stage lasts.
RAMP_SHARES = (0.10, 0.25, 0.50)
RAMP_SECONDS = 60.0
#: After this long closed an opening counts as the first again.
FORGIVEN_AFTER_SECONDS = 3600.0
JITTER = 0.2
_MOST_DOUBLINGS = 16  #: beyond any cap; a larger power would overflow after days of outage


class Rules(NamedTuple):
    """What one kind of breaker does. Without `successes` it comes back without probes."""

    name: str
    test: Test | None
    cool_down: float  #: seconds, doubled by each further opening
    cap: float  #: seconds, no cool-down is longer
    probe_every: float = 0.0
    in_flight: int = 0  #: probes without an answer yet
    successes: int = 0  #: probes that start the ramp
    failures: int = 0  #: probes that open it again
    lapse: float = 0.0  #: seconds after which a probe without an answer is forgotten


#: 5 failed requests in a row trip it; at most one false trip in 10^6 requests at 2 % failures.
API = Rules("api", Test(0.02, 0.5, 13.8), 30.0, 300.0, 2.0, 1, 5, 1, 120.0)
#: 6 accepted messages in a row of which nothing is heard. Two probes at a time, and a third only
#: when they disagree: each that vanishes is a person's mail.
STALL = Rules("stall", Test(0.05, 0.6, 13.8), 30.0, 600.0, 5.0, 2, 2, 2, 1800.0)
REPUTATION = Rules("reputation", None, 6 * 3600.0, 24 * 3600.0)
#: KumoMTA's figure for "temporarily deferred"; the cap is Yahoo's TS04.
CELL = Rules("cell", None, 5400.0, 7200.0)


@dataclass(frozen=True, slots=True)
class Breaker(Stored):
    """One breaker's state."""

    state: str = CLOSED
    level: float = 0.0  #: of its change detector
    trips: int = 0  #: openings without an hour of peace between
    since: float = 0.0  #: when this state began
    until: float = 0.0  #: open: end of the cool-down; half_open: next probe; ramp: end of the stage
    fresh: float = 0.0  #: mail sent before its last half-opening says nothing about it any more
    stage: int = 0
    probes: int = 0  #: handed out in this half-opening
    successes: int = 0
    failures: int = 0
    cause: str = ""


class Admission(NamedTuple):
    """What a breaker lets through now."""

    share: float  #: of the messages, by chance
    probes: int | None = None  #: None: not limited to probes
    until: float | None = None  #: when to ask again


def admission(breaker: Breaker, rules: Rules, now: float) -> Admission:
    """What it lets through; `breaker` is as of `now` (see `at`)."""
    if breaker.state == CLOSED:
        return _EVERYTHING
    if breaker.state == RAMP:
        return Admission(RAMP_SHARES[breaker.stage])
    if breaker.state == OPEN:
        return Admission(0.0, 0, breaker.until)
    busy = breaker.probes - breaker.successes - breaker.failures >= rules.in_flight
    if busy or breaker.until > now:
        return Admission(0.0, 0, max(breaker.until, now + rules.probe_every))
    return Admission(0.0, 1)


_EVERYTHING = Admission(1.0)


def at(breaker: Breaker, rules: Rules, now: float) -> Breaker:
    """The breaker as time alone changes it."""
    if breaker.since > now + clocks.DIFFER_SECONDS:
        breaker = _set_back(breaker, now)
    if breaker.state == CLOSED:
        return breaker
    over = now >= breaker.until
    if breaker.state == OPEN:
        return _tried(breaker, rules, now) if over else breaker
    if breaker.state == HALF_OPEN:
        lapsed = now - breaker.until > rules.lapse
        answered = breaker.successes + breaker.failures
        return replace(breaker, probes=answered) if lapsed else breaker
    while over and breaker.state == RAMP:
        breaker = _next_stage(breaker, now)
        over = now >= breaker.until
    return breaker


def _set_back(breaker: Breaker, now: float) -> Breaker:
    """The clock was set back: what is ahead by more than clocks differ is moved with it."""
    ahead = breaker.since - now
    return replace(
        breaker, since=now, until=breaker.until - ahead, fresh=min(now, breaker.fresh - ahead)
    )


def _tried(breaker: Breaker, rules: Rules, now: float) -> Breaker:
    if not rules.successes:
        return ramped(breaker, now, "the cool-down is over")
    return replace(
        breaker, state=HALF_OPEN, since=now, until=now, fresh=now,
        probes=0, successes=0, failures=0, level=0.0, cause="the cool-down is over: probes",
    )  # fmt: skip


def _next_stage(breaker: Breaker, now: float) -> Breaker:
    end = min(breaker.until, now)
    if breaker.stage + 1 < len(RAMP_SHARES):
        return replace(breaker, stage=breaker.stage + 1, until=end + RAMP_SECONDS)
    return replace(breaker, state=CLOSED, since=end, cause="the ramp passed without trouble")


def ramped(breaker: Breaker, now: float, cause: str, stage: int = 0) -> Breaker:
    """On its way back, with a small share."""
    return replace(
        breaker, state=RAMP, level=0.0, stage=stage, since=now, until=now + RAMP_SECONDS,
        fresh=breaker.fresh if breaker.state == HALF_OPEN else now, cause=cause,
    )  # fmt: skip


def probing(breaker: Breaker, rules: Rules, count: int, now: float) -> Breaker:
    """Once probes have been reserved."""
    return replace(breaker, probes=breaker.probes + count, until=now + rules.probe_every)


def unprobed(breaker: Breaker, count: int) -> Breaker:
    """Once probes turn out not to have left: others may take their place."""
    if breaker.state != HALF_OPEN:
        return breaker
    answered = breaker.successes + breaker.failures
    return replace(breaker, probes=max(answered, breaker.probes - count))


def after(
    breaker: Breaker, rules: Rules, bad: int, good: int, *, sent_at: float, now: float,
    seed: bytes, cause: str,
) -> Breaker:  # fmt: skip
    """With a batch's outcomes; `sent_at` is when the oldest of them was sent, `seed` the ESP's own
    (jitter), `cause` the words that explain an opening."""
    if breaker.state == OPEN or sent_at < breaker.fresh:
        return breaker  # an answer to something from before it opened
    if breaker.state == HALF_OPEN:
        return _probed(breaker, rules, bad, good, now=now, seed=seed, cause=cause)
    if rules.test is None:
        return breaker
    level = level_after(breaker.level, rules.test, bad, good)
    if level >= rules.test.threshold:
        return tripped(breaker, rules, now, seed, cause)
    return replace(breaker, level=level) if level != breaker.level else breaker


def _probed(
    breaker: Breaker, rules: Rules, bad: int, good: int, *, now: float, seed: bytes, cause: str
) -> Breaker:
    failures, successes = breaker.failures + bad, breaker.successes + good
    if failures >= rules.failures:
        return tripped(breaker, rules, now, seed, cause)
    if successes >= rules.successes:
        return ramped(breaker, now, f"{successes} probes succeeded")
    return replace(breaker, failures=failures, successes=successes)


def tripped(
    breaker: Breaker, rules: Rules, now: float, seed: bytes, cause: str,
    at_least: float = 0.0,
) -> Breaker:  # fmt: skip
    """Open, for a cool-down that doubles until an hour of peace."""
    peaceful = breaker.state == CLOSED and now - breaker.since > FORGIVEN_AFTER_SECONDS
    trips = 1 if peaceful else breaker.trips + 1
    pause = rules.cool_down * 2.0 ** min(trips - 1, _MOST_DOUBLINGS)
    luck = chance.uniform(seed, "cool-down", rules.name, trips, now)
    pause = min(pause, rules.cap / (1.0 + JITTER)) * (1.0 + JITTER * (2.0 * luck - 1.0))
    pause = max(at_least, pause)
    return replace(
        breaker, state=OPEN, level=0.0, trips=trips, since=now, until=now + pause, cause=cause
    )


def hurried(breaker: Breaker) -> Breaker:
    """Its wait is over at once: a cool-down, or probes that are not heard of."""
    if breaker.state == HALF_OPEN:
        return replace(unprobed(breaker, breaker.probes), until=breaker.since)
    return replace(breaker, until=breaker.since) if breaker.state == OPEN else breaker


def tightest(*admissions: Admission) -> Admission:
    """What several breakers together let through."""
    probes = [one.probes for one in admissions if one.probes is not None]
    waits = [one.until for one in admissions if one.until is not None]
    return Admission(
        min(one.share for one in admissions),
        min(probes) if probes else None,
        max(waits) if waits else None,
    )
