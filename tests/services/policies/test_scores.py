"""The reputation score: what a newcomer has, how fast it rises, falls and recovers (T8)."""

import random
from statistics import quantiles

import pytest

from services.policies import cells, memory, scores
from services.policies.memory import EspMemory
from services.policies.scores import Evidence, Tally

RUNS, RUNS_LONG = 60, 400
NOW = 1_000_000.0


def clean(evidence: Evidence, messages: int) -> Evidence:
    for _ in range(messages):
        evidence = evidence.after(Tally(requests_ok=1, accepted=1, delivered=1), NOW)
    return evidence


def test_a_newcomer_is_unproven_and_keeps_its_share() -> None:
    assert scores.score(Evidence(), NOW) == pytest.approx(49.1, abs=0.1)
    assert scores.band(Evidence(), NOW) == ("unproven", 1.0)


def test_five_hundred_clean_messages_earn_a_good_name() -> None:
    evidence = clean(Evidence(), 500)
    assert scores.score(evidence, NOW) >= 95
    assert scores.band(evidence, NOW).name == "healthy"


def test_a_batch_weighs_as_much_as_its_messages() -> None:
    one_by_one = clean(Evidence(), 500)
    at_once = Evidence().after(Tally(requests_ok=500, accepted=500, delivered=500), NOW)
    assert scores.score(at_once, NOW) == pytest.approx(scores.score(one_by_one, NOW), abs=1e-6)


def until_below(kind: str, rate: float, seed: int, limit: float = 60) -> int:
    rng, evidence = random.Random(seed), clean(Evidence(), 1_000)
    for count in range(1, 5_000):
        bad = int(rng.random() < rate)
        tally = {
            "request": Tally(requests_failed=bad, requests_ok=1 - bad),
            "block": Tally(requests_ok=1, accepted=1, delivered=1 - bad, block=bad),
            "hard": Tally(requests_ok=1, accepted=1, delivered=1 - bad, hard=bad),
        }[kind]
        evidence = evidence.after(tally, NOW)
        if scores.score(evidence, NOW) < limit:
            return count
    return 5_000


@pytest.mark.parametrize(
    "kind,rate,within", [("request", 0.20, 200), ("block", 0.20, 200), ("hard", 0.08, 500)]
)
def test_bad_news_pulls_the_score_below_sixty_soon(
    kind: str, rate: float, within: int, long: bool
) -> None:
    runs = RUNS_LONG if long else RUNS
    counts = [until_below(kind, rate, seed) for seed in range(5_000, 5_000 + runs)]
    p95 = quantiles(counts, n=20)[-1]
    print(f"T8 {kind} {rate}: median {sorted(counts)[runs // 2]}, p95 {p95:.0f}")
    assert p95 <= within


def test_clean_mail_brings_the_score_back() -> None:
    evidence = Evidence().after(Tally(requests_ok=500, accepted=500, delivered=400, block=100), NOW)
    assert scores.score(evidence, NOW) < 60
    assert scores.score(clean(evidence, 300), NOW) > 80


def test_two_failures_of_a_newborn_are_no_quarantine() -> None:
    after = memory.informed(EspMemory(), Tally(block=2), NOW, b"x", {})
    assert after.reputation.state == "closed"


@pytest.mark.parametrize(
    "tally,why",
    [
        (Tally(delivered=15, block=10), "fell to"),
        (Tally(delivered=45, hard=5), "fell to"),
        (Tally(delivered=91, hard=9), "fell to"),
        (Tally(delivered=500, complained=4), "fell to"),
    ],
)
def test_a_ruined_reputation_stops_campaigns_but_not_passwords(tally: Tally, why: str) -> None:
    after = EspMemory()
    while after.reputation.state == "closed":
        after = memory.informed(after, tally, NOW, b"x", {})
        assert after.evidence.messages < 20_000
    assert after.evidence.messages >= 200
    assert why in memory.why_not(after)
    assert memory.admission(after, NOW, bulk=True).probes == 0
    assert memory.admission(after, NOW, bulk=False).share == 1.0
    later = memory.at(after, after.reputation.until)
    assert later.reputation.state == "ramp"
    again = memory.informed(later, Tally(delivered=1), after.reputation.until, b"x", {})
    assert again.reputation.state == "ramp"


def blocking(provider: str, spread: dict[str, float]) -> EspMemory:
    """An ESP of which `provider` blocks 70 %, and the others so much as `spread` says, once 3,000
    events came in lots of 60."""
    known, here = EspMemory(), dict[str, cells.Cell]()
    for _ in range(50):
        parts = {name: _split(20, share) for name, share in ({provider: 0.7} | spread).items()}
        whole = Tally(
            delivered=sum(part.delivered for part in parts.values()),
            block=sum(part.block for part in parts.values()),
        )
        known = memory.informed(known, whole, NOW, b"x", here)
        for name, part in parts.items():
            before = here.get(name, cells.Cell())
            here[name] = memory.informed_cell(before, known, part, NOW, b"x")
    return known


def _split(count: int, blocked: float) -> Tally:
    return Tally(delivered=count - round(count * blocked), block=round(count * blocked))


def test_one_mailbox_provider_that_blocks_ruins_no_reputation() -> None:
    assert blocking("microsoft", {"gmail": 0.0, "yahoo": 0.05}).reputation.state == "closed"
    assert blocking("microsoft", {}).reputation.state == "closed"  # its cell's matter


def test_several_that_block_do() -> None:
    assert blocking("microsoft", {"gmail": 0.3, "yahoo": 0.3}).reputation.state == "open"
    assert blocking("other", {}).reputation.state == "open"  # these are many
    assert blocking("other", {"gmail": 0.0}).reputation.state == "open"


def test_deferrals_and_failing_requests_alone_never_quarantine() -> None:
    bad = Tally(requests_failed=500, accepted=500, deferred=400, delivered=500)
    after = memory.informed(EspMemory(), bad, NOW, b"x", {})
    assert after.reputation.state == "closed"
    assert scores.band(after.evidence, NOW) == ("restricted", 0.5)


def test_the_state_survives_json() -> None:
    after = memory.informed(EspMemory(), Tally(delivered=150, block=1), NOW, b"x", {})
    after = memory.heard(after, memory.Heard([3.0, 9.0]), NOW, b"x")
    assert EspMemory.from_json(after.to_json()) == after
    assert EspMemory.from_json({"from_the_future": 1}) == EspMemory()
