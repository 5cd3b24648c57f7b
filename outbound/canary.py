"""The careful start of a large campaign: its first messages leave slowly, so that bounces and
complaints can stop it (`inbound.guard`) while few people have got it.

Only where an ESP's events are known to come back: else nothing could be learnt from the wait.
"""

import math
from collections.abc import Iterable

import sqlalchemy as sa

from database import esp_performance as performance
from services.esp_manager import Record
from services.policies import guard, stalls

SCOPE = "canary"
#: Smaller campaigns would spend most of their time on it.
LARGE = 10 * guard.CANARY_MESSAGES
#: However slow the ESPs are, the start is over after so long: events come within minutes.
LONGEST_SECONDS = 600.0
#: Messages a second of ESPs without a limit, as far as a tenth of it is to be taken.
UNLIMITED = 1_000.0
BURST_SECONDS = 1.0


def is_on(audience: int, n_queued: int, records: Iterable[Record]) -> bool:
    """Whether a campaign that is sending is in its careful start."""
    if audience < LARGE or audience - n_queued >= guard.CANARY_MESSAGES:
        return False
    return any(stalls.armed(record.state.memory.watch) for record in records)


def rate_of(rates: Iterable[float | None]) -> float:
    """Messages per second of the careful start, when the ESPs have these rates."""
    known = [UNLIMITED if rate is None else rate for rate in rates]
    slow = guard.canary_rate(0, sum(known), armed=True) or 0.0
    return max(slow, guard.CANARY_MESSAGES / LONGEST_SECONDS)


def allowance(
    connection: sa.Connection, campaign_id: int, rate: float, now: float
) -> tuple[int, float]:
    """How many of its messages may leave now, and when to ask again."""
    arrival = _arrival(connection, campaign_id, now)
    fits = math.floor((now + BURST_SECONDS - arrival) * rate + 1e-6)
    return max(0, fits), arrival + 1 / rate - BURST_SECONDS


def reserve(
    connection: sa.Connection, campaign_id: int, count: int, rate: float, now: float
) -> None:
    """Take so many messages out of the allowance."""
    arrival = _arrival(connection, campaign_id, now) + count / rate
    performance.put_state(connection, SCOPE, str(campaign_id), {"arrival": arrival}, now)


def _arrival(connection: sa.Connection, campaign_id: int, now: float) -> float:
    """The theoretical arrival time (GCRA); one far ahead was written before the clock was set
    back."""
    kept = performance.lock_state(connection, SCOPE, str(campaign_id), now).get("arrival", 0.0)
    return max(kept, now) if kept <= now + LONGEST_SECONDS else now
