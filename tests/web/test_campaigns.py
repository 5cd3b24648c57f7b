"""Campaigns over HTTP: launched, watched, stopped, explained."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from database import migrate
from database.engine import Database
from database.models import subscribers
from outbound.draft import NotReady
from services.esp import InDoubt, Rejected
from services.quota import Limits
from tests import house as homes
from tests.served import READ, Caller, app_of, house_of
from utils.errors import FieldError
from web.campaign_csv import safe
from web.shapes import next_cursor

MAIL = {"subject": "Hello {{ name }}", "html": "<p>Hi {{ name }}</p>"}


class Served:
    """A house with twenty people behind HTTP."""

    def __init__(self, url: str, **options: Any) -> None:
        database = Database(url)
        migrate.upgrade(database)
        self.home = homes.enter(database, **options)
        self.home.add_people(20)
        self.app = app_of(house_of(self.home))
        self.api = Caller(self.app.test_client())

    def launch(self, **fields: Any) -> int:
        answer = self.api.post("/send-campaign", MAIL | fields)
        assert answer.status_code == 202, answer.json
        number = int(answer.json["campaign_id"])
        assert self.home.launcher.build(number)
        return number


@pytest.fixture
def served(database_url: str) -> Iterator[Served]:
    made = Served(database_url)
    yield made
    made.home.db.dispose()


def fields_of(answer: Any) -> set[str]:
    assert answer.content_type == "application/problem+json"
    return {error["field"] for error in answer.json["errors"]}


# POST /send-campaign


def test_a_campaign_is_launched_and_says_where_to_look(served: Served) -> None:
    answer = served.api.post("/send-campaign", MAIL | {"text": "Hi {{ name }}", "name": "Spring"})

    assert answer.status_code == 202
    number = answer.json["campaign_id"]
    assert answer.json == {
        "campaign_id": number, "status": "sending", "audience": 20, "warnings": [],
        "links": {"self": f"/campaigns/{number}", "sends": f"/campaigns/{number}/sends"},
    }  # fmt: skip
    assert answer.headers["Location"] == f"/campaigns/{number}"
    assert served.home.woken == [number]


def test_a_preheader_and_headers_travel_and_the_author_is_warned(served: Served) -> None:
    more = {"preheader": "For {{ name }}", "headers": {"x-entity-ref-id": "42"}}
    html = {"html": "<p>Hi {{ name }}</p><img src='http://a.example/x.png' alt=''>"}
    answer = served.api.post("/send-campaign", MAIL | html | more)
    assert answer.status_code == 202, answer.json
    [warning] = answer.json["warnings"]
    assert warning.startswith("html, line 1: an image not at an https address")
    row = served.home.campaign(answer.json["campaign_id"])
    content = served.home.sender._composer.launched(row).content
    assert ("X-Entity-Ref-ID", "42") in content.headers
    assert "For " in "".join(str(piece) for piece in content.html or ())


@pytest.mark.parametrize(
    "more, field",
    [
        ({"preheader": "a\r\nb"}, "preheader"),
        ({"preheader": "{{ x"}, "preheader"),
        ({"preheader": "{{ shoe_size }}"}, "preheader"),
        ({"headers": {"Bcc": "x@example.org"}}, "headers.Bcc"),
        ({"headers": {"References": "a\r\nBcc: x@example.org"}}, "headers.References"),
        ({"headers": {"References": 7}}, "headers.References"),
        ({"headers": ["References"]}, "headers"),
    ],
)
def test_a_preheader_or_header_that_cannot_be_is_refused_by_name(
    served: Served, more: dict[str, Any], field: str
) -> None:
    answer = served.api.post("/send-campaign", MAIL | more)
    assert answer.status_code == 422
    assert fields_of(answer) == {field}


def test_a_repeated_request_gets_the_first_answer(served: Served) -> None:
    key = {"Idempotency-Key": "spring 2026"}
    first = served.api.post("/send-campaign", MAIL, **key)
    again = served.api.post("/send-campaign", MAIL, **key)
    other = served.api.post("/send-campaign", MAIL | {"subject": "Other"}, **key)

    assert again.status_code == 202
    assert again.json == first.json
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.status_code == 409
    assert len(served.api.get("/campaigns").json["items"]) == 1


@pytest.mark.parametrize(
    "body,field",
    [
        ({}, "subject"),
        ({"subject": ""}, "subject"),
        ({"subject": "a\r\nBcc: x@y.example"}, "subject"),
        ({"subject": 5}, "subject"),
        ({"html": None}, "html"),
        ({"html": "{% if %}"}, "html"),
        ({"html": "{{ shoe_size }}"}, "html"),
        ({"name": "a\nb"}, "name"),
        ({"from_email": "news@elsewhere.example"}, "from_email"),
        ({"from_email": "no address"}, "from_email"),
        ({"reply_to": "no address"}, "reply_to"),
        ({"segment": {"any": 5}}, "segment.any"),
        ({"segment": {"field": "address", "op": "=", "value": "x"}}, "segment.field"),
        ({"segment": "nobody-has-this-tag"}, "segment"),
        ({"segment": []}, "segment"),
        ({"segment": 5}, "segment"),
        ({"segment": "x" * 40_000}, "segment"),
        ({"html": ""}, "html"),
        ({"html": " \n", "text": ""}, "html"),
        ({"track_opens": "yes"}, "track_opens"),
        ({"track_clicks": 1}, "track_clicks"),
        ({"allow_missing": None}, "allow_missing"),
        ({"esp": "mailgun"}, "esp"),
        ({"scheduled_at": "2030-01-01T00:00:00Z"}, "scheduled_at"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"html": "\0"}, "html"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_stored(
    sqlite_url: str, body: dict[str, Any], field: str
) -> None:
    served = Served(sqlite_url)
    answer = served.api.post("/send-campaign", MAIL | body if body else {"html": "x"})

    assert answer.status_code == 422, answer.json
    assert any(name.startswith(field) for name in fields_of(answer)), answer.json
    assert not any("(" in name for name in fields_of(answer)), "no inner name of a library"
    assert served.api.get("/campaigns").json["items"] == []
    served.home.db.dispose()


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9"])
def test_a_bad_idempotency_key_is_refused(sqlite_url: str, key: str) -> None:
    served = Served(sqlite_url)
    answer = served.api.post("/send-campaign", MAIL, **{"Idempotency-Key": key})

    assert answer.status_code == 422
    assert fields_of(answer) == {"Idempotency-Key"}
    served.home.db.dispose()


def test_a_house_that_is_not_ready_names_each_blocker(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotReady([FieldError("POSTAL_ADDRESS", "is missing"), FieldError("PUBLIC_URL", "x")])

    monkeypatch.setattr(served.home.launcher, "launch", refuse)
    answer = served.api.post("/send-campaign", MAIL)

    assert answer.status_code == 422
    assert answer.json["type"] == "not-ready"
    assert fields_of(answer) == {"POSTAL_ADDRESS", "PUBLIC_URL"}


def test_a_key_that_may_only_read_launches_and_stops_nothing(served: Served) -> None:
    reader = Caller(served.app.test_client(), READ)
    number = served.launch()

    assert reader.post("/send-campaign", MAIL).status_code == 403
    assert reader.post(f"/campaigns/{number}/pause", {}).status_code == 403
    assert reader.get(f"/campaigns/{number}").status_code == 200
    assert Caller(served.app.test_client(), "wrong").get("/campaigns").status_code == 401


# GET /campaigns


def test_a_campaign_shows_its_ledger_by_state_and_by_esp(served: Served) -> None:
    served.home.esps["sendgrid"].answers = [
        lambda batch: [Rejected("no such mailbox"), *[InDoubt("reset")] * (len(batch.messages) - 1)]
    ]
    number = served.launch(segment={"field": "email", "op": "starts_with", "value": "person1"})
    served.home.drain(number)
    shown = served.api.get(f"/campaigns/{number}").json

    assert shown["ledger"] == {
        "queued": 0, "sending": 0, "accepted": 0, "delivered": 0, "bounced": 0, "complained": 0,
        "failed": 1, "suppressed": 0, "cancelled": 0, "in_doubt": 10,
    }  # fmt: skip
    assert shown["balanced"] is True
    assert shown["audience"] == 11
    assert shown["by_esp"]["sendgrid"]["in_doubt"] == 10
    assert shown["by_esp"]["sendgrid"]["failed"] == 1
    assert shown["engagement"] == {
        "opens": {"human": 0, "machine": 0, "privacy": 0}, "unique_opens": 0,
        "clicks": {"human": 0, "machine": 0, "privacy": 0}, "unique_clicks": 0,
        "unsubscribes": 0, "replies": 0,
    }  # fmt: skip
    assert (shown["status"], shown["phase"], shown["mode"]) == ("sent", "done", "sandbox")
    assert shown["segment"] == {"field": "email", "op": "starts_with", "value": "person1"}
    assert shown["from_email"] == "news@example.com"
    assert shown["created_at"] <= shown["launched_at"] <= shown["finished_at"]
    assert shown["finished_at"].endswith("Z")
    assert (shown["rate_per_second"], shown["eta"], shown["waiting"]) == (None, None, [])


def test_what_waits_for_an_esp_is_said_with_its_reason_and_end(database_url: str) -> None:
    limits = {name: Limits(5, None) for name in homes.NAMES}
    served = Served(database_url, limits=limits)
    number = served.launch()
    served.home.drain(number)
    shown = served.api.get(f"/campaigns/{number}").json

    assert shown["status"] == "sending"
    assert shown["ledger"]["queued"] == 5
    assert [(w["esp"], w["why"], w["recipients"]) for w in shown["waiting"]] == [
        (name, "daily limit", 5) for name in homes.NAMES
    ]
    assert all(w["until"].endswith("T00:00:00.000Z") for w in shown["waiting"])
    assert shown["eta"] is None, "today's limits end it before"
    served.home.db.dispose()


def test_recipients_wait_only_for_what_others_cannot_take(sqlite_url: str) -> None:
    limits = {"sendgrid": Limits(0, None), "ses": Limits(12, None), "postmark": Limits(0, None)}
    served = Served(sqlite_url, limits=limits)
    number = served.launch()
    waiting = served.api.get(f"/campaigns/{number}").json["waiting"]

    assert [(w["esp"], w["recipients"]) for w in waiting] == [("sendgrid", 8), ("postmark", 8)]
    served.home.db.dispose()


def test_a_campaign_pinned_to_an_esp_waits_for_that_one(sqlite_url: str) -> None:
    served = Served(sqlite_url)
    served.api.post("/esps/ses/pause", {"reason": "maintenance"})
    number = served.launch(esp="ses")
    served.home.drain(number, seconds=0.2)
    waiting = served.api.get(f"/campaigns/{number}").json["waiting"]

    assert waiting == [
        {"esp": "ses", "why": "paused: maintenance", "until": None, "recipients": 20}
    ]
    served.home.db.dispose()


def test_rate_and_end_are_told_from_what_was_handed_over(served: Served) -> None:
    number = served.launch()
    assert served.api.get(f"/campaigns/{number}").json["rate_per_second"] is None

    with served.home.db.write() as connection:
        connection.execute(
            sa.text("UPDATE sends SET handed_over_at = :at, status = 'accepted' WHERE id <= 10"),
            {"at": served.home.clock() - 5},
        )
        connection.execute(sa.text("UPDATE campaigns SET n_queued = 10, n_accepted = 10"))
    shown = served.api.get(f"/campaigns/{number}").json

    assert shown["rate_per_second"] == pytest.approx(2, rel=0.2)
    assert shown["eta"] > shown["launched_at"]
    served.home.clock.forward(120)
    stale = served.api.get(f"/campaigns/{number}").json
    assert (stale["rate_per_second"], stale["eta"]) == (None, None), "nothing left lately"


def test_campaigns_are_listed_newest_first_page_by_page(served: Served) -> None:
    numbers = [served.launch(name=f"No. {n}") for n in range(5)]
    served.api.post(f"/campaigns/{numbers[0]}/cancel")
    pages = [served.api.get("/campaigns?limit=2").json]
    while pages[-1]["next_cursor"]:
        after = pages[-1]["next_cursor"]
        pages.append(served.api.get(f"/campaigns?limit=2&cursor={after}").json)

    assert [[item["id"] for item in page["items"]] for page in pages] == [
        numbers[:2:-1], numbers[2:0:-1], numbers[:1]
    ]  # fmt: skip
    cancelled = served.api.get("/campaigns?status=cancelled").json["items"]
    assert [item["id"] for item in cancelled] == numbers[:1]


@pytest.mark.parametrize(
    "path,status",
    [
        ("/campaigns/7", 404), ("/campaigns/7/sends", 404), ("/campaigns/seven", 404),
        ("/campaigns/99999999999999999999", 422), ("/campaigns?limit=0", 422),
        ("/campaigns?cursor=x", 422), ("/campaigns?order=up", 422), ("/campaigns?status=x", 422),
        ("/campaigns/7/sends?format=xml", 422), ("/sends/abcdefgh-1", 404), ("/sends/1", 404),
        ("/campaigns/7/sends?format=csv", 404),
    ],
)  # fmt: skip
def test_what_is_not_there_or_not_understood_is_said(
    sqlite_url: str, path: str, status: int
) -> None:
    served = Served(sqlite_url)
    answer = served.api.get(path)

    assert answer.status_code == status, answer.json
    assert answer.content_type == "application/problem+json"
    served.home.db.dispose()


# Sends


def test_every_send_says_who_by_which_esp_when_and_why_not(served: Served) -> None:
    served.home.esps["sendgrid"].answers = [
        lambda batch: [Rejected("no such mailbox"), *[InDoubt("reset")] * (len(batch.messages) - 1)]
    ]
    number = served.launch()
    served.home.drain(number)
    first = served.api.get(f"/campaigns/{number}/sends?limit=15").json
    rest = served.api.get(f"/campaigns/{number}/sends?cursor={first['next_cursor']}").json
    failed = served.api.get(f"/campaigns/{number}/sends?status=failed&esp=sendgrid").json["items"]

    addresses = [item["address"] for item in first["items"] + rest["items"]]
    assert addresses == sorted(f"person{n}@example.com" for n in range(20))
    assert rest["next_cursor"] is None
    assert [item["reason"] for item in failed] == ["rejected: no such mailbox"]
    assert served.api.get(f"/campaigns/{number}/sends?esp=ses").json["items"] == []

    one = served.api.get(f"/sends/{failed[0]['send_id']}").json
    assert one["address"] == "person0@example.com"
    assert one["trail"][0]["to"] == "failed"
    assert one["trail"][0]["why"] == "rejected: no such mailbox"
    nonce, _, id_ = failed[0]["send_id"].partition("-")
    assert served.api.get(f"/sends/{nonce[::-1]}-{id_}").status_code == 404


@pytest.mark.parametrize("place", [7, "a\0b", ["a"]])
def test_a_page_of_sends_begins_only_where_one_ended(served: Served, place: object) -> None:
    number = served.launch()
    cursor = next_cursor("sends", place)
    answer = served.api.get(f"/campaigns/{number}/sends?cursor={cursor}")
    assert (answer.status_code, fields_of(answer)) == (422, {"cursor"})


@pytest.mark.parametrize("asked", [{"format": "csv"}, {"Accept": "text/csv"}])
def test_all_sends_come_as_csv(served: Served, asked: dict[str, str]) -> None:
    with served.home.db.write() as connection:
        connection.execute(
            subscribers.update().where(subscribers.c.id == 1).values(address="=1+1@example.com")
        )
    number = served.launch()
    query = "?format=csv" if "format" in asked else ""
    headers = {} if query else asked
    answer = served.api.get(f"/campaigns/{number}/sends{query}", **headers)

    assert answer.content_type == "text/csv; charset=utf-8"
    assert f"campaign-{number}-sends.csv" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    people = {f"person{n}@example.com" for n in range(1, 20)}
    assert {row["address"] for row in rows} == {"'=1+1@example.com", *people}
    assert len(rows) == 20
    assert {row["status"] for row in rows} == {"queued"}


def test_no_cell_runs_as_a_formula() -> None:
    assert [safe(cell) for cell in ("=1", "+1", "-1", "@a", "\tx", "a=1", "", None, -1)] == [
        "'=1", "'+1", "'-1", "'@a", "'\tx", "a=1", "", None, -1
    ]  # fmt: skip


# Acts


def test_pause_resume_and_cancel(served: Served) -> None:
    number = served.launch()
    paused = served.api.post(f"/campaigns/{number}/pause", {"reason": "wrong price"})
    again = served.api.post(f"/campaigns/{number}/pause")

    assert paused.status_code == 200
    assert paused.json["status"] == "paused"
    assert paused.json["status_reason"] == "paused by ops: wrong price"
    assert again.status_code == 409
    resumed = served.api.post(f"/campaigns/{number}/resume").json
    assert (resumed["status"], resumed["status_reason"]) == ("sending", "resumed by ops")
    cancelled = served.api.post(f"/campaigns/{number}/cancel").json
    assert cancelled["status"] == "cancelled"
    assert cancelled["ledger"]["cancelled"] == 20
    assert served.api.post(f"/campaigns/{number}/resume").status_code == 409
    assert served.api.post("/campaigns/77/cancel").status_code == 404
    assert fields_of(served.api.post(f"/campaigns/{number}/cancel", {"really": True})) == {"really"}


def test_failed_sends_are_retried_and_doubt_is_resolved(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.home.esps["sendgrid"].answers = [
        lambda batch: [Rejected("no"), *[InDoubt("reset")] * (len(batch.messages) - 1)]
    ]
    number = served.launch()
    served.home.drain(number)
    retried = served.api.post(f"/campaigns/{number}/retry-failed")

    assert retried.status_code == 200
    assert retried.json["moved"] == 1
    assert retried.json["campaign"]["status"] == "sending"
    assert "failed sends queued again by ops" in caplog.text
    act = f"/campaigns/{number}/resolve-in-doubt"
    assert served.api.post(act, {"action": "mark_sent", "only": "not_found"}).json["moved"] == 0
    assert served.api.post(act, {"action": "mark_sent"}).json["moved"] == 19
    assert served.home.ledger(number) == {"queued": 1, "accepted": 19}
    assert fields_of(served.api.post(act, {"action": "forget"})) == {"action"}
    assert served.api.post(act).status_code == 415
