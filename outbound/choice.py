"""Which of a campaign's sends leave now and through which ESP: chosen, claimed and reserved in the
caller's transaction. Renders nothing and sends nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa

from database import esp_performance as performance
from database import sends, transactional
from database.campaigns import Brief
from database.models import CampaignKind, Lane
from database.sends import Lease, Picked
from outbound.batches import Claim, records_of
from outbound.terms import Terms, route, tried_by
from services.esp_manager import EspManager, Plan, Record

#: The claims by ESP; or none, and when to come back (None = nothing is left to claim).
Choice = tuple[list[Claim], float | None]


class Chooser:
    """Chooses by what the ESPs have room for."""

    def __init__(self, manager: EspManager) -> None:
        self._manager = manager

    def choose(
        self, connection: sa.Connection, campaign: Brief, lease: Lease, now: float
    ) -> Choice:
        """Claim under `lease`, whose campaign is `sending`."""
        single = campaign.kind == CampaignKind.TRANSACTIONAL
        choose = self._choose_mail if single else self._choose
        return choose(connection, campaign, lease, now)

    def _choose(
        self, connection: sa.Connection, campaign: Brief, lease: Lease, now: float
    ) -> Choice:
        """As many of a campaign's sends as the ESPs have room for."""
        wanted = min(self._manager.claim_size(), campaign.n_queued)
        records = records_of(performance.lock(connection, self._manager.names, now))
        plan = self._manager.plan(records, wanted, Lane.CAMPAIGN, now, campaign.options.get("esp"))
        if len(plan.chosen) == 0:
            return [], _comeback(plan) if wanted else None
        picked = sends.pick(connection, lease.campaign_id, len(plan.chosen))
        return self._reserve(connection, lease, plan, picked, records, Lane.CAMPAIGN, now=now), None

    def _choose_mail(
        self, connection: sa.Connection, campaign: Brief, lease: Lease, now: float
    ) -> Choice:
        """A transactional mail, unless its time is over: then it ends here."""
        terms = Terms.of(campaign.options)
        records = records_of(performance.lock(connection, self._manager.names, now))
        picked = sends.pick(connection, lease.campaign_id, 1)
        if not picked:
            return [], None
        if terms.expires_at <= now:
            transactional.expire(connection, lease, picked, now)
            return [], None
        tried = tried_by(transactional.trail(connection, picked[0].id))
        plan = route(self._manager, records, terms, tried, now)
        if not plan.chosen:
            return [], _comeback(plan)
        person, lane = terms.addressed(picked), Lane.TRANSACTIONAL
        claims = self._reserve(connection, lease, plan, person, records, lane, now=now)
        return [claim._replace(lane=lane, expires_at=terms.expires_at) for claim in claims], None

    def _reserve(
        self, connection: sa.Connection, lease: Lease, plan: Plan, picked: Sequence[Picked],
        records: Mapping[str, Record], lane: Lane, *, now: float,
    ) -> list[Claim]:  # fmt: skip
        """`now` is what the plan was made with: it has looked at the limit of that day alone."""
        by_esp: dict[str, list[Picked]] = {}
        for row, esp in zip(picked, plan.chosen, strict=False):
            by_esp.setdefault(esp, []).append(row)
        states = {}
        for esp, rows in sorted(by_esp.items()):
            sends.take(connection, lease, esp, [row.id for row in rows], now)
            state = replace(records[esp].state, credit=plan.credit[esp])
            states[esp] = self._manager.reserved(esp, state, len(rows), lane, now).to_json()
            performance.count(connection, esp, {"used": len(rows)}, now)
        performance.save_states(connection, states, now)
        day = performance.day_of(now)
        return [Claim(esp, lease, day, rows) for esp, rows in by_esp.items()]


def _comeback(plan: Plan) -> float:
    """The first moment an ESP without room may have some; infinity = when an operator acts."""
    times = [standing.until for standing in plan.standings if standing.until is not None]
    return min(times, default=float("inf"))
