"""Leaving, coming back and choosing topics by the link in a message."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from database.models import EventKind, engagement
from tests.mailed import NONCE
from tests.web.site import BROWSER, Site
from utils.signing import SendRef, Signer
from web.consent import masked

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
BUTTON = {"action": "unsubscribe"}
UNDO = {"action": "undo"}


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    made = Site(database_url, tmp_path)
    with made.mailed.db.write() as connection:
        connection.execute(sa.text("UPDATE subscribers SET tags = :t"), {"t": json.dumps(
            {"news": 1.0, 'off"ers <b>': 2.0})})  # fmt: skip
    yield made
    made.close()


def test_get_and_head_show_a_button_and_change_nothing(site: Site) -> None:
    url = f"/unsubscribe/{site.consent()}"
    answer = site.client.get(url)
    assert answer.status_code == 200
    assert re.search(rf'<form method="post" action="{url}">\s*<button', answer.text)
    assert "<script" not in answer.text
    assert "p…@example.com" in answer.text or "P…@example.com" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    for path in ("unsubscribe", "preferences"):
        for _ in range(2):
            assert site.client.get(f"/{path}/{site.consent()}").status_code == 200
            assert site.client.head(f"/{path}/{site.consent()}").status_code == 200
    assert site.mailed.person().status == "active"
    assert site.mailed.person().history == []
    assert site.mailed.rows(engagement) == []


@pytest.mark.parametrize("multipart", [False, True])
def test_a_mail_programs_one_click_acts_before_the_answer(site: Site, multipart: bool) -> None:
    url = f"/unsubscribe/{site.consent()}"
    kind = "multipart/form-data" if multipart else "application/x-www-form-urlencoded"
    for _ in range(3):
        answer = site.client.post(url, data=ONE_CLICK, content_type=kind)
        assert (answer.status_code, answer.text) == (200, "Unsubscribed.\n")
        assert site.mailed.person().status == "unsubscribed"
    assert site.mailed.person(1).status == "active"
    assert site.mailed.campaign()["unsubscribes"] == 1
    assert site.mailed.esp_counters() == {"unsubscribed": 1}
    assert len(site.mailed.rows(engagement)) == 1
    status, evidence = site.mailed.person().history
    assert (status["what"], status["by"], status["was"]) == ("unsubscribed", "person", "active")
    assert evidence["send"] == str(site.mailed.ref())
    assert (evidence["way"], evidence["ip"]) == ("one-click", "127.0.0.1")
    assert site.mailed.row().status == "delivered"
    site.mailed.check_ledger()


@pytest.mark.parametrize("body", [b"", b"junk", b"\xff\x00", b"{}"])
def test_any_post_that_asks_nothing_else_unsubscribes(site: Site, body: bytes) -> None:
    answer = site.client.post(f"/unsubscribe/{site.consent()}", data=body)
    assert answer.status_code == 200
    assert site.mailed.person().status == "unsubscribed"


def test_the_button_leads_to_a_page_that_can_undo(site: Site) -> None:
    url = f"/unsubscribe/{site.consent()}"
    answer = site.client.post(url, data=BUTTON, headers={"User-Agent": BROWSER})
    assert "You are unsubscribed" in answer.text
    assert 'value="undo"' in answer.text
    assert 'value="undo"' in site.client.get(url).text
    assert 'value="undo"' in site.client.get(f"/preferences/{site.consent()}").text
    assert site.mailed.person().history[-1]["user_agent"] == BROWSER
    for _ in range(2):
        answer = site.client.post(url, data=UNDO)
        assert "You are subscribed again" in answer.text
        assert site.mailed.person().status == "active"
    assert site.mailed.person().history[-1]["by"] == "person"
    assert "Unsubscribe from everything" in site.client.get(url).text
    site.mailed.check_promises()
    site.client.post(url, data=BUTTON)
    assert site.mailed.person().status == "unsubscribed"
    assert site.mailed.campaign()["unsubscribes"] == 1
    site.mailed.check_promises()


def test_undo_takes_back_nothing_but_this_unsubscribe(site: Site) -> None:
    url = f"/unsubscribe/{site.consent()}"
    assert "subscribed again" in site.client.post(url, data=UNDO).text  # nothing to take back
    assert site.mailed.person().history == []
    site.client.post(url, data=BUTTON)
    site.mailed.lists.resubscribe("p0@example.com", reason="asked by phone", by="ada")
    site.mailed.lists.unsubscribe("p0@example.com", reason="asked again", by="ada")
    assert "cannot be taken back" in site.client.post(url, data=UNDO).text
    assert site.mailed.person().status == "unsubscribed"
    assert 'value="undo"' not in site.client.get(url).text


def test_undo_lifts_no_complaint(site: Site) -> None:
    url = f"/unsubscribe/{site.consent()}"
    site.client.post(url, data=BUTTON)
    site.mailed.feedback.apply([site.mailed.event(EventKind.COMPLAINT)])
    assert "cannot be taken back" in site.client.post(url, data=UNDO).text
    assert site.mailed.person().status == "complained"
    assert "You are unsubscribed" in site.client.get(url).text
    assert site.client.post(url, data=ONE_CLICK).status_code == 200
    assert site.mailed.person().status == "complained"


def test_undo_restores_what_the_person_was(site: Site) -> None:
    with site.mailed.db.write() as connection:
        connection.execute(sa.text("UPDATE subscribers SET status = 'bounced'"))
    url = f"/unsubscribe/{site.consent()}"
    site.client.post(url, data=BUTTON)
    assert site.mailed.person().status == "unsubscribed"
    site.client.post(url, data=UNDO)
    assert site.mailed.person().status == "bounced"


def test_a_second_mails_unsubscribe_is_not_taken_back_by_the_first(site: Site) -> None:
    mailed = site.mailed
    with mailed.db.write() as connection:  # as if the person's second send was row 2
        connection.execute(
            sa.text(
                "UPDATE sends SET subscriber_id = 1, address = 'p0b@example.com' WHERE id = :i"
            ),
            {"i": mailed.ids[1]},
        )
    site.client.post(f"/unsubscribe/{site.consent(0)}", data=BUTTON)
    site.client.post(f"/unsubscribe/{site.consent(1)}", data=BUTTON)
    assert mailed.campaign()["unsubscribes"] == 2
    for number in (0, 1):
        site.client.post(f"/unsubscribe/{site.consent(number)}", data=UNDO)
        assert mailed.person().status == "unsubscribed"


def test_forged_tokens_are_404(site: Site) -> None:
    good = site.consent()
    unknown = site.house.signers["consent"].token(SendRef(NONCE, 10**9))
    elsewhere = site.house.signers["consent"].token(SendRef("zzzzzzzz", site.mailed.ids[0]))
    stranger = Signer(("other key",), "consent").token(site.mailed.ref())
    for token in ("x", good[:-1], good + "A", stranger, unknown, elsewhere):
        for path in ("unsubscribe", "preferences"):
            assert site.client.get(f"/{path}/{token}").status_code == 404
            for data in (ONE_CLICK, BUTTON, UNDO, {}):
                assert site.client.post(f"/{path}/{token}", data=data).status_code == 404
    assert site.mailed.person().status == "active"


def test_an_erased_person_is_told_that_it_is_done(site: Site) -> None:
    site.mailed.lists.erase("p0@example.com", by="test")
    url = f"/unsubscribe/{site.consent()}"
    for answer in (site.client.get(url), site.client.post(url, data=BUTTON)):
        assert answer.status_code == 200
        assert "You are unsubscribed" in answer.text
        assert 'value="undo"' not in answer.text
    assert site.client.post(url, data=ONE_CLICK).status_code == 200
    assert site.client.get(f"/preferences/{site.consent()}").status_code == 200
    assert len(site.mailed.person().history) == 1
    assert site.mailed.campaign()["unsubscribes"] == 1


def test_a_strangers_mail_unsubscribes_its_address(site: Site) -> None:
    with site.mailed.db.write() as connection:
        connection.execute(
            sa.text("UPDATE sends SET subscriber_id = NULL, address = 'new@example.net'"
                    " WHERE id = :i"), {"i": site.mailed.ids[0]},
        )  # fmt: skip
    url = f"/unsubscribe/{site.consent()}"
    assert site.client.get(url).status_code == 200
    for _ in range(2):
        assert site.client.post(url, data=BUTTON).status_code == 200
    assert site.mailed.lists.get("new@example.net").status == "unsubscribed"
    assert site.mailed.campaign()["unsubscribes"] == 1


def test_topics_are_chosen_and_kept(site: Site) -> None:
    url = f"/preferences/{site.consent()}"
    page = site.client.get(url).text
    assert page.count(" checked") == 2
    assert "off&#34;ers &lt;b&gt;" in page
    answer = site.client.post(url, data={"topic": ["news", "unheard of"]})
    assert "Saved." in answer.text
    assert answer.text.count(" checked") == 1
    assert set(site.mailed.person().topic_opt_outs) == {'off"ers <b>'}
    assert set(site.mailed.person().tags) == {"news", 'off"ers <b>'}
    site.client.post(url, data={})
    assert set(site.mailed.person().topic_opt_outs) == {"news", 'off"ers <b>'}
    site.client.post(url, data={"topic": ["news", 'off"ers <b>']})
    assert site.mailed.person().topic_opt_outs == {}
    assert site.mailed.person().status == "active"
    assert [e["what"] for e in site.mailed.person().history] == [
        "topic opt-out", "topic opt-out", "topic opt-in", "topic opt-in",
    ]  # fmt: skip
    assert site.mailed.person(1).topic_opt_outs == {}


@pytest.mark.parametrize(
    "asked,lang,word",
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de", "Von allem abmelden"),
        ("fr, en;q=0.2", "en", "Unsubscribe from everything"),
        ("tlh", "en", "Unsubscribe from everything"),
        ("", "en", "Unsubscribe from everything"),
    ],
)
def test_the_page_speaks_the_readers_language(site: Site, asked: str, lang: str, word: str) -> None:
    headers = {"Accept-Language": asked}
    answer = site.client.get(f"/unsubscribe/{site.consent()}", headers=headers)
    assert f'<html lang="{lang}">' in answer.text
    assert word in answer.text
    assert answer.headers["Content-Language"] == lang
    assert f'lang="{lang}"' in site.client.get("/unsubscribe/x", headers=headers).text


def test_every_language_says_everything() -> None:
    files = list(Path("web/words").glob("*.json"))
    texts = {file.stem: json.loads(file.read_text()) for file in files}
    assert {"en", "de"} <= texts.keys()
    for language, words in texts.items():
        assert words.keys() == texts["en"].keys(), language
        for key, text in words.items():
            assert ("{address}" in text) == ("{address}" in texts["en"][key]), (language, key)


def test_an_address_is_shown_so_that_only_its_owner_knows_it() -> None:
    assert masked("ann.lee@example.com") == "a…@example.com"
    assert masked("") == ""
