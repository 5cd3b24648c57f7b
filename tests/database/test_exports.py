"""Lists as other systems export them, from end to end: what became of whom."""

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database.lifecycle import SUBSCRIBER_RANK
from database.models import SubscriberStatus as S
from list_manager import ListManager
from tests.database.test_imports import counts, put
from tests.utils.test_addresses import ONE_PERSON
from utils.person import STATUSES

LISTMONK = (
    "uuid,email,name,attributes,status,created_at,updated_at\n"
    'u-1,Ann@Example.com,Ann Lee,"{""city"": ""Berlin"", ""n"": 5}",enabled,'
    "2024-01-02 15:04:05.123456 +0000 UTC,2024-05-02 15:04:05 +0000 UTC\n"
    "u-2,bob@example.com,Bob,{},blocklisted,2024-01-02 15:04:05.9 +0530 IST,"
    "2024-05-02 15:04:05 +0000 UTC\n"
    "u-3,eve@example.com,Eve,{},disabled,2024-01-02 15:04:05 +0000 +0000,\n"
)
LEFT = (
    "uuid,email,name,attributes,status,created_at,updated_at\n"
    "u-1,ann@example.com,Ann Lee,{},enabled,2024-01-02 15:04:05 +0000 UTC,\n"
)
HEAD = (
    "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,"
    "LEID,EUID,NOTES,TAGS"
)


def test_listmonks_export(lists: ListManager) -> None:
    report = put(lists, LISTMONK)
    assert counts(report) == (3, 0, 0, 0)
    assert len(report.warnings) == 1
    ann = lists.get("ann@example.com")
    assert (ann.status, ann.name, ann.created_at) == (S.ACTIVE, "Ann Lee", 1704207845.0)
    assert ann.attributes == {"uuid": "u-1", "city": "Berlin", "n": 5}
    assert lists.get("bob@example.com").created_at == 1704207845.0 - 5.5 * 3600
    assert lists.get("bob@example.com").status is S.UNSUBSCRIBED
    assert lists.get("eve@example.com").status is S.UNSUBSCRIBED
    assert counts(put(lists, LISTMONK)) == (0, 0, 3, 0)


@pytest.mark.parametrize("first", ["left", "all"])
def test_listmonks_unsubscribed_stay_out_whichever_file_comes_first(
    lists: ListManager,
    first: str,
) -> None:
    for which in (first, "all" if first == "left" else "left"):
        if which == "left":
            put(lists, LEFT, status=S.UNSUBSCRIBED)
        else:
            put(lists, LISTMONK)
    assert lists.get("ann@example.com").status is S.UNSUBSCRIBED


def test_listmonks_api_answer(lists: ListManager) -> None:
    def member(name: str, status: str) -> dict[str, str]:
        return {"name": name, "subscription_status": status, "optin": "single"}

    people = [
        {"id": 1, "uuid": "u", "email": "a@example.com", "attribs": {"x": 1}, "status": "enabled",
         "lists": [member("News", "confirmed"), member("Offers", "unsubscribed")]},
        {"id": 2, "uuid": "v", "email": "b@example.com", "attribs": {}, "status": "enabled",
         "lists": [member("News", "unsubscribed")]},
    ]  # fmt: skip
    answer = {"data": {"results": people, "query": "", "total": 2, "per_page": 20, "page": 1}}
    assert counts(put(lists, json.dumps(answer), "json")) == (2, 0, 0, 0)
    ann = lists.get("a@example.com")
    assert (set(ann.tags), set(ann.topic_opt_outs)) == ({"News", "Offers"}, {"Offers"})
    assert lists.get("b@example.com").status is S.UNSUBSCRIBED
    assert counts(put(lists, json.dumps(people), "json")) == (0, 0, 2, 0)


def test_mailchimps_export(lists: ListManager) -> None:
    row = (
        'a@example.com,Ann,Lee,2,"2020-02-03 04:05:06",192.0.2.1,"2020-02-03 04:06:00",192.0.2.2,'
        '5,abc,,"""VIP"",""Blog, weekly"""\n'
    )
    report = put(lists, f"{HEAD}\n{row}b@example.com,,,2,,,,,,,,\n")
    assert "Mailchimp" in report.warnings[0]
    ann = lists.get("a@example.com")
    assert (ann.name, ann.status, ann.opt_in_ip) == ("Ann Lee", S.ACTIVE, "192.0.2.1")
    assert (ann.opt_in_at, set(ann.tags)) == (1580702706.0, {"VIP", "Blog, weekly"})
    assert lists.get("b@example.com").status is S.PENDING
    gone = f"{HEAD},UNSUB_TIME,UNSUB_REASON\n{row.strip()},2021-01-01 00:00:00,NORMAL\n"
    assert counts(put(lists, gone)) == (0, 1, 0, 0)
    assert lists.get("a@example.com").status is S.UNSUBSCRIBED
    put(lists, f"{HEAD},CLEAN_TIME\n{row.strip()},2021-01-01 00:00:00\n")
    put(lists, f"{HEAD}\n{row}")
    assert lists.get("a@example.com").status is S.UNSUBSCRIBED


def test_a_list_of_people_out_of_reach_takes_everybody_in_it(
    lists: ListManager,
) -> None:
    put(lists, "email,status\na@example.com,\nb@example.com,complained\n")
    text = "email,status\na@example.com,active\nb@example.com,\nc@example.com,active\n"
    assert counts(put(lists, text, status=S.UNSUBSCRIBED)) == (1, 1, 1, 0)
    assert [lists.get(f"{who}@example.com").status for who in "abc"] == [
        S.UNSUBSCRIBED,
        S.COMPLAINED,
        S.UNSUBSCRIBED,
    ]


def test_topic_opt_outs_are_taken_over_and_never_back(lists: ListManager) -> None:
    put(lists, "email,tags,topic_opt_outs\na@example.com,news|offers,offers\n")
    assert counts(put(lists, "email,topic_opt_outs\na@example.com,news\n")) == (0, 1, 0, 0)
    put(lists, '{"email":"a@example.com","topic_opt_outs":null,"tags":["news"]}', "jsonl")
    put(lists, '{"email":"a@example.com","topic_opt_outs":[]}', "jsonl")
    person = lists.get("a@example.com")
    assert set(person.topic_opt_outs) == {"news", "offers"}
    assert [entry["what"] for entry in person.history] == ["added", "topic opt-out"]
    assert person.history[1]["topic"] == "news"


def test_a_guessed_encoding_is_said(sqlite_lists: ListManager) -> None:
    text = "email,name\na@example.com,Zürich\n"
    assert put(sqlite_lists, text.encode()).warnings == []
    assert put(sqlite_lists, text.encode("utf-16")).warnings == []
    for encoding, word in (("cp1252", "Windows-1252"), ("utf-16-le", "UTF-16")):
        report = put(sqlite_lists, text.encode(encoding))
        assert word in report.warnings[0]
        assert sqlite_lists.get("a@example.com").name == "Zürich"


# Every way of saying it, in every order: nobody comes back

WORDS = sorted(STATUSES)
FORMS = ("csv", "jsonl", "json", "listmonk", "listmonk-api", "mailchimp", "own")


def said(form: str, email: str, word: str) -> tuple[str, str]:
    """One person with a status as a file of that form, and its format."""
    person = {"email": email, "status": word or None}
    if form == "csv":
        return f"Email;Status\r\n{email};{word}\r\n", "csv"
    if form == "jsonl":
        return json.dumps(person), "jsonl"
    if form == "json":
        return json.dumps([person]), "json"
    if form == "listmonk":
        return f"uuid,email,name,attributes,status\nu,{email},,{{}},{word}\n", "csv"
    if form == "listmonk-api":
        of = [{"name": "L", "subscription_status": "confirmed", "optin": "single"}]
        found: list[object] = [{**person, "uuid": "u", "attribs": {}, "lists": of}]
        return json.dumps({"data": {"results": found}}), "json"
    if form == "mailchimp":
        return (
            f"Email Address,Status,MEMBER_RATING,OPTIN_TIME\n{email},{word},2,2020-01-01\n",
            "csv",
        )
    return f"email,status,attributes,topic_opt_outs\n{email},{word},{{}},\n", "csv"


steps = st.lists(
    st.tuples(
        st.sampled_from(["", *WORDS]),
        st.sampled_from(FORMS),
        st.sampled_from([s for s in S if s is not S.ERASED]),
    ),
    min_size=1,
    max_size=6,
)


def test_no_import_in_any_form_brings_anybody_nearer(lists: ListManager) -> None:
    turn = iter(range(10_000))

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    def never_nearer(said_one_by_one: list[tuple[str, str, S]]) -> None:
        email, furthest = f"p{next(turn)}@example.com", 0
        for word, form, status in said_one_by_one:
            text, kind = said(form, email, word)
            report = put(lists, text, kind, status=status)
            assert report.rejected == 0, report.errors
            rank = SUBSCRIBER_RANK[lists.get(email).status]
            meant = SUBSCRIBER_RANK[S(STATUSES[word])] if word else 0
            furthest = max(furthest, meant, SUBSCRIBER_RANK[status])
            assert rank == furthest

    never_nearer()


def test_one_person_in_every_spelling_and_form_is_one(lists: ListManager) -> None:
    turn = itertools.cycle(FORMS)
    for spelling, form in zip(ONE_PERSON * 2, turn, strict=False):
        if "\t" in spelling or '"' in spelling:
            form = "jsonl"  # noqa: PLW2901  (the others would need their own quoting)
        text, kind = said(form, spelling, "active")
        assert put(lists, text, kind).rejected == 0, (spelling, form)
    assert lists.stats()["total"] == 1
