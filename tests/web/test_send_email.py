"""Single mails over HTTP: taken, refused by field, found again by id and by address."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from database import migrate
from database.audit import audit
from database.audit_check import Facts
from database.engine import Database
from tests import house as homes
from tests.served import Caller, app_of, house_of

MAIL = {"to": "Ann@example.net", "subject": "Code", "text": "Hello"}
FILE = {"filename": "a.pdf", "content_type": "application/pdf",
        "content": base64.b64encode(b"%PDF").decode()}  # fmt: skip


class Served:
    def __init__(self, url: str) -> None:
        database = Database(url)
        migrate.upgrade(database)
        self.home = homes.enter(database)
        self.api = Caller(app_of(house_of(self.home)).test_client())


@pytest.fixture
def served(database_url: str) -> Iterator[Served]:
    made = Served(database_url)
    yield made
    made.home.db.dispose()


def test_a_mail_is_stored_and_found_by_id_and_address(served: Served) -> None:
    body = MAIL | {"metadata": {"order": 7}, "tags": ["receipt"], "attachments": [FILE]}
    answer = served.api.post("/send-email", body)
    assert answer.status_code == 202, answer.json
    found = served.api.get(answer.headers["Location"]).json
    assert found["send_id"] == answer.json["send_id"]
    assert (found["status"], found["kind"]) == ("queued", "transactional")
    assert (found["metadata"], found["tags"]) == ({"order": 7}, ["receipt"])
    listed = served.api.get("/sends?to=ann@EXAMPLE.net&limit=1").json
    assert [one["send_id"] for one in listed["items"]] == [found["send_id"]]
    assert served.api.get("/campaigns").json["items"] == []


def test_a_mail_may_have_an_end(served: Served) -> None:
    body = MAIL | {"expires_at": "2199-01-01T01:00:00+01:00"}
    answer = served.api.post("/send-email", body)
    assert answer.status_code == 202, answer.json
    shown = served.api.get(answer.headers["Location"]).json
    assert shown["expires_at"] == "2199-01-01T00:00:00.000Z"


def test_a_mail_may_go_on_with_a_conversation(served: Served) -> None:
    more = {"headers": {"References": "<1@example.com>"}, "html": "<p>x</p>", "preheader": "Yes"}
    assert served.api.post("/send-email", MAIL | more).status_code == 202
    for headers in ({"To": "x@example.org"}, {"References": "a\nb"}):
        refused = served.api.post("/send-email", MAIL | {"headers": headers})
        assert refused.status_code == 422
        assert refused.json["errors"][0]["field"].startswith("headers.")


def test_the_sends_to_an_address_come_newest_first_page_by_page(served: Served) -> None:
    served.home.add_people(1)
    served.home.launch()
    ids = [served.api.post("/send-email", MAIL | {"to": "person0@example.com"}).json["send_id"]
           for _ in range(2)]  # fmt: skip
    first = served.api.get("/sends?to=Person0@example.com&limit=2").json
    rest = served.api.get(
        f"/sends?to=Person0@example.com&limit=2&cursor={first['next_cursor']}"
    ).json
    assert [one["send_id"] for one in first["items"]] == ids[::-1]
    assert [one["kind"] for one in rest["items"]] == ["campaign"]
    assert served.api.get("/sends?to=ann@example.net&since=2999-01-01T00:00:00Z").json == {
        "items": [], "next_cursor": None,
    }  # fmt: skip


def test_a_repeated_request_gets_the_first_answer(served: Served) -> None:
    key = {"Idempotency-Key": "order 7"}
    first, again = (served.api.post("/send-email", MAIL, **key) for _ in range(2))
    other = served.api.post("/send-email", MAIL | {"subject": "Other"}, **key)
    assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")
    assert other.status_code == 409


@pytest.mark.parametrize(
    "act,body",
    [
        ("pause", {}), ("resume", None), ("cancel", None), ("retry-failed", None),
        ("resolve-in-doubt", {"action": "resend"}), ("resolve-in-doubt", {"action": "mark_failed"}),
    ],
)  # fmt: skip
def test_the_campaign_behind_a_mail_is_nobodys_to_act_on(
    served: Served, act: str, body: dict[str, str] | None
) -> None:
    campaign = served.home.post()
    before = served.home.campaign(campaign)
    hidden = served.api.post(f"/campaigns/{campaign}/{act}", body)
    unknown = served.api.post(f"/campaigns/{campaign + 1}/{act}", body)
    assert (hidden.status_code, unknown.status_code) == (404, 404)
    assert hidden.json["detail"] == f"there is no campaign {campaign}"
    assert served.home.campaign(campaign) == before


@pytest.mark.parametrize("what", ["", "/sends", "/sends?format=csv"])
def test_the_campaign_behind_a_mail_is_not_shown(served: Served, what: str) -> None:
    campaign = served.home.post()
    assert served.api.get(f"/campaigns/{campaign}{what}").status_code == 404


@pytest.mark.parametrize(
    "body,field",
    [
        ({"to": "nobody"}, "to"), ({"subject": "a\nb"}, "subject"), ({"text": None}, "html"),
        ({"text": "{{ code }}"}, "text"), ({"from_email": "x@elsewhere.example"}, "from_email"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"), ({"cc": "x"}, "cc"),
        ({"on_doubt": "maybe"}, "on_doubt"), ({"tags": ["two words"]}, "tags.0"),
        ({"attachments": [FILE | {"filename": "../a"}]}, "attachments.0.filename"),
        ({"attachments": [FILE | {"content_type": "pdf"}]}, "attachments.0.content_type"),
        ({"attachments": [FILE | {"content": "no base64!"}]}, "attachments.0.content"),
        ({"attachments": [FILE] * 21}, "attachments"),
        ({"attachments": [FILE | {"content": "A" * 10_000_000}]}, "attachments"),
        ({"variables": {"a": float(2**70)}}, "variables"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(sqlite_url: str, body: dict[str, Any], field: str) -> None:
    served = Served(sqlite_url)
    answer = served.api.post("/send-email", MAIL | body)
    assert answer.status_code in {413, 422}
    if answer.status_code == 422:
        assert {error["field"] for error in answer.json["errors"]} == {field}
    served.home.db.dispose()


def in_doubt(served: Served, **more: object) -> str:
    """A mail of which nobody knows whether it left."""
    home = served.home
    for esp in home.esps.values():
        esp.always = esp.takes_but_hides_it
    send_id = str(served.api.post("/send-email", MAIL | more).json["send_id"])
    with home.db.read() as connection:
        (mail,) = connection.execute(sa.text("SELECT MAX(id) FROM campaigns")).one()
    home.sender.drain(mail, seconds=5)
    for esp in home.esps.values():
        esp.always = None
    assert served.api.get(f"/sends/{send_id}").json["status"] == "in_doubt"
    return send_id


@pytest.mark.parametrize("action,end", [("mark_sent", "accepted"), ("mark_failed", "failed")])
def test_an_operator_ends_the_doubt_about_a_mail(served: Served, action: str, end: str) -> None:
    send_id = in_doubt(served, attachments=[FILE])
    path = f"/sends/{send_id}/resolve-in-doubt"
    answer = served.api.post(path, {"action": action})
    assert (answer.status_code, answer.json["status"]) == (200, end)
    with served.home.db.read() as connection:
        files = connection.execute(sa.text("SELECT attachments FROM campaigns")).scalar_one()
    assert files is None, "it has ended"
    again = served.api.post(path, {"action": action})
    assert (again.status_code, again.json["detail"]) == (409, "that send is not in doubt")
    facts = Facts(served.home.clock(), "sandbox", 60, worker_beats=True)
    assert [one for one in audit(served.home.db, facts).findings if not one.ok] == []


def test_a_mail_that_is_resent_leaves_with_its_files(served: Served) -> None:
    send_id = in_doubt(served, attachments=[FILE])
    answer = served.api.post(f"/sends/{send_id}/resolve-in-doubt", {"action": "resend"})
    assert answer.json["status"] == "queued"
    with served.home.db.read() as connection:
        mail, files = connection.execute(sa.text("SELECT id, attachments FROM campaigns")).one()
    assert files is not None
    served.home.sender.drain(mail, seconds=5)
    found = served.api.get(f"/sends/{send_id}").json
    assert found["status"] == "accepted"
    assert any(step["why"] == "resend by ops" for step in found["trail"])


def test_a_doubt_of_a_campaign_is_not_resolved_here(served: Served) -> None:
    served.home.add_people(1)
    served.home.launch()
    (send,) = served.api.get("/sends?to=person0@example.com").json["items"]
    answer = served.api.post(f"/sends/{send['send_id']}/resolve-in-doubt", {"action": "resend"})
    assert answer.status_code == 409
    assert "belongs to a campaign" in answer.json["detail"]
    unknown = served.api.post("/sends/nonsense-1/resolve-in-doubt", {"action": "resend"})
    assert unknown.status_code == 404
