"""When an ESP that fails is left alone, and how it comes back. Pure: state and time are arguments.

First form: consecutive failed requests. 429 never counts (a rate is not an outage), a refusal of
one message or recipient neither.
"""

from dataclasses import replace

from services.esp import EspError, InDoubt, Misconfigured, Unavailable
from services.esp_state import Breaker

TRIP_AFTER = 5  #: failed requests in a row
#: An ESP that has just failed is passed over this long, doubled by each further failure: what it
#: did not take leaves through another at once, and it is not hammered when it is the only one.
BACK_OFF_SECONDS = 0.25
PROBES_TO_CLOSE = 5
PROBE_EVERY_SECONDS = 2.0
COOL_DOWN_SECONDS = 30.0
COOL_DOWN_CAP_SECONDS = 300.0
#: After this long without trouble an opening counts as the first again.
FORGIVEN_AFTER_SECONDS = 3600.0


def counts_as_failure(error: EspError | None) -> bool:
    """Whether a request's error speaks against the ESP itself."""
    return isinstance(error, Unavailable | InDoubt | Misconfigured)


def after_request(breaker: Breaker, error: EspError | None, now: float) -> Breaker:
    """The breaker after one request that ended with `error` (None = answered)."""
    if counts_as_failure(error):
        return _failed(breaker, error, now)
    if breaker.state != "half_open":
        return replace(breaker, failures=0)
    successes = breaker.successes + 1
    if successes < PROBES_TO_CLOSE:
        return replace(breaker, successes=successes)
    return Breaker(trips=breaker.trips, changed_at=now, cause="probes were answered")


def _failed(breaker: Breaker, error: EspError | None, now: float) -> Breaker:
    failures = breaker.failures + 1
    hopeless = isinstance(error, Misconfigured)  # a wrong key does not get better by itself
    if breaker.state == "closed" and failures < TRIP_AFTER and not hopeless:
        pause = BACK_OFF_SECONDS * 2 ** (failures - 1)
        return replace(breaker, failures=failures, next_probe_at=now + pause)
    if breaker.state == "open":
        return breaker  # an answer to a request from before it opened
    forgiven = breaker.state == "closed" and now - breaker.changed_at > FORGIVEN_AFTER_SECONDS
    trips = 1 if forgiven else breaker.trips + 1
    # Without its bound, the power would be too large for a number after some days of outage.
    cool_down = min(COOL_DOWN_CAP_SECONDS, COOL_DOWN_SECONDS * 2 ** min(trips - 1, 10))
    return Breaker(
        state="open", failures=failures, trips=trips, changed_at=now,
        next_probe_at=now + cool_down, cause=str(error) or type(error).__name__,
    )  # fmt: skip


def allowance(breaker: Breaker, now: float) -> tuple[int | None, float]:
    """How many messages the breaker lets through now, and when to ask again.

    None = no limit. An open breaker whose cool-down is over lets one probe through; so does a
    half-open one every PROBE_EVERY_SECONDS. A closed one that has just failed pauses.
    """
    # Further ahead than any cool-down: the clock was set back.
    waiting = 0 < breaker.next_probe_at - now <= COOL_DOWN_CAP_SECONDS
    if breaker.state == "closed":
        waiting = waiting and breaker.failures > 0
    if waiting:
        return 0, breaker.next_probe_at
    return (None if breaker.state == "closed" else 1), now


def probing(breaker: Breaker, now: float) -> Breaker:
    """The breaker once a probe has been reserved."""
    if breaker.state == "open":
        breaker = replace(breaker, state="half_open", successes=0, changed_at=now)
    return replace(breaker, next_probe_at=now + PROBE_EVERY_SECONDS)
