"""Postmark as its documentation and postmarker know it."""

import time
from datetime import datetime
from typing import Any

import pytest
from postmarker.exceptions import ClientError

from tests.simulator.rig import Rig, pm_mail

Json = Any


def batch(rig: Rig, *messages: Json) -> list[Json]:
    status, answer = rig.pm_post("/email/batch", list(messages))
    assert status == 200, answer
    return list(answer)


def test_a_batch_is_answered_entry_by_entry_in_order_with_200(rig: Rig) -> None:
    with rig.postmark() as client:
        answered = client.call(
            "POST", "/email/batch",
            data=[pm_mail("Ann <ann@x.example>"), pm_mail("reject+bob@x.example"),
                  pm_mail("suppressed+cyd@x.example"), pm_mail("dan@x.example")],
        )  # fmt: skip
    assert [entry["ErrorCode"] for entry in answered] == [0, 300, 406, 0]
    assert set(answered[0]) == {"To", "SubmittedAt", "MessageID", "ErrorCode", "Message"}
    assert answered[0]["To"] == "Ann <ann@x.example>"
    assert datetime.fromisoformat(answered[0]["SubmittedAt"]).tzinfo is not None
    assert answered[1]["Message"] == "Invalid 'To' address: 'reject+bob@x.example'."
    assert "Found inactive addresses: suppressed+cyd@x.example." in answered[2]["Message"]
    assert [m["message_id"] for m in rig.messages()] == [
        answered[3]["MessageID"],
        answered[0]["MessageID"],
    ]


def test_a_single_mail_by_the_sdk_arrives_as_it_was_written(rig: Rig) -> None:
    with rig.postmark() as client:
        client.emails.send(
            From="news@a.example", To="ann@x.example", Subject="Grüße", HtmlBody="<p>ö</p>",
            TextBody="ö", Metadata={"send_id": "s1"}, Headers={"X-A": "1"}, ReplyTo="r@a.example",
            Tag="campaign-1",
        )  # fmt: skip
    read = rig.messages()[0]
    assert (read["subject"], read["html"], read["text"]) == ("Grüße", "<p>ö</p>", "ö")
    assert read["headers"] == {"X-A": "1", "Reply-To": "r@a.example"}
    assert (read["send_id"], read["campaign"]) == ("s1", "campaign-1")


def test_a_refused_single_mail_is_a_422_that_the_sdk_raises(rig: Rig) -> None:
    with rig.postmark() as client, pytest.raises(ClientError) as refused:
        client.emails.send(From="news@a.example", To="suppressed+a@x.example", TextBody="x")
    assert refused.value.error_code == 406


def test_the_token_is_checked_and_the_test_token_sends_nothing(rig: Rig) -> None:
    body = [pm_mail("ann@x.example")]
    assert rig.pm_post("/email/batch", body, X_Postmark_Server_Token="wrong") == (
        401, {"ErrorCode": 10, "Message": "Request does not contain a valid Server token."},
    )  # fmt: skip
    status, answer = rig.call("POST", "/email/batch", body, Content_Type="application/json")
    assert (status, answer["ErrorCode"]) == (401, 10)
    status, answer = rig.pm_post("/email", body[0], X_Postmark_Server_Token="POSTMARK_API_TEST")
    assert (status, answer["Message"]) == (200, "Test job accepted")
    assert rig.accepted("postmark") == 0


@pytest.mark.parametrize(
    "change,code,words",
    [
        (
            {"To": "World"},
            300,
            "Error parsing 'To': Illegal email address 'World'. It must contain the '@' symbol.",
        ),
        (
            {"To": "test@åäö.se"},
            300,
            "Error parsing 'To': Illegal email domain 'åäö.se' in address 'test@åäö.se'.",
        ),
        ({"To": "yahoo@yahoo com"}, 300, "Illegal email domain"),
        ({"To": '"a b"@x.example'}, 300, "Illegal email mailbox"),
        ({"To": ""}, 300, "Zero recipients specified"),
        ({"To": ",".join(f"p{n}@x.example" for n in range(51))}, 300, "Maximum of 50 recipients"),
        ({"From": ""}, 300, "Invalid 'From' address"),
        ({"From": "nobody"}, 300, "Error parsing 'From'"),
        (
            {"HtmlBody": None, "TextBody": ""},
            300,
            "Provide either email TextBody or HtmlBody or both.",
        ),
        ({"HtmlBody": 1}, 403, "Invalid request field(s)."),
        ({"Metadata": {"k" * 21: "v"}}, 300, "limited to 20 characters"),
        ({"Metadata": {"k": "v" * 81}}, 300, "limited to 80 characters"),
        ({"Metadata": {f"k{n}": "v" for n in range(11)}}, 300, "Maximum of 10 fields"),
        ({"Metadata": {"k": 1}}, 403, "Invalid request field(s)."),
        ({"Headers": {"X-A": "1"}}, 403, "Invalid request field(s)."),
        ({"Headers": [{"Name": "X-A", "Value": "1\r\nBcc: eve@x.example"}]}, 300, "Invalid header"),
        ({"Tag": "t" * 1001}, 300, "1000 characters"),
        ({"TrackLinks": "All"}, 300, "TrackLinks"),
        (
            {"MessageStream": "nope"},
            1235,
            "The stream provided: 'nope' does not exist on this server.",
        ),
    ],
)
def test_a_broken_rule_fails_its_entry_alone(rig: Rig, change: Json, code: int, words: str) -> None:
    answered = batch(rig, pm_mail("ann@x.example"), pm_mail("bob@x.example", **change))
    assert answered[0]["ErrorCode"] == 0
    assert answered[1]["ErrorCode"] == code
    assert words in answered[1]["Message"]
    assert set(answered[1]) == {"ErrorCode", "Message"}


def test_whole_requests_are_refused_for_count_size_type_and_junk(rig: Rig) -> None:
    message = pm_mail("ann@x.example")
    assert rig.pm_post("/email/batch", [message] * 501)[1]["ErrorCode"] == 410
    assert rig.pm_post("/email/batch", message)[1]["ErrorCode"] == 403
    token = rig.keys["postmark"]["server_token"]
    headers = {"X_Postmark_Server_Token": token, "Content_Type": "application/json"}
    status, body, _ = rig.raw("POST", "/email/batch", b"[", **headers)
    assert (status, b'"ErrorCode":402' in body) == (422, True)
    assert rig.raw("POST", "/email/batch", b"[" + b" " * 50_000_000 + b"]", **headers)[0] == 413
    assert rig.raw("POST", "/email", b" " * 10_000_001, **headers)[0] == 413
    status, body, _ = rig.raw("POST", "/email/batch", b"[]", X_Postmark_Server_Token=token)
    assert (status, b'"ErrorCode":409' in body) == (415, True)
    assert rig.pm_post("/email/batch", [], Accept="text/html")[0] == 415
    assert rig.pm_post("/unknown", {})[0] == 404
    assert rig.raw("GET", "/email/batch", **headers)[0] == 405
    assert rig.accepted("postmark") == 0


def test_messages_are_found_by_metadata_in_their_own_stream_only(rig: Rig) -> None:
    [taken] = batch(rig, pm_mail("ann@x.example", Metadata={"send_id": "s1"}, Tag="t"))
    batch(rig, pm_mail("bob@x.example", Metadata={"send_id": "s2"}))
    with rig.postmark() as client:

        def find(**query: object) -> Json:
            return client.call("GET", "/messages/outbound", count=10, offset=0, **query)

        found = find(metadata_send_id="s1", messagestream="broadcast")
        assert found["TotalCount"] == 1
        [message] = found["Messages"]
        assert message["MessageID"] == taken["MessageID"]
        assert message["Metadata"] == {"send_id": "s1"}
        assert message["Recipients"] == ["ann@x.example"]
        assert find(metadata_send_id="s1")["TotalCount"] == 0
        assert find(messagestream="broadcast", recipient="Bob@x.example")["TotalCount"] == 1
        assert find(messagestream="broadcast", tag="t")["TotalCount"] == 1
        assert find(messagestream="broadcast")["TotalCount"] == 2
        page = client.call(
            "GET", "/messages/outbound", count=1, offset=1, messagestream="broadcast"
        )
        assert (page["TotalCount"], len(page["Messages"])) == (2, 1)

        details = client.call("GET", f"/messages/outbound/{taken['MessageID']}/details")
        assert details["HtmlBody"].startswith("<p>Hi")
        assert details["MessageEvents"][0]["Type"] == "Delivered"
        assert client.call("GET", "/server")["DeliveryType"] == "Live"
        for query in ({}, {"count": 501, "offset": 0}, {"count": 1, "offset": 10_000},
                      {"count": 1, "offset": 0, "metadata_a": "1", "metadata_b": "1"}):  # fmt: skip
            with pytest.raises(ClientError) as refused:
                client.call("GET", "/messages/outbound", **query)
            assert refused.value.error_code == 700
        for unknown in ("nonsense", "00000000-0000-0000-0000-000000000001"):
            with pytest.raises(ClientError) as refused:
                client.call("GET", f"/messages/outbound/{unknown}/details")
            assert refused.value.error_code == 701


def test_the_search_index_may_lag(rig: Rig) -> None:
    rig.limits("postmark", search_lag_seconds=0.3)
    batch(rig, pm_mail("ann@x.example"))
    with rig.postmark() as client:
        query = {"count": 1, "offset": 0, "messagestream": "broadcast"}
        assert client.call("GET", "/messages/outbound", **query)["TotalCount"] == 0
        time.sleep(0.35)
        assert client.call("GET", "/messages/outbound", **query)["TotalCount"] == 1


def test_rate_credits_senders_and_suppression_are_refused_in_postmarks_words(rig: Rig) -> None:
    rig.limits("postmark", verified_senders=["b.example"])
    assert batch(rig, pm_mail("ann@x.example"))[0]["ErrorCode"] == 400
    rig.limits("postmark", verified_senders=None, daily_quota=1)
    answered = batch(rig, pm_mail("hard+ann@x.example"), pm_mail("bob@x.example"))
    assert [entry["ErrorCode"] for entry in answered] == [0, 405]
    rig.limits("postmark", daily_quota=None, suppression=True)
    answered = batch(rig, pm_mail("Hard+ann@x.example"), pm_mail("bob@x.example"))
    assert [entry["ErrorCode"] for entry in answered] == [406, 0]
    rig.limits("postmark", rate_per_second=1)
    statuses = [rig.pm_post("/email/batch", [pm_mail("ann@x.example")])[0] for _ in range(20)]
    assert 429 in statuses
    assert rig.pm_post("/email", pm_mail("ann@x.example"))[1]["ErrorCode"] in (0, 429)
