"""Campaigns with a time of their own: launched once when it comes, and never too late by itself."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from database import audit, migrate
from database.engine import Database
from database.fence import fence
from outbound.checks import FURTHEST_SECONDS, PAST_TOLERANCE_SECONDS
from outbound.draft import Draft, NotReady
from outbound.schedule import LEAST_GRACE_SECONDS, Scheduler
from tests import house
from tests.house import House
from tests.outbound.test_drafts import at_once
from utils.errors import Conflict, FieldError, Invalid

HOUR = 3600.0


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    made = house.enter(database)
    made.add_people(20)
    yield made
    facts = audit.Facts(made.clock(), "sandbox", 60, worker_beats=False)
    assert [one for one in audit.audit(database, facts).findings if not one.ok] == []
    database.dispose()


def mail(home: House, seconds: float | None = HOUR, **fields: Any) -> Draft:
    at = None if seconds is None else home.clock() + seconds
    written = {"subject": "Hello {{ name }}", "html": "<p>Hi {{ name }}</p>", **fields}
    return Draft(**written, scheduled_at=at)


def scheduled(home: House, seconds: float = HOUR, **fields: Any) -> int:
    launched = home.launcher.launch(mail(home, seconds, **fields))
    assert (launched.status, launched.audience) == ("scheduled", 20)
    return launched.campaign_id


def state(home: House, campaign: int) -> tuple[str, str]:
    row = home.campaign(campaign)
    return row["status"], row["status_reason"]


def look(home: House) -> None:
    """What every sweep and its hints do."""
    for campaign in home.scheduler.due():
        home.scheduler.launch_if_due(campaign)


def other_house(home: House) -> House:
    """Another process on the same database, or this one after a restart."""
    return house.enter(home.db, clock=home.clock)


# When it comes


def test_it_leaves_at_its_time_and_not_before(home: House) -> None:
    campaign = scheduled(home)
    assert home.woken == []
    home.clock.forward(HOUR - 60)
    assert home.scheduler.due() == []
    home.scheduler.launch_if_due(campaign)
    assert state(home, campaign) == ("scheduled", "")
    assert home.control.due() == ([], [])
    home.clock.forward(61)
    look(home)
    assert (state(home, campaign), home.woken) == (("sending", ""), [campaign])
    assert home.launcher.build(campaign)
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 20}


def test_its_audience_is_that_of_its_time(home: House) -> None:
    campaign = scheduled(home)
    home.add_people(5, first=20)
    home.clock.forward(HOUR + 1)
    look(home)
    home.launcher.build(campaign)
    assert home.campaign(campaign)["audience"] == 25


def test_a_kept_draft_is_scheduled_by_its_send(home: House) -> None:
    campaign = home.drafts.create(mail(home))
    launched = home.launcher.send(campaign, idempotency_key="k")
    assert (launched.status, home.woken) == ("scheduled", [])
    assert home.launcher.send(campaign, idempotency_key="k").repeated
    with pytest.raises(Conflict, match="is scheduled"):
        home.launcher.send(campaign)
    home.clock.forward(HOUR + 1)
    look(home)
    assert state(home, campaign) == ("sending", "")


def test_workers_that_race_launch_it_once_also_after_a_restart(home: House) -> None:
    campaign = scheduled(home)
    home.clock.forward(HOUR + 1)
    houses = [other_house(home) for _ in range(4)]
    acts: list[Callable[[], None]] = [
        lambda one=one: one.scheduler.launch_if_due(campaign)  # type: ignore[misc]
        for one in houses
    ]
    assert at_once(*acts) == [None] * 4
    assert sum(one.woken.count(campaign) for one in houses) == 1
    at_once(*[lambda one=one: one.launcher.build(campaign) for one in houses])
    for one in houses:
        one.drain(campaign)
    taken = [address for one in houses for esp in one.esps.values() for address in esp.taken]
    assert (len(taken), len(set(taken))) == (20, 20)


def test_a_repeated_request_is_answered_as_the_first_although_its_time_is_over(
    home: House,
) -> None:
    draft = mail(home)
    first = home.launcher.launch(draft, idempotency_key="k")
    home.clock.forward(3 * HOUR)
    again = home.launcher.launch(draft, idempotency_key="k")
    assert (again.repeated, again.campaign_id) == (True, first.campaign_id)


# When it cannot be meant


@pytest.mark.parametrize(
    "seconds,words",
    [(-PAST_TOLERANCE_SECONDS - 30, "is over"), (FURTHEST_SECONDS + 60, "more than a year")],
)
def test_a_time_that_cannot_be_meant_is_refused(home: House, seconds: float, words: str) -> None:
    campaign = home.drafts.create(mail(home))
    wrong = mail(home, seconds)
    for act in (
        lambda: home.launcher.launch(wrong), lambda: home.drafts.create(wrong),
        lambda: home.drafts.change(campaign, {"scheduled_at": wrong.scheduled_at}),
    ):  # fmt: skip
        with pytest.raises(Invalid, match=words) as error:
            act()
        assert [found.field for found in error.value.errors] == ["scheduled_at"]


def test_a_moment_ago_is_now(home: House) -> None:
    campaign = scheduled(home, -PAST_TOLERANCE_SECONDS + 30)
    look(home)
    assert state(home, campaign) == ("sending", "")


def test_a_drafts_time_that_went_by_is_a_problem_of_its_send(home: House) -> None:
    campaign = home.drafts.create(mail(home))
    home.clock.forward(2 * HOUR)
    found = home.drafts.problems(home.campaign(campaign))
    assert [one.field for one in found or ()] == ["scheduled_at"]
    with pytest.raises(Invalid, match="is over"):
        home.launcher.send(campaign)
    home.drafts.change(campaign, {"scheduled_at": None})
    assert home.launcher.send(campaign).status == "sending"


# When it was missed


def test_what_is_overdue_beyond_the_grace_waits_for_a_person(home: House) -> None:
    campaign = scheduled(home)
    home.clock.forward(HOUR + 3700)
    look(home)
    status, reason = state(home, campaign)
    assert (status, reason.startswith("missed_schedule: it was due at ")) == ("paused", True)
    assert "1 h 1 min ago" in reason
    assert (home.woken, home.campaign(campaign)["launched_at"]) == ([], None)

    home.control.resume(campaign, by="ops")
    assert state(home, campaign) == ("sending", "resumed by ops")
    assert home.woken == [campaign]
    home.launcher.build(campaign)
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 20}


def test_within_the_grace_it_leaves_late(home: House) -> None:
    campaign = scheduled(home)
    home.clock.forward(HOUR + 3500)
    look(home)
    assert state(home, campaign) == ("sending", "")


def test_without_any_grace_a_sweep_is_still_in_time(home: House) -> None:
    strict = Scheduler(
        home.db, home.launcher._examiner, grace_seconds=0, wake=home.woken.append, clock=home.clock
    )
    punctual, missed = scheduled(home), scheduled(home, 60)
    home.clock.forward(60 + LEAST_GRACE_SECONDS + 1)
    strict.launch_if_due(missed)
    home.clock.forward(HOUR - 60 - LEAST_GRACE_SECONDS)
    strict.launch_if_due(punctual)
    assert (state(home, missed)[0], state(home, punctual)[0]) == ("paused", "sending")


# When it cannot be sent


def test_what_would_be_refused_at_its_time_is_paused_and_mails_nobody(home: House) -> None:
    campaign = scheduled(home, html="<p>{{ plan }}</p>")
    home.add_people(1, first=99, attributes={})
    home.clock.forward(HOUR + 1)
    look(home)
    status, reason = state(home, campaign)
    assert status == "paused"
    assert "as it is: html: line 1: 1 recipients have no `plan`" in reason
    with pytest.raises(Invalid, match="plan"):
        home.control.resume(campaign)
    home.drafts.change(campaign, {"html": "<p>{{ plan | default: 'free' }}</p>"})
    home.control.resume(campaign, by="ops")
    home.launcher.build(campaign)
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 21}


def test_an_empty_audience_pauses_it(home: House) -> None:
    campaign = scheduled(home)
    with home.db.write() as connection:
        connection.exec_driver_sql("UPDATE subscribers SET status = 'unsubscribed'")
    home.clock.forward(HOUR + 1)
    look(home)
    assert "segment: no active subscriber matches" in state(home, campaign)[1]


def test_a_house_that_is_no_longer_ready_pauses_it(home: House) -> None:
    campaign = scheduled(home)
    examiner = home.launcher._examiner
    missing = (FieldError("POSTAL_ADDRESS", "is missing"),)
    examiner._identity = replace(examiner.identity, blockers=missing)
    home.clock.forward(HOUR + 1)
    look(home)
    assert "POSTAL_ADDRESS: is missing" in state(home, campaign)[1]
    with pytest.raises(NotReady):
        home.control.resume(campaign)


# What people do with it


def test_another_time_or_content_is_set_while_it_waits(home: House) -> None:
    campaign = scheduled(home)
    home.drafts.change(campaign, {"scheduled_at": home.clock() + 2 * HOUR, "subject": "Later"})
    home.clock.forward(HOUR + 1)
    look(home)
    assert state(home, campaign)[0] == "scheduled"
    home.drafts.change(campaign, {"scheduled_at": home.clock()})
    look(home)
    assert (state(home, campaign)[0], home.campaign(campaign)["subject"]) == ("sending", "Later")
    with pytest.raises(Conflict):
        home.drafts.change(campaign, {"scheduled_at": home.clock() + HOUR})


def test_a_scheduled_campaign_keeps_a_time(home: House) -> None:
    campaign = scheduled(home)
    with pytest.raises(Invalid, match="needs a time"):
        home.drafts.change(campaign, {"scheduled_at": None})


def test_a_new_time_wins_over_a_launch_that_has_looked_already(home: House) -> None:
    campaign = scheduled(home)
    home.clock.forward(HOUR + 1)
    examine = home.scheduler._examiner.examine

    def meanwhile(draft: Draft, **how: Any) -> Any:
        found = examine(draft, **how)
        home.drafts.change(campaign, {"scheduled_at": home.clock() + HOUR})
        return found

    home.scheduler._examiner.examine = meanwhile  # type: ignore[method-assign]
    home.scheduler.launch_if_due(campaign)
    assert (state(home, campaign), home.woken) == (("scheduled", ""), [])


def test_it_is_cancelled_or_deleted_while_it_waits(home: House) -> None:
    cancelled, deleted = scheduled(home), scheduled(home)
    home.control.cancel(cancelled, by="ops")
    home.drafts.delete(deleted)
    home.clock.forward(HOUR + 1)
    look(home)
    assert state(home, cancelled) == ("cancelled", "cancelled by ops")
    assert home.woken == []


def test_what_a_key_made_is_cancelled_and_not_deleted(home: House) -> None:
    """Its repetition would make it again."""
    campaign = home.launcher.launch(mail(home), idempotency_key="k").campaign_id
    with pytest.raises(Conflict, match="cancel it"):
        home.drafts.delete(campaign)
    home.control.cancel(campaign, by="ops")
    home.clock.forward(8 * 86400)
    home.drafts.delete(campaign)


def test_one_that_is_paused_before_its_time_goes_back_to_wait_for_it(home: House) -> None:
    campaign = scheduled(home)
    home.control.pause(campaign, by="ops", reason="wrong price")
    home.clock.forward(60)
    home.control.resume(campaign, by="ops")
    assert (state(home, campaign), home.woken) == (("scheduled", "resumed by ops"), [])
    home.clock.forward(HOUR)
    look(home)
    assert state(home, campaign) == ("sending", "")


def test_resumes_that_race_launch_once(home: House) -> None:
    campaign = scheduled(home)
    home.control.pause(campaign, by="ops")
    home.clock.forward(2 * HOUR)
    answers = at_once(*[lambda: home.control.resume(campaign) for _ in range(4)])
    assert answers.count(None) == 1
    assert all(isinstance(one, Conflict) for one in answers if one is not None)
    assert home.woken == [campaign]


# After a restore


def test_after_a_restore_nothing_scheduled_leaves_by_itself(home: House) -> None:
    ahead, past, draft = scheduled(home, 9 * HOUR), scheduled(home), home.drafts.create(mail(home))
    taken = home.clock()
    home.clock.forward(2 * HOUR)
    home.db.transact(lambda c: fence(c, taken, home.clock()))
    look(home)
    for campaign in (ahead, past):
        status, reason = state(home, campaign)
        assert status == "paused"
        assert "it was scheduled, and may have been sent since" in reason
    assert "it may have been sent since" in state(home, draft)[1]
    home.control.resume(ahead)
    home.control.resume(past)
    assert (state(home, ahead)[0], state(home, past)[0]) == ("scheduled", "sending")
