"""Subscribers over HTTP: added, read, changed, forgotten, brought in as a list, counted."""

from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.application import FULL, READ, SEND, bearer

ANN = "ann@example.com"


class Api:
    """Speaks with the full key."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client

    def __call__(self, call: str, body: object = None, **more: Any) -> Any:
        method, path = call.split(" ", 1)
        given: dict[str, Any] = {"json": body} if body is not None else {}
        more.setdefault("headers", {}).update(bearer(FULL))
        return self._client.open(path, method=method, **given, **more)


@pytest.fixture
def api(client: FlaskClient) -> Api:
    return Api(client)


def fields_of(answer: Any) -> set[str]:
    assert answer.status_code == 422, answer.text
    assert answer.content_type == "application/problem+json"
    return {error["field"] for error in answer.json["errors"]}


def test_a_person_is_added_once(api: Api) -> None:
    body = {
        "email": "Ann@Example.com", "name": "Ann", "tags": ["beta"],
        "attributes": {"plan": "pro", "n": 5, "l": [1, None], "x": None},
    }  # fmt: skip
    first = api("POST /subscribers", body)
    assert first.status_code == 201
    assert first.json["email"] == "Ann@example.com"
    assert first.json["status"] == "active"
    assert first.json["tags"] == ["beta"]
    assert first.json["attributes"] == {"plan": "pro", "n": 5, "l": [1, None]}
    assert first.json["engagement_score"] == 0.0
    assert first.json["created_at"].endswith("Z")
    again = api("POST /subscribers", body)
    assert again.status_code == 200
    assert again.json == first.json
    assert api("POST /subscribers", {"email": ANN, "status": "unsubscribed"}).status_code == 200
    assert api("POST /subscribers", body | {"status": "active"}).json["status"] == "unsubscribed"


@pytest.mark.parametrize(
    "body,field",
    [
        ({}, "email"),
        ({"email": "nobody"}, "email"),
        ({"email": None}, "email"),
        ({"email": 5}, "email"),
        ({"email": "jörg@example.com"}, "email"),
        ({"email": ANN + "\r\nBcc: x@y.de"}, "email"),
        ({"email": ANN, "status": "erased"}, "status"),
        ({"email": ANN, "status": "subscribed"}, "status"),
        ({"email": ANN, "name": 5}, "name"),
        ({"email": ANN, "name": "x" * 501}, "name"),
        ({"email": ANN, "tags": "beta"}, "tags"),
        ({"email": ANN, "tags": [5]}, "tags.0"),
        ({"email": ANN, "tags": [" "]}, "tags"),
        ({"email": ANN, "tags": ["x"] * 201}, "tags"),
        ({"email": ANN, "attributes": []}, "attributes"),
        ({"email": ANN, "attributes": {"": 1}}, "attributes"),
        ({"email": ANN, "attributes": {"a": "x" * 40_000}}, "attributes"),
        ({"email": ANN, "id": 5}, "id"),
    ],
)
def test_bad_fields_are_named(api: Api, body: dict[str, Any], field: str) -> None:
    assert fields_of(api("POST /subscribers", body)) == {field}
    assert api("GET /subscribers").json["items"] == []


def test_a_person_is_read_with_a_timeline_in_any_spelling(api: Api) -> None:
    api("POST /subscribers", {"email": ANN})
    for spelling in (ANN, "ANN@EXAMPLE.COM", "%22ann%22@example.com", "ann@example.com."):
        found = api(f"GET /subscribers/{spelling}")
        assert found.status_code == 200
        assert [entry["what"] for entry in found.json["timeline"]] == ["added"]
        assert found.json["timeline"][0]["by"] == "ada"
    odd = "a/b?c#d+e@example.com"
    api("POST /subscribers", {"email": odd})
    assert api("GET /subscribers/a%2Fb%3Fc%23d+e@example.com").json["email"] == odd
    assert api("GET /subscribers/nobody@example.com").status_code == 404
    assert api("GET /subscribers/nobody").status_code == 404


def test_a_patch_keeps_what_it_does_not_name(api: Api) -> None:
    api("POST /subscribers", {"email": ANN, "name": "Ann", "tags": ["a"], "attributes": {"x": 1}})
    assert api(f"PATCH /subscribers/{ANN}", {}).json["name"] == "Ann"
    changed = api(
        f"PATCH /subscribers/{ANN}",
        {"name": None, "tags": ["b"], "attributes": {"x": None, "y": 2}},
    )
    assert changed.status_code == 200
    assert (changed.json["name"], changed.json["tags"]) == ("", ["b"])
    assert changed.json["attributes"] == {"y": 2}
    assert api(f"PATCH /subscribers/{ANN}", {"tags": None, "attributes": None}).json["tags"] == []
    assert fields_of(api(f"PATCH /subscribers/{ANN}", {"email": "x@y.de"})) == {"email"}
    assert api("PATCH /subscribers/nobody@example.com", {}).status_code == 404


def test_leaving_and_coming_back(api: Api) -> None:
    api("POST /subscribers", {"email": ANN})
    why = {"reason": "asked by phone"}
    assert fields_of(api(f"POST /subscribers/{ANN}/unsubscribe", {})) == {"reason"}
    gone = api(f"POST /subscribers/{ANN}/unsubscribe", why)
    assert (gone.status_code, gone.json["status"]) == (200, "unsubscribed")
    assert gone.json["status_reason"] == "asked by phone"
    assert api(f"PATCH /subscribers/{ANN}", {"status": "active"}).status_code == 409
    back = api(f"POST /subscribers/{ANN}/resubscribe", {"reason": "asked again"})
    assert back.json["status"] == "active"
    history = api(f"GET /subscribers/{ANN}").json["timeline"]
    assert sorted(entry["what"] for entry in history) == ["active", "added", "unsubscribed"]


def test_an_erased_person_is_gone_and_stays_away(api: Api) -> None:
    api("POST /subscribers", {"email": ANN})
    assert api(f"DELETE /subscribers/{ANN}").status_code == 204
    assert api(f"DELETE /subscribers/{ANN}").status_code == 404
    assert api(f"GET /subscribers/{ANN}").status_code == 404
    assert api("POST /subscribers", {"email": ANN.upper()}).status_code == 409
    report = send(api, f"email\n{ANN}\n").json
    assert (report["skipped"], report["errors"][0]["row"]) == (1, 2)


def test_a_list_goes_slice_by_slice(api: Api) -> None:
    send(api, "email,status,tags\n" + "".join(
        f"p{n}@example.com,{'bounced' if n == 3 else ''},{'odd' if n % 2 else ''}\n"
        for n in range(5)
    ))  # fmt: skip
    seen, cursor = [], ""
    while True:
        answer = api(f"GET /subscribers?limit=2{cursor}").json
        seen += [item["email"] for item in answer["items"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert sorted(seen) == [f"p{n}@example.com" for n in range(5)]

    def count(query: str) -> int:
        return len(api(f"GET /subscribers?{query}").json["items"])

    assert count("status=bounced") == 1
    assert count("tag=odd") == 2
    assert count("q=P4") == 1
    assert count("tag=odd&status=active") == 1
    for query in ("limit=0", "limit=x", "cursor=x", "status=dead", "page=2"):
        assert fields_of(api(f"GET /subscribers?{query}")) == {query.split("=")[0]}


def test_statistics(api: Api) -> None:
    send(api, "email,tags\na@gmail.com,x\nb@example.com,\n")
    stats = api("GET /subscriber-stats").json
    assert stats["total"] == stats["by_status"]["active"] == 2
    assert stats["by_mailbox_provider"] == {"gmail": 1, "other": 1}
    assert stats["by_tag"] == {"x": 1}


# Lists


def send(api: Api, text: str | bytes, query: str = "", kind: str = "text/csv") -> Any:
    raw = text if isinstance(text, bytes) else text.encode()
    return api(f"POST /subscribers/import{query}", data=raw, content_type=kind)


@pytest.mark.parametrize(
    "kind,text",
    [
        ("text/csv", "Email;Name\na@example.com;Ann\nbad;x\n"),
        ("text/csv; charset=utf-8", "email,name\na@example.com,Ann\nbad,x\n"),
        ("application/x-ndjson", '{"email":"a@example.com","name":"Ann"}\n{"email":"bad"}\n'),
        ("application/jsonl", '{"email":"a@example.com","name":"Ann"}\n{"email":"bad"}\n'),
        ("application/json", '[{"email":"a@example.com","name":"Ann"},{"email":"bad"}]'),
    ],
)
def test_a_list_is_brought_in(api: Api, kind: str, text: str) -> None:
    dry = send(api, text, "?dry_run=true", kind).json
    assert (dry["dry_run"], dry["added"], dry["rejected"]) == (True, 1, 1)
    assert api("GET /subscribers").json["items"] == []
    report = send(api, text, "?tags=x,%20y&source=fair", kind).json
    assert (report["received"], report["added"], report["rejected"]) == (2, 1, 1)
    assert report["errors"][0]["field"].lower() == "email"
    assert report["import_id"].startswith("imp_")
    person = api("GET /subscribers/a@example.com").json
    assert (person["name"], person["tags"]) == ("Ann", ["x", "y"])
    assert person["timeline"][0]["source"] == "fair"
    assert send(api, text, "?tags=x,%20y&source=fair", kind).json["unchanged"] == 1


def test_a_form_may_carry_the_file(api: Api) -> None:
    kinds = ("text/csv", "application/vnd.ms-excel", "application/octet-stream")
    for name, kind in ((name, kind) for name in ("list.csv", "LIST.TSV") for kind in kinds):
        form = {"file": (BytesIO(b"email\na@example.com\n"), name, kind)}
        assert api("POST /subscribers/import", data=form).json["received"] == 1
    empty = api("POST /subscribers/import", data={"x": "y"}, content_type="multipart/form-data")
    assert empty.status_code in {415, 422}


def test_a_large_list_is_streamed_past_the_limit_of_requests(api: Api) -> None:
    rows = 60_000
    text = "email,note\n" + "".join(f"p{n}@example.com,{'x' * 400}\n" for n in range(rows))
    report = send(api, text, "?dry_run=true")
    assert report.status_code == 200, report.text
    assert report.json["added"] == rows


def test_a_list_that_is_none_is_refused(api: Api) -> None:
    assert send(api, "email\n", kind="application/pdf").status_code == 415
    assert fields_of(send(api, "email\n", "?format=xml")) == {"format"}
    assert fields_of(send(api, "")) == {"file"}
    assert fields_of(send(api, "email\n", "?status=erased")) == {"status"}
    assert fields_of(send(api, "email\n", f"?tags={'x' * 101}")) == {"tags"}
    assert fields_of(send(api, "email\n", "?colour=red")) == {"colour"}


def test_keys_reach_what_they_are_for(client: FlaskClient) -> None:
    assert client.get("/subscribers").status_code == 401
    assert client.get("/subscribers", headers=bearer(READ)).status_code == 200
    body = {"email": ANN}
    assert client.post("/subscribers", json=body, headers=bearer(READ)).status_code == 403
    assert client.post("/subscribers", json=body, headers=bearer(SEND)).status_code == 403
