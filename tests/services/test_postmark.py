"""Postmark's adapter: the contract, and what only Postmark does."""

import base64
import re
from typing import Any

import orjson
import pytest

from database.models import BounceKind, EventKind, Lane
from mail.message import Attachment
from services import postmark_events
from services.esp import (
    Accepted,
    Batch,
    Esp,
    EspError,
    InDoubt,
    Misconfigured,
    Refused,
    Rejected,
    Suspended,
    Throttled,
    Unavailable,
    WebhookRequest,
)
from services.postmark import Postmark, address
from simulator import Running
from simulator.wire import Json
from tests.services.esp_contract import EspContract, capabilities, content, kinds, people
from tests.services.scripted_server import Peer, ScriptedServer, answering

LOGIN = ("hook", "pässword")


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class TestPostmark(EspContract):
    name = "postmark"
    forged, unreadable = 401, 400

    def make(self, simulator: Running, **changes: Any) -> Esp:
        keys = simulator.state.keys
        login = (keys.postmark_webhook_username, keys.postmark_webhook_password)
        trusted = (LOGIN, login) if changes.pop("webhooks", True) else ()
        settings: dict[str, Any] = {
            "base_url": simulator.url, "capabilities": capabilities(self.name)
        } | changes  # fmt: skip
        return Postmark(keys.postmark_server_token, webhook_logins=trusted, **settings)

    def with_wrong_key(self, simulator: Running) -> tuple[Esp, str]:
        token = "11111111-wrong"
        return Postmark(token, capabilities(self.name), base_url=simulator.url), token

    def check_sender(self, shown: str, name: str) -> None:
        assert re.sub(r"[\\\"]", "", shown) == re.sub(
            r"[\\\"]", "", address(name, "news@example.com")
        )

    def signed(self, simulator: Running, told: Json) -> WebhookRequest:
        del simulator  # Postmark signs nothing
        return WebhookRequest({"authorization": basic(*LOGIN)}, orjson.dumps(told))

    def forgeries(self, good: WebhookRequest) -> list[WebhookRequest]:
        wrong = (basic("hook", "password"), basic("", ""), "Basic !", "Basic", "Bearer x", "")
        return [
            WebhookRequest({}, good.body),
            *(WebhookRequest({"authorization": header}, good.body) for header in wrong),
        ]

    def a_delivery(self) -> Json:
        return {
            "RecordType": "Delivery", "MessageID": "0a12", "Recipient": "ann@x.example",
            "DeliveredAt": "2026-01-01T00:00:02.1234567Z", "Details": "smtp;250 ok",
            "MessageStream": "broadcast", "Tag": "campaign-42", "Metadata": {"send_id": "s1"},
        }  # fmt: skip

    def test_either_of_two_logins_is_believed(self, simulator: Running, esp: Esp) -> None:
        keys = simulator.state.keys
        for login in (
            LOGIN, (keys.postmark_webhook_username, keys.postmark_webhook_password)
        ):  # fmt: skip
            headers = {"authorization": basic(*login)}
            body = orjson.dumps(self.a_delivery())
            [event] = esp.read_webhook(WebhookRequest(headers, body))
            assert (event.kind, event.send_id, event.at) == (
                EventKind.DELIVERED, "s1", 1767225602.123456,
            )  # fmt: skip


def bounce(kind: str) -> Json:
    return {"RecordType": "Bounce", "ID": 4323372036854775807, "Type": kind, "Email": "a@x.example"}


def change(**fields: Any) -> Json:
    return {"RecordType": "SubscriptionChange", "Recipient": "a@x.example", **fields}


BOUNCE, UNKNOWN = EventKind.BOUNCE, EventKind.UNKNOWN


@pytest.mark.parametrize(
    "told, kind, whose",
    [
        (bounce("HardBounce"), BOUNCE, BounceKind.HARD),
        (bounce("SoftBounce"), BOUNCE, BounceKind.SOFT),
        (bounce("Transient"), EventKind.DEFERRED, None),
        (bounce("SpamNotification"), BOUNCE, BounceKind.BLOCK),
        (bounce("AutoResponder"), UNKNOWN, None),
        (bounce("Unsubscribe"), EventKind.UNSUBSCRIBE, None),
        (bounce("TemplateRenderingFailed"), EventKind.FAILED, None),
        (
            change(SuppressSending=True, Origin="Recipient", SuppressionReason="ManualSuppression"),
            EventKind.UNSUBSCRIBE, None,
        ),
        (
            change(SuppressSending=True, Origin="Recipient", SuppressionReason="HardBounce"),
            UNKNOWN, None,
        ),
        (change(SuppressSending=False), EventKind.RESUBSCRIBE, None),
        ({"From": "a@x.example", "MailboxHash": "s1"}, UNKNOWN, None),
    ],
)  # fmt: skip
def test_events_in_our_words(told: Json, kind: EventKind, whose: BounceKind | None) -> None:
    [event] = postmark_events._events(told)
    assert (event.kind, event.bounce) == (kind, whose)


def test_a_bounce_is_known_by_its_id_though_it_is_larger_than_a_float_holds() -> None:
    [event] = postmark_events._events(bounce("HardBounce"))
    assert event.key == "Bounce-4323372036854775807"


def test_the_request_is_the_documented_json() -> None:
    def accept(peer: Peer) -> None:
        peer.note()
        peer.answer(200, orjson.dumps([{"ErrorCode": 0, "MessageID": "m1", "Message": "OK"}]))

    file = Attachment("a.txt", "text/plain", b"hello")
    with ScriptedServer(accept) as server:
        esp = Postmark("token", capabilities("postmark"), base_url=server.url)
        batch = Batch(content(attachments=(file,)), people(1), lane=Lane.TRANSACTIONAL)
        assert esp.send(batch).outcomes == [Accepted("m1")]
        [seen] = server.seen
    assert (seen.method, seen.path) == ("POST", "/email/batch")
    assert seen.headers["x-postmark-server-token"] == "token"
    assert seen.headers["content-type"] == seen.headers["accept"] == "application/json"
    assert orjson.loads(seen.body) == [
        {
            "From": "News <news@example.com>", "To": "person0@example.org",
            "ReplyTo": "reply@example.com", "Subject": "Hello Ann0",
            "HtmlBody": "<p>Hi Ann0, you are number 0</p>",
            "TextBody": "Hi Ann0, you are number 0", "Tag": "campaign-42",
            "MessageStream": "outbound", "TrackOpens": False, "TrackLinks": "None",
            "Metadata": {"send_id": "abcd2345-0"},
            "Headers": [
                {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
                {"Name": "List-Unsubscribe", "Value": "<https://news.example.com/u/0>"},
            ],
            "Attachments": [
                {"Name": "a.txt", "Content": "aGVsbG8=", "ContentType": "text/plain"}
            ],
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name, shown",
    [
        ("", "a@x.example"),
        ("News", "News <a@x.example>"),
        ("Zoë 🎉", '"Zoë 🎉" <a@x.example>'),
        ('Doe, "J"', '"Doe, \\"J\\"" <a@x.example>'),
    ],
)
def test_addresses_are_quoted_where_they_must_be(name: str, shown: str) -> None:
    assert address(name, "a@x.example") == shown


@pytest.mark.parametrize(
    "entry, expected",
    [
        ({"ErrorCode": 300, "Message": "Invalid 'To' address: 'x'."}, Rejected),
        ({"ErrorCode": 300, "Message": "Error parsing 'To': Illegal email"}, Rejected),
        ({"ErrorCode": 300, "Message": "Invalid 'From' address: 'x'."}, Refused),
        ({"ErrorCode": 300, "Message": "Invalid header"}, Rejected),  # the other one was accepted
        ({"ErrorCode": 406, "Message": "inactive"}, Rejected),
        ({"ErrorCode": 400, "Message": "Sender signature not found"}, Refused),
        ({"ErrorCode": 405, "Message": "Not allowed to send"}, Throttled),
        ({"ErrorCode": 412, "Message": "pending approval"}, Suspended),
        ({"ErrorCode": 413, "Message": "may not send"}, Suspended),
        ({"ErrorCode": 1226, "Message": "stream"}, Misconfigured),
        ({"ErrorCode": 100, "Message": "maintenance"}, Unavailable),
        ({"ErrorCode": 9999, "Message": "new"}, Rejected),
        ({"MessageID": "m", "Message": "Message accepted, but delivery may be delayed."}, Accepted),
        ({"Message": "?"}, InDoubt),
        ({"MessageID": "m", "ErrorCode": 9999}, InDoubt),
        (None, InDoubt),
    ],
)
def test_an_entrys_words(entry: Json, expected: type) -> None:
    good = {"ErrorCode": 0, "MessageID": "m1", "Message": "OK"}
    answer = orjson.dumps([good, entry])
    with ScriptedServer(answering(200, answer)) as server:
        esp = Postmark("token", capabilities("postmark"), base_url=server.url)
        second = kinds(esp.send(Batch(content(), people(2))))[1]
    assert second is expected


@pytest.mark.parametrize(
    "status, told, expected",
    [
        (401, {"ErrorCode": 10, "Message": "Bad token"}, Misconfigured),
        (404, {"Message": "no"}, Misconfigured),
        (422, {"ErrorCode": 412, "Message": "pending"}, Suspended),
        (422, {"ErrorCode": 405, "Message": "credits"}, Throttled),
        (422, {"ErrorCode": 402, "Message": "Invalid JSON"}, Refused),
        (422, {"ErrorCode": 300, "Message": "Invalid 'To': person0@example.org"}, Rejected),
        (302, {"ErrorCode": 0}, InDoubt),
        (404, "<html>", InDoubt),
        (200, {"ErrorCode": 0, "MessageID": "m"}, InDoubt),
        (200, [], InDoubt),
        (201, [], InDoubt),
    ],
)  # fmt: skip
def test_a_whole_requests_words(status: int, told: Json, expected: type[EspError]) -> None:
    body = orjson.dumps(told)
    with ScriptedServer(answering(status, body)) as server:
        esp = Postmark("token", capabilities("postmark"), base_url=server.url)
        assert kinds(esp.send(Batch(content(), people(1)))) == [expected]
        assert len(server.seen) == 1
