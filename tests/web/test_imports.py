"""Imports over HTTP: asked about, their bad rows listed, taken back."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from tests.application import READ, bearer
from tests.web.test_subscribers import Api, api, fields_of, send

__all__ = ["api"]


def test_an_import_can_be_asked_about(api: Api) -> None:
    text = "email\na@example.com\nbad\n"
    assert send(api, text, "?dry_run=true").json["import_id"] is None
    assert api("GET /subscribers/imports").json == {"items": [], "next_cursor": None}
    report = send(api, text, "?source=fair&tags=x,y").json
    known = api(f"GET /subscribers/imports/{report['import_id']}").json
    assert api("GET /subscribers/imports").json["items"] == [known]
    counts = ("received", "added", "updated", "unchanged", "skipped", "rejected", "warnings")
    assert {name: known[name] for name in counts} == {name: report[name] for name in counts}
    assert (known["status"], known["by"], known["source"]) == ("finished", "ada", "fair")
    assert (known["tags"], known["undone"]) == (["x", "y"], None)
    assert known["started_at"].endswith("Z")
    errors = api(f"GET /subscribers/imports/{report['import_id']}/errors").json
    assert errors == {"items": report["errors"], "next_cursor": None}


def test_bad_rows_come_page_by_page(api: Api) -> None:
    report = send(api, "email\n" + "bad\n" * 2_500).json
    assert (len(report["errors"]), report["more_errors"]) == (1_000, 1_500)
    seen: list[Any] = []
    query = "?limit=900"
    while True:
        page = api(f"GET /subscribers/imports/{report['import_id']}/errors{query}").json
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query = f"?limit=900&cursor={page['next_cursor']}"
    assert [error["row"] for error in seen] == list(range(2, 2_502))


def test_imports_come_page_by_page(api: Api) -> None:
    made = [send(api, f"email\np{n}@example.com\n").json["import_id"] for n in range(3)]
    first = api("GET /subscribers/imports?limit=2").json
    rest = api(f"GET /subscribers/imports?limit=2&cursor={first['next_cursor']}").json
    seen = [item["import_id"] for item in first["items"] + rest["items"]]
    assert (sorted(seen), rest["next_cursor"]) == (sorted(made), None)
    assert fields_of(api("GET /subscribers/imports?cursor=x")) == {"cursor"}


def test_an_import_is_undone(api: Api) -> None:
    report = send(api, "email\na@example.com\nb@example.com\nc@example.com\n").json
    api("POST /subscribers/b@example.com/unsubscribe", {"reason": "asked"})
    api("PATCH /subscribers/c@example.com", {"name": "Cy"})
    undone = api(f"POST /subscribers/imports/{report['import_id']}/undo").json["undone"]
    assert (undone["by"], undone["removed"]) == ("ada", 1)
    assert undone["kept"] == {"out_of_reach": 1, "acted": 0, "mailed": 0, "changed": 1}
    left = [item["email"] for item in api("GET /subscribers").json["items"]]
    assert sorted(left) == ["b@example.com", "c@example.com"]
    known = api(f"GET /subscribers/imports/{report['import_id']}").json
    assert known["undone"] == undone


@pytest.mark.parametrize("call", ["GET {}", "GET {}/errors", "POST {}/undo"])
def test_there_is_no_such_import(api: Api, call: str) -> None:
    assert api(call.format("/subscribers/imports/imp_none")).status_code == 404


def test_reading_keys_undo_nothing(client: FlaskClient) -> None:
    headers = bearer(READ)
    assert client.get("/subscribers/imports", headers=headers).status_code == 200
    assert client.post("/subscribers/imports/imp_x/undo", headers=headers).status_code == 403


def test_the_list_is_exported_and_read_back(api: Api) -> None:
    text = "email,name,tags,status\n=a@example.com,+Ann,x|y,\nb@example.com,,,bounced\n"
    send(api, text)
    answer = api("GET /subscribers/export")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert "filename=subscribers.csv" in answer.headers["Content-Disposition"]
    assert answer.text.splitlines()[1].startswith("'=a@example.com,'+Ann,active,\"x,y\",,{},")
    assert send(api, answer.text).json["unchanged"] == 2
    lines = api("GET /subscribers/export?format=jsonl&segment=x")
    assert lines.content_type == "application/x-ndjson"
    assert [line["email"] for line in map(json.loads, lines.text.splitlines())] == [
        "=a@example.com"
    ]
    rule = quote('{"field":"status","op":"=","value":"bounced"}')
    assert api(f"GET /subscribers/export?segment={rule}").text.count("@") == 1
    for query in ("format=xml", "segment={x", "segment={}", "status=erased", "colour=red"):
        assert fields_of(api(f"GET /subscribers/export?{query}")) == {query.split("=")[0]}
