"""Which of a campaign's sends leave now and through which ESP: chosen, claimed and reserved in the
caller's transaction. Renders nothing and sends nothing."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from database import esp_performance as performance
from database import sends, subscribers, transactional
from database.campaigns import Brief
from database.models import SINGLE, Lane
from database.sends import Lease, Picked
from outbound import canary, esp_states
from outbound.batches import Claim, records_of
from outbound.mailboxes import Mailboxes
from outbound.terms import Terms, tried_by
from services.esp_manager import RAMP_RETRY_SECONDS, EspManager, Offer, Record
from services.policies.routes import Ask, Routes

log = logging.getLogger(__name__)

#: Sends that no ESP may take are passed over for so long, and so many pages of them in one claim.
PASSED_SECONDS = 30.0
PAGES = 20
#: When nothing is left but these.
WAIT_SECONDS = 5.0
#: The claims by ESP; or none, and when to come back (None = nothing is left to claim).
Choice = tuple[list[Claim], float | None]


class Chooser:
    """Chooses by what the ESPs have room for."""

    def __init__(self, manager: EspManager, mailboxes: Mailboxes) -> None:
        self._manager = manager
        self._provider_of = mailboxes.of
        #: campaign -> the last send that no ESP may take, and until when that is believed
        self._passed: dict[int, tuple[int, float]] = {}

    def choose(
        self, connection: sa.Connection, campaign: Brief, lease: Lease, now: float
    ) -> Choice:
        """Claim under `lease`, whose campaign is `sending`."""
        choose = self._choose_mail if campaign.kind in SINGLE else self._choose
        return choose(connection, campaign, lease, now)

    def _choose(
        self, connection: sa.Connection, campaign: Brief, lease: Lease, now: float
    ) -> Choice:
        """As many of a campaign's sends as the ESPs have room for."""
        wanted = min(self._manager.claim_size(), campaign.n_queued)
        records = records_of(performance.lock(connection, self._manager.names, now))
        offer = self._manager.offer(records, Lane.CAMPAIGN, now, campaign.options.get("esp"))
        room = offer.room(wanted)
        if not room:
            return [], offer.comeback if wanted else None
        slow = self._canary_rate(campaign, offer, records, now)
        if slow:
            fits, until = canary.allowance(connection, lease.campaign_id, slow, now)
            if not fits:
                return [], until
            room = min(room, fits)
        page = room if slow else self._manager.claim_size()
        picked, routes, held = self._pick(connection, lease.campaign_id, offer, room, page, now)
        choice = _Chosen(self._manager, routes, records, Lane.CAMPAIGN, now)
        claims = choice.claim(connection, lease, picked)
        if slow:
            count = sum(len(claim.picked) for claim in claims)
            canary.reserve(connection, lease.campaign_id, count, slow, now)
        if claims or not held:
            return claims, None
        return [], now + (RAMP_RETRY_SECONDS if offer.by_chance else WAIT_SECONDS)

    def _pick(
        self, connection: sa.Connection, campaign_id: int, offer: Offer, room: int, page: int,
        now: float,
    ) -> tuple[Sequence[Picked], Routes, bool]:  # fmt: skip
        """Sends and their ESPs, and whether some are held back: what no ESP may take now, because
        its mailbox provider blocks it everywhere, holds up nothing that waits behind it. That is
        looked for in pages of so many."""
        after = self._passed_over(campaign_id, now)
        picked = sends.pick(connection, campaign_id, room, after)
        routes, held = self._routes(offer, picked, now), after > 0
        for _ in range(PAGES):
            if not picked or any(routes.chosen):
                break
            after, held = picked[-1].id, True
            if not offer.by_chance:  # else the next second brings another chance
                self._passed[campaign_id] = (after, now + PASSED_SECONDS)
            picked = sends.pick(connection, campaign_id, page, after)
            routes = self._routes(offer, picked, now)
        return picked, routes, held

    def _passed_over(self, campaign_id: int, now: float) -> int:
        """The last send that is known to wait for its mailbox provider."""
        after, until = self._passed.get(campaign_id, (0, 0.0))
        if now < until <= now + PASSED_SECONDS:
            return after
        self._passed.pop(campaign_id, None)
        return 0

    def _canary_rate(
        self, campaign: Brief, offer: Offer, records: Mapping[str, Record], now: float
    ) -> float | None:
        """Messages per second of the careful start; None = it is over, or there is none."""
        able = {option.esp: records[option.esp] for option in offer.options}
        if not canary.is_on(campaign.audience, campaign.n_queued, able.values()):
            return None
        return canary.rate_of(self._manager.rate(esp, able[esp].state, now) for esp in able)

    def _routes(self, offer: Offer, picked: Sequence[Picked], now: float) -> Routes:
        if offer.sole:
            return Routes.to_one(offer.sole, len(picked))
        asks = [Ask(row.id, self._provider_of(row.to)) for row in picked]
        return self._manager.route(offer, asks, Lane.CAMPAIGN, now)

    def _choose_mail(
        self, connection: sa.Connection, campaign: Brief, lease: Lease, now: float
    ) -> Choice:
        """A transactional mail, unless its time is over: then it ends here."""
        terms = Terms.of(campaign.options)
        lane = Lane.TRANSACTIONAL
        records = records_of(performance.lock(connection, self._manager.names, now))
        picked = sends.pick(connection, lease.campaign_id, 1)
        if not picked:
            return [], None
        if terms.expires_at <= now:
            transactional.expire(connection, lease, picked, now)
            return [], None
        offer = self._manager.offer(records, lane, now, terms.esp)
        tried = frozenset(tried_by(transactional.trail(connection, picked[0].id)))
        reader = subscribers.by_id(connection, terms.reader) if terms.reader else None
        person = terms.addressed(picked) if reader is None else terms.read_as(picked, reader)
        asks = [Ask(row.id, self._provider_of(row.to), avoid=tried) for row in person]
        routes = self._manager.route(offer, asks, lane, now)
        choice = _Chosen(self._manager, routes, records, lane, now)
        claims = choice.claim(connection, lease, person)
        if not claims:
            return [], offer.comeback
        return [claim._replace(lane=lane, expires_at=terms.expires_at) for claim in claims], None


class _Chosen:
    """Messages with the ESP of each, to be claimed together."""

    def __init__(
        self, manager: EspManager, routes: Routes, records: Mapping[str, Record], lane: Lane,
        now: float,
    ) -> None:  # fmt: skip
        """`now` is what the offer was made with: it has looked at the limit of that day alone."""
        self._records = records
        self._routes = routes
        self._states = manager.reserved(records, routes, lane, now)
        self._now = now

    def claim(
        self, connection: sa.Connection, lease: Lease, picked: Sequence[Picked]
    ) -> list[Claim]:
        """Claim and reserve what has an ESP; the rest stays queued."""
        now, by_esp = self._now, self._routes.by_esp(picked)
        for esp, rows in sorted(by_esp.items()):
            sends.take(connection, lease, esp, [row.id for row in rows], now)
            performance.count(connection, esp, {"used": len(rows)}, now)
        self._save(connection)
        _tell(lease.campaign_id, self._routes)
        day = performance.day_of(now)
        return [Claim(esp, lease, day, rows) for esp, rows in by_esp.items()]

    def _save(self, connection: sa.Connection) -> None:
        states = {esp: state.to_json() for esp, state in self._states.items()}
        performance.save_states(connection, states, self._now)
        for esp, state in self._states.items():
            esp_states.tell(esp, self._records[esp].state, state)


def _tell(campaign_id: int, routes: Routes) -> None:
    """Every decision can be explained (LOG_LEVEL=DEBUG): the draws, and what followed from them."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    chosen = Counter(zip(routes.chosen, routes.reasons, strict=True))
    told = {
        "campaign": campaign_id,
        "chosen": [[esp, why, count] for (esp, why), count in chosen.items()],
        "draws": [draw._asdict() for draw in routes.draws],
    }
    log.debug("routed %s", json.dumps(told))
