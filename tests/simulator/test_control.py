"""The simulator's own routes: mailbox, ledger, numbers, limits, reset."""

import threading
from typing import Any

import pytest

from tests.simulator.rig import Rig, pm_mail, ses_bulk, sg_mail

Json = Any


def test_health_and_keys_hold_what_a_product_needs(rig: Rig) -> None:
    assert rig.get("/_health")["status"] == "ok"
    assert set(rig.keys) == {"sendgrid", "ses", "postmark"}
    assert rig.keys["sendgrid"]["api_key"].startswith("SG.")
    assert rig.keys["ses"]["access_key_id"].startswith("AKIA")
    assert rig.keys["ses"]["topic_arn"].startswith("arn:aws:sns:us-east-1:")
    assert rig.keys["ses"]["certificate_url"].startswith(rig.url)
    assert "PRIVATE" not in str(rig.keys)


def test_messages_are_filtered_and_paged_newest_first(rig: Rig) -> None:
    rig.sg_send(sg_mail([f"p{n}@x.example" for n in range(5)]))
    rig.ses.send_bulk_email(**ses_bulk(["p1@x.example"]))
    page = rig.get("/_messages", limit=4)
    rest = rig.get("/_messages", limit=4, cursor=page["next_cursor"])
    assert [m["esp"] for m in page["items"]] == ["ses", "sendgrid", "sendgrid", "sendgrid"]
    assert len(rest["items"]) == 2
    assert rest["next_cursor"] is None
    assert [m["esp"] for m in rig.messages(to="P1@x.example")] == ["ses", "sendgrid"]
    assert len(rig.messages(to="P1@x.example", esp="sendgrid")) == 1
    assert len(rig.messages(send_id="sg-p3@x.example")) == 1
    assert len(rig.messages(campaign="c1", outcome="delivered")) == 6
    assert rig.call("GET", "/_messages?esp=mailgun")[0] == 422
    assert rig.call("GET", "/_messages?limit=many")[0] == 422


def test_whoever_got_a_campaign_twice_is_named_whatever_the_esp_and_the_spelling(rig: Rig) -> None:
    rig.sg_send(sg_mail(["ann@x.example", "bob@x.example"]))
    rig.ses.send_bulk_email(**ses_bulk(["cyd@x.example"]))
    assert rig.get("/_stats")["duplicates"]["count"] == 0
    rig.pm_post("/email/batch", [pm_mail("Ann@X.example")])
    rig.sg_send(sg_mail(["bob@x.example"], campaign="c2"))
    shown = rig.get("/_stats")["duplicates"]
    assert (shown["count"], shown["copies"]) == (1, 1)
    assert shown["examples"] == [{"to": "ann@x.example", "campaign": "c1", "copies": 2}]


def test_without_a_campaign_the_send_id_tells_copies_apart(rig: Rig) -> None:
    for send_id in ("s1", "s1", "s2"):
        rig.pm_post("/email/batch", [pm_mail("ann@x.example", Metadata={"send_id": send_id})])
    for _ in range(2):
        rig.pm_post("/email/batch", [pm_mail("ann@x.example", Metadata={})])
    assert rig.get("/_stats")["duplicates"]["examples"] == [
        {"to": "ann@x.example", "campaign": "s1", "copies": 2}
    ]


def test_mail_that_could_not_be_rendered_is_no_copy(rig: Rig) -> None:
    call = ses_bulk(["ann@x.example"])
    del call["BulkEmailEntries"][0]["ReplacementEmailContent"]
    rig.ses.send_bulk_email(**call)
    rig.ses.send_bulk_email(**ses_bulk(["ann@x.example"]))
    assert rig.get("/_stats")["duplicates"]["count"] == 0


def test_the_ledger_is_one_light_row_per_send(rig: Rig) -> None:
    rig.sg_send(sg_mail(["ann@x.example", "hard+bob@x.example"]))
    rig.pm_post("/email/batch", [pm_mail("cyd@x.example", Metadata={"campaign_id": "other"})])
    rows = rig.get("/_ledger", campaign="c1")["items"]
    assert sorted((r["to"], r["esp"], r["outcome"], r["count"]) for r in rows) == [
        ("ann@x.example", "sendgrid", "delivered", 1),
        ("hard+bob@x.example", "sendgrid", "hard", 1),
    ]
    assert len(rig.get("/_ledger")["items"]) == 3
    assert {r["at"] for r in rows} == {m["at"] for m in rig.messages(campaign="c1")}


def test_numbers_count_requests_by_answer_and_messages_by_outcome(rig: Rig) -> None:
    rig.sg_send(sg_mail(["ann@x.example", "hard+bob@x.example"]))
    rig.sg_post({})
    shown = rig.get("/_stats")["esps"]["sendgrid"]
    assert shown["answers"] == {"202": 1, "400": 1}
    assert shown["requests"] == 2
    assert shown["outcomes"] == {"delivered": 1, "hard": 1}
    assert shown["distinct_recipients"] == 2
    assert shown["peak_per_second"] == 2
    assert shown["events_pending"] == 4


def test_reset_forgets_mail_and_faults_and_keeps_keys_and_limits(rig: Rig) -> None:
    rig.limits("ses", daily_quota=5)
    rig.pm_post("/email/batch", [pm_mail("ann@x.example")])
    before = rig.messages()[0]["message_id"]
    rig.fault("reset", after=100)
    assert rig.call("POST", "/_reset")[0] == 200
    assert rig.messages() == []
    assert rig.get("/_faults")["items"] == []
    assert rig.get("/_stats")["total"] == {
        "requests": 0, "accepted": 0, "events_pending": 0, "visits_pending": 0,
    }  # fmt: skip
    assert rig.get("/_keys") == rig.keys
    assert rig.get("/_limits")["ses"]["daily_quota"] == 5
    rig.pm_post("/email/batch", [pm_mail("ann@x.example")])
    assert rig.messages()[0]["message_id"] != before


def test_a_limit_that_does_not_exist_changes_nothing(rig: Rig) -> None:
    wrong: list[Json] = [{"ses": {"speed": 1}}, {"mailgun": {}}, {"ses": 1}, []]
    for wanted in wrong:
        assert rig.call("PATCH", "/_limits", wanted)[0] == 422
    assert rig.get("/_limits")["ses"]["rate_per_second"] is None


def test_unknown_routes_name_the_known_ones_and_foreign_hosts_get_nothing(rig: Rig) -> None:
    status, shown = rig.call("GET", "/_unknown")
    assert status == 404
    assert "GET /_stats" in shown["routes"]
    assert rig.call("POST", "/_faults", None)[0] == 422
    assert rig.call("GET", "/_keys", Host="evil.example")[0] == 403


def test_a_quota_holds_exactly_over_parallel_calls(rig: Rig) -> None:
    rig.limits("postmark", daily_quota=10)
    codes: list[int] = []

    def some(worker: int) -> None:
        for n in range(10):
            answer = rig.pm_post("/email/batch", [pm_mail(f"p{worker}.{n}@x.example")])[1]
            codes.append(answer[0]["ErrorCode"])

    workers = [threading.Thread(target=some, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(codes) == [0] * 10 + [405] * 30


@pytest.mark.parametrize(
    "address,same_as",
    [
        ("Ann@X.Example.", "ann@x.example"),
        ('"ann"@x.example', "ann@x.example"),
        ('"a n"@x.example', '"a n"@x.example'),
        ("Ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("A\u030a@x.example", "å@x.example"),
        ("ann+tag@x.example", "ann+tag@x.example"),
    ],
)
def test_two_spellings_of_one_mailbox_are_one_address(address: str, same_as: str) -> None:
    from simulator.addresses import canonical

    assert canonical(address) == same_as
