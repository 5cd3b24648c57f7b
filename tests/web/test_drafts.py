"""Campaigns before they leave: saved early, edited, copied, deleted, and sent once."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.served import READ, Caller
from tests.web.test_campaigns import MAIL, Served, fields_of


@pytest.fixture
def served(database_url: str) -> Iterator[Served]:
    made = Served(database_url)
    yield made
    made.home.db.dispose()


def draft(served: Served, **fields: Any) -> int:
    answer = served.api.post("/campaigns", MAIL | fields)
    assert answer.status_code == 201, answer.json
    return int(answer.json["id"])


def problems(answer: Any) -> dict[str, str]:
    return {found["field"]: found["message"] for found in answer.json["problems"]}


# Write


def test_an_empty_draft_is_kept_and_says_all_that_is_missing(served: Served) -> None:
    answer = served.api.post("/campaigns", {})

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/campaigns/{answer.json['id']}"
    assert answer.json["status"] == "draft"
    assert set(problems(answer)) == {"subject", "html"}
    assert served.home.woken == []


def test_a_draft_that_is_fine_has_no_problems_and_mails_nobody(served: Served) -> None:
    answer = served.api.post("/campaigns", MAIL | {"name": "Spring", "segment": None})

    assert answer.json["problems"] == []
    assert (answer.json["name"], answer.json["html"]) == ("Spring", MAIL["html"])
    assert (answer.json["audience"], answer.json["launched_at"]) == (0, None)
    served.home.control.heal()
    assert served.home.control.due() == ([], [])


@pytest.mark.parametrize(
    "body,field,words",
    [
        ({"subject": "a\r\nBcc: x@y.example"}, "subject", "one line"),
        ({"html": "<p>\n{% if %}"}, "html", "line 2"),
        ({"html": "<p>\n{{ shoe_size }}"}, "html", "line 2: 20 recipients have no `shoe_size`"),
        ({"from_email": "news@elsewhere.example"}, "from_email", "not one of our domains"),
        ({"reply_to": "nobody"}, "reply_to", ""),
        ({"segment": {"any": 5}}, "segment.any", ""),
        ({"segment": "nobody-has-this-tag"}, "segment", "nobody would get this"),
        ({"esp": "mailgun"}, "esp", "not configured"),
    ],
)
def test_what_a_launch_would_refuse_is_told_and_kept(
    served: Served, body: dict[str, Any], field: str, words: str
) -> None:
    kept = served.api.post("/campaigns", MAIL | body)
    number = kept.json["id"]

    assert kept.status_code == 201
    assert words in problems(kept)[field]
    assert problems(served.api.get(f"/campaigns/{number}")) == problems(kept)
    refused = served.api.post(f"/campaigns/{number}/send")
    assert refused.status_code == 422
    assert {e["field"]: e["message"] for e in refused.json["errors"]} == problems(kept)
    assert served.api.get(f"/campaigns/{number}").json["status"] == "draft"


def test_a_draft_still_refuses_what_is_no_campaign_at_all(served: Served) -> None:
    assert fields_of(served.api.post("/campaigns", {"colour": "red"})) == {"colour"}
    assert fields_of(served.api.post("/campaigns", {"subject": 5})) == {"subject"}
    assert fields_of(served.api.post("/campaigns", {"track_opens": None})) == {"track_opens"}
    assert served.api.get("/campaigns").json["items"] == []


def test_only_the_fields_of_a_patch_change(served: Served) -> None:
    number = draft(served, name="Spring", from_name="Ada", segment="beta", track_opens=False)
    changed = served.api.patch(f"/campaigns/{number}", {"html": "<p>{{ x }}</p>", "segment": None})

    assert changed.status_code == 200
    assert problems(changed) == {
        "html": "line 1: 20 recipients have no `x` (give it a default, or send with allow_missing)"
    }
    shown = served.api.get(f"/campaigns/{number}").json
    assert shown == changed.json
    assert (shown["subject"], shown["name"], shown["segment"]) == (MAIL["subject"], "Spring", None)
    assert (shown["from_name"], shown["track_opens"]) == ("Ada", False)
    assert served.api.patch(f"/campaigns/{number}", {"html": None}).json["html"] is None
    assert fields_of(served.api.patch(f"/campaigns/{number}", {"id": 9})) == {"id"}


def test_what_is_left_open_is_decided_anew_with_each_edit(served: Served) -> None:
    """The name follows the subject, the sender the settings, until the author says so."""
    number = draft(served)
    assert served.api.get(f"/campaigns/{number}").json["from_email"] == "news@example.com"
    shown = served.api.patch(f"/campaigns/{number}", {"subject": "Other"}).json
    assert (shown["name"], shown["subject"]) == ("Other", "Other")
    path = f"/campaigns/{number}"
    assert served.api.patch(path, {"from_email": "a@example.com"}).json["from_email"] == (
        "a@example.com"
    )
    assert served.api.patch(path, {"from_email": None}).json["from_email"] == "news@example.com"


def test_drafts_are_listed_and_hidden_campaigns_of_single_mails_are_not(served: Served) -> None:
    number = draft(served)
    hidden = served.home.post()

    assert [item["id"] for item in served.api.get("/campaigns").json["items"]] == [number]
    items = served.api.get("/campaigns?status=draft").json["items"]
    assert [item["id"] for item in items] == [number]
    for answer in (
        served.api.get(f"/campaigns/{hidden}"),
        served.api.patch(f"/campaigns/{hidden}", {"subject": "x"}),
        served.api.delete(f"/campaigns/{hidden}"),
        served.api.post(f"/campaigns/{hidden}/copy"),
        served.api.post(f"/campaigns/{hidden}/send"),
        served.api.patch("/campaigns/777", {}),
        served.api.delete("/campaigns/777"),
    ):
        assert answer.status_code == 404, answer.json


def test_whoever_may_only_read_writes_no_draft(served: Served) -> None:
    number = draft(served)
    reader = Caller(served.app.test_client(), READ)

    assert reader.get(f"/campaigns/{number}").status_code == 200
    for answer in (
        reader.post("/campaigns", {}), reader.patch(f"/campaigns/{number}", {}),
        reader.delete(f"/campaigns/{number}"), reader.post(f"/campaigns/{number}/copy"),
        reader.post(f"/campaigns/{number}/send"),
    ):  # fmt: skip
        assert answer.status_code == 403


# Send


def test_a_draft_is_sent_with_the_answer_of_send_campaign(served: Served) -> None:
    number = draft(served, text="Hi {{ name }}", segment=None)
    answer = served.api.post(f"/campaigns/{number}/send")

    assert answer.status_code == 202
    assert answer.json == {
        "campaign_id": number, "status": "sending", "audience": 20, "warnings": [],
        "links": {"self": f"/campaigns/{number}", "sends": f"/campaigns/{number}/sends"},
    }  # fmt: skip
    assert served.home.woken == [number]
    assert served.home.launcher.build(number)
    served.home.drain(number)
    shown = served.api.get(f"/campaigns/{number}").json
    assert (shown["status"], shown["ledger"]["accepted"]) == ("sent", 20)
    assert shown["problems"] is None
    assert shown["created_at"] <= shown["launched_at"]


def test_a_second_send_is_refused_and_a_repeated_one_gets_the_first_answer(served: Served) -> None:
    key = {"Idempotency-Key": "spring"}
    number, other = draft(served), draft(served)
    first = served.api.post(f"/campaigns/{number}/send", **key)
    again = served.api.post(f"/campaigns/{number}/send", **key)

    assert (again.status_code, again.json) == (202, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    unkeyed = served.api.post(f"/campaigns/{number}/send")
    assert (unkeyed.status_code, unkeyed.json["detail"]) == (409, f"campaign {number} is sending")
    elsewhere = served.api.post(f"/campaigns/{other}/send", **key)
    assert elsewhere.status_code == 409
    assert served.home.woken == [number]


def test_the_sender_is_that_of_the_settings_at_the_launch(served: Served) -> None:
    number = draft(served, segment="beta")
    with served.home.db.write() as connection:
        connection.exec_driver_sql("UPDATE campaigns SET from_email = 'old@example.com'")
        connection.exec_driver_sql("""UPDATE subscribers SET tags = '{"beta": 1}' WHERE id <= 3""")
    assert served.api.post(f"/campaigns/{number}/send").json["audience"] == 3
    row = served.home.campaign(number)
    assert (row["from_email"], row["topic"]) == ("news@example.com", "beta")
    assert row["segment"] == {"field": "tags", "op": "contains", "value": "beta"}


def test_what_has_left_is_neither_edited_nor_deleted(served: Served) -> None:
    number = served.launch()
    path = f"/campaigns/{number}"
    assert served.api.patch(path, {"subject": "x"}).status_code == 409
    assert served.api.delete(path).status_code == 409
    served.api.post(f"{path}/pause")
    assert "paused and was launched" in served.api.patch(path, {"subject": "x"}).json["detail"]
    assert served.api.delete(path).status_code == 409


# Delete and copy


def test_a_draft_is_deleted(served: Served) -> None:
    number = draft(served)
    gone = served.api.delete(f"/campaigns/{number}")

    assert (gone.status_code, gone.data) == (204, b"")
    assert served.api.get(f"/campaigns/{number}").status_code == 404
    assert served.api.post(f"/campaigns/{number}/send").status_code == 404
    cancelled = draft(served)
    served.api.post(f"/campaigns/{cancelled}/cancel")
    assert served.api.patch(f"/campaigns/{cancelled}", {}).status_code == 409
    assert served.api.delete(f"/campaigns/{cancelled}").status_code == 204


def test_a_copy_of_what_was_sent_is_a_draft_for_the_same_people(served: Served) -> None:
    """A tag has become a rule and a topic at the launch; the copy must keep its opt-outs."""
    with served.home.db.write() as connection:
        connection.exec_driver_sql("""UPDATE subscribers SET tags = '{"beta": 1}' WHERE id <= 3""")
    number = served.launch(segment="beta", name="Spring", track_clicks=False, esp="ses")
    copy = served.api.post(f"/campaigns/{number}/copy")

    assert copy.status_code == 201
    shown = copy.json
    assert (shown["status"], shown["name"], shown["segment"]) == ("draft", "Spring (copy)", "beta")
    assert (shown["html"], shown["track_clicks"], shown["esp"]) == (MAIL["html"], False, "ses")
    assert (shown["problems"], shown["audience"]) == ([], 0)
    sent = served.api.post(f"/campaigns/{shown['id']}/send").json
    assert (sent["audience"], served.home.campaign(sent["campaign_id"])["topic"]) == (3, "beta")
