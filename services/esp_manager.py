"""The registry of ESPs: who may take mail now, why not, and which ESP each message leaves through.

Knows no ESP by name and no SQL: the states of all ESPs come as arguments and go back as values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from database.models import Lane
from services import learning, quota
from services.esp import Esp, Report
from services.esp_state import EspState, Overrides
from services.policies import cells, chooser, memory, scores
from services.policies.cells import Cell
from services.policies.routes import Ask, Option, Routes, kept

#: Large enough that two durable commits pay for many small requests (SES takes 50 a request); a
#: crash leaves no more in doubt than one largest request would (SendGrid takes 1,000).
CLAIM_MINIMUM = 1000
#: Campaigns that only a returning ESP could take try their luck again so soon (`chooser`).
RAMP_RETRY_SECONDS = 1.0
#: Whoever takes mail again so soon is not away: a rate, the pause after a failure or a 429.
SOON_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How the operator wants one ESP used."""

    priority: int
    weight: float
    limits: quota.Limits
    batch_size: int


@dataclass(frozen=True, slots=True)
class Record:
    """What the database knows of one ESP at this moment."""

    state: EspState
    used_today: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether and how much an ESP may take now."""

    name: str
    room: int | None  #: None = any number, 0 = nothing
    why_not: str = ""
    until: float | None = None  #: when to ask again; None = when an operator acts
    share: float = 1.0  #: of the messages for which it is considered: it is coming back
    probes: int | None = None  #: it gets so many messages, as probes, and no others
    #: Only its reputation speaks against it: better than campaigns that nobody may take.
    last_resort: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What the ESPs can take of one lane now."""

    standings: Sequence[Standing]
    options: Sequence[Option]

    def room(self, wanted: int) -> int:
        """How many of so many messages there is room for."""
        rooms = [wanted if option.room is None else option.room for option in self.options]
        return min(wanted, sum(rooms))

    @property
    def sole(self) -> str | None:
        """The ESP that gets everything, because no other may take mail; None = there is a choice,
        or not all of it may go there."""
        plain = len(self.options) == 1 and self.options[0].is_open_to_all
        return self.options[0].esp if plain else None

    @property
    def by_chance(self) -> bool:
        """Whether an ESP comes back, here or there, and so takes only some of the messages."""
        return any(option.is_ramping for option in self.options)

    @property
    def comeback(self) -> float:
        """The first moment an ESP without room may have some; infinity = when an operator acts."""
        times = [standing.until for standing in self.standings if standing.until is not None]
        return min(times, default=float("inf"))


class EspManager:
    """The ESPs that are configured, by name."""

    def __init__(self, esps: Mapping[str, Esp], policies: Mapping[str, Policy]) -> None:
        """`policies` names every ESP of `esps`."""
        self.esps = dict(esps)
        self.policies = dict(policies)

    @property
    def names(self) -> list[str]:
        """Configured ESPs, best priority first."""
        return sorted(self.esps, key=lambda name: (self.policies[name].priority, name))

    def policy(self, name: str, state: EspState) -> Policy:
        """How the ESP is to be used: the settings, with what an operator changed since."""
        policy, changed = self.policies[name], state.overrides
        if changed == _AS_SET:
            return policy
        limits = replace(
            policy.limits,
            daily=_or(changed.daily_limit, policy.limits.daily),
            rate=_or(changed.rate, policy.limits.rate),
        )
        return replace(
            policy, limits=limits, priority=_or(changed.priority, policy.priority),
            weight=_or(changed.weight, policy.weight),
        )  # fmt: skip

    def rate(self, name: str, state: EspState, now: float) -> float | None:
        """The rate of campaign mail that holds for an ESP now (messages per second, None = any)."""
        return quota.in_force(self.policy(name, state).limits, state, now).rate_for(Lane.CAMPAIGN)

    def claim_size(self) -> int:
        """How many messages one claim may take: enough for the largest batch of any ESP."""
        return max([CLAIM_MINIMUM, *(policy.batch_size for policy in self.policies.values())])

    # --- who may take mail ---------------------------------------------------------------------

    def standing(
        self, name: str, record: Record, lane: Lane, now: float, *, spurned: bool = True
    ) -> Standing:
        """Whether the ESP may take mail of this lane now, or the one reason why not. Not `spurned`:
        a ruined reputation keeps no campaign from it."""
        state = record.state
        if stopped := _stopped(name, state, lane, now):
            return stopped
        known = memory.at(state.memory, now)
        admitted = memory.admission(known, now, bulk=lane is Lane.CAMPAIGN and spurned)
        if admitted.probes == 0:
            bad_name = memory.admission(known, now, bulk=False).probes is None
            why = memory.why_not(known)
            return Standing(name, 0, why, admitted.until, last_resort=bad_name)
        if now < state.back_off_until <= now + learning.LONGEST_BACK_OFF_SECONDS:
            return Standing(name, 0, f"has just failed: {state.last_error}", state.back_off_until)
        policy = self.policy(name, state)
        if not policy.weight:
            return Standing(name, 0, "its weight is 0")
        room, until, binds = quota.allowance(policy.limits, state, record.used_today, lane, now)
        if room == 0:
            return Standing(name, 0, binds, until)
        caps = [room, admitted.probes, 1 if state.careful else None]
        least = min((cap for cap in caps if cap is not None), default=None)
        return Standing(name, least, share=admitted.share, probes=admitted.probes)

    def offer(
        self, records: Mapping[str, Record], lane: Lane, now: float, only: str | None = None
    ) -> Offer:
        """What can be taken now; `only` pins the mail to one ESP. An ESP in bad standing gets
        campaigns only while no other is left: one bad list must not hold up every campaign."""
        names = [name for name in self.names if only in (None, name)]
        standings = [self.standing(name, records[name], lane, now) for name in names]
        if not any(_serves(standing, now) for standing in standings):
            standings = [
                self.standing(one.name, records[one.name], lane, now, spurned=False)
                if one.last_resort
                else one
                for one in standings
            ]
        options = [
            self._option(standing, records[standing.name].state, lane, now)
            for standing in standings
            if standing.room != 0
        ]
        return Offer(standings, options)

    def _option(self, standing: Standing, state: EspState, lane: Lane, now: float) -> Option:
        policy, known = self.policy(standing.name, state), state.memory
        weight = policy.weight
        if lane is Lane.CAMPAIGN:
            weight *= scores.band(known.evidence, now).weight
        return Option(
            standing.name, cells.esp_mean(known.track, now), state.cells, policy.priority, weight,
            standing.room, standing.share, standing.probes,
        )  # fmt: skip

    # --- which ESP each message leaves through ---------------------------------------------------

    @staticmethod
    def route(offer: Offer, asks: Sequence[Ask], lane: Lane, now: float) -> Routes:
        """The ESP of each message, or None: then it stays queued. When no other can take it,
        transactional mail goes to an ESP that comes back, has failed it or is left alone there."""
        seed = f"{now:.0f}".encode()
        routes = chooser.route(asks, offer.options, now, seed, bulk=lane is Lane.CAMPAIGN)
        if lane is Lane.CAMPAIGN or None not in routes.chosen:
            return routes
        asks = [ask._replace(avoid=frozenset()) for ask in asks]
        options = [replace(option, share=1.0, cells={}) for option in offer.options]
        return chooser.route(asks, options, now, seed)

    def reserved(
        self, records: Mapping[str, Record], routes: Routes, lane: Lane, now: float
    ) -> dict[str, EspState]:
        """The states that change once what was routed is taken out of rates and probes."""
        counts = routes.counts
        spread: dict[str, dict[str, Cell]] = {}
        for (esp, provider), new in routes.spread.items():
            if lane is Lane.CAMPAIGN or esp in counts:
                cell = records[esp].state.cells.get(provider, Cell())
                spread.setdefault(esp, {})[provider] = kept(cell, new)
        return {
            esp: self._reserved(
                esp, records[esp].state, counts.get(esp, 0), spread.get(esp, {}), lane, now
            )
            for esp in counts.keys() | spread.keys()
        }

    def _reserved(
        self, name: str, state: EspState, count: int, spread: Mapping[str, Cell], lane: Lane,
        now: float,
    ) -> EspState:  # fmt: skip
        if spread:
            state = replace(state, cells={**state.cells, **spread})
        if not count:
            return state
        known = memory.probing(memory.at(state.memory, now), count, now)
        state = state.remembering(known, now)
        return quota.reserved(self.policy(name, state).limits, state, count, lane, now)

    # --- what it teaches -------------------------------------------------------------------------

    def answered(
        self, name: str, state: EspState, report: Report, sent_at: float, now: float
    ) -> EspState:
        """The state of an ESP after it answered a batch that was handed over at `sent_at`."""
        highest = quota.unthrottled(self.policy(name, state).limits, state, now).rate
        return learning.answered(
            state, report, sent_at=sent_at, now=now, seed=name.encode(), highest=highest
        )

    def judged(
        self, records: Mapping[str, Record], now: float, floor: float
    ) -> dict[str, EspState]:
        """The states after the mail that is due was looked at, one ESP after the other."""
        states = {name: record.state for name, record in records.items()}
        for name in self.names:
            able = any(
                self._takes_all(other, replace(records[other], state=states[other]), now)
                for other in records
                if other != name
            )
            states[name] = learning.judged(
                name, states, now, name.encode(), others_eligible=able, floor=floor
            )
        return states

    def _takes_all(self, name: str, record: Record, now: float) -> bool:
        return _serves(self.standing(name, record, Lane.CAMPAIGN, now), now)


_AS_SET = Overrides()


def _stopped(name: str, state: EspState, lane: Lane, now: float) -> Standing | None:
    """Why somebody keeps all mail from it: an operator or the ESP itself."""
    if is_paused(state, lane, now):
        return Standing(name, 0, f"paused: {state.paused}", state.paused_until)
    if state.suspended:
        return Standing(name, 0, f"suspended by the ESP: {state.suspended}")
    if state.throttled_at <= now < state.throttled_until:
        return Standing(name, 0, f"throttled: {state.throttled_why}", state.throttled_until)
    return None


def _serves(standing: Standing, now: float) -> bool:
    """Whether it takes mail, not only probes; the wait of a rate is short."""
    soon = standing.until is not None and standing.until < now + SOON_SECONDS
    return standing.probes is None and (standing.room != 0 or soon) and not standing.last_resort


def is_paused(state: EspState, lane: Lane, now: float) -> bool:
    """Whether an operator's pause holds for this lane."""
    held = bool(state.paused) and (state.paused_until is None or state.paused_until > now)
    return held and state.paused_lane in ("", lane)


def _or(changed: Any, otherwise: Any) -> Any:
    return otherwise if changed is None else changed
