"""How many messages an ESP may get now, by rate and by day. Pure: state and time are arguments.

The rate limiter is GCRA with a burst of one second: an ESP sees at most one second's rate plus one
batch in any second. Days are UTC days.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from database.models import Lane
from services import account as accounts
from services.esp_state import EspState
from services.policies import clocks, pace

BURST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """One ESP's limits as configured; None = unlimited."""

    daily: int | None
    rate: float | None  #: messages per second
    reserve_percent: float = 0.0  #: the share of both that campaigns never take
    #: The ESP's own rate holds, and this one until it has told it; None = `rate` alone holds.
    until_told: float | None = None

    def daily_for(self, lane: Lane) -> int | None:
        """The day's limit for this lane; exact, so 1,500 with 10 % kept back is 1,350."""
        if self.daily is None or lane is Lane.TRANSACTIONAL:
            return self.daily
        return self.daily - math.ceil(self.daily * self.reserve_percent / 100)

    def rate_for(self, lane: Lane) -> float | None:
        """Messages per second for this lane."""
        if self.rate is None or lane is Lane.TRANSACTIONAL:
            return self.rate
        return self.rate * (1 - self.reserve_percent / 100)


def day_ends_at(now: float) -> float:
    """The moment the quota day ends: next UTC midnight, Unix seconds."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=1)).timestamp()


def allowance(
    limits: Limits, state: EspState, used_today: int, lane: Lane, now: float
) -> tuple[int | None, float, str]:
    """How many messages fit now (None = any number), when to ask again, and what binds."""
    daily = limits.daily_for(lane)
    left = None if daily is None else max(0, daily - used_today)
    if left == 0:
        return 0, day_ends_at(now), "daily limit"
    keep = limits.reserve_percent if lane is Lane.CAMPAIGN else 0.0
    its = accounts.room(state.account, now, keep)
    if its == 0:
        again = state.account.resets_at or state.account.asked_at + accounts.ASK_EVERY_SECONDS
        return 0, max(now, again), "the ESP's own quota"
    left = min((one for one in (left, its) if one is not None), default=None)
    limits = in_force(limits, state, now)
    rate = limits.rate_for(lane)
    if not rate:
        return left, now, ""
    tat = max(state.tat, state.tat_campaign) if lane is Lane.CAMPAIGN else state.tat
    burst = _burst(rate)
    tat = _arrival(tat, rate, now)
    fits = math.floor((now + burst - tat) * rate + 1e-6)
    if fits < 1:
        return 0, max(now, tat + 1 / rate - burst), "rate"
    return (fits if left is None else min(fits, left)), now, ""


def reserved(limits: Limits, state: EspState, count: int, lane: Lane, now: float) -> EspState:
    """The state once `count` messages have been taken out of the rate and the ESP's own quota."""
    if state.account.told_at:
        state = replace(state, account=accounts.reserved(state.account, count, now))
    limits = in_force(limits, state, now)
    if not limits.rate:
        return state
    tat = _arrival(state.tat, limits.rate, now) + count / limits.rate
    state = replace(state, tat=tat)
    campaign_rate = limits.rate_for(Lane.CAMPAIGN)
    if lane is Lane.CAMPAIGN and campaign_rate:
        tat = _arrival(state.tat_campaign, campaign_rate, now) + count / campaign_rate
        state = replace(state, tat_campaign=tat)
    return state


def in_force(limits: Limits, state: EspState, now: float) -> Limits:
    """The limits that hold now: slower for a while after the ESP said 429."""
    limits = unthrottled(limits, state, now)
    if limits.rate is None:
        return limits
    return replace(limits, rate=pace.rate(state.memory.pace, limits.rate, now))


def unthrottled(limits: Limits, state: EspState, now: float) -> Limits:
    """The limits with the ESP's own rate: the smaller of ours and its known one holds."""
    told = accounts.rate(state.account, now)
    ours = limits.until_told if limits.rate is None and told is None else limits.rate
    rates = [rate for rate in (ours, told) if rate is not None]
    return replace(limits, rate=min(rates, default=None))


def _burst(rate: float) -> float:
    """The limiter's unit is one message; a rate below one a second still lets one through."""
    return max(BURST_SECONDS, 1 / rate)


def _arrival(tat: float, rate: float, now: float) -> float:
    """The theoretical arrival time that counts now."""
    return max(tat, now) if tat <= now + _burst(rate) + clocks.DIFFER_SECONDS else now
