"""Through which ESPs a campaign would leave if it was sent now, and when it would be out: by the
router's own words, without reserving anything."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from database.models import Lane
from outbound import canary
from outbound.mailboxes import Mailboxes
from services import account as accounts
from services import quota
from services.esp_manager import EspManager, Offer, Record, Standing
from services.policies import forecast as policy
from services.policies.forecast import Capacity
from services.policies.guard import CANARY_MESSAGES
from services.policies.routes import Ask

#: So many addresses of the audience are asked for their ESP; the rest is taken to be like them.
ASKED = 1_000


class Share(NamedTuple):
    """What one ESP would take."""

    esp: str
    recipients: int
    rate_per_second: float | None  #: None = no limit
    remaining_today: int | None
    daily_limit: int | None
    why_not: str  #: why it takes nothing now; empty = it does


class Outlook(NamedTuple):
    """The whole campaign."""

    shares: Sequence[Share]
    finish: float | None  #: at the earliest, Unix seconds; None = not known, or never
    binds: str


class Forecaster:
    """Looks ahead."""

    def __init__(self, manager: EspManager, mailboxes: Mailboxes) -> None:
        self._manager = manager
        self._provider_of = mailboxes.of

    def outlook(
        self, records: Mapping[str, Record], audience: int, addresses: Sequence[str],
        only: str | None, now: float,
    ) -> Outlook:  # fmt: skip
        """For an audience of which these are some; `only` is the ESP to which it is pinned."""
        offer = self._manager.offer(_rested(records), Lane.CAMPAIGN, now, only)
        asks = [Ask(n, self._provider_of(address)) for n, address in enumerate(addresses)]
        plain = replace(offer, options=[o for o in offer.options if o.probes is None])
        capacities = {o.esp: self._capacity(o.esp, records[o.esp], now) for o in plain.options}
        first = self._first(plain, asks, capacities, min(audience, len(asks)), now)
        rest = [_less(c, first[c.esp]) for c in capacities.values()]
        flow = policy.forecast(
            audience - sum(first.values()), rest, self._split(plain, asks, now), now,
            quota.day_ends_at(now),
        )  # fmt: skip
        taken = first + Counter(flow.by_esp)
        finish, binds = flow.finish, flow.binds
        if sum(first.values()) == audience:
            finish, binds = now if audience else None, policy.NOTHING
        slow = self._careful_seconds(records, capacities, audience, now)
        return Outlook(
            [self._share(standing, records, taken, now) for standing in offer.standings],
            None if finish is None else finish + slow, binds,
        )  # fmt: skip

    def _capacity(self, esp: str, record: Record, now: float) -> Capacity:
        limits = self._manager.policy(esp, record.state).limits
        daily = limits.daily_for(Lane.CAMPAIGN)
        its = accounts.room(record.state.account, now, limits.reserve_percent)
        its_day = record.state.account.quota if its is not None else None
        left = None if daily is None else max(0, daily - record.used_today)
        rate = self._manager.rate(esp, record.state, now)
        return Capacity(esp, rate, _least(left, its), _least(daily, its_day))

    def _first(
        self, offer: Offer, asks: Sequence[Ask], capacities: Mapping[str, Capacity], count: int,
        now: float,
    ) -> Counter[str]:  # fmt: skip
        """What leaves at once: one claim, as the router would cut it."""
        options = [
            replace(o, room=_least(o.room, capacities[o.esp].left_today)) for o in offer.options
        ]
        routes = self._manager.route(
            replace(offer, options=[o for o in options if o.room != 0]), asks[:count],
            Lane.CAMPAIGN, now,
        )  # fmt: skip
        return Counter(routes.counts)

    def _split(self, offer: Offer, asks: Sequence[Ask], now: float) -> policy.Split:
        def split(esps: Collection[str]) -> Mapping[str, float]:
            options = [replace(o, room=None) for o in offer.options if o.esp in esps]
            among = replace(offer, options=options)
            counts = self._manager.route(among, asks, Lane.CAMPAIGN, now).counts
            return {esp: count / sum(counts.values()) for esp, count in counts.items()}

        return split

    def _careful_seconds(
        self, records: Mapping[str, Record], capacities: Collection[str], audience: int, now: float
    ) -> float:
        """How much longer the careful start of a large campaign takes."""
        able = [records[esp] for esp in capacities]
        if not canary.is_on(audience, audience, able):
            return 0.0
        rates = [self._manager.rate(esp, records[esp].state, now) for esp in capacities]
        whole = sum(rate for rate in rates if rate is not None) or canary.UNLIMITED
        return max(0.0, CANARY_MESSAGES / canary.rate_of(rates) - CANARY_MESSAGES / whole)

    def _share(
        self, standing: Standing, records: Mapping[str, Record], taken: Mapping[str, int],
        now: float,
    ) -> Share:  # fmt: skip
        esp = standing.name
        capacity = self._capacity(esp, records[esp], now)
        return Share(
            esp, taken.get(esp, 0), capacity.rate, capacity.left_today, capacity.per_day,
            standing.why_not if standing.room == 0 else "",
        )  # fmt: skip


def _rested(records: Mapping[str, Record]) -> dict[str, Record]:
    """The ESPs without what passes within the day: a rate's pause, and what was used of today."""
    return {
        esp: replace(record, used_today=0, state=replace(record.state, tat=0.0, tat_campaign=0.0))
        for esp, record in records.items()
    }


def _less(capacity: Capacity, taken: int) -> Capacity:
    left = capacity.left_today
    return capacity._replace(left_today=None if left is None else max(0, left - taken))


def _least(one: int | None, other: int | None) -> int | None:
    return min((number for number in (one, other) if number is not None), default=None)
