"""The campaign guard: it stops bad campaigns early and leaves good ones alone (T10)."""

import math
import random
from collections.abc import Iterator
from statistics import median, quantiles

import pytest

from services.policies import guard
from services.policies.guard import PAUSE, WARN, Guard, News

RUNS, RUNS_LONG = 25, 400
SIZE = 100_000
RIPE = 1e12  #: so late that every delivery has matured


def gaps(rng: random.Random, rate: float, size: int) -> Iterator[int]:
    """Good outcomes before each bad one, until `size` is reached."""
    seen = 0
    while True:
        gap = int(math.log(1.0 - rng.random()) / math.log(1.0 - rate))
        seen += gap + 1
        if seen > size:
            return
        yield gap


def paused_after(kind: str, rate: float, seed: int, size: int = SIZE, start: Guard | None = None
                 ) -> int | None:  # fmt: skip
    """After how many deliveries the guard pauses; None = never."""
    rng, state, seen = random.Random(seed), start or Guard(), 0
    begun = state.deliveries
    for gap in gaps(rng, rate, size):
        seen += gap + 1
        if kind == "hard":
            state = guard.after(state, News(delivered=gap, hard=1), 0.0)
        else:  # all ripe: the delivery counts when its time has passed
            state = guard.after(state, News(delivered=gap + 1), state.at)
            state = guard.after(state, News(complained=1), state.at + RIPE)
        if state.verdict == PAUSE:
            return seen
    assert state.deliveries - begun <= size
    return None


@pytest.mark.parametrize("kind,rate", [("hard", 0.02), ("complaint", 0.0006)])
def test_healthy_campaigns_go_through(kind: str, rate: float, long: bool) -> None:
    runs = RUNS_LONG if long else RUNS
    paused = sum(paused_after(kind, rate, seed) is not None for seed in range(7_000, 7_000 + runs))
    print(f"T10 healthy {kind}: {paused} of {runs} paused")
    assert paused <= 0.005 * runs


@pytest.mark.parametrize(
    "kind,rate,half,most", [("hard", 0.08, 300, 650), ("complaint", 0.005, 2_500, 4_500)]
)
def test_bad_campaigns_are_paused_early(
    kind: str, rate: float, half: int, most: int, long: bool
) -> None:
    runs = 10 * (RUNS_LONG if long else RUNS)
    counts = [paused_after(kind, rate, seed) or SIZE for seed in range(8_000, 8_000 + runs)]
    p95 = quantiles(counts, n=20)[-1]
    print(f"T10 {kind} {rate}: median {median(counts)}, p95 {p95:.0f}")
    assert median(counts) <= half
    assert p95 <= most


def test_a_bad_tail_is_noticed_although_the_average_is_fine(long: bool) -> None:
    runs, counts = 4 * (RUNS_LONG if long else RUNS), []
    for seed in range(9_000, 9_000 + runs):
        state = Guard()
        for gap in gaps(random.Random(seed), 0.005, 50_000):
            state = guard.after(state, News(delivered=gap, hard=1), 0.0)
        assert state.verdict != PAUSE
        counts.append(paused_after("hard", 0.08, seed + 1, start=state) or SIZE)
    p95 = quantiles(counts, n=20)[-1]
    print(f"T10 tail: median {median(counts)}, p95 {p95:.0f}")
    assert median(counts) <= 300
    assert p95 <= 650


def test_the_cause_is_told_and_a_person_resumes() -> None:
    state = guard.after(Guard(), News(delivered=20, hard=12), 0.0)
    assert (state.verdict, state.cause) == (PAUSE, "12 hard bounces of 32 messages")
    again = guard.resumed(state)
    assert (again.verdict, again.hard_pause, again.hard) == ("go", 0.0, 12)
    assert Guard.from_json(state.to_json()) == state


def test_a_warning_comes_before_the_pause_and_a_pause_never_falls_back() -> None:
    state, verdicts = Guard(), []
    for _ in range(40):
        state = guard.after(state, News(delivered=13, hard=1), 0.0)
        verdicts.append(state.verdict)
    assert verdicts.index(WARN) < verdicts.index(PAUSE)
    assert guard.after(state, News(delivered=10_000), 0.0).verdict == PAUSE


@pytest.mark.parametrize(
    "hard,complaints,taken,verdict",
    [
        (10, 0, 10, PAUSE),
        (1, 0, 1, "go"),
        (30, 0, 1_000, "go"),
        (90, 0, 1_000, PAUSE),
        (0, 60, 1_000, "go"),
        (0, 60, 2_000, PAUSE),
        (0, 6, 2_000, "go"),
    ],
)
def test_without_deliveries_only_a_rate_over_the_whole_is_judged(
    hard: int, complaints: int, taken: int, verdict: str
) -> None:
    state = guard.untold(Guard(), News(hard=hard, complained=complaints), taken)
    assert state.verdict == verdict
    again = guard.untold(guard.resumed(state), News(hard=1), taken + 30)
    assert again.verdict == "go"


def test_a_part_of_a_campaign_needs_more_evidence() -> None:
    news = News(hard=11)
    assert guard.after(Guard(), News(hard=11), 0.0).verdict == PAUSE
    assert guard.after(Guard(), news, 0.0, margin=guard.PART_MARGIN).verdict != PAUSE


def test_fresh_deliveries_are_not_yet_proof_of_contentment() -> None:
    sent = guard.after(Guard(), News(delivered=2_000), 0.0)
    soon = guard.after(sent, News(complained=6), 60.0)
    assert soon.complaint_pause > 6.5
    late = guard.after(soon, News(), 48 * 3600.0)
    assert late.complaint_pause == pytest.approx(soon.complaint_pause - 2_000 * 0.002, abs=0.1)
    assert late.unripe < 1


def test_a_campaign_starts_as_a_canary_only_where_events_come_back() -> None:
    assert guard.canary_rate(0, 50.0, armed=True) == 5.0
    assert guard.canary_rate(1_000, 50.0, armed=True) == 50.0
    assert guard.canary_rate(0, 50.0, armed=False) == 50.0
    assert guard.canary_rate(0, None, armed=True) is None


def test_the_delay_of_complaints_is_learnt() -> None:
    assert guard.learnt_delay(0.0, 0) == guard.COMPLAINT_DELAY
    assert guard.learnt_delay(3_600.0 * 10_000, 10_000) == pytest.approx(3_600, rel=0.02)
