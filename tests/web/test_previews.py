"""A campaign read as one person before it leaves: the real message, with links for nobody."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from database.models import campaigns, sends
from mail.message import fill
from services.esp import Accepted, Batch
from tests.served import READ, Caller
from tests.web.test_campaigns import MAIL, Served, fields_of

LETTER = {
    "subject": "Hi {{ first_name }}",
    "html": (
        "<p>{% if plan == 'pro' %}Thank you{% else %}Try pro{% endif %}, {{ name }}</p>"
        "<a href='https://shop.example/{{ plan }}'>Shop</a>"
        "<a href='{{ unsubscribe_url }}'>Leave</a>"
    ),
}


@pytest.fixture
def served(database_url: str) -> Iterator[Served]:
    made = Served(database_url)
    yield made
    made.home.db.dispose()


def preview(served: Served, **fields: Any) -> Any:
    answer = served.api.post("/campaigns/preview", fields)
    assert answer.status_code == 200, answer.json
    return answer.json


def without_tokens(text: str) -> str:
    return re.sub(r"/([ocv]|unsubscribe|preferences)/[\w-]{40}", r"/\1/T", text)


def test_it_is_what_leaves_but_for_the_tokens(served: Served) -> None:
    """The message that an ESP gets, compared byte by byte."""
    taken: dict[str, Any] = {}

    def keep(batch: Batch) -> list[Accepted]:
        content = batch.content
        for message in batch.messages:
            taken[message.to] = {
                "subject": fill(content.subject, message.slots),
                "html": fill(content.html or (), message.slots),
                "text": fill(content.text or (), message.slots),
                "headers": dict(content.headers)
                | dict(zip(content.personal_headers, message.headers, strict=True)),
            }
        return [Accepted("id")] * len(batch.messages)

    served.home.esps["sendgrid"].always = keep
    number = served.launch(**LETTER)
    seen = preview(served, campaign_id=number, email="PERSON3@example.com")
    served.home.drain(number)
    sent = taken["Person3@example.com"]

    assert seen["subject"] == sent["subject"] == "Hi Person"
    for part in ("html", "text"):
        assert without_tokens(seen[part]) == without_tokens(sent[part])
    assert "Thank you, Person 3" in seen["html"]
    headers = {name: without_tokens(value) for name, value in sent["headers"].items()}
    shown = {name: without_tokens(value) for name, value in seen["headers"].items()}
    assert shown == headers | {"From": "news@example.com", "To": "Person3@example.com"}
    assert seen["links"] == ["https://shop.example/pro"]
    assert seen["size_bytes"] > len(seen["html"]) + len(seen["text"])
    assert (seen["person"], seen["missing"]) == (
        {"email": "Person3@example.com", "name": "Person 3"}, [],
    )  # fmt: skip


def test_its_links_act_for_nobody(served: Served) -> None:
    seen = preview(served, **LETTER, email="person3@example.com")
    urls = re.findall(r"https://a\.example(/[^\s\"'<>]+)", seen["html"] + str(seen["headers"]))
    tokens = {urlsplit(url).path.split("/")[2] for url in urls}
    signers = served.app.extensions["house"].signers
    with served.home.db.read() as connection:
        for table in (campaigns, sends):
            assert connection.execute(table.select()).all() == [], "nothing is stored"

    assert len(tokens) >= 2
    for token in tokens:
        ref = signers["tracking"].read(token) or signers["consent"].read(token)
        assert ref is not None
        assert ref.id == 0, "no send has that number"


def test_it_is_read_as_three_people(served: Served) -> None:
    seen = [
        preview(served, **LETTER, email="person1@example.com")["html"],
        preview(served, **LETTER, attributes={"name": "<Ada>", "plan": "free"})["html"],
        preview(served, **LETTER)["html"],
    ]
    assert "Thank you, Person 1" in seen[0]
    assert "Try pro, &lt;Ada&gt;" in seen[1]
    assert "Thank you, Person 0" in seen[2], "the first of the audience"
    both = preview(served, **LETTER, email="person1@example.com", attributes={"plan": "free"})
    assert "Try pro, Person 1" in both["html"]


def test_what_a_person_lacks_is_named_and_prints_nothing(served: Served) -> None:
    seen = preview(served, subject="{{ city }}!", html="<p>[{{ shoe.colour }}]</p>",
                   email="person1@example.com", allow_missing=True)  # fmt: skip
    assert seen["subject"] == "!"
    assert "[]" in seen["html"]
    assert seen["missing"] == ["city", "shoe.colour"]


def test_a_draft_that_is_not_ready_is_shown_with_its_problems_and_with_other_content(
    served: Served,
) -> None:
    body = MAIL | {"subject": "", "from_email": "x@elsewhere.example", "html": "<p>Old</p>"}
    number = served.api.post("/campaigns", body).json["id"]
    seen = preview(served, campaign_id=number, html="<p>New</p>")

    assert "New" in seen["html"]
    assert [p["field"] for p in seen["problems"]] == ["subject", "from_email"]
    assert served.api.get(f"/campaigns/{number}").json["html"] == "<p>Old</p>"


@pytest.mark.parametrize(
    "body,field",
    [
        ({"html": "{% if %}"}, "html"), ({"html": None}, "html"),
        ({"email": "stranger@example.net"}, "email"), ({"email": "no address"}, "email"),
        ({"segment": "nobody-has-this-tag"}, "email"), ({"attributes": {"": 1}}, "attributes"),
        ({"campaign_id": 0}, "campaign_id"), ({"colour": "red"}, "colour"),
        ({"html": "{% for a in (1..9999) %}{{ email }}{% for b in (1..9999) %}{% endfor %}"
                  "{% endfor %}"}, "html"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_said(sqlite_url: str, body: dict[str, Any], field: str) -> None:
    served = Served(sqlite_url)
    answer = served.api.post("/campaigns/preview", MAIL | body)
    assert (answer.status_code, fields_of(answer)) == (422, {field}), answer.json
    served.home.db.dispose()


def test_hidden_and_absent_campaigns_are_not_shown(sqlite_url: str) -> None:
    served = Served(sqlite_url)
    for number in (served.home.post(), 777):
        answer = served.api.post("/campaigns/preview", {"campaign_id": number})
        assert answer.status_code == 404
    reader = Caller(served.app.test_client(), READ)
    assert reader.post("/campaigns/preview", MAIL).status_code == 403
    served.home.db.dispose()


# POST /campaigns/test


def test_a_test_goes_to_a_few_addresses_and_is_found_by_its_send_id(served: Served) -> None:
    number = served.api.post("/campaigns", LETTER).json["id"]
    body = {"campaign_id": number, "to": ["ada@office.example"], "as": "person2@example.com"}
    answer = served.api.post("/campaigns/test", body, **{"Idempotency-Key": "t"})
    again = served.api.post("/campaigns/test", body, **{"Idempotency-Key": "t"})

    assert answer.status_code == 202
    assert answer.json["read_as"] == "Person2@example.com"
    assert again.json == answer.json
    assert again.headers["Idempotent-Replayed"] == "true"
    [one] = answer.json["sends"]
    found = served.api.get(f"/sends/{one['send_id']}").json
    assert (found["kind"], found["subject"]) == ("test", "[Test] Hi {{ first_name }}")
    listed = served.api.get("/sends?to=ada@office.example").json["items"]
    assert [(item["kind"], item["status"]) for item in listed] == [("test", "queued")]
    assert [item["id"] for item in served.api.get("/campaigns").json["items"]] == [number]
    hidden = found["campaign_id"]
    assert served.api.get(f"/campaigns/{hidden}").status_code == 404
    assert served.api.post(f"/campaigns/{hidden}/pause").status_code == 404
    assert served.home.woken == []


@pytest.mark.parametrize(
    "body,field",
    [({}, "to"), ({"to": []}, "to"), ({"to": ["a@x.example"] * 11}, "to"), ({"to": [5]}, "to.0"),
     ({"to": ["nobody"]}, "to.0"), ({"to": ["a@x.example"], "as": "x"}, "as"),
     ({"to": ["a@x.example"], "reader": "x"}, "reader")],
)  # fmt: skip
def test_a_test_to_nobody_or_as_nobody_is_refused(
    sqlite_url: str, body: dict[str, Any], field: str
) -> None:
    served = Served(sqlite_url)
    answer = served.api.post("/campaigns/test", MAIL | body)
    assert (answer.status_code, fields_of(answer)) == (422, {field}), answer.json
    served.home.db.dispose()
