"""The drill's arithmetic, as tables: what a day does to ways of choosing an ESP."""

from typing import Any

import pytest

from cli import drill_sums as sums
from cli.drill_account import Played
from cli.drill_day import (
    BROWNOUT,
    DOMAINS,
    ESPS,
    FULL,
    HARD,
    LAG,
    SHORT,
    SILENT,
    SLUMP,
    Day,
    Fate,
    Fault,
    Script,
)
from cli.drill_report import as_dict, lines, report
from cli.drill_story import stories
from cli.drill_stream import people, tag, waves
from cli.drill_sums import Sent, Way
from cli.drill_watch import Line, Seen

OUT = Fault(HARD, "out", "sendgrid", 100, 200, refused=1.0)
MUTE = Fault(SILENT, "mute", "ses", 300, 400, vanished=1.0)
LOW = Fault(SLUMP, "low", "postmark", 500, 600, blocked=0.7, domains=("outlook.com",))
BROWN = Fault(BROWNOUT, "brown", "ses", 700, 800, refused=0.4)
DAY = Day((OUT, MUTE, LOW, BROWN), 900)


def mail(start: int, end: int, esp: str = "sendgrid", domain: str = "gmail.com") -> list[Sent]:
    """A message a second."""
    return [Sent(float(at), domain, esp, "delivered") for at in range(start, end)]


# --- the day ------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [FULL, SHORT])
def test_faults_come_one_after_another_and_never_twice_in_a_row_at_one_esp(script: Script) -> None:
    day = script.day()
    assert [fault.kind for fault in day.faults] == [HARD, SILENT, SLUMP, BROWNOUT, LAG]
    for one, then in zip(day.faults, day.faults[1:], strict=False):
        assert one.end < then.start
        assert one.esp != then.esp
    assert {fault.esp for fault in day.faults} == set(ESPS)
    assert day.faults[-1].end < day.seconds


def test_the_default_day_takes_about_three_minutes() -> None:
    from cli.drill import SPEED

    assert 150 <= FULL.day().seconds / SPEED <= 190


def test_a_fault_is_told_to_the_simulator_by_domain_with_the_seed() -> None:
    assert OUT.orders(3) == [
        {"esp": "sendgrid", "kind": "error_503", "probability": 1.0, "seed": 3}
    ]
    two = Fault(SLUMP, "", "ses", 0, 1, blocked=0.5, domains=("a.example", "b.example"))
    assert [order["domain"] for order in two.orders(1)] == ["a.example", "b.example"]
    assert Fault(LAG, "", "ses", 0, 1).orders(1) == []


# --- what others would have made of it ------------------------------------------------------------


@pytest.mark.parametrize(
    "order,now,fate",
    [
        (("sendgrid", "ses", "postmark"), 50, Fate(1, 0, 0)),
        (("sendgrid", "ses", "postmark"), 150, Fate(1, 0, 0)),  # refused mail goes on at once
        (("ses", "postmark", "sendgrid"), 350, Fate(0, 1, 0)),  # accepted mail does not
        (("postmark", "sendgrid", "ses"), 550, Fate(0.3, 0, 0.7)),
        (("ses", "postmark", "sendgrid"), 750, Fate(1, 0, 0)),
    ],
)
def test_a_fixed_order_loses_what_its_first_esp_accepts_and_loses(
    order: tuple[str, ...], now: float, fate: Fate
) -> None:
    assert sums.in_order(DAY, order, "outlook.com", now) == pytest.approx(fate)


def test_a_slump_at_one_mailbox_provider_touches_no_other() -> None:
    assert sums.in_order(DAY, ("postmark", "ses", "sendgrid"), "gmail.com", 550).delivered == 1


def test_round_robin_loses_a_third_and_the_oracle_nothing() -> None:
    assert sums.round_robin(DAY, "gmail.com", 350) == pytest.approx(Fate(2 / 3, 1 / 3, 0))
    assert sums.best(DAY, "gmail.com", 350) == Fate(1, 0, 0)


def test_whose_turn_it_is_goes_on_from_a_refusal_into_the_next() -> None:
    day = Day((OUT, Fault(SILENT, "", "ses", 100, 200, vanished=1.0)), 300)
    # SendGrid's third goes on to SES, which loses it as it loses its own.
    assert sums.round_robin(day, "gmail.com", 150).vanished == pytest.approx(2 / 3)


def test_what_everybody_refuses_waits_and_is_delivered() -> None:
    day = Day([Fault(HARD, "", esp, 0, 10, refused=1.0) for esp in ESPS], 20)
    assert sums.in_order(day, ESPS, "gmail.com", 5) == Fate(1, 0, 0)


def test_our_own_account_goes_by_where_the_mail_went() -> None:
    sent = mail(300, 310, "ses") + mail(310, 400, "postmark")
    assert sums.ours(DAY, sent) == Way("the house", delivered=90, vanished=10)
    assert sums.oracle(DAY, sent).delivered == 100
    assert sums.ours(DAY, sent).regret(sums.oracle(DAY, sent)) == pytest.approx(0.1)
    by_name = {way.name: way for way in sums.others(DAY, sent)}
    assert by_name["static, ses first"].vanished == pytest.approx(100)
    assert by_name["static, sendgrid first"].vanished == 0
    assert by_name["round robin"].vanished == pytest.approx(100 / 3)
    assert by_name["static, mean of the orders"].vanished == pytest.approx(100 / 3)


def test_greedy_leaves_who_refuses_or_blocks_and_stays_with_who_is_silent() -> None:
    refusing = Day([Fault(HARD, "", "sendgrid", 0, 50, refused=1.0)], 100)
    assert sums.greedy(refusing, mail(0, 100)).delivered == pytest.approx(100)
    silent = Day([Fault(SILENT, "", "sendgrid", 0, 50, vanished=1.0)], 100)
    assert sums.greedy(silent, mail(0, 100)).vanished == pytest.approx(50)
    blocking = Day([Fault(SLUMP, "", "sendgrid", 0, 100, blocked=0.5)], 100)
    assert sums.greedy(blocking, mail(0, 100)).blocked == pytest.approx(0.5)


def test_without_mail_there_is_no_regret() -> None:
    assert sums.ours(DAY, []).regret(sums.oracle(DAY, [])) == 0.0


# --- shares ---------------------------------------------------------------------------------------


def test_a_share_of_few_messages_is_not_told() -> None:
    assert sums.share(mail(0, sums.FEW - 1), "sendgrid") is None
    assert sums.share(mail(0, 10) + mail(0, 10, "ses"), "sendgrid") == 0.5
    assert sums.share(mail(0, 20, domain="gmail.com"), "sendgrid", ("outlook.com",)) is None


def test_the_moment_is_found_when_a_share_of_the_last_messages_passes_a_mark() -> None:
    sent = mail(200, 260, "ses") + mail(260, 400, "sendgrid")
    assert sums.crossed(sent, "sendgrid", lambda had: had >= 0.5) == 279
    assert sums.crossed(sent, "postmark", lambda had: had >= 0.5) is None
    assert sums.crossed(sent, "sendgrid", lambda had: had >= 0.5, ("outlook.com",)) is None


def test_a_share_that_passes_by_chance_has_not_passed_for_good() -> None:
    def few(had: float) -> bool:
        return had <= 0.2

    sent = mail(0, 40, "ses") + mail(40, 80) + mail(80, 160, "ses")
    assert sums.crossed(sent, "sendgrid", few) == 11
    assert sums.kept(sent, "sendgrid", few) == 111
    assert sums.kept(sent[:80], "sendgrid", few) is None


# --- the story ------------------------------------------------------------------------------------


def played(**changes: Any) -> Played:
    """A day with one silent outage of 100 s, noticed after 60."""
    sent = sorted(
        mail(0, 300) + mail(0, 360, "ses") + mail(360, 450) + mail(450, 900) + mail(450, 900, "ses")
    )
    sent = [one._replace(outcome="lost") if one.esp == "ses" and 300 <= one.at < 360 else one
            for one in sent]  # fmt: skip
    told = [
        Line(360.0, "ses", "open", "stall breaker: 6 accepted messages without any event for 50 s"),
        Line(395.0, "ses", "half_open", "stall breaker: the cool-down is over: probes"),
        Line(410.0, "ses", "ramp", "stall breaker: 2 probes succeeded"),
        Line(590.0, "ses", "closed", "stall breaker: the ramp passed without trouble"),
    ]
    made = Played(
        Day((MUTE,), 900), sent, told, [Seen(361.0, "ses", "open")], {SILENT: 60},
        {"accepted": 60, "delivered": len(sent) - 60}, audience=len(sent), reached=len(sent),
        verified=True,
    )  # fmt: skip
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_a_story_has_the_moments_and_what_they_cost() -> None:
    [story] = stories(played())
    assert story.noticed is not None
    assert (story.noticed.after, story.shown_after) == (60.0, 61.0)
    assert (story.taken_until_noticed, story.lost, story.struck) == (60, 60, 60)
    assert story.usual_share == pytest.approx(0.5, abs=0.01)
    assert story.half_share_after is not None
    assert 50 < story.half_share_after < 130
    assert story.closed_after == 190.0
    assert [line.what for line in story.lines] == ["open", "half_open", "ramp", "closed"]


def test_the_report_holds_when_only_the_silent_outage_lost_mail() -> None:
    told = report(played(), 36.0)
    assert told.ok, told.checks
    shown = as_dict(told)
    assert shown["faults"][0]["noticed_after"] == 60.0
    assert "6 accepted messages" in shown["faults"][0]["why"]
    text = "\n".join(lines(told))
    assert "lost in silence: 60" in text
    assert "noticed after 1:00 (1.7 s of real time)" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"copies": 1},
        {"verified": False, "verify_words": "FAIL"},
        {"balanced": False},
        {"reached": 10},
        {"ledger": {"accepted": 61, "delivered": len(played().sent) - 61}},
        {"ledger": {"accepted": 60, "delivered": len(played().sent) - 61, "in_doubt": 1}},
        {"lines": []},
    ],
)
def test_the_report_fails_for_anything_else(changes: dict[str, Any]) -> None:
    assert not report(played(**changes), 36.0).ok


def test_mail_that_vanished_outside_the_silent_outage_is_a_failure() -> None:
    sent = [one._replace(outcome="lost") if one.at == 10.0 else one for one in played().sent]
    assert not report(played(sent=sent), 36.0).ok


def test_a_slump_is_noticed_by_where_the_mail_goes() -> None:
    outlook = "outlook.com"
    sent = sorted(
        mail(0, 500, "postmark", outlook) + mail(0, 900, "ses", outlook)
        + mail(500, 505, "postmark", outlook)
    )  # fmt: skip
    made = played(day=Day((LOW,), 900), sent=sent, lines=[], seen=[], hits={SLUMP: 4})
    [story] = stories(made)
    assert story.noticed is not None
    assert story.noticed.after == 14.0  # 5 of the first 20
    assert "microsoft" in story.noticed.why
    assert (story.taken, story.closed_after) == (5, 0.0)


# --- the stream -----------------------------------------------------------------------------------


def test_campaigns_share_the_messages_evenly() -> None:
    every, sizes = waves(50.3, 20.0)
    assert sum(sizes) == 1006
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) * every == pytest.approx(20.0)


def test_many_messages_go_in_larger_campaigns_not_in_more() -> None:
    (seldom, larger), (_, usual) = waves(200, 100.0), waves(80, 100.0)
    assert (len(larger), len(usual)) == (200, 500)
    assert (sum(larger), seldom) == (20_000, 0.5)


def test_the_same_seed_makes_the_same_list_of_people_at_every_domain() -> None:
    sizes = [200, 200]
    rows = people(sizes, 5)
    assert people(sizes, 5) == rows != people(sizes, 6)
    assert [len(wave) for wave in rows] == sizes
    assert all(row.endswith(f",{tag(n)}") for n, wave in enumerate(rows) for row in wave)
    addresses = [row.split(",")[0] for wave in rows for row in wave]
    assert len(set(addresses)) == 400
    assert {address.partition("@")[2] for address in addresses} == set(DOMAINS)
