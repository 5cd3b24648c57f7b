"""What an ESP's answers and events, and the silence after them, teach about it. Pure: its state and
the time come as arguments, the new state goes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.esp import (
    Accepted,
    EspError,
    InDoubt,
    Misconfigured,
    NotTried,
    Report,
    Suspended,
    Throttled,
    Unavailable,
    errors_among,
)
from services.esp_state import EspState
from services.policies import breakers, cells, memory, slices, stalls
from services.policies.cells import Cell
from services.policies.memory import EspMemory, Heard
from services.policies.scores import Tally
from services.policies.slices import Slice
from services.policies.stalls import Due

#: Pause after a 429 that names no time (esp-api: 1 s, then growing; the next 429 asks again).
THROTTLE_SECONDS = 1.0
#: SES asks to look again "up to 10 minutes" later when a quota is spent (AWS, Managing quotas).
QUOTA_RECHECK_SECONDS = 600.0
#: An ESP that has just failed is passed over this long, doubled by each further failure: what it
#: did not take leaves through another at once, and it is not hammered when it is the only one.
BACK_OFF_SECONDS = 0.25
_MOST_DOUBLINGS = 4
LONGEST_BACK_OFF_SECONDS = BACK_OFF_SECONDS * 2**_MOST_DOUBLINGS


def counts_as_failure(error: EspError | None) -> bool:
    """Whether a request's error speaks against the ESP itself. 429 does not (a rate is no outage),
    a refusal of one message or recipient neither."""
    return isinstance(error, Unavailable | InDoubt | Misconfigured)


# --- answers -------------------------------------------------------------------------------------


def answered(
    state: EspState, report: Report, *, sent_at: float, now: float, seed: bytes,
    highest: float | None,
) -> EspState:  # fmt: skip
    """After a batch that was handed over at `sent_at`; `highest` is the rate that holds for the ESP
    while it never says 429 (messages per second, None = none)."""
    errors = [call.error for call in report.calls if not isinstance(call.error, NotTried)]
    state = state.remembering(_remembered(state.memory, report, errors, sent_at, now, seed), now)
    for error in errors:
        state = _after_call(state, error, now)
    if sent_at >= min(state.judged_until, now) and (count := _accepted(report)):
        state = replace(state, slices=slices.accepted(state.slices, count, sent_at))
    for stop in errors_among(report.outcomes):
        if isinstance(stop, Suspended):
            state = _suspended(state, stop, now)
        elif isinstance(stop, Throttled):
            state = _throttled(state, stop, now, highest)
    return state


def _accepted(report: Report) -> int:
    return report.kinds[Accepted]


def _remembered(
    known: EspMemory, report: Report, errors: Sequence[EspError | None], sent_at: float,
    now: float, seed: bytes,
) -> EspMemory:  # fmt: skip
    failures = [error for error in errors if counts_as_failure(error)]
    tally = Tally(len(errors) - len(failures), len(failures), _accepted(report))
    words = _words(failures[-1]) if failures else ""
    after = memory.answered(memory.at(known, now), tally, sent_at, now, seed, words)
    hopeless = any(isinstance(error, Misconfigured) for error in failures)
    after = memory.broken(after, sent_at, now, seed, words) if hopeless else after
    return _without_idle_probes(after, report)


def _without_idle_probes(known: EspMemory, report: Report) -> EspMemory:
    """A probe of the stall breaker that was not accepted will never be heard of; one that never
    began answers nobody's question."""
    idle, late = len(report.outcomes) - _accepted(report), report.kinds[NotTried]
    api, stall = breakers.unprobed(known.api, late), breakers.unprobed(known.stall, idle)
    return replace(known, api=api, stall=stall)


def unprobed(state: EspState, count: int) -> EspState:
    """After messages that were claimed as probes did not leave at all."""
    return replace(state, memory=memory.unprobed(state.memory, count))


def _after_call(state: EspState, error: EspError | None, now: float) -> EspState:
    # One clean answer ends the careful mode; an answer that says nothing about the ESP does not.
    careful = isinstance(error, InDoubt) or (state.careful and error is not None)
    if error is None:
        return replace(state, careful=careful, failures=0)
    state = replace(state, careful=careful, last_error=_words(error), last_error_at=now)
    if not counts_as_failure(error):
        return replace(state, failures=0)
    pause = BACK_OFF_SECONDS * 2 ** min(state.failures, _MOST_DOUBLINGS)
    return replace(state, failures=state.failures + 1, back_off_until=now + pause)


def _suspended(state: EspState, error: Suspended, now: float) -> EspState:
    if state.suspended:
        return state
    return replace(state, suspended=_words(error)).noted(now, "suspended", _words(error))


def _throttled(state: EspState, error: Throttled, now: float, highest: float | None) -> EspState:
    if highest and not error.quota_spent:
        state = replace(state, memory=memory.throttled(state.memory, highest, now))
    pause = error.retry_after or (QUOTA_RECHECK_SECONDS if error.quota_spent else THROTTLE_SECONDS)
    until = now + pause
    is_throttled = state.throttled_at <= now < state.throttled_until
    if is_throttled and until <= state.throttled_until:
        return state
    if not is_throttled:
        state = state.noted(now, "throttled", f"{_words(error)} (for {pause:.0f} s)")
    return replace(state, throttled_at=now, throttled_until=until, throttled_why=_words(error))


def _words(error: EspError | None) -> str:
    return str(error) or type(error).__name__


# --- events --------------------------------------------------------------------------------------


@dataclass(slots=True)
class News:
    """What a batch of events showed about one ESP."""

    tally: Tally = field(default_factory=Tally)
    by_provider: dict[str, Tally] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)  #: of the last block, by mailbox provider
    #: Seconds from hand-over to the first event, where the ESP itself told it.
    delays: list[float] = field(default_factory=list)
    #: When the messages were handed over of which something was heard for the first time.
    handed_over: list[float] = field(default_factory=list)


def informed(state: EspState, news: News, now: float, seed: bytes) -> EspState:
    """After events arrived."""
    known = memory.informed(memory.at(state.memory, now), news.tally, now, seed, state.cells)
    here = dict(state.cells)
    mean = cells.esp_mean(known.track, now)
    for provider, tally in news.by_provider.items():
        before = here.get(provider, Cell())
        after = memory.informed_cell(before, known, tally, now, seed, news.words.get(provider, ""))
        here[provider], words = cells.told(after, mean, now)
        if after.breaker.state != before.breaker.state:
            state = state.noted(now, after.breaker.state, f"{provider}: {after.breaker.cause}")
        if words and after.breaker.state == breakers.CLOSED:
            what = "poor" if here[provider].poor else "fair"
            state = state.noted(now, what, f"{provider}: {words}")
    heard, fresh = _heard(state, known, news)
    known = memory.heard(known, heard, now, seed)
    state = replace(state, cells=here, slices=slices.answered(state.slices, fresh))
    return replace(state.remembering(known, now), alert="" if news.delays else state.alert)


def _heard(state: EspState, known: EspMemory, news: News) -> tuple[Heard, list[float]]:
    """What the stall detector makes of it, and the messages that are not judged yet."""
    fresh = [at for at in news.handed_over if at >= state.judged_until]
    stall, onset = known.stall, known.watch.onset
    probes = sum(at >= stall.fresh for at in fresh) if stall.state == breakers.HALF_OPEN else 0
    late = sum(0 < onset <= at < state.judged_until for at in news.handed_over)
    return Heard(news.delays, probes, late), fresh


# --- silence -------------------------------------------------------------------------------------


def is_due(state: EspState, now: float, floor: float) -> bool:
    """Whether mail has reached its deadline, or a breaker moved by time alone."""
    over, _ = slices.due(state.slices, now, stalls.deadline(state.memory.watch, floor))
    switched = memory.switches(state.memory, memory.at(state.memory, now))
    return bool(over or switched) or cells_at(state, now) != state.cells


def hurried_cells(state: EspState, now: float) -> Mapping[str, Cell]:
    """The cells once an operator said that whatever was wrong is mended."""
    ended = {
        name: replace(cell, breaker=breakers.hurried(cell.breaker))
        for name, cell in state.cells.items()
    }
    return cells_at(replace(state, cells=ended), now)


def cells_at(state: EspState, now: float) -> Mapping[str, Cell]:
    """The cells as time alone changes them."""
    after = {name: breakers.at(c.breaker, breakers.CELL, now) for name, c in state.cells.items()}
    return {
        name: cell if after[name] == cell.breaker else replace(cell, breaker=after[name])
        for name, cell in state.cells.items()
    }


def judged(
    name: str, states: Mapping[str, EspState], now: float, seed: bytes, *, others_eligible: bool,
    floor: float,
) -> EspState:  # fmt: skip
    """After the mail whose deadline is over was looked at; `floor` is the shortest deadline (s)."""
    state = states[name]
    known, alert = memory.at(state.memory, now), state.alert
    deadline = stalls.deadline(known.watch, floor)
    over, left = slices.due(state.slices, now, deadline)
    others = [other.memory for key, other in states.items() if key != name]
    for one in over:
        known, words = memory.judged(
            known, _due(one, deadline), now, seed, others=others, others_eligible=others_eligible
        )
        alert = words or alert
    until = min(now, over[-1].start + slices.WIDTH if over else state.judged_until)
    state = replace(
        state.remembering(known, now), slices=left, judged_until=until, alert=alert,
        cells=cells_at(state, now),
    )  # fmt: skip
    return state.noted(now, "alert", alert) if _is_news(alert, states[name].alert) else state


def _due(one: Slice, deadline: float) -> Due:
    return Due(one.silent, one.total - one.silent, one.first, deadline)


def _is_news(alert: str, before: str) -> bool:
    """Numbers in an alert grow from look to look; its reason is told once."""
    reason = alert.rpartition("; ")[2]
    return bool(alert) and reason != before.rpartition("; ")[2]


def disarmed(state: EspState) -> EspState:
    """After a restart of the house: our door may be shut, so silence means nothing until the ESP's
    next event."""
    return replace(state, memory=replace(state.memory, watch=stalls.restarted(state.memory.watch)))
