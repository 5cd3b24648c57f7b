"""Everything the policies keep of one ESP in one value, and the few things that happen to it: it is
asked, it answers, its events arrive, mail is due. The order of a batch's life, without a database.

Each function takes the memory and returns it changed; `switches` says in words what changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from services.policies import beliefs, breakers, cells, pace, scores, stalls
from services.policies.beliefs import Track
from services.policies.breakers import Admission, Breaker
from services.policies.cells import Cell
from services.policies.pace import Pace
from services.policies.scores import Evidence, Grade, Tally
from services.policies.stalls import Due, Watch
from services.policies.stored import Stored

#: The reputation breaker judges nothing younger (facts, binding amendments).
REPUTATION_MESSAGES = 200
COMPLAINT_MESSAGES = 2_000
QUARANTINE_SCORE = 40.0
HARD_LIMIT = 0.05
COMPLAINT_LIMIT = 0.003


@dataclass(frozen=True, slots=True)
class EspMemory(Stored):
    """One ESP's row."""

    evidence: Evidence = field(default_factory=Evidence)
    track: Track = field(default_factory=Track)  #: delivered or blocked, over all cells
    api: Breaker = field(default_factory=Breaker)
    stall: Breaker = field(default_factory=Breaker)
    reputation: Breaker = field(default_factory=Breaker)
    watch: Watch = field(default_factory=Watch)
    pace: Pace = field(default_factory=Pace)


class Switch(NamedTuple):
    """A change that an operator should be able to read about later."""

    what: str  #: the breaker's name
    state: str
    why: str


def at(memory: EspMemory, now: float) -> EspMemory:
    """The memory as time alone changes it: cool-downs end, ramps go on."""
    if all(_is_at_rest(breaker, now) for _, breaker in _breakers(memory)):
        return memory
    api = breakers.at(memory.api, breakers.API, now)
    stall = breakers.at(memory.stall, breakers.STALL, now)
    reputation = breakers.at(memory.reputation, breakers.REPUTATION, now)
    evidence = memory.evidence
    if memory.reputation.state == breakers.OPEN != reputation.state:
        evidence = evidence.restarted()  # the old evidence would open it again at once
    return replace(memory, api=api, stall=stall, reputation=reputation, evidence=evidence)


def _is_at_rest(breaker: Breaker, now: float) -> bool:
    return breaker.state == breakers.CLOSED and breaker.since <= now


def admission(memory: EspMemory, now: float, *, bulk: bool) -> Admission:
    """What the breakers let through; `memory` is as of `now`. Reputation binds campaigns only, and
    only they are probes: a half-open ESP gets nothing else."""
    api = breakers.admission(memory.api, breakers.API, now)
    stall = breakers.admission(memory.stall, breakers.STALL, now)
    if not bulk:
        return breakers.tightest(api, stall)
    reputation = breakers.admission(memory.reputation, breakers.REPUTATION, now)
    return breakers.tightest(api, stall, reputation)


def probing(memory: EspMemory, count: int, now: float) -> EspMemory:
    """Once probes have been reserved: they test every breaker that is half-open."""
    api, stall = memory.api, memory.stall
    if api.state == breakers.HALF_OPEN:
        api = breakers.probing(api, breakers.API, count, now)
    if stall.state == breakers.HALF_OPEN:
        stall = breakers.probing(stall, breakers.STALL, count, now)
    return replace(memory, api=api, stall=stall)


def unprobed(memory: EspMemory, count: int) -> EspMemory:
    """Once probes turn out not to have left at all."""
    api, stall = (breakers.unprobed(one, count) for one in (memory.api, memory.stall))
    return replace(memory, api=api, stall=stall)


def why_not(memory: EspMemory) -> str:
    """What keeps mail from the ESP, in words; empty when nothing does."""
    name, breaker = _binding(memory)
    if breaker.state == breakers.OPEN:
        return f"{name} breaker open: {breaker.cause}"
    if breaker.state == breakers.HALF_OPEN:
        return f"{name} breaker half open: it waits for the answers to its probes"
    return ""


def answered(
    memory: EspMemory, tally: Tally, sent_at: float, now: float, seed: bytes, words: str = ""
) -> EspMemory:
    """After a batch's requests: `tally` counts requests and accepted messages, `words` are the
    ESP's own about the last failure."""
    failed, ok = tally.requests_failed, tally.requests_ok
    cause = f"requests fail: {words}" if words else "requests fail"
    api = breakers.after(
        memory.api, breakers.API, failed, ok, sent_at=sent_at, now=now, seed=seed, cause=cause
    )
    watch = stalls.sent(memory.watch, now) if tally.accepted else memory.watch
    evidence = memory.evidence.after(tally, now)
    return EspMemory(
        evidence, memory.track, api, memory.stall, memory.reputation, watch, memory.pace
    )


def informed(
    memory: EspMemory, tally: Tally, now: float, seed: bytes, here: Mapping[str, Cell]
) -> EspMemory:
    """After events arrived: `tally` counts messages; `here` are the cells before them."""
    evidence = memory.evidence.after(tally, now)
    track = memory.track.after(tally.delivered, tally.block, now, cells.ESP_CAP)
    reputation = memory.reputation
    if reputation.state != breakers.OPEN and (cause := _disrepute(evidence, here, now)):
        reputation = breakers.tripped(reputation, breakers.REPUTATION, now, seed, cause)
    return EspMemory(
        evidence, track, memory.api, memory.stall, reputation, memory.watch, memory.pace
    )


def informed_cell(
    cell: Cell, memory: EspMemory, tally: Tally, now: float, seed: bytes, words: str = ""
) -> Cell:
    """The same for one cell; `memory` is the ESP's."""
    mean = cells.esp_mean(memory.track, now)
    return cells.after(cell, tally.delivered, tally.block, now, mean=mean, seed=seed, words=words)


class Heard(NamedTuple):
    """First events of messages, as a batch of webhooks brings them."""

    #: Seconds from acceptance, of each message that the ESP's own events told about.
    delays: Sequence[float]
    fresh: int = 0  #: of messages sent since the stall breaker's `fresh`
    late: int = 0  #: of messages that had been counted as silent, sent since the watch's `onset`


def heard(memory: EspMemory, news: Heard, now: float, seed: bytes) -> EspMemory:
    """After first events of messages arrived."""
    stall, watch = memory.stall, memory.watch
    if news.delays:
        watch = stalls.heard(watch, news.delays, now)
    if news.late:
        stall, watch, _ = stalls.late(stall, watch, news.late, now)
    if news.fresh:
        stall = stalls.acknowledged(stall, news.fresh, stall.fresh, now, seed)
    return replace(memory, stall=stall, watch=watch)


def judged(
    memory: EspMemory, due: Due, now: float, seed: bytes, *,
    others: Iterable[EspMemory], others_eligible: bool,
) -> tuple[EspMemory, str]:  # fmt: skip
    """After messages reached the deadline, and words for an operator if nothing was done."""
    stall, watch, alert = stalls.judged(
        memory.stall, memory.watch, due, now, seed,
        others=[other.watch for other in others], others_eligible=others_eligible,
    )  # fmt: skip
    if stall is not memory.stall or watch is not memory.watch:
        memory = replace(memory, stall=stall, watch=watch)
    return memory, alert


def throttled(memory: EspMemory, highest: float, now: float) -> EspMemory:
    """After a 429."""
    return replace(memory, pace=pace.throttled(memory.pace, highest, now))


def broken(memory: EspMemory, sent_at: float, now: float, seed: bytes, cause: str) -> EspMemory:
    """After an answer that no patience mends, such as to a wrong key: no row of failures is waited
    for, and it is asked again as after any other opening."""
    if memory.api.state == breakers.OPEN or sent_at < memory.api.fresh:
        return memory
    return replace(memory, api=breakers.tripped(memory.api, breakers.API, now, seed, cause))


def hurried(memory: EspMemory, now: float) -> EspMemory:
    """After an operator said that whatever was wrong is mended: no cool-down is waited for."""
    ended = EspMemory(
        memory.evidence, memory.track, breakers.hurried(memory.api),
        breakers.hurried(memory.stall), breakers.hurried(memory.reputation), memory.watch,
        memory.pace,
    )  # fmt: skip
    return at(ended, now)


def tightest(memory: EspMemory) -> tuple[str, float | None]:
    """The state of the ESP as a whole, and when mail is tried again."""
    breaker = _binding(memory)[1]
    waits = breaker.state in (breakers.OPEN, breakers.HALF_OPEN)
    return breaker.state, breaker.until if waits else None


def _binding(memory: EspMemory) -> tuple[str, Breaker]:
    """The tightest breaker; of several, the one that waits longest."""
    return max(_breakers(memory), key=lambda one: (_ORDER.index(one[1].state), one[1].until))


_ORDER = (breakers.CLOSED, breakers.RAMP, breakers.HALF_OPEN, breakers.OPEN)


def switches(before: EspMemory, after: EspMemory) -> list[Switch]:
    """Which breakers changed their state, and why."""
    return [
        Switch(name, new.state, new.cause)
        for (name, old), (_, new) in zip(_breakers(before), _breakers(after), strict=True)
        if old.state != new.state
    ]


def _breakers(memory: EspMemory) -> tuple[tuple[str, Breaker], ...]:
    return (("api", memory.api), ("stall", memory.stall), ("reputation", memory.reputation))


def _disrepute(evidence: Evidence, here: Mapping[str, Cell], now: float) -> str:
    """Why campaigns should leave this ESP alone; empty when they need not."""
    if evidence.messages < REPUTATION_MESSAGES:
        return ""
    score = scores.mail_score(evidence, now)
    if score < QUARANTINE_SCORE and here:
        others = replace(evidence, deliver=Grade(cells.elsewhere(here, now)))
        score = max(score, scores.mail_score(others, now))
    if score < QUARANTINE_SCORE:
        return f"the reputation of its mail fell to {score:.0f}"
    hard, complaint = evidence.bounce.belief, evidence.complaint.belief
    if beliefs.sure_rate(hard, scores.BOUNCE.prior) > HARD_LIMIT:
        return f"more than {HARD_LIMIT:.0%} hard bounces"
    if complaint.size < COMPLAINT_MESSAGES:
        return ""
    if beliefs.sure_rate(complaint, scores.COMPLAINT.prior) > COMPLAINT_LIMIT:
        return f"more than {COMPLAINT_LIMIT:.1%} complaints"
    return ""
