"""What answers, events and silence teach about an ESP."""

from dataclasses import replace

import pytest

from services import learning
from services.esp import (
    Accepted,
    Call,
    Esp,
    EspError,
    InDoubt,
    Misconfigured,
    NotTried,
    Outcome,
    Rejected,
    Report,
    Throttled,
    Unavailable,
)
from services.esp_manager import EspManager, Policy, Record
from services.esp_state import EspState
from services.learning import News
from services.policies import breakers, memory, stalls
from services.policies.breakers import Breaker
from services.policies.memory import Heard
from services.policies.scores import Tally
from services.quota import Limits
from tests.house import ScriptedEsp

NOW = 1_000_000.0
SEED = b"sendgrid"


def told(error: EspError | None, count: int = 1) -> Report:
    outcome: Outcome = Accepted("id") if error is None else error
    return Report([outcome] * count, [Call(count, error, 0.1)])


def after(
    state: EspState, report: Report, now: float = NOW, *, highest: float | None = None
) -> EspState:
    return learning.answered(state, report, sent_at=now - 1, now=now, seed=SEED, highest=highest)


def proven(now: float = NOW) -> EspState:
    """An ESP whose events are known to arrive, and that has just accepted mail."""
    state = EspState()
    known = memory.heard(state.memory, Heard([5.0] * stalls.ARMED_AFTER), now, SEED)
    known = memory.answered(known, Tally(accepted=1), now, now, SEED)
    return replace(state, memory=known)


def judged(state: EspState, other: EspState, now: float, *, eligible: bool = True) -> EspState:
    states = {"a": state, "b": other}
    return learning.judged("a", states, now, SEED, others_eligible=eligible, floor=60.0)


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Unavailable("down"), InDoubt("no answer")], ids=str)
def test_five_failed_requests_open_it_and_the_log_says_why(error: EspError) -> None:
    state = EspState()
    for n in range(5):
        assert state.memory.api.state == breakers.CLOSED
        state = after(state, told(error), NOW + n)
    assert state.memory.api.state == breakers.OPEN
    assert state.log[-1]["why"] == f"api breaker: requests fail: {error}"


@pytest.mark.parametrize(
    "error", [Throttled("slower", code="429"), Rejected("no such mailbox"), NotTried("late"), None]
)
def test_what_says_nothing_against_the_esp_never_opens_it(error: EspError | None) -> None:
    state = EspState()
    for n in range(100):
        state = after(state, told(error), NOW + n)
    assert state.memory.api.state == breakers.CLOSED


def test_a_wrong_key_opens_it_at_once() -> None:
    state = after(EspState(), told(Misconfigured("bad key", code="401")))
    assert state.memory.api.state == breakers.OPEN
    again = after(state, told(Misconfigured("bad key", code="401")), NOW + 1)
    assert again.memory.api == state.memory.api, "an answer from before it opened"


def test_a_failure_is_followed_by_a_pause_that_doubles_and_ends_with_an_answer() -> None:
    state, pauses = EspState(), []
    for n in range(7):
        now = NOW + n
        state = after(state, told(Unavailable("down")), now)
        pauses.append(state.back_off_until - now)
    assert pauses == [0.25, 0.5, 1, 2, 4, 4, 4]
    assert after(state, told(None)).failures == 0
    assert after(state, told(NotTried("late"))).failures == 7, "nobody answered"


def test_after_a_doubt_it_is_careful_until_an_answer_is_clean() -> None:
    state = after(EspState(), told(InDoubt("no answer")))
    assert state.careful
    assert after(state, told(Throttled("slower"))).careful
    assert not after(state, told(None)).careful


def test_a_429_slows_it_down_and_a_spent_quota_does_not() -> None:
    slower = after(EspState(), told(Throttled("slower", retry_after=3)), highest=100.0)
    assert slower.memory.pace.rate == 85.0
    assert slower.throttled_until == NOW + 3
    spent = after(EspState(), told(Throttled("no more today", quota_spent=True)), highest=100.0)
    assert spent.memory.pace.rate is None
    assert spent.throttled_until == NOW + learning.QUOTA_RECHECK_SECONDS
    assert after(EspState(), told(Throttled("slower"))).memory.pace.rate is None, "of what?"


def test_a_429_pauses_no_longer_because_the_clock_was_set_back() -> None:
    state = after(EspState(), told(Throttled("slower", retry_after=3)))
    assert state.throttled_at == NOW
    again = after(state, told(Throttled("slower", retry_after=2)), NOW - 3600)
    assert again.throttled_until == NOW - 3598
    assert [line["what"] for line in again.log] == ["throttled", "throttled"]


def test_accepted_mail_waits_to_be_heard_of_unless_its_time_is_judged_already() -> None:
    state = after(EspState(), told(None, 7))
    assert [one.total for one in state.slices] == [7]
    late = after(replace(EspState(), judged_until=NOW), told(None, 7))
    assert late.slices == ()


# --- events --------------------------------------------------------------------------------------


def test_events_move_the_score_the_cell_and_the_deadline() -> None:
    tally = Tally(delivered=90, block=10)
    news = News(tally, {"gmail": tally}, {"gmail": "spam"}, [4.0] * 100, [NOW - 4] * 100)
    state = learning.informed(after(EspState(), told(None, 100), NOW - 3), news, NOW, SEED)
    assert state.memory.evidence.messages == 100
    assert state.cells["gmail"].track.belief.bad == 10
    assert state.memory.watch.events == 100
    assert [one.silent for one in state.slices] == [0]


def test_a_mailbox_provider_that_blocks_most_is_left_alone_with_its_words() -> None:
    tally = Tally(block=60)
    news = News(tally, {"yahoo": tally}, {"yahoo": "421 TS04 deferred"})
    state = learning.informed(EspState(), news, NOW, SEED)
    assert state.cells["yahoo"].breaker.state == breakers.OPEN
    assert state.cells["yahoo"].breaker.until - NOW >= 0.8 * 7200
    assert state.log[-1]["why"].endswith("messages were blocked: 421 TS04 deferred")
    assert state.log[-1]["why"].startswith("yahoo: ")


def test_our_own_pixel_proves_a_message_but_not_the_webhooks() -> None:
    state = after(EspState(), told(None, 3))
    state = learning.informed(state, News(handed_over=[NOW - 1]), NOW + 5, SEED)
    assert [one.answered for one in state.slices] == [1]
    assert state.memory.watch.events == 0
    assert not state.memory.watch.heard


# --- silence -------------------------------------------------------------------------------------


def test_mail_that_vanishes_opens_the_stall_breaker_after_its_deadline() -> None:
    state = after(proven(), told(None, 10), NOW)
    other = learning.informed(proven(), News(delays=[5.0]), NOW + 62, SEED)
    assert not learning.is_due(state, NOW + 59, 60.0)
    assert learning.is_due(state, NOW + 63, 60.0)
    state = judged(state, other, NOW + 63)
    assert state.memory.stall.state == breakers.OPEN
    assert "10 accepted messages without any event" in state.log[-1]["why"]
    assert state.slices == ()


def test_an_own_door_that_is_shut_is_told_once_and_opens_nothing() -> None:
    state, now = proven(), NOW
    other = replace(proven(), memory=memory.answered(
        proven().memory, Tally(accepted=1), NOW + 40, NOW + 40, SEED
    ))  # fmt: skip
    for _ in range(3):
        state = after(state, told(None, 10), now)
        now += 100
        state = judged(state, other, now)
    assert state.memory.stall.state == breakers.CLOSED
    assert "our own webhook address" in state.alert
    assert [line["what"] for line in state.log] == ["alert"]
    heard = learning.informed(state, News(delays=[5.0]), now, SEED)
    assert heard.alert == ""


def test_late_events_bring_it_back() -> None:
    state = after(proven(), told(None, 10), NOW)
    other = learning.informed(proven(), News(delays=[5.0]), NOW + 62, SEED)
    state = judged(state, other, NOW + 63)
    news = News(delays=[70.0] * 6, handed_over=[NOW - 1] * 6)
    state = learning.informed(state, news, NOW + 70, SEED)
    assert state.memory.stall.state == breakers.RAMP
    assert "the webhooks lagged" in state.log[-1]["why"]


def test_a_probe_that_is_heard_of_counts() -> None:
    state = after(proven(), told(None, 10), NOW)
    other = learning.informed(proven(), News(delays=[5.0]), NOW + 62, SEED)
    state = judged(state, other, NOW + 63)
    now = state.memory.stall.until + 1
    for _ in range(2):
        known = memory.probing(memory.at(state.memory, now), 1, now)
        state = after(replace(state, memory=known), told(None), now + 1)
        state = learning.informed(state, News(delays=[5.0], handed_over=[now]), now + 5, SEED)
        now += 10
    assert state.memory.stall.state == breakers.RAMP


def test_after_a_restart_silence_means_nothing() -> None:
    state = after(learning.disarmed(proven()), told(None, 100), NOW)
    other = learning.informed(proven(), News(delays=[5.0]), NOW + 62, SEED)
    assert judged(state, other, NOW + 63).memory.stall.state == breakers.CLOSED


def test_time_alone_moves_a_breaker_and_that_is_noted() -> None:
    state = after(EspState(), told(Misconfigured("bad key")))
    now = state.memory.api.until + 1
    assert learning.is_due(state, now, 60.0)
    state = judged(state, EspState(), now)
    assert state.memory.api.state == breakers.HALF_OPEN
    assert state.log[-1]["what"] == "half_open"
    assert not learning.is_due(state, now, 60.0)


# --- what an attack found ------------------------------------------------------------------------


def half_open(now: float) -> Breaker:
    return Breaker(breakers.HALF_OPEN, since=now, until=now, fresh=now, probes=2)


def test_a_stall_probe_that_was_not_accepted_makes_room_for_another() -> None:
    known = memory.EspMemory(stall=half_open(NOW - 1))
    state = after(replace(EspState(), memory=known), told(Throttled("slower")))
    assert state.memory.stall.probes == 1
    state = after(state, told(NotTried("late")))
    assert state.memory.stall.probes == 0


def test_an_answer_to_the_old_key_does_not_open_it_again_after_the_new_one() -> None:
    state = after(EspState(), told(Misconfigured("bad key")), NOW)
    state = replace(state, memory=memory.hurried(state.memory, NOW + 5))
    late = learning.answered(
        state, told(Misconfigured("bad key")), sent_at=NOW + 4, now=NOW + 6, seed=SEED, highest=None
    )
    assert late.memory.api.state == breakers.HALF_OPEN


def test_two_that_vanish_together_are_not_both_taken_out() -> None:
    a, b = (after(proven(), told(None, 10), NOW) for _ in range(2))
    third = learning.informed(proven(), News(delays=[5.0]), NOW + 62, SEED)
    esps: dict[str, Esp] = {name: ScriptedEsp(name) for name in ("a", "b", "c")}
    policy = Policy(1, 1.0, Limits(None, None), 500)
    manager = EspManager(esps, dict.fromkeys(esps, policy))
    paused = replace(third, paused="no room")
    records = {"a": Record(a), "b": Record(b), "c": Record(paused)}
    judged_ = manager.judged(records, NOW + 63, 60.0)
    assert sorted(judged_[name].memory.stall.state for name in "ab") == ["closed", "open"]
    assert "no other ESP could take its mail" in judged_["b"].alert


@pytest.mark.parametrize("state", [breakers.HALF_OPEN, breakers.OPEN, breakers.RAMP])
def test_a_clock_that_is_set_back_lengthens_no_wait(state: str) -> None:
    later = NOW + 3 * 3600
    ahead = Breaker(state, since=later, until=later + 30, fresh=later)
    now = breakers.at(ahead, breakers.API, NOW)
    assert now.until <= NOW + 30
    assert now.fresh <= NOW


def test_a_closed_breaker_hears_again_after_the_clock_was_set_back() -> None:
    deaf = Breaker(since=NOW + 10_800, fresh=NOW + 10_800)
    state = replace(EspState(), memory=memory.EspMemory(api=deaf))
    for n in range(6):  # the first was sent before the clock was looked at
        state = after(state, told(Unavailable("down")), NOW + n)
    assert state.memory.api.state == breakers.OPEN


def test_a_cell_comes_back_by_time_alone_and_by_an_operator() -> None:
    tally = Tally(block=60)
    state = learning.informed(EspState(), News(tally, {"yahoo": tally}), NOW, SEED)
    hurried = learning.hurried_cells(state, NOW + 1)
    assert hurried["yahoo"].breaker.state == breakers.RAMP
    now = state.cells["yahoo"].breaker.until + 1
    assert learning.is_due(state, now, 60.0)
    assert judged(state, EspState(), now).cells["yahoo"].breaker.state == breakers.RAMP


def test_two_hours_for_ts04_are_two_hours_for_every_look() -> None:
    tally = Tally(block=60)
    news = News(tally, {"yahoo": tally}, {"yahoo": "421 TS04"})
    state = learning.informed(EspState(), news, NOW, SEED)
    early = breakers.at(state.cells["yahoo"].breaker, breakers.CELL, NOW - 1)
    assert early.state == breakers.OPEN


def test_what_is_told_is_the_breaker_that_binds() -> None:
    known = memory.EspMemory(
        api=half_open(NOW),
        reputation=Breaker(breakers.OPEN, since=NOW, until=NOW + 21_600, cause="bad mail"),
    )
    assert memory.why_not(known) == "reputation breaker open: bad mail"
    assert memory.tightest(known) == ("open", NOW + 21_600)
    ramp = memory.EspMemory(api=Breaker(breakers.RAMP, since=NOW, until=NOW + 60))
    assert memory.tightest(ramp) == ("ramp", None)


def test_a_slump_at_one_mailbox_provider_is_told_though_nothing_opens() -> None:
    """Draws turn the mail away after a few blocks: too few for the cell's breaker."""
    state, now = EspState(), NOW
    good = Tally(delivered=200)
    state = learning.informed(state, News(good, {"yahoo": good, "gmail": good}), now, SEED)
    for _ in range(5):
        now += 60
        bad = Tally(delivered=6, block=6)
        state = learning.informed(state, News(bad, {"yahoo": bad}), now, SEED)
    poor = [line for line in state.log if line["what"] == "poor"]
    assert len(poor) == 1
    assert poor[0]["why"].startswith("yahoo: delivers about ")
    assert "gmail" not in str(state.log)
    for _ in range(20):
        now += 3600
        state = learning.informed(state, News(good, {"yahoo": good}), now, SEED)
    assert [line["what"] for line in state.log].count("fair") == 1
