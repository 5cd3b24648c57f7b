"""The registry of ESPs, who may take mail now and why not, and what an answer teaches us.

Knows no ESP by name and no SQL: the states of all ESPs come as arguments and go back as values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from database.models import Lane
from services import breaker as breakers
from services import quota, reputation, routing
from services.esp import (
    Esp,
    EspError,
    InDoubt,
    NotTried,
    Report,
    Suspended,
    Throttled,
    errors_among,
)
from services.esp_state import EspState, Overrides

#: Pause after a 429 that names no time (esp-api: 1 s, then growing; the next 429 asks again).
THROTTLE_SECONDS = 1.0
#: SES asks to look again "up to 10 minutes" later when a quota is spent (AWS, Managing quotas).
QUOTA_RECHECK_SECONDS = 600.0


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
    #: Event counters of the last two days, for the reputation.
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether and how much an ESP may take now."""

    name: str
    room: int | None  #: None = any number, 0 = nothing
    why_not: str = ""
    until: float | None = None  #: when to ask again; None = when an operator acts


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the next messages go."""

    chosen: list[str]  #: the ESP of each message, in order; short when room is
    credit: Mapping[str, float]
    standings: Sequence[Standing]


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

    def claim_size(self) -> int:
        """How many messages one claim may take: enough for the largest batch of any ESP."""
        return max([CLAIM_MINIMUM, *(policy.batch_size for policy in self.policies.values())])

    def standing(self, name: str, record: Record, lane: Lane, now: float) -> Standing:
        """Whether the ESP may take mail of this lane now, or the one reason why not."""
        state = record.state
        if is_paused(state, lane, now):
            return Standing(name, 0, f"paused: {state.paused}", state.paused_until)
        if state.suspended:
            return Standing(name, 0, f"suspended by the ESP: {state.suspended}")
        if state.throttled_until > now:
            return Standing(name, 0, f"throttled: {state.throttled_why}", state.throttled_until)
        probes, probe_at = breakers.allowance(state.breaker, now)
        if probes == 0:
            why = f"breaker {state.breaker.state}: {state.breaker.cause or state.last_error}"
            return Standing(name, 0, why, probe_at)
        limits = self.policy(name, state).limits
        room, until, binds = quota.allowance(limits, state, record.used_today, lane, now)
        if room == 0:
            return Standing(name, 0, binds, until)
        caps = [cap for cap in (room, probes, 1 if state.careful else None) if cap is not None]
        return Standing(name, min(caps) if caps else None)

    def plan(
        self, records: Mapping[str, Record], wanted: int, lane: Lane, now: float,
        only: str | None = None,
    ) -> Plan:  # fmt: skip
        """Route `wanted` messages; `only` pins them to one ESP."""
        names = [name for name in self.names if only in (None, name)]
        standings = [self.standing(name, records[name], lane, now) for name in names]
        candidates = [
            self._candidate(standing, records[standing.name])
            for standing in standings
            if standing.room != 0
        ]
        chosen, credit = routing.assign(candidates, wanted)
        return Plan(chosen, credit, standings)

    def reserved(self, name: str, state: EspState, count: int, lane: Lane, now: float) -> EspState:
        """The state once `count` messages are taken out of the rate and the probes."""
        if state.breaker.state != "closed":
            before = state.breaker.state
            state = replace(state, breaker=breakers.probing(state.breaker, now))
            if before != state.breaker.state:
                state = state.noted(now, "half_open", "cool-down is over: one message as a probe")
        return quota.reserved(self.policy(name, state).limits, state, count, lane, now)

    def _candidate(self, standing: Standing, record: Record) -> routing.Candidate:
        policy = self.policy(standing.name, record.state)
        return routing.Candidate(
            name=standing.name, priority=policy.priority, weight=policy.weight,
            reputation=reputation.score(record.counts),
            evidence=sum(record.counts.get(name, 0) for name in _EVIDENCE),
            room=standing.room, credit=record.state.credit,
        )  # fmt: skip


_AS_SET = Overrides()


def is_paused(state: EspState, lane: Lane, now: float) -> bool:
    """Whether an operator's pause holds for this lane."""
    held = bool(state.paused) and (state.paused_until is None or state.paused_until > now)
    return held and state.paused_lane in ("", lane)


def _or(changed: Any, otherwise: Any) -> Any:
    return otherwise if changed is None else changed


#: Events that make a reputation more than a guess.
_EVIDENCE = ("delivered", "hard", "block", "requests_failed")
#: Large enough that two durable commits pay for many small requests (SES takes 50 a request); a
#: crash leaves no more in doubt than one largest request would (SendGrid takes 1,000).
CLAIM_MINIMUM = 1000


def learn(state: EspState, report: Report, now: float) -> EspState:
    """The state of an ESP after it answered a batch."""
    for call in report.calls:
        state = _learn_call(state, call.error, now)
    for error in errors_among(report.outcomes):
        if isinstance(error, Throttled | Suspended):
            state = _learn_stop(state, error, now)
    return state


def _learn_call(state: EspState, error: EspError | None, now: float) -> EspState:
    after = breakers.after_request(state.breaker, error, now)
    if after.state != state.breaker.state:
        state = state.noted(now, after.state, after.cause)
    # One clean answer ends the careful mode; an answer that says nothing about the ESP does not.
    careful = isinstance(error, InDoubt) or (state.careful and error is not None)
    state = replace(state, breaker=after, careful=careful)
    if error is not None and not isinstance(error, NotTried):
        state = replace(state, last_error=_words(error), last_error_at=now)
    return state


def _learn_stop(state: EspState, error: Throttled | Suspended, now: float) -> EspState:
    if isinstance(error, Suspended):
        if state.suspended:
            return state
        return replace(state, suspended=_words(error)).noted(now, "suspended", _words(error))
    pause = error.retry_after or (QUOTA_RECHECK_SECONDS if error.quota_spent else THROTTLE_SECONDS)
    until = now + pause
    if until <= state.throttled_until:
        return state
    if state.throttled_until < now:
        state = state.noted(now, "throttled", f"{_words(error)} (for {pause:.0f} s)")
    return replace(state, throttled_until=until, throttled_why=_words(error))


def _words(error: EspError) -> str:
    return str(error) or type(error).__name__
