"""Each fault as a client meets it, and whether the mail was taken."""

import http.client
import socket
import time
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from python_http_client.exceptions import HTTPError

from tests.simulator.receiver import Receiver
from tests.simulator.rig import Rig, pm_mail, ses_bulk, sg_mail

Json = Any
ESPS = ("sendgrid", "ses", "postmark")


def send(rig: Rig, esp: str, people: list[str] | None = None) -> tuple[int, Json]:
    """One batch through an ESP; status and JSON of the answer."""
    people = people or ["ann@x.example"]
    if esp == "sendgrid":
        return rig.sg_post(sg_mail(people))
    if esp == "postmark":
        return rig.pm_post("/email/batch", [pm_mail(person) for person in people])
    try:
        answer = rig.ses.send_bulk_email(**ses_bulk(people))
    except ClientError as problem:
        answer = problem.response
        return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]
    return 200, answer


def sends(rig: Rig, esp: str) -> bool:
    return send(rig, esp)[0] in (200, 202)


def words(esp: str, body: Json) -> str:
    if esp == "sendgrid":
        return str(body["errors"][0]["message"])
    return str(body["Code"] if esp == "ses" else body["ErrorCode"])


@pytest.mark.parametrize(
    "kind,sendgrid,ses,postmark",
    [
        ("error_500", (500, "Internal"), (500, "InternalServiceErrorException"), (500, "0")),
        ("error_503", (503, "Unavailable"), (503, "ServiceUnavailable"), (503, "100")),
        ("throttle", (429, "too many requests"), (429, "TooManyRequestsException"), (429, "429")),
        ("bad_key", (401, "or revoked"), (403, "UnrecognizedClientException"), (401, "10")),
        ("suspended", (403, "under review"), (400, "SendingPausedException"), (422, "413")),
        ("unverified_sender", (403, "verified Sender"), (400, "MessageRejected"), (422, "400")),
        ("payload_too_large", (413, "too large"), (413, "RequestEntityTooLarge"), (413, "0")),
        ("quota", (401, "credits exceeded"), (400, "LimitExceededException"), (422, "405")),
    ],
)
def test_a_refusal_is_worded_as_each_esp_words_it_and_nothing_is_taken(
    rig: Rig, kind: str, sendgrid: Json, ses: Json, postmark: Json
) -> None:
    rig.fault(kind)
    for esp, (status, text) in zip(ESPS, (sendgrid, ses, postmark), strict=True):
        answered, body = send(rig, esp)
        assert answered == status
        assert text in words(esp, body)
        assert rig.accepted(esp) == 0
    rig.call("DELETE", "/_faults")
    assert all(sends(rig, esp) for esp in ESPS)


@pytest.mark.parametrize("esp", ESPS)
@pytest.mark.parametrize("kind,status", [("error_502", 502), ("error_504", 504)])
def test_a_gateway_answers_in_html(rig: Rig, esp: str, kind: str, status: int) -> None:
    rig.fault(kind, esp=esp)
    path = {"sendgrid": "/v3/mail/send", "ses": "/v2/email/outbound-emails", "postmark": "/email"}
    answered, body, headers = rig.raw("POST", path[esp], b"{}")
    assert (answered, headers["Content-Type"]) == (status, "text/html")
    assert b"<html>" in body


@pytest.mark.parametrize("esp", ESPS)
def test_accepted_500_takes_the_mail_and_denies_it(rig: Rig, esp: str) -> None:
    rig.fault("accepted_500", esp=esp, count=1)
    assert send(rig, esp)[0] == 500
    assert rig.accepted(esp) == 1


def test_throttle_may_say_when_to_come_back(rig: Rig) -> None:
    rig.fault("throttle", retry_after=7)
    with pytest.raises(HTTPError) as refused:
        rig.sg_send(sg_mail(["ann@x.example"]))
    assert 5 <= int(refused.value.headers["X-RateLimit-Reset"]) - time.time() <= 8
    token = rig.keys["postmark"]["server_token"]
    assert rig.raw("POST", "/email", b"{}", X_Postmark_Server_Token=token)[2]["Retry-After"] == "7"


def break_off(rig: Rig, esp: str) -> BaseException:
    """What a client sees that sends one message and loses the connection."""
    with pytest.raises((OSError, http.client.HTTPException, ConnectionClosedError)) as caught:
        send(rig, esp)
    return caught.value


@pytest.mark.parametrize("esp", ESPS)
@pytest.mark.parametrize(
    "kind,taken",
    [("reset", 0), ("accepted_reset", 1), ("reset_early", 0), ("refuse", 0)],
)
def test_a_broken_connection_takes_the_mail_or_not_as_named(
    rig: Rig, esp: str, kind: str, taken: int
) -> None:
    rig.fault(kind, esp=esp, count=1)
    break_off(rig, esp)
    assert rig.accepted(esp) == taken
    assert sends(rig, esp)


def test_a_cut_answer_hides_what_was_taken_each_client_in_its_own_way(rig: Rig) -> None:
    rig.fault("truncated", count=3)
    # A 202 has no body to cut, so the head ends within or before the message id.
    answer = rig.sg_send(sg_mail(["ann@x.example"]))
    assert answer.status_code == 202
    assert len(answer.headers["X-Message-Id"] or "") < 22
    # botocore takes half a body for an empty one.
    assert "BulkEmailEntryResults" not in send(rig, "ses")[1]
    assert isinstance(break_off(rig, "postmark"), http.client.IncompleteRead)
    assert [rig.accepted(esp) for esp in ESPS] == [1, 1, 1]


@pytest.mark.parametrize("kind,taken", [("hang", 0), ("accepted_hang", 1)])
def test_a_hanging_esp_never_answers(rig: Rig, kind: str, taken: int) -> None:
    from botocore.config import Config

    rig.fault(kind, hold_seconds=5, count=3)
    rig.sendgrid.client.timeout = 0.2
    with pytest.raises(TimeoutError):
        rig.sg_send(sg_mail(["ann@x.example"]))
    quick = Config(retries={"total_max_attempts": 1}, read_timeout=0.2, proxies={})
    with closing(rig.ses_client(config=quick)) as client, pytest.raises(ReadTimeoutError):
        client.send_bulk_email(**ses_bulk(["ann@x.example"]))
    line = http.client.HTTPConnection(urlsplit(rig.url).netloc, timeout=0.2)
    with closing(line):
        line.request("POST", "/email/batch", b"[]", {"X-Postmark-Server-Token": "x"})
        with pytest.raises(TimeoutError):
            line.getresponse()
    assert [rig.accepted(esp) for esp in ("sendgrid", "ses")] == [taken, taken]


def test_a_hang_ends_in_a_reset_after_its_time(rig: Rig) -> None:
    rig.fault("hang", esp="sendgrid", hold_seconds=0.1, count=1)
    assert isinstance(break_off(rig, "sendgrid"), ConnectionError | http.client.HTTPException)


@pytest.mark.parametrize("esp", ESPS)
def test_a_slow_esp_answers_byte_by_byte(rig: Rig, esp: str) -> None:
    rig.fault("slow", esp=esp, milliseconds=2, count=1)
    begun = time.monotonic()
    assert sends(rig, esp)
    assert time.monotonic() - begun > 0.1
    assert rig.accepted(esp) == 1


def test_a_junk_answer_and_an_empty_one_hide_what_was_taken(rig: Rig) -> None:
    rig.fault("malformed")
    _, body, _ = rig.raw(
        "POST", "/email/batch", b"[]", X_Postmark_Server_Token="x", Content_Type="application/json"
    )
    assert body.startswith(b"<html>")
    answer = rig.sg_send(sg_mail(["ann@x.example"]))
    assert (answer.status_code, answer.headers["X-Message-Id"]) == (202, None)
    rig.call("DELETE", "/_faults")
    rig.fault("empty_200")
    answer = rig.sg_send(sg_mail(["bob@x.example"]))
    assert (answer.status_code, answer.body) == (200, b"")
    assert "BulkEmailEntryResults" not in send(rig, "ses")[1]
    assert (rig.accepted("sendgrid"), rig.accepted("ses")) == (2, 1)


def test_partial_fails_every_nth_entry_and_names_it(rig: Rig) -> None:
    people = [f"p{n}@x.example" for n in range(6)]
    rig.fault("partial", every=3)
    statuses = [r["Status"] for r in send(rig, "ses", people)[1]["BulkEmailEntryResults"]]
    assert statuses == ["SUCCESS", "SUCCESS", "TRANSIENT_FAILURE"] * 2
    codes = [entry["ErrorCode"] for entry in send(rig, "postmark", people)[1]]
    assert codes == [0, 0, 100] * 2
    status, body = send(rig, "sendgrid", people)
    assert status == 400
    fields = [error["field"] for error in body["errors"]]
    assert fields == ["personalizations.2.to.0.email", "personalizations.5.to.0.email"]
    assert [rig.accepted(esp) for esp in ESPS] == [0, 4, 4]


def test_latency_adds_to_whatever_else_strikes(rig: Rig) -> None:
    rig.fault("latency", milliseconds=150)
    rig.fault("error_503")
    begun = time.monotonic()
    assert send(rig, "postmark")[0] == 503
    assert time.monotonic() - begun > 0.14


def test_a_fault_counts_waits_and_ends(rig: Rig) -> None:
    number = rig.fault("error_503", esp="postmark", after=2, count=2)
    assert [send(rig, "postmark")[0] for _ in range(6)] == [200, 200, 503, 503, 200, 200]
    assert send(rig, "sendgrid")[0] == 202
    [shown] = rig.get("/_faults")["items"]
    assert (shown["id"], shown["hits"], shown["active"]) == (number, 2, False)
    assert rig.call("DELETE", f"/_faults/{number}") == (200, {"cleared": 1})
    assert rig.call("DELETE", f"/_faults/{number}")[0] == 404

    rig.fault("error_503", seconds=0.2)
    assert send(rig, "postmark")[0] == 503
    time.sleep(0.25)
    assert send(rig, "postmark")[0] == 200


def test_chance_is_the_same_for_the_same_seed(rig: Rig) -> None:
    runs = []
    for _ in range(2):
        number = rig.fault("error_503", probability=0.5, seed=4)
        runs.append([send(rig, "postmark")[0] for _ in range(20)])
        rig.call("DELETE", f"/_faults/{number}")
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


def test_an_outage_may_cover_reads_too(rig: Rig) -> None:
    rig.fault("error_503", esp="ses", routes="all")
    with pytest.raises(ClientError):
        rig.ses.get_account()
    rig.call("DELETE", "/_faults")
    rig.fault("error_503", esp="ses")
    assert rig.ses.get_account()["SendingEnabled"]
    assert send(rig, "ses")[0] == 503


def test_a_host_that_is_down_drops_every_connection_but_the_control_route_of_an_open_one(
    rig: Rig,
) -> None:
    line = http.client.HTTPConnection(urlsplit(rig.url).netloc, timeout=2)
    with closing(line):
        line.request("GET", "/_health")
        assert line.getresponse().read()
        rig.fault("refuse", routes="all", count=2)
        for _ in range(2):
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                rig.raw("GET", "/v3/scopes")
        line.request("GET", "/_health")
        assert line.getresponse().status == 200


def test_whether_a_fault_takes_the_mail_can_be_turned_round(rig: Rig) -> None:
    rig.fault("error_503", esp="postmark", accepted=True, count=1)
    assert send(rig, "postmark")[0] == 503
    rig.fault("malformed", esp="postmark", accepted=False, count=1)
    with pytest.raises(ValueError, match="Expecting value"):
        send(rig, "postmark")
    assert rig.accepted("postmark") == 1


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"kind": "fire"},
        {"kind": "reset", "esp": "mailgun"},
        {"kind": "reset", "count": -1},
        {"kind": "reset", "routes": "some"},
        {"kind": "reset", "id": 1},
        [],
        {"kind": "partial", "every": 0},
        {"kind": "reset", "probability": "half"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(rig: Rig, wanted: Json) -> None:
    assert rig.call("POST", "/_faults", wanted)[0] == 422
    assert rig.get("/_faults")["items"] == []


def test_a_chunked_request_is_read_and_a_half_one_is_not_taken(rig: Rig) -> None:
    host = urlsplit(rig.url)
    token = rig.keys["postmark"]["server_token"]
    head = (
        f"POST /email/batch HTTP/1.1\r\nHost: {host.netloc}\r\n"
        f"Content-Type: application/json\r\nX-Postmark-Server-Token: {token}\r\n"
    )
    with socket.create_connection((host.hostname, host.port), timeout=3) as line:
        line.sendall(
            f"{head}Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n0\r\n\r\n".encode()
        )
        assert line.recv(100).startswith(b"HTTP/1.1 200")
    with socket.create_connection((host.hostname, host.port), timeout=3) as line:
        line.sendall(f"{head}Content-Length: 500\r\n\r\n[".encode())
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100) == b""


def test_webhooks_follow_mail_that_was_taken_and_denied(rig: Rig, receiver: Receiver) -> None:
    rig.webhooks(target=receiver.url)
    rig.fault("accepted_reset", esp="sendgrid", count=1)
    break_off(rig, "sendgrid")
    posts = receiver.wait("/webhooks/sendgrid", 1)
    assert posts[0].json[0]["send_id"] == "sg-ann@x.example"
