"""SendGrid's adapter: the contract, and what only SendGrid does."""

import base64
import time
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from database.models import BounceKind, EventKind
from mail.message import Attachment
from services import sendgrid_events
from services.esp import Accepted, Batch, Esp, Refused, Rejected, WebhookRefused, WebhookRequest
from services.sendgrid import SendGrid
from simulator import Running
from simulator.wire import Json
from tests.services.esp_contract import EspContract, capabilities, content, kinds, message, people
from tests.services.scripted_server import Peer, ScriptedServer

ACCEPTED, FAILED, BOUNCE = EventKind.ACCEPTED, EventKind.FAILED, EventKind.BOUNCE
COMPLAINT, UNSUBSCRIBE = EventKind.COMPLAINT, EventKind.UNSUBSCRIBE
RESUBSCRIBE = EventKind.RESUBSCRIBE
HARD, SOFT, BLOCK = BounceKind.HARD, BounceKind.SOFT, BounceKind.BLOCK


class TestSendGrid(EspContract):
    name = "sendgrid"
    forged, unreadable = 403, 400
    answers_each = False

    def make(self, simulator: Running, **changes: Any) -> Esp:
        keys = simulator.state.keys
        trusted = (keys.sendgrid_public_key,) if changes.pop("webhooks", True) else ()
        settings: dict[str, Any] = {
            "base_url": simulator.url, "capabilities": capabilities(self.name)
        } | changes  # fmt: skip
        return SendGrid(keys.sendgrid_api_key, webhook_public_keys=trusted, **settings)

    def with_wrong_key(self, simulator: Running) -> tuple[Esp, str]:
        key = "SG.wrong.secret"
        return SendGrid(key, capabilities(self.name), base_url=simulator.url), key

    def signed(self, simulator: Running, told: Json) -> WebhookRequest:
        private = simulator.state.keys.sendgrid_private_pem
        return signed(private, orjson.dumps([told]) + b"\r\n", int(time.time()))

    def forgeries(self, good: WebhookRequest) -> list[WebhookRequest]:
        name, stamp = sendgrid_events.SIGNATURE, sendgrid_events.TIMESTAMP
        changes = ({name: "!!!"}, {name: ""}, {stamp: ""}, {stamp: "1"}, {name: "AAAA"})
        return [
            WebhookRequest(good.headers, good.body.replace(b"s1", b"s2")),
            *(WebhookRequest({**good.headers, **change}, good.body) for change in changes),
            WebhookRequest({}, good.body),
        ]

    def a_delivery(self) -> Json:
        return {
            "email": "ann@x.example", "timestamp": int(time.time()), "event": "delivered",
            "response": "250 OK", "sg_event_id": "ev2", "sg_message_id": "Xmid.recvd-1",
            "send_id": "s1",
        }  # fmt: skip

    def test_one_odd_event_never_loses_the_others(self, simulator: Running, esp: Esp) -> None:
        private = simulator.state.keys.sendgrid_private_pem
        body = orjson.dumps([3, None, self.a_delivery(), {"event": []}, "x"])
        events = esp.read_webhook(signed(private, body, int(time.time())))
        assert [e.kind for e in events].count(EventKind.DELIVERED) == 1
        assert len(events) == 5
        assert len({event.key for event in events}) == 5

    def test_an_old_call_is_a_replay(self, simulator: Running, esp: Esp) -> None:
        private = simulator.state.keys.sendgrid_private_pem
        body = orjson.dumps([self.a_delivery()])
        for seconds in (-25 * 3600, 2 * 3600):
            with pytest.raises(WebhookRefused, match="too old"):
                esp.read_webhook(signed(private, body, int(time.time() + seconds)))

    def test_either_of_two_keys_is_believed(self, simulator: Running) -> None:
        other = ec.generate_private_key(ec.SECP256R1())
        esp = SendGrid(
            "k", capabilities(self.name),
            webhook_public_keys=(public(other), simulator.state.keys.sendgrid_public_key),
        )  # fmt: skip
        assert esp.read_webhook(self.signed(simulator, self.a_delivery()))


def public(key: ec.EllipticCurvePrivateKey) -> str:
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def signed(private_pem: str, body: bytes, at: int) -> WebhookRequest:
    key = serialization.load_pem_private_key(private_pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(str(at).encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = {
        sendgrid_events.TIMESTAMP: str(at),
        sendgrid_events.SIGNATURE: base64.b64encode(signature).decode(),
    }
    return WebhookRequest(headers, body)


#: From the tests of SendGrid's own Python library (sendgrid-python, test_eventwebhook.py).
VECTOR_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+"
    "2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
)
VECTOR_SIGNATURE = (
    "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtE"
    "ZtM="
)
VECTOR_BODY = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":'
    b'"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":'
    b'"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":'
    b'"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)


def test_sendgrids_published_signature_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.sendgrid_events.time.time", lambda: 1600112600.0)
    esp = SendGrid("k", capabilities("sendgrid"), webhook_public_keys=[VECTOR_KEY])
    headers = {
        sendgrid_events.TIMESTAMP: "1600112502",
        sendgrid_events.SIGNATURE: VECTOR_SIGNATURE,
    }
    [event] = esp.read_webhook(WebhookRequest(headers, VECTOR_BODY))
    assert (event.kind, event.bounce) == (EventKind.BOUNCE, BounceKind.HARD)
    assert event.address == "hello@world.com"
    assert event.message_id == "LRzXl_NHStOGhQ4kofSm_A"
    assert event.at == 1600112492
    with pytest.raises(WebhookRefused):
        esp.read_webhook(WebhookRequest(headers, VECTOR_BODY.rstrip()))


@pytest.mark.parametrize(
    "told, kind, bounce",
    [
        ({"event": "processed"}, ACCEPTED, None),
        ({"event": "bounce", "type": "bounce", "status": "5.1.1"}, BOUNCE, HARD),
        ({"event": "bounce"}, BOUNCE, HARD),
        ({"event": "bounce", "status": "4.2.2"}, BOUNCE, SOFT),
        ({"event": "bounce", "type": "expired"}, BOUNCE, SOFT),
        (
            {"event": "bounce", "bounce_classification": "Mailbox Unavailable", "status": "5.2.2"},
            BOUNCE, SOFT,
        ),
        ({"event": "bounce", "type": "blocked", "status": "5.7.1"}, BOUNCE, BLOCK),
        ({"event": "bounce", "type": "blocked", "status": "5.2.1"}, BOUNCE, SOFT),
        ({"event": "dropped", "reason": "Invalid"}, BOUNCE, HARD),
        ({"event": "dropped", "reason": "Spam Content"}, BOUNCE, BLOCK),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, COMPLAINT, None),
        ({"event": "dropped", "reason": "Recipient List over Package Quota"}, FAILED, None),
        ({"event": "dropped", "reason": "something new"}, FAILED, None),
        ({"event": "spamreport"}, COMPLAINT, None),
        ({"event": "group_unsubscribe"}, UNSUBSCRIBE, None),
        ({"event": "group_resubscribe"}, RESUBSCRIBE, None),
    ],
)  # fmt: skip
def test_events_in_our_words(told: Json, kind: EventKind, bounce: BounceKind | None) -> None:
    [event] = sendgrid_events._events(told)
    assert (event.kind, event.bounce) == (kind, bounce)


def test_a_drop_for_an_opt_out_is_two_things() -> None:
    told = {"event": "dropped", "reason": "Unsubscribed Address", "sg_event_id": "e"}
    events = list(sendgrid_events._events(told))
    assert [(e.key, e.kind) for e in events] == [
        ("e", EventKind.UNSUBSCRIBE), ("e:dropped", EventKind.FAILED),
    ]  # fmt: skip


def test_a_machines_open_says_so() -> None:
    for machine in (True, False, None):
        told = {"event": "open"} | ({} if machine is None else {"sg_machine_open": machine})
        [event] = sendgrid_events._events(told)
        assert event.machine is machine


def accept(peer: Peer) -> None:
    peer.note()
    peer.answer(202, X_Message_Id="abc")


def test_the_request_is_the_documented_json() -> None:
    with ScriptedServer(accept) as server:
        esp = SendGrid("SG.key", capabilities("sendgrid"), base_url=server.url)
        file = Attachment("a.txt", "text/plain", b"hello")
        esp.send(Batch(content(attachments=(file,)), people(2)))
        [seen] = server.seen
    assert (seen.method, seen.path) == ("POST", "/v3/mail/send")
    assert seen.headers["authorization"] == "Bearer SG.key"
    assert seen.headers["content-type"] == "application/json; charset=utf-8"
    sent = orjson.loads(seen.body)
    first, second = sent.pop("personalizations")
    key = next(iter(first["substitutions"]))
    assert set(first) == {"to", "custom_args", "headers", "substitutions"}
    assert second["custom_args"] == {"send_id": "abcd2345-1"}
    assert sent["subject"] == f"Hello {key}"
    assert [part["type"] for part in sent["content"]] == ["text/plain", "text/html"]
    assert sent["categories"] == ["campaign-42"]
    assert sent["attachments"] == [
        {
            "content": "aGVsbG8=",
            "type": "text/plain",
            "filename": "a.txt",
            "disposition": "attachment",
        }
    ]
    tracking = sent["tracking_settings"]
    assert not any(setting["enable"] for setting in tracking.values())
    assert sent["mail_settings"] == {"footer": {"enable": False}, "sandbox_mode": {"enable": False}}


def test_a_value_that_holds_a_key_goes_rendered_alone() -> None:
    with ScriptedServer(accept) as server:
        esp = SendGrid("SG.key", capabilities("sendgrid"), base_url=server.url)
        shared = content()
        esp.send(Batch(shared, people(1)))
        key = next(iter(orjson.loads(server.seen[0].body)["personalizations"][0]["substitutions"]))
        report = esp.send(Batch(shared, [message(1), message(2, slots=(key, "x"))]))
        assert kinds(report) == [Accepted, Accepted]
        alone = orjson.loads(server.seen[2].body)
    assert alone["content"][0]["value"] == f"Hi {key}, you are x"
    assert "substitutions" not in alone["personalizations"][0]


def test_more_than_a_hundred_slots_go_rendered() -> None:
    count = 101
    with ScriptedServer(accept) as server:
        esp = SendGrid("SG.key", capabilities("sendgrid"), base_url=server.url)
        many = content(text=tuple(range(count)), html=None, slot_count=count)
        slots = tuple(str(n) for n in range(count))
        report = esp.send(Batch(many, [message(n, slots=slots) for n in range(2)]))
        assert kinds(report) == [Accepted] * 2
        assert len(server.seen) == 2


@pytest.mark.parametrize(
    "field, expected",
    [("from.email", Refused), ("content.0.value", Refused), ("personalizations.0.headers", Refused),
     ("personalizations.0.to.0.email", Rejected), (None, Refused)],
)  # fmt: skip
def test_a_400_says_whose_fault_it_is(field: str | None, expected: type) -> None:
    body = orjson.dumps({"errors": [{"message": "no", "field": field, "help": None}]})

    def refuse(peer: Peer) -> None:
        peer.note()
        peer.answer(400, body)

    with ScriptedServer(refuse) as server:
        esp = SendGrid("SG.key", capabilities("sendgrid"), base_url=server.url)
        assert kinds(esp.send(Batch(content(), people(1)))) == [expected]
