"""What the product hears afterwards: signed as the vendors document it, again when it must be."""

import base64
import collections
import json
import time
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.simulator.receiver import Posted, Receiver
from tests.simulator.rig import Rig, eventually, pm_mail, ses_bulk, sg_mail

Json = Any
SG, SES, PM = "/webhooks/sendgrid", "/webhooks/ses", "/webhooks/postmark"


def sendgrid_events(receiver: Receiver) -> list[Json]:
    return [event for post in receiver.at(SG) for event in post.json]


def ses_events(receiver: Receiver) -> list[Json]:
    return [json.loads(post.json["Message"]) for post in receiver.at(SES)]


def drained(rig: Rig) -> None:
    eventually(lambda: not rig.get("/_webhooks")["pending"])


def check_sns(rig: Rig, post: Posted) -> None:
    """The steps of the SNS developer guide, with the certificate that the simulator serves."""
    envelope = post.json
    names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    if envelope["Type"] == "SubscriptionConfirmation":
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    canonical = "".join(f"{name}\n{envelope[name]}\n" for name in names)
    url = envelope["SigningCertURL"]
    assert url.startswith("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-")
    status, pem, _ = rig.raw("GET", url.removeprefix("https://sns.us-east-1.amazonaws.com"))
    assert status == 200
    assert pem.decode() == rig.keys["ses"]["certificate_pem"]
    key = x509.load_pem_x509_certificate(pem).public_key()
    algorithm = hashes.SHA1() if envelope["SignatureVersion"] == "1" else hashes.SHA256()
    signature = base64.b64decode(envelope["Signature"])
    key.verify(signature, canonical.encode(), padding.PKCS1v15(), algorithm)  # type: ignore[union-attr,call-arg,arg-type]


def test_sendgrid_batches_are_signed_over_time_stamp_and_raw_body(
    rig: Rig, receiver: Receiver
) -> None:
    rig.sg_send(sg_mail([f"p{n}@x.example" for n in range(700)]))
    rig.webhooks(target=receiver.url)
    drained(rig)
    posts = receiver.at(SG)
    assert [len(post.json) for post in posts] == [1000, 400]
    key = load_der_public_key(base64.b64decode(rig.keys["sendgrid"]["webhook_public_key"]))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    for post in posts:
        stamp = post.headers["X-Twilio-Email-Event-Webhook-Timestamp"]
        signature = base64.b64decode(post.headers["X-Twilio-Email-Event-Webhook-Signature"])
        assert abs(time.time() - int(stamp)) < 60
        assert post.body.endswith(b"]\r\n")
        key.verify(signature, stamp.encode() + post.body, ec.ECDSA(hashes.SHA256()))
        with pytest.raises(InvalidSignature):
            key.verify(signature, stamp.encode() + post.body.strip(), ec.ECDSA(hashes.SHA256()))
    ids = [event["sg_event_id"] for event in sendgrid_events(receiver)]
    assert len(set(ids)) == 1400


@pytest.mark.parametrize("version", ["1", "2"])
def test_sns_envelopes_verify_with_the_served_certificate(
    rig: Rig, receiver: Receiver, version: str
) -> None:
    rig.webhooks(target=receiver.url, signature_version=version)
    rig.ses.send_bulk_email(**ses_bulk(["ann@x.example"]))
    posts = receiver.wait(SES, 2)
    for post in posts:
        check_sns(rig, post)
        assert post.headers["Content-Type"] == "text/plain; charset=UTF-8"
        assert post.headers["x-amz-sns-message-type"] == "Notification"
        assert post.headers["x-amz-sns-topic-arn"] == rig.keys["ses"]["topic_arn"]
        assert post.json["SignatureVersion"] == version
    rig.call("POST", "/_subscribe")
    check_sns(rig, receiver.at(SES)[-1])


def test_postmark_posts_one_object_each_with_basic_authentication(
    rig: Rig, receiver: Receiver
) -> None:
    rig.webhooks(target=receiver.url)
    rig.pm_post("/email/batch", [pm_mail("ann@x.example"), pm_mail("bob@x.example")])
    posts = receiver.wait(PM, 2)
    keys = rig.keys["postmark"]
    secret = f"{keys['webhook_username']}:{keys['webhook_password']}".encode()
    for post in posts:
        assert post.headers["Authorization"] == f"Basic {base64.b64encode(secret).decode()}"
        assert post.json["RecordType"] == "Delivery"
        assert post.json["Metadata"]["send_id"] == f"pm-{post.json['Recipient']}"
        assert post.json["MessageStream"] == "broadcast"


OUTCOMES = {
    # prefix: (SendGrid events, SES eventTypes, Postmark RecordTypes or bounce Types)
    "plain": (["processed", "delivered"], ["Send", "Delivery"], ["Delivery"]),
    "hard+": (["processed", "bounce"], ["Send", "Bounce"], ["HardBounce"]),
    "soft+": (
        ["processed", "deferred", "bounce"],
        ["Send", "DeliveryDelay", "Bounce"],
        ["Transient", "SoftBounce"],
    ),
    "block+": (["processed", "bounce"], ["Send", "Bounce"], ["Blocked"]),
    "defer+": (
        ["processed", "deferred", "delivered"],
        ["Send", "DeliveryDelay", "Delivery"],
        ["Transient", "Delivery"],
    ),
    "complaint+": (
        ["processed", "delivered", "spamreport"],
        ["Send", "Delivery", "Complaint"],
        ["Delivery", "SpamComplaint"],
    ),
    "open+": (
        ["processed", "delivered", "open"],
        ["Send", "Delivery", "Open"],
        ["Delivery", "Open"],
    ),
    "click+": (
        ["processed", "delivered", "open", "click"],
        ["Send", "Delivery", "Open", "Click"],
        ["Delivery", "Open", "Click"],
    ),
    "unsub+": (
        ["processed", "delivered", "unsubscribe"],
        # SES tells of contact lists only, and the call names none.
        ["Send", "Delivery"],
        ["Delivery", "SubscriptionChange"],
    ),
    "content+": (["dropped"], ["Reject"], ["SpamNotification"]),
    "lost+": ([], [], []),
}


@pytest.mark.parametrize("prefix", OUTCOMES)
def test_the_local_part_decides_what_each_esp_tells(
    rig: Rig, receiver: Receiver, prefix: str
) -> None:
    rig.send_each(f"{prefix}ann")
    rig.webhooks(target=receiver.url)
    drained(rig)
    sendgrid, ses, postmark = OUTCOMES[prefix]
    assert [event["event"] for event in sendgrid_events(receiver)] == sendgrid
    # SES and Postmark post over several connections: the order of arrival is not theirs.
    told = sorted(ses_events(receiver), key=lambda e: ses.index(e["eventType"]))
    assert [event["eventType"] for event in told] == ses
    kinds = [post.json.get("Type") or post.json["RecordType"] for post in receiver.at(PM)]
    assert sorted(kinds) == sorted(postmark)


def test_events_carry_our_ids_and_the_documented_details(rig: Rig, receiver: Receiver) -> None:
    for local in ("hard+ann", "click+ann", "block+ann", "complaint+ann"):
        rig.send_each(local)
    rig.webhooks(target=receiver.url)
    drained(rig)

    by = {(e["event"], e["send_id"]): e for e in sendgrid_events(receiver)}
    bounce = by["bounce", "sg-hard+ann@sg.example"]
    assert (bounce["type"], bounce["status"]) == ("bounce", "5.1.1")
    assert bounce["email"] == "hard+ann@sg.example"
    assert bounce["campaign_id"] == "c1"
    message_id = rig.messages(send_id="sg-hard+ann@sg.example")[0]["message_id"]
    assert bounce["sg_message_id"] == message_id
    assert by["bounce", "sg-block+ann@sg.example"]["type"] == "blocked"
    assert by["click", "sg-click+ann@sg.example"]["url"] == "https://a.example/p?a=1&b=2"

    told = {(e["eventType"], e["mail"]["destination"][0]): e for e in ses_events(receiver)}
    ses_bounce = told["Bounce", "hard+ann@ses.example"]
    assert ses_bounce["bounce"]["bounceType"] == "Permanent"
    assert ses_bounce["bounce"]["bouncedRecipients"][0]["emailAddress"] == "hard+ann@ses.example"
    assert ses_bounce["mail"]["tags"]["send_id"] == ["ses-0"]
    assert (
        ses_bounce["mail"]["messageId"] == rig.messages(to="hard+ann@ses.example")[0]["message_id"]
    )
    assert ses_bounce["mail"]["commonHeaders"]["subject"] == "Hello hard+ann"
    assert told["Bounce", "block+ann@ses.example"]["bounce"]["bounceSubType"] == "ContentRejected"
    assert told["Click", "click+ann@ses.example"]["click"]["link"] == "https://a.example/p?a=1&b=2"

    records = {
        (p.json.get("Type") or p.json["RecordType"], p.json["Metadata"]["send_id"]): p.json
        for p in receiver.at(PM)
    }
    hard = records["HardBounce", "pm-hard+ann@pm.example"]
    assert (hard["RecordType"], hard["TypeCode"], hard["Inactive"]) == ("Bounce", 1, True)
    assert isinstance(hard["ID"], int)
    assert hard["Email"] == "hard+ann@pm.example"
    assert (
        records["Click", "pm-click+ann@pm.example"]["OriginalLink"] == "https://a.example/p?a=1&b=2"
    )
    assert records["SpamComplaint", "pm-complaint+ann@pm.example"]["TypeCode"] == 100001


def test_what_ses_could_not_render_is_told_as_a_rendering_failure(
    rig: Rig, receiver: Receiver
) -> None:
    call = ses_bulk(["ann@x.example"])
    del call["BulkEmailEntries"][0]["ReplacementEmailContent"]
    rig.ses.send_bulk_email(**call)
    rig.webhooks(target=receiver.url)
    drained(rig)
    [event] = ses_events(receiver)
    assert event["eventType"] == "Rendering Failure"
    assert (
        event["failure"]["errorMessage"]
        == "Attribute 'first' is not present in the rendering data."
    )


def test_suppressed_people_are_dropped_or_bounced_without_a_try(
    rig: Rig, receiver: Receiver
) -> None:
    rig.sg_send(sg_mail(["suppressed+a@x.example"]))
    rig.ses.send_bulk_email(**ses_bulk(["suppressed+a@x.example"]))
    rig.webhooks(target=receiver.url)
    drained(rig)
    assert sendgrid_events(receiver)[0]["reason"] == "Bounced Address"
    assert ses_events(receiver)[0]["bounce"]["bounceSubType"] == "OnAccountSuppressionList"


def answer_once(status: int, then: int = 200) -> Any:
    """Answers each path once with one status and after that with another."""
    seen: collections.Counter[str] = collections.Counter()

    def answer(post: Posted) -> int:
        seen[post.path] += 1
        return status if seen[post.path] == 1 else then

    return answer


@pytest.mark.parametrize(
    "status,sendgrid,ses,postmark",
    [
        (500, 2, 3, 2),
        (503, 2, 3, 2),
        (404, 2, 2, 2),
        (403, 2, 2, 1),
        (204, 1, 2, 2),
        (302, 2, 2, 2),
    ],
)
def test_each_esp_retries_what_its_pages_say_and_nothing_else(
    rig: Rig, receiver: Receiver, status: int, sendgrid: int, ses: int, postmark: int
) -> None:
    receiver.answer = answer_once(status)
    rig.send_each("ann")
    rig.webhooks(target=receiver.url, retry_seconds=0.02)
    drained(rig)
    assert [len(receiver.at(path)) for path in (SG, SES, PM)] == [sendgrid, ses, postmark]


def test_a_retried_event_keeps_its_id_and_time(rig: Rig, receiver: Receiver) -> None:
    receiver.answer = answer_once(500)
    rig.send_each("hard+ann")
    rig.webhooks(target=receiver.url, retry_seconds=0.02)
    drained(rig)
    first, second = (sorted(p.json, key=lambda e: e["sg_event_id"]) for p in receiver.at(SG))
    assert first == second
    twice = collections.Counter(post.json["MessageId"] for post in receiver.at(SES))
    assert sorted(twice.values()) == [1, 2]
    bounces = [post.json for post in receiver.at(PM)]
    assert bounces[0] == bounces[1]
    assert any(item["attempts"] == 2 for item in rig.get("/_events")["items"])


def test_a_receiver_that_is_down_costs_no_event(rig: Rig, receiver: Receiver) -> None:
    rig.webhooks(target="http://127.0.0.1:9", retry_seconds=0.02)
    rig.send_each("ann")
    time.sleep(0.2)
    assert rig.get("/_stats")["total"]["events_pending"] == 5
    rig.webhooks(target=receiver.url)
    drained(rig)
    assert len(sendgrid_events(receiver)) == 2


def test_events_can_be_paused_delayed_repeated_and_shuffled(rig: Rig, receiver: Receiver) -> None:
    rig.webhooks(target=receiver.url, paused=True)
    rig.sg_send(sg_mail([f"p{n}@x.example" for n in range(50)]))
    time.sleep(0.15)
    assert receiver.posts == []
    rig.webhooks(paused=False, delay=3600)
    time.sleep(0.15)
    assert receiver.posts == []
    rig.webhooks(delay=0, repeat=2, shuffle=True)
    drained(rig)
    first, second = receiver.at(SG)
    assert first.json == second.json
    ids = [event["send_id"] for event in first.json if event["event"] == "delivered"]
    assert sorted(ids) == sorted(f"sg-p{n}@x.example" for n in range(50))
    assert ids != [f"sg-p{n}@x.example" for n in range(50)]


def test_one_esps_events_can_be_held_back_while_the_others_come(
    rig: Rig, receiver: Receiver
) -> None:
    rig.webhooks(target=receiver.url, held=["postmark"])
    rig.pm_post("/email/batch", [pm_mail("ann@x.example")])
    rig.sg_send(sg_mail(["bob@x.example"]))
    receiver.wait(SG, 1)
    eventually(lambda: rig.get("/_webhooks")["pending"] == {"postmark": 1})
    assert receiver.at(PM) == []
    rig.webhooks(held=[])
    assert receiver.wait(PM, 1)[0].json["RecordType"] == "Delivery"


def test_latency_spreads_events_over_time(rig: Rig, receiver: Receiver) -> None:
    rig.webhooks(target=receiver.url, latency=[0.3, 0.4])
    rig.sg_send(sg_mail(["ann@x.example"]))
    assert receiver.posts == []
    drained(rig)
    assert [len(post.json) for post in receiver.at(SG)] == [1, 1]


def test_engagement_is_the_same_in_every_run_and_in_proportion(
    rig: Rig, receiver: Receiver
) -> None:
    rig.webhooks(target=receiver.url, engagement=0.5)
    people = [f"p{n}@x.example" for n in range(400)]
    rig.sg_send(sg_mail(people))
    rig.sg_send(sg_mail(people))
    drained(rig)
    events = sendgrid_events(receiver)
    opens = collections.Counter(e["send_id"] for e in events if e["event"] == "open")
    assert 140 < len(opens) < 260
    assert set(opens.values()) == {2}
    machines = {e["send_id"] for e in events if e.get("sg_machine_open")}
    assert 20 < len(machines) < len(opens) / 2
    clicks = [e for e in events if e["event"] == "click"]
    assert 40 < len(clicks) < 200
    assert {e["url"] for e in clicks} == {"https://a.example/p?a=1&b=2"}


def test_posted_events_can_be_listed_and_counted(rig: Rig, receiver: Receiver) -> None:
    rig.send_each("hard+ann")
    rig.webhooks(target=receiver.url)
    drained(rig)
    told = rig.get("/_events", limit=2)
    rest = rig.get("/_events", limit=100, cursor=told["next_cursor"])
    assert len(told["items"]) + len(rest["items"]) == 5
    assert {item["status"] for item in rest["items"]} == {200}
    hard = rig.get("/_events", esp="ses", kind="hard")["items"]
    assert [item["send_id"] for item in hard] == ["ses-0"]
    assert rig.get("/_stats")["esps"]["postmark"]["events_posted"] == {"hard": 1}


@pytest.mark.parametrize(
    "settings",
    [
        {"target": "http://192.0.2.1:80"},
        {"target": "https://127.0.0.1"},
        {"target": "ftp://x"},
        {"engagement": 2},
        {"repeat": 0},
        {"held": ["mailgun"]},
        {"held": True},
        {"latency": [1]},
        {"reading_seconds": 3},
        {"reading_seconds": [-1, 2]},
        {"signature_version": "3"},
        {"x": 1},
    ],
)
def test_a_setting_that_makes_no_sense_or_leaves_the_machine_is_refused(
    rig: Rig, settings: Json
) -> None:
    before = rig.get("/_webhooks")
    assert rig.call("PATCH", "/_webhooks", settings)[0] == 422
    assert rig.get("/_webhooks") == before
