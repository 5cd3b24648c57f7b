"""POST /webhooks/<esp>: 200 only once it is on disk, refused with the status that the ESP needs."""

import base64
import gzip
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from boot.serving import THREADS
from config.esp_config import ESP_FACTS
from database import events
from database.engine import DatabaseUnavailable
from database.models import BounceKind, EventKind, engagement
from feedback import Applied
from services.esp import (
    Capabilities,
    Esp,
    EspEvent,
    WebhookNotConfigured,
    WebhookRefused,
    WebhookRequest,
)
from services.postmark import Postmark
from services.sendgrid import SendGrid
from tests.mailed import LATER, NONCE
from tests.utils.test_together import until
from tests.web.site import Site
from web import webhooks

PROBLEM = "application/problem+json"


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    made = Site(database_url, tmp_path)
    yield made
    made.close()


def refused(site: Site) -> int:
    site.written()
    with site.house.db.read() as connection:
        return events.heard(connection, "sendgrid", LATER).refused_24h


def test_events_are_on_disk_when_the_answer_comes(site: Site) -> None:
    site.esp.told = [
        site.mailed.event(EventKind.DELIVERED, 0),
        site.mailed.event(EventKind.BOUNCE, 1, bounce=BounceKind.HARD),
    ]
    for _ in range(3):
        answer = site.client.post("/webhooks/sendgrid", data=b"[]")
        assert (answer.status_code, answer.text) == (200, "ok\n")
    assert site.mailed.row(0).status == "delivered"
    assert site.mailed.person(1).status == "bounced"
    assert site.mailed.esp_counters() == {"delivered": 1, "hard": 1}
    site.mailed.check_ledger()


def test_the_adapter_sees_the_raw_body_and_headers_in_lower_case(site: Site) -> None:
    body = b'\xff[{"a": 1}]\r\n '
    site.client.post("/webhooks/ses", data=body, headers={"X-Amz-Sns-Topic-Arn": "arn"},
                     content_type="text/plain; charset=UTF-8")  # fmt: skip
    (call,) = site.esp.calls
    assert call.body == body
    assert call.headers["x-amz-sns-topic-arn"] == "arn"


def test_a_get_says_that_only_post_acts(site: Site) -> None:
    answer = site.client.get("/webhooks/sendgrid")
    assert (answer.status_code, answer.text) == (200, "reachable; POST only\n")
    assert site.client.head("/webhooks/sendgrid").status_code == 200
    assert site.client.put("/webhooks/sendgrid").status_code == 405


@pytest.mark.parametrize("name", ["mailgun", "SendGrid", "own", "..%2f"])
def test_an_unknown_esp_is_404(site: Site, name: str) -> None:
    assert site.client.post(f"/webhooks/{name}", data=b"[]").status_code == 404
    assert site.client.get(f"/webhooks/{name}").status_code == 404


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_a_refused_call_is_answered_as_the_esp_needs_and_counted(site: Site, status: int) -> None:
    site.esp.told = WebhookRefused("the signature does not match", status=status)
    for _ in range(3):
        answer = site.client.post("/webhooks/sendgrid", data=b'["secret@example.com"]')
        assert answer.status_code == status
        assert answer.content_type == PROBLEM
        assert "secret@" not in answer.text
    assert refused(site) == 3
    assert site.mailed.rows(engagement) == []


def test_without_a_key_nothing_is_believed(site: Site) -> None:
    site.esp.told = WebhookNotConfigured()
    assert site.client.post("/webhooks/sendgrid", data=b"[]").status_code == 503
    assert site.client.post("/webhooks/postmark", data=b"{}").status_code == 503


def test_a_database_that_is_gone_means_try_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise DatabaseUnavailable("disk full")

    monkeypatch.setattr(site.house.feedback, "apply", fails)
    answer = site.client.post("/webhooks/sendgrid", data=b"[]")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_body_may_be_gzip_up_to_a_size(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(b"[1]" * 1000)
    encoding = {"Content-Encoding": "gzip"}
    assert site.client.post("/webhooks/sendgrid", data=packed, headers=encoding).status_code == 200
    assert site.esp.calls[-1].body == b"[1]" * 1000
    for broken in (b"[]", packed[:-9], b""):
        answer = site.client.post("/webhooks/sendgrid", data=broken, headers=encoding)
        assert answer.status_code == 500
    monkeypatch.setattr(webhooks, "LARGEST_UNPACKED", 2999)
    assert site.client.post("/webhooks/sendgrid", data=packed, headers=encoding).status_code == 413
    assert len(site.esp.calls) == 1


def test_a_body_has_a_largest_size(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "LARGEST", 10)
    assert site.client.post("/webhooks/sendgrid", data=b"x" * 11).status_code == 413
    chunks = {"wsgi.input": io.BytesIO(b"x" * 11), "wsgi.input_terminated": True}
    assert site.client.post("/webhooks/sendgrid", environ_overrides=chunks).status_code == 413
    assert site.client.post("/webhooks/sendgrid", data=b"x" * 10).status_code == 200


# The adapters themselves, with true signatures


def capabilities(name: str) -> Capabilities:
    return Capabilities(**ESP_FACTS[name].fields())


def put(site: Site, name: str, adapter: Esp) -> None:
    site.house.esps = {name: adapter}


def test_a_batch_that_sendgrid_signed_is_applied(site: Site) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = base64.b64encode(
        key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).decode()
    put(site, "sendgrid", SendGrid("key", capabilities("sendgrid"), webhook_public_keys=[public]))
    told = [
        {"email": "P0@example.com", "timestamp": 1_800_000_050, "event": "delivered",
         "sg_event_id": "1", "send_id": f"{NONCE}-{site.mailed.ids[0]}"},
        {"email": "p1@example.com", "timestamp": 1_800_000_050, "event": "bounce",
         "type": "bounce", "status": "5.1.1", "sg_event_id": "2",
         "send_id": f"{NONCE}-{site.mailed.ids[1]}"},
    ]  # fmt: skip
    body = json.dumps(told).encode() + b"\r\n"
    stamp = str(int(time.time()))

    def headers(signed: bytes) -> dict[str, str]:
        signature = key.sign(stamp.encode() + signed, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        }

    forged = site.client.post("/webhooks/sendgrid", data=body, headers=headers(body.strip()))
    assert forged.status_code == 403
    assert site.mailed.row(0).status == "accepted"
    answer = site.client.post("/webhooks/sendgrid", data=body, headers=headers(body))
    assert answer.status_code == 200
    assert (site.mailed.row(0).status, site.mailed.row(1).status) == ("delivered", "bounced")
    assert site.mailed.person(1).status == "bounced"
    assert refused(site) == 1


def test_postmark_proves_itself_by_its_login(site: Site) -> None:
    adapter = Postmark("key", capabilities("postmark"), webhook_logins=[("pm", "secret")])
    put(site, "postmark", adapter)
    told = {
        "RecordType": "SpamComplaint", "ID": 42, "Type": "SpamComplaint",
        "Email": "p0@example.com", "BouncedAt": "2027-01-15T08:10:00Z", "MessageID": "m1",
        "Metadata": {"send_id": f"{NONCE}-{site.mailed.ids[0]}"},
    }  # fmt: skip
    wrong = site.client.post("/webhooks/postmark", json=told, auth=("pm", "guess"))
    assert wrong.status_code == 401
    assert site.mailed.row().status == "accepted"
    answer = site.client.post("/webhooks/postmark", json=told, auth=("pm", "secret"))
    assert answer.status_code == 200
    assert site.mailed.row().status == "complained"
    assert site.mailed.person().status == "complained"


def test_calls_that_come_together_are_all_on_disk_and_a_bad_one_spoils_none(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many calls as the server has threads; the first is being written until all others wait."""
    apply, rounds = site.house.feedback.apply, []

    def slow(told: list[EspEvent]) -> Applied:
        rounds.append(len(told))
        if len(rounds) == 1:
            until(lambda: len(site.house.extras["intake"]._waiting) == THREADS - 1)
        if any(event.key == "bad" for event in told):
            raise ValueError("an event that we cannot bear")
        return Applied._make(apply(told))

    monkeypatch.setattr(site.house.feedback, "apply", slow)
    monkeypatch.setattr(site.house, "esps", {"sendgrid": ByBody(site), "ses": site.esp})

    def post(number: int) -> int:
        answer = site.app.test_client().post("/webhooks/sendgrid", data=str(number).encode())
        return answer.status_code

    with ThreadPoolExecutor(THREADS) as pool:
        statuses = list(pool.map(post, range(-1, THREADS - 1)))
    assert statuses == [500] + [200] * (THREADS - 1)
    assert rounds[:2] == [1, THREADS - 1]
    with site.house.db.read() as connection:
        kept = connection.execute(sa.select(sa.func.count()).select_from(engagement)).scalar_one()
    assert kept == THREADS - 1
    assert {site.mailed.row(number).status for number in range(4)} == {"delivered"}
    site.mailed.check_ledger()


class ByBody:
    """An ESP whose call names the send; -1 is the bad one."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def read_webhook(self, call: WebhookRequest) -> list[EspEvent]:
        number = int(call.body)
        key = "bad" if number < 0 else f"delivered-{number}"
        return [self._site.mailed.event(EventKind.DELIVERED, max(0, number) % 4, key=key)]
