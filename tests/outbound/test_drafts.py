"""Drafts under races: whoever sends, edits or deletes at once, nobody is mailed twice or unseen."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from database import migrate
from database.engine import Database
from outbound.draft import Draft, Identity, columns, draft_of
from outbound.idempotency import KEY_KEPT_SECONDS
from outbound.launch import Launched
from tests import house
from tests.house import House
from utils.errors import Conflict, NotFound

MAIL = Draft("Hello {{ name }}", "<p>Hi {{ name }}</p>")


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    migrate.upgrade(database)
    made = house.enter(database)
    made.add_people(20)
    yield made
    database.dispose()


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each act answered or raised."""
    with ThreadPoolExecutor(len(acts)) as pool:
        futures = [pool.submit(act) for act in acts]
    return [future.exception() or future.result() for future in futures]


@pytest.mark.parametrize("key", [None, "spring"])
def test_sends_that_race_launch_once(home: House, key: str | None) -> None:
    campaign = home.drafts.create(MAIL)
    answers = at_once(
        *[lambda: home.launcher.send(campaign, idempotency_key=key) for _ in range(6)]
    )
    launched = [one for one in answers if isinstance(one, Launched)]

    assert [one.repeated for one in launched].count(False) == 1
    assert home.woken == [campaign]
    if key:
        assert {(one.campaign_id, one.audience) for one in launched} == {(campaign, 20)}
        assert len(launched) == 6
    else:
        assert all(isinstance(one, Conflict) for one in answers if one not in launched)
    assert home.launcher.build(campaign)
    home.drain(campaign)
    assert home.ledger(campaign) == {"accepted": 20}
    assert home.nobody_twice()


def test_what_was_edited_after_the_check_is_not_sent(home: House) -> None:
    """The check takes a while on a long list; the content that leaves is the one it has seen."""
    campaign = home.drafts.create(MAIL)
    examine = home.launcher._examiner.examine

    def edited_meanwhile(draft: Draft, **how: Any) -> Any:
        found = examine(draft, **how)
        home.drafts.change(campaign, {"html": "<p>{{ shoe_size }}</p>"})
        return found

    home.launcher._examiner.examine = edited_meanwhile  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="changed meanwhile"):
        home.launcher.send(campaign)
    row = home.campaign(campaign)
    assert (row["status"], row["html"]) == ("draft", "<p>{{ shoe_size }}</p>")
    assert home.woken == []


def test_a_campaigns_number_in_a_link_is_its_own(home: House) -> None:
    html = "<a href='https://x.example/?c={{ campaign.id }}'>x</a>"
    at_once = home.launcher.launch(Draft("S", html)).campaign_id
    kept = home.drafts.create(Draft("S", html))
    home.launcher.send(kept)
    for campaign in (at_once, kept):
        assert home.campaign(campaign)["links"] == [f"https://x.example/?c={campaign}"]


def test_edits_that_race_are_all_kept(home: House) -> None:
    campaign = home.drafts.create(MAIL)
    fields = {"subject": "S", "text": "T", "from_name": "F", "reply_to": "r@example.com"}
    at_once(*[lambda f=f: home.drafts.change(campaign, dict([f])) for f in fields.items()])
    row = home.campaign(campaign)
    assert {name: row[name] for name in fields} == fields


def test_sending_and_deleting_at_once_end_in_one_of_both(home: House) -> None:
    campaign = home.drafts.create(MAIL)
    at_once(lambda: home.launcher.send(campaign), lambda: home.drafts.delete(campaign))
    if home.woken:
        assert home.campaign(campaign)["status"] == "sending"
    else:
        with pytest.raises(NotFound):
            home.drafts.delete(campaign)


def test_a_draft_older_than_its_key_is_launched_once_all_the_same(home: House) -> None:
    """The seven days of a key count from the campaign's row, which may be old by then."""
    campaign = home.drafts.create(MAIL)
    home.clock.forward(KEY_KEPT_SECONDS + 60)
    first = home.launcher.send(campaign, idempotency_key="k")
    again = home.launcher.send(campaign, idempotency_key="k")
    assert (again.repeated, again.audience) == (True, first.audience)
    with pytest.raises(Conflict):
        home.launcher.send(campaign, idempotency_key="other")
    assert home.woken == [campaign]


@pytest.mark.parametrize(
    "draft",
    [
        Draft(""), MAIL, Draft("S", name="N", from_email="a@example.com", from_name="", esp="ses"),
        Draft("S", text="T", reply_to="r@example.com", segment="beta", track_opens=False),
        Draft("S", segment={"field": "tags", "op": "contains", "value": "x"}, allow_missing=True),
        Draft("x" * 300, from_name="F", track_clicks=False),
    ],
)  # fmt: skip
def test_a_row_gives_back_what_its_author_wrote(home: House, draft: Draft) -> None:
    row = home.campaign(home.drafts.create(draft))
    assert draft_of(row) == draft
    us = Identity("sandbox", "news@example.com", "News", "us@example.com")
    assert draft_of(columns(draft, us)) == draft
