"""The pixel, links and the page in the browser: what they record, and what they refuse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from database.engine import DatabaseUnavailable
from database.models import campaigns, engagement
from tests.web.site import BROWSER, Site
from utils.signing import SendRef, Signer
from web.tracking import PIXEL

AGENT = {"User-Agent": BROWSER}


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    made = Site(database_url, tmp_path)
    yield made
    made.close()


def counters(site: Site, *names: str) -> list[int]:
    site.written()
    campaign = site.mailed.campaign()
    return [campaign[name] for name in names]


def test_the_pixel_is_a_gif_and_opens_once_for_each_fetch(site: Site) -> None:
    for _ in range(2):
        answer = site.client.get(f"/o/{site.tracking()}", headers=AGENT)
        assert (answer.status_code, answer.data) == (200, PIXEL)
        assert answer.headers["Content-Type"] == "image/gif"
        assert "no-store" in answer.headers["Cache-Control"]
    assert len(PIXEL) == 43
    assert counters(site, "opens_human", "unique_opens") == [2, 1]
    assert site.mailed.row().status == "delivered"
    assert site.mailed.row(1).status == "accepted"
    assert site.mailed.esp_counters() == {"opened": 2}
    (first, _) = site.mailed.rows(engagement)
    assert (first.esp, first.label, first.subscriber_id) == ("own", "human", 1)
    site.mailed.check_ledger()


def test_machines_are_no_humans(site: Site) -> None:
    url = f"/c/{site.tracking()}/1"
    site.client.head(url, headers=AGENT)
    site.client.get(url, headers={"User-Agent": "BarracudaCentral/1.0"})
    site.client.get(url, headers={"User-Agent": ""})
    site.client.get(url, headers=AGENT | {"Sec-Purpose": "prefetch;prerender"})
    site.client.get(f"/o/{site.tracking()}", headers={"User-Agent": "Mozilla/5.0"})
    names = ("clicks_human", "clicks_machine", "unique_clicks", "opens_privacy", "unique_opens")
    assert counters(site, *names) == [0, 4, 0, 1, 0]
    assert site.mailed.person().last_click_at is None


def test_a_click_goes_on_to_the_link_of_this_person(site: Site) -> None:
    answer = site.client.get(f"/c/{site.tracking(2)}/0?u=https://evil.example", headers=AGENT)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "https://example.org/a?n=Person%202"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    answer = site.client.get(f"/c/{site.tracking()}/1", headers=AGENT)
    assert answer.headers["Location"] == "https://example.org/b"
    assert counters(site, "clicks_human", "unique_clicks") == [2, 2]
    assert {row.link for row in site.mailed.rows(engagement)} == {0, 1}


ODD_TARGETS = {
    "https://пример.example/ü?q={{ name }}": "https://xn--e1afmkfd.example/%C3%BC?q=Person%200",
    "https://a.example/?a=1&region=eu&copy=2": "https://a.example/?a=1&region=eu&copy=2",
    "https://a.example/%7B%7Bname%7D%7D": "https://a.example/%7B%7Bname%7D%7D",
    "https://a.example/%E2%82%AC?x=%20#{{ name }}": "https://a.example/%E2%82%AC?x=%20#Person%200",
    "https://[::1]:8080/x": "https://[::1]:8080/x",
    "https://a.example/{{ gone }}": "https://a.example/",
}


def test_odd_targets_reach_the_browser_as_addresses(site: Site) -> None:
    with site.mailed.db.write() as connection:
        connection.execute(campaigns.update().values(links=list(ODD_TARGETS)))
    for number, wanted in enumerate(ODD_TARGETS.values()):
        answer = site.client.get(f"/c/{site.tracking()}/{number}", headers=AGENT)
        assert (answer.status_code, answer.headers["Location"]) == (302, wanted)
    site.written()


def test_head_on_a_link_is_answered_and_empty(site: Site) -> None:
    answer = site.client.head(f"/c/{site.tracking()}/1")
    assert (answer.status_code, answer.data) == (302, b"")


@pytest.mark.parametrize(
    "path", ["2", "999999999999999999999", "-1", "x", "0/", "1.0", "//evil.example", ""]
)
def test_a_link_that_does_not_exist_leads_nowhere(site: Site, path: str) -> None:
    answer = site.client.get(f"/c/{site.tracking()}/{path}", headers=AGENT)
    assert answer.status_code in {308, 404}
    assert "evil" not in answer.headers.get("Location", "")
    site.written()
    assert site.mailed.rows(engagement) == []


def bad_tokens(site: Site) -> list[str]:
    good = site.tracking()
    stranger = Signer(("other key",), "tracking").token(site.mailed.ref())
    flipped = [good[:n] + ("A" if good[n] != "A" else "B") + good[n + 1 :] for n in (0, 20, 39)]
    return ["x", "A" * 40, good[:-1], good + "A", stranger, site.consent(), *flipped, "é", "%00"]


def test_forged_tokens_record_nothing(site: Site) -> None:
    for token in bad_tokens(site):
        assert site.client.get(f"/c/{token}/1", headers=AGENT).status_code in {400, 404}
        assert site.client.get(f"/v/{token}", headers=AGENT).status_code in {400, 404}
        pixel = site.client.get(f"/o/{token}", headers=AGENT)
        assert pixel.status_code == 400 or pixel.data == PIXEL
    site.written()
    assert site.mailed.rows(engagement) == []


def test_a_token_of_a_send_that_is_gone_harms_nothing(site: Site) -> None:
    token = site.house.signers["tracking"].token(SendRef("zzzzzzzz", 1))
    assert site.client.get(f"/o/{token}", headers=AGENT).status_code == 200
    assert site.client.get(f"/c/{token}/0", headers=AGENT).status_code == 404
    assert counters(site, "opens_human") == [0]


@pytest.mark.parametrize("target", ["javascript:alert(1)", "//evil.example", "ftp://a.example/"])
def test_only_web_links_are_followed(site: Site, target: str) -> None:
    with site.mailed.db.write() as connection:
        connection.execute(campaigns.update().values(links=[target]))
    assert site.client.get(f"/c/{site.tracking()}/0", headers=AGENT).status_code == 404


def test_an_erased_persons_link_names_nobody(site: Site) -> None:
    site.mailed.lists.erase("p0@example.com", by="test")
    assert site.client.get(f"/c/{site.tracking()}/0", headers=AGENT).status_code == 404
    assert site.client.get(f"/c/{site.tracking()}/1", headers=AGENT).status_code == 302
    assert site.client.get(f"/v/{site.tracking()}", headers=AGENT).status_code == 404
    site.written()
    assert all(row.detail is None for row in site.mailed.rows(engagement))


def test_tracking_tokens_do_not_unsubscribe(site: Site) -> None:
    for path in ("unsubscribe", "preferences"):
        assert site.client.get(f"/{path}/{site.tracking()}").status_code == 404
        answer = site.client.post(f"/{path}/{site.tracking()}", data={"action": "unsubscribe"})
        assert answer.status_code == 404
    assert site.mailed.person().status == "active"


def test_a_database_that_is_gone_breaks_no_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("disk full")

    site.client.get(f"/c/{site.tracking()}/1", headers=AGENT)
    site.written()
    monkeypatch.setattr(site.house.feedback, "apply", fails)
    assert site.client.get(f"/o/{site.tracking()}", headers=AGENT).data == PIXEL
    assert site.client.get(f"/c/{site.tracking()}/1", headers=AGENT).status_code == 302
    assert counters(site, "clicks_human") == [1]


def test_the_page_in_the_browser_has_nothing_personal_to_click(site: Site) -> None:
    answer = site.client.get(f"/v/{site.tracking(1)}", headers=AGENT)
    assert answer.status_code == 200
    assert "Hi Person 1" in answer.text
    assert "https://example.org/a?n=Person%201" in answer.text
    assert "1 Main Street" in answer.text
    for personal in (site.tracking(1), site.consent(1), "/o/", "/c/", "/unsubscribe/"):
        assert personal not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "script" not in policy
    site.written()
    assert site.mailed.rows(engagement) == []
