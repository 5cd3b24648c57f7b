"""The stall detector: armed by proof, never alone, and it knows a slow webhook."""

import random

from services.policies import memory, stalls
from services.policies.memory import EspMemory, Heard
from services.policies.scores import Tally
from services.policies.stalls import Due, Watch

NOW = 1_000_000.0


def proven(now: float = NOW, events: int = 60) -> EspMemory:
    after = memory.heard(EspMemory(), Heard([6.0] * events), now, b"s")
    return memory.answered(after, Tally(accepted=1), now + 100, now + 100, b"s")


def silent(one: EspMemory, count: int = 6, *, others: list[EspMemory] | None = None,
           eligible: bool = True) -> tuple[EspMemory, str]:  # fmt: skip
    busy = [proven(NOW + 50)] if others is None else others
    return memory.judged(
        one, Due(count, 0, NOW), NOW + 61, b"s", others=busy, others_eligible=eligible
    )


def test_six_silent_messages_open_it_with_words() -> None:
    after, alert = silent(proven())
    assert after.stall.state == "open"
    assert not alert
    assert "6 accepted messages without any event for 60 s" in memory.why_not(after)


def test_without_proof_that_events_arrive_silence_means_nothing() -> None:
    assert silent(EspMemory(), 1_000)[0] == EspMemory()
    assert silent(proven(events=49), 1_000)[0].stall.state == "closed"


def test_after_a_restart_it_waits_for_the_first_event() -> None:
    one = proven()
    fresh = EspMemory.from_json({**one.to_json(), "watch": stalls.restarted(one.watch).to_json()})
    assert silent(fresh, 1_000)[0].stall.state == "closed"
    heard = memory.heard(fresh, Heard([5.0]), NOW, b"s")
    assert silent(heard)[0].stall.state == "open"


def test_the_last_esp_that_can_send_is_kept() -> None:
    after, alert = silent(proven(), eligible=False)
    assert after.stall.state == "closed"
    assert "no other ESP" in alert


def test_when_nobodys_events_come_our_own_door_is_suspected() -> None:
    quiet = [proven(NOW - 500)]
    quiet = [memory.answered(q, Tally(accepted=1), NOW + 30, NOW + 30, b"s") for q in quiet]
    after, alert = silent(proven(NOW - 500), others=quiet)
    assert after.stall.state == "closed"
    assert "our own webhook" in alert
    # Others are heard of again, this one is not: the next look opens it.
    talking = [memory.heard(q, Heard([5.0]), NOW + 70, b"s") for q in quiet]
    assert silent(after, 1, others=talking)[0].stall.state == "open"


def test_late_events_prove_a_slow_webhook() -> None:
    opened, _ = silent(proven(), 10)
    few = memory.heard(opened, Heard([300.0] * 4, late=4), NOW + 300, b"s")
    assert few.stall.state == "open"
    enough = memory.heard(few, Heard([300.0], late=1), NOW + 300, b"s")
    assert enough.stall.state == "ramp"
    assert memory.admission(enough, NOW + 300, bulk=True).share == 0.25
    assert "lagged" in enough.stall.cause
    assert stalls.deadline(enough.watch) == 60.0  # one lag is not the new usual


def test_two_answered_probes_start_the_ramp_and_two_silent_ones_end_it() -> None:
    opened, _ = silent(proven())
    now = opened.stall.until
    half = memory.at(opened, now)
    for wanted in (0, 5):
        at = now + wanted
        assert memory.admission(half, at, bulk=True).probes == 1
        half = memory.probing(half, 1, at)
    assert memory.admission(half, now + 60, bulk=True).probes == 0  # two in flight
    good = memory.heard(half, Heard([3.0, 4.0], fresh=2), now + 15, b"s")
    assert good.stall.state == "ramp"
    bad, _ = memory.judged(
        half, Due(2, 0, now), now + 70, b"s", others=[proven(NOW + 50)], others_eligible=True
    )
    assert bad.stall.state == "open"
    assert bad.stall.trips == 2


def test_the_deadline_is_learnt() -> None:
    rng = random.Random(8)
    delays = sorted(rng.lognormvariate(4.0, 0.8) for _ in range(4_000))
    watch = stalls.heard(Watch(), delays, NOW)
    truth = delays[int(0.95 * len(delays))]
    assert abs(stalls.quantile(watch.delays, 0.95) / truth - 1) < 0.15
    assert stalls.deadline(watch) == 1.5 * stalls.quantile(watch.delays, 0.95)
    assert stalls.deadline(stalls.heard(Watch(), [1.0] * 99, NOW)) == 60
    assert stalls.deadline(stalls.heard(Watch(), [1.0] * 99, NOW), floor=2.0) == 2
    assert stalls.deadline(stalls.heard(Watch(), [9_000.0] * 99, NOW)) == 900


def test_usual_silence_opens_nothing() -> None:
    rng, one = random.Random(4), proven()
    for _ in range(60_000):
        missed = int(rng.random() < 0.04)
        one, _ = memory.judged(
            one, Due(missed, 1 - missed, NOW), NOW + 61, b"s",
            others=[proven(NOW + 50)] if missed else [], others_eligible=True,
        )  # fmt: skip
        assert one.stall.state == "closed"
