"""Segments over HTTP: counted with their age, and explained person by person."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.application import READ, SEND, bearer
from tests.web.test_subscribers import Api, fields_of
from web import segments

PRO = {"field": "attributes.plan", "op": "=", "value": "pro"}


@pytest.fixture
def api(client: FlaskClient) -> Api:
    made = Api(client)
    for name, plan, status in (("ann", "pro", "active"), ("bob", "pro", "unsubscribed"),
                               ("cid", "free", "active")):  # fmt: skip
        body = {"email": f"{name}@example.com", "attributes": {"plan": plan}, "tags": ["beta"]}
        assert made("POST /subscribers", body | {"status": status}).status_code == 201
    return made


def count(api: Api, rule: Any, **more: Any) -> Any:
    text = rule if isinstance(rule, str) else json.dumps(rule)
    return api("GET /segments/count", query_string={"segment": text, **more})


def explain(api: Api, rule: Any, email: str = "ann@example.com") -> Any:
    text = rule if isinstance(rule, str) else json.dumps(rule)
    return api("GET /segments/explain", query_string={"segment": text, "email": email})


def test_saved_segments_are_listed(api: Api) -> None:
    items = {one["name"]: one["rule"] for one in api("GET /segments").json["items"]}
    assert items["engaged"] == {"field": "engagement_score", "op": ">=", "value": 40}


def test_a_count_tells_who_is_in_and_whom_a_campaign_reaches(api: Api) -> None:
    counted = count(api, PRO).json
    assert (counted["people"], counted["reached"]) == (2, 1)
    assert counted["seconds"] >= 0
    assert (count(api, "beta").json["people"], count(api, "nobody").json["people"]) == (3, 0)


def test_a_count_is_kept_for_a_while_with_its_age(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = count(api, PRO).json
    api("DELETE /subscribers/ann@example.com")
    assert count(api, dict(reversed(PRO.items()))).json == first  # the same rule
    assert count(api, PRO, fresh="true").json["people"] == 1
    assert count(api, PRO).json["people"] == 1
    monkeypatch.setattr(segments, "KEPT_SECONDS", 0.0)
    api("DELETE /subscribers/bob@example.com")
    assert count(api, PRO).json["people"] == 0


def test_only_so_many_counts_are_kept(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_KEPT", 2)
    for name in "abcd":
        count(api, name)
    kept = api._client.application.extensions["house"].extras["segment_counts"]
    assert [json.loads(key)["value"] for key in kept] == ["c", "d"]


def test_every_node_says_whether_it_holds_and_what_the_person_has(api: Api) -> None:
    rule = {"all": [PRO, {"not": {"any": [{"field": "tags", "op": "contains", "value": "vip"},
                                          {"field": "email", "op": "starts_with", "value": "b"}]}},
                    {"field": "last_open_at", "op": "newer_than", "value": "90d"}]}  # fmt: skip
    answer = explain(api, rule).json
    assert (answer["in_segment"], answer["reached"], answer["status"]) == (False, False, "active")
    root = answer["verdict"]
    assert (root["rule"], root["holds"]) == ({"rule": "all"}, False)
    plan, silent, opened = root["nodes"]
    assert plan == {"rule": PRO, "holds": True, "found": "pro", "nodes": []}
    assert (silent["rule"], silent["holds"]) == ({"rule": "not"}, True)
    [either] = silent["nodes"]
    assert [(one["holds"], one["found"]) for one in either["nodes"]] == [
        (False, ["beta"]), (False, "ann@example.com")
    ]  # fmt: skip
    assert (opened["holds"], opened["found"]) == (False, None)


def test_whoever_is_in_it_and_out_of_reach_is_told_apart(api: Api) -> None:
    answer = explain(api, PRO, "BOB@example.com").json
    assert (answer["in_segment"], answer["reached"]) == (True, False)
    assert (answer["email"], answer["status"]) == ("bob@example.com", "unsubscribed")


def test_what_cannot_be_asked_is_refused_by_name(api: Api) -> None:
    assert fields_of(count(api, "{not json")) == {"segment"}
    assert fields_of(count(api, {"field": "age", "op": "=", "value": 1})) == {"segment.field"}
    assert fields_of(api("GET /segments/count")) == {"segment"}
    assert explain(api, PRO, "nobody@example.com").status_code == 404
    assert "must have an @-sign" in explain(api, PRO, "no address").json["detail"]


@pytest.mark.parametrize("path", ["/segments", "/segments/count?segment=beta"])
def test_a_key_that_reads_may_ask_and_one_that_sends_may_not(
    client: FlaskClient, path: str
) -> None:
    assert client.get(path, headers=bearer(READ)).status_code == 200
    assert client.get(path, headers=bearer(SEND)).status_code == 403
    assert client.get(path).status_code == 401
