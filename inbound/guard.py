"""Watches what comes back of each campaign, and stops one that harms the domain's reputation: hard
bounces or complaints that are clearly too many, long before a rate over the whole would show it.

`services.policies.guard` decides when to stop; here its state is kept and its verdict acted on.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable

import sqlalchemy as sa

from database import campaigns, ledger
from database import esp_performance as performance
from database.events import OWN
from database.models import BounceKind, CampaignStatus, EventKind, Lane
from inbound.evidence import Met
from services.policies import guard as policy
from services.policies.guard import Guard, News

log = logging.getLogger(__name__)

#: An ESP that tells of bounces alone would make every campaign look bad in tests over deliveries:
#: it is heard there once it has told of so many (facts: armed by feedback), until then by `untold`.
ARMED_BY_DELIVERIES = 50
#: States of sends that an ESP has taken.
_TAKEN = ("accepted", "delivered", "bounced", "complained")


def watch(connection: sa.Connection, new: Iterable[Met], now: float) -> None:
    """Take new events of sends into account; pauses a campaign that must not go on."""
    told = _news(new)
    if not told:
        return
    armed = _armed(connection, {esp for _, esp in told}, now)
    heard: dict[int, Counter[str]] = defaultdict(Counter)
    unproven: dict[int, Counter[str]] = defaultdict(Counter)
    for (campaign_id, esp), counts in told.items():
        (heard if esp in armed else unproven)[campaign_id].update(counts)
    # All guards, then campaigns, as everywhere: transactions must not wait for each other in turn.
    guards = {
        campaign_id: Guard.from_json(
            performance.lock_state(connection, performance.GUARD, str(campaign_id), now)
        )
        for campaign_id in sorted(heard.keys() | unproven.keys())
    }
    if unproven:
        ledger.settle(connection)
    for campaign_id, before in guards.items():
        after = policy.after(before, News(**heard[campaign_id]), now)
        if campaign_id in unproven:
            untold, taken = News(**unproven[campaign_id]), _taken(connection, campaign_id)
            after = policy.untold(after, untold, taken)
        _act(connection, campaign_id, before, after, now)


def _news(new: Iterable[Met]) -> dict[tuple[int, str], Counter[str]]:
    told: dict[tuple[int, str], Counter[str]] = {}
    for one in new:
        what = _means(one)
        # A single mail has no campaign to stop, and would leave a row for each.
        if what and one.send and one.send.lane is Lane.CAMPAIGN and one.event.esp != OWN:
            key = (one.send.campaign_id, one.event.esp)
            told.setdefault(key, Counter())[what] += 1
    return told


def _means(one: Met) -> str | None:
    """What an event is to the guard, by the names of `News`."""
    match one.event.kind:
        case EventKind.DELIVERED:
            return "delivered"
        case EventKind.BOUNCE if one.event.bounce is BounceKind.HARD:
            return "hard"
        case EventKind.COMPLAINT:
            return "complained"
        case _:
            return None


def _armed(connection: sa.Connection, esps: set[str], now: float) -> set[str]:
    rows = performance.read(connection, esps, now)
    return {
        esp for esp, row in rows.items() if row.counts.get("delivered", 0) >= ARMED_BY_DELIVERIES
    }


def _act(
    connection: sa.Connection, campaign_id: int, before: Guard, after: Guard, now: float
) -> None:
    performance.put_state(connection, performance.GUARD, str(campaign_id), after.to_json(), now)
    if after.verdict == before.verdict:
        return
    if after.verdict == policy.WARN:
        log.warning("campaign %s: %s", campaign_id, after.cause)
        return
    reason = f"stopped by the guard: {after.cause}; look at the list, then resume or cancel"
    if campaigns.move(
        connection, campaign_id, CampaignStatus.PAUSED, reason=reason,
        only_from=(CampaignStatus.SENDING,),
    ):  # fmt: skip
        log.error("campaign %s %s", campaign_id, reason)


def _taken(connection: sa.Connection, campaign_id: int) -> int:
    """How many of the campaign's messages ESPs have taken, by counters that are settled."""
    counts = performance.by_esp(connection, campaign_id).values()
    return sum(states[state] for states in counts for state in _TAKEN)
