"""SES' adapter: the contract, and what only SES does."""

import base64
import time
from email.header import decode_header, make_header
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from database.models import BounceKind, EventKind
from mail.message import Attachment, fill
from services import ses_events
from services.amazon_ses import AmazonSes
from services.esp import (
    Accepted,
    Batch,
    Esp,
    InDoubt,
    Misconfigured,
    Refused,
    Rejected,
    Suspended,
    Throttled,
    Unavailable,
    WebhookRefused,
    WebhookRequest,
)
from services.ses_client import AwsKeys, SesClient
from services.ses_template import InlineTemplate, address
from services.sns import Topics
from simulator import Running, sns
from simulator.wire import Json
from tests.services.esp_contract import capabilities, content, kinds, people
from tests.services.scripted_server import Peer, ScriptedServer, answering
from tests.services.ses_contract import SesContract

KEYS = AwsKeys("AKIAEXAMPLE", "secret")


class TestAmazonSes(SesContract):
    def make(self, simulator: Running, **changes: Any) -> Esp:
        trusted = self.topics(simulator) if changes.pop("webhooks", True) else None
        url = changes.pop("base_url", simulator.url)
        settings = {"capabilities": capabilities(self.name)} | changes
        return AmazonSes(
            keys=self.keys(simulator), region=simulator.state.keys.ses_region, endpoint_url=url,
            topics=trusted, **settings,
        )  # fmt: skip

    def with_wrong_key(self, simulator: Running) -> tuple[Esp, str]:
        aws = AwsKeys(simulator.state.keys.ses_access_key_id, "wrong/secret")
        esp = AmazonSes(capabilities(self.name), keys=aws, endpoint_url=simulator.url)
        return esp, "wrong/secret"

    @pytest.mark.parametrize("version", ["1", "2"])
    def test_both_versions_of_the_signature_are_believed(
        self, simulator: Running, esp: Esp, version: str
    ) -> None:
        simulator.state.webhooks.signature_version = version
        try:
            [event] = esp.read_webhook(self.signed(simulator, self.a_delivery()))
        finally:
            simulator.state.webhooks.signature_version = "2"
        assert (event.kind, event.send_id, event.address, event.at) == (
            EventKind.DELIVERED, "s1", "ann@x.example", 1767225602,
        )  # fmt: skip

    def test_a_subscription_is_confirmed_by_topic_and_token(
        self, simulator: Running, esp: Esp
    ) -> None:
        simulator.state.log.put("sns_confirmed", b"")
        call = WebhookRequest(*sns.confirmation(simulator.state))
        assert esp.read_webhook(call) == []
        assert simulator.state.log.get("sns_confirmed")

    def test_a_subscription_that_cannot_be_confirmed_now_is_asked_for_again(
        self, simulator: Running
    ) -> None:
        keys = simulator.state.keys
        topics = Topics((keys.topic_arn,), keys.ses_certificate_pem, "http://127.0.0.1:9")
        esp = AmazonSes(capabilities(self.name), keys=KEYS, topics=topics)
        with pytest.raises(WebhookRefused) as refused:
            esp.read_webhook(WebhookRequest(*sns.confirmation(simulator.state)))
        assert refused.value.status == 503

    def test_the_greeting_of_a_new_topic_is_no_event(self, simulator: Running, esp: Esp) -> None:
        text = "Successfully validated SNS topic for Amazon SES event publishing."
        call = WebhookRequest(*sns.notification(simulator.state, b"x" * 16, text, 0))
        assert esp.read_webhook(call) == []

    def test_a_foreign_certificate_address_is_never_asked(self, simulator: Running) -> None:
        """With a topic that is ours the address still has to be SNS' own."""
        esp = AmazonSes(
            capabilities(self.name), keys=KEYS, topics=Topics((simulator.state.keys.topic_arn,))
        )
        call = orjson.loads(self.signed(simulator, self.a_delivery()).body)
        good = "SimpleNotificationService-0a.pem"
        with ScriptedServer(answering(200)) as server:
            for url in (
                f"{server.url}/{good}", f"https://127.0.0.1/{good}", "file:///etc/passwd", "",
                f"http://sns.us-east-1.amazonaws.com/{good}",
                f"https://sns.us-east-1.amazonaws.com.evil.example/{good}",
                f"https://sns.us-east-1.amazonaws.com@evil.example/{good}",
                f"https://evil.example/sns.us-east-1.amazonaws.com/{good}",
                f"https://sns.us-east-1.amazonaws.com:444/{good}",
                f"https://sns.us-east-1.amazonaws.com/a/{good}",
                f"https://sns.us-east-1.amazonaws.com/{good}?x=1",
                "https://sns.us-east-1.amazonaws.com/other.pem",
                f"https://s3.amazonaws.com/{good}",
            ):  # fmt: skip
                forged = WebhookRequest({}, orjson.dumps(call | {"SigningCertURL": url}))
                with pytest.raises(WebhookRefused) as refused:
                    esp.read_webhook(forged)
                assert refused.value.status == 403
            assert not server.seen


#: What SES would take for its own syntax, before and after slots and alone.
BRACES = (
    "{{",
    "{",
    "}",
    "}}",
    "{{{",
    "\\",
    "\\{",
    "{{x}}",
    "{{ x }}",
    "{{!c}}",
    "{{#if a}}b{{/if}}",
)


@pytest.mark.parametrize("before", BRACES)
@pytest.mark.parametrize("after", BRACES)
def test_no_text_is_taken_for_a_variable(before: str, after: str) -> None:
    pieces = ("a", before, 0, after, 1, before, after, 0)
    template = InlineTemplate(content(html=pieces, slot_count=2))
    written, data = template.parts["Html"], template.defaults | {"s0": "A", "s1": "{{s0}}"}
    shown, rest = "", written
    while "{{" in rest:
        head, _, rest = rest.partition("{{")
        name, _, rest = rest.partition("}}")
        assert not head.endswith(("{", "\\"))
        shown += head + data[name]
    assert shown + rest == fill(pieces, ("A", "{{s0}}"))
    assert template.defaults.keys() >= {"s0", "s1"}


@pytest.mark.parametrize(
    "name", ["", "News", 'Doe, "J"', "Zoë", "日本語のとても長い名前のニュースレター配信部門" * 3]
)
def test_the_senders_name_is_ascii_in_words_of_legal_length(name: str) -> None:
    written = address(name, "a@x.example")
    shown, email = parseaddr(written)
    assert written.isascii()
    assert "\n" not in written
    assert all(len(word) <= 75 for word in written.split() if word.startswith("=?"))
    assert (str(make_header(decode_header(shown))), email) == (name, "a@x.example")


def results(count: int) -> bytes:
    entries = [{"Status": "SUCCESS", "MessageId": f"m{n}"} for n in range(count)]
    return orjson.dumps({"BulkEmailEntryResults": entries})


def adapter(url: str, **settings: Any) -> AmazonSes:
    return AmazonSes(capabilities("ses"), keys=KEYS, endpoint_url=url, **settings)


def test_the_bulk_request_is_the_documented_json() -> None:
    with ScriptedServer(answering(200, results(2))) as server:
        report = adapter(server.url, configuration_set="campaigns").send(
            Batch(content(), people(2))
        )
        [seen] = server.seen
    assert report.outcomes == [Accepted("m0"), Accepted("m1")]
    assert (seen.method, seen.path) == ("POST", "/v2/email/outbound-bulk-emails")
    assert seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")
    sent = orjson.loads(seen.body)
    entries = sent.pop("BulkEmailEntries")
    template = sent["DefaultContent"]["Template"]
    assert orjson.loads(template.pop("TemplateData")) == {"s0": "", "s1": ""}
    assert sent == {
        "FromEmailAddress": "News <news@example.com>",
        "ReplyToAddresses": ["reply@example.com"],
        "ConfigurationSetName": "campaigns",
        "DefaultEmailTags": [{"Name": "campaign", "Value": "campaign-42"}],
        "DefaultContent": {
            "Template": {
                "TemplateContent": {
                    "Subject": "Hello {{s0}}", "Text": "Hi {{s0}}, you are {{s1}}",
                    "Html": "<p>Hi {{s0}}, you are {{s1}}</p>",
                },
                "Headers": [
                    {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"}
                ],
            }
        },
        "ConfigurationOverrides": {
            "Tracking": {"OpenTrackingEnabled": "DISABLED", "ClickTrackingEnabled": "DISABLED"}
        },
    }  # fmt: skip
    data = entries[1].pop("ReplacementEmailContent")["ReplacementTemplate"][
        "ReplacementTemplateData"
    ]
    assert orjson.loads(data) == {"s0": "Ann1", "s1": "number 1"}
    assert entries[1] == {
        "Destination": {"ToAddresses": ["person1@example.org"]},
        "ReplacementTags": [{"Name": "send_id", "Value": "abcd2345-1"}],
        "ReplacementHeaders": [
            {"Name": "List-Unsubscribe", "Value": "<https://news.example.com/u/1>"}
        ],
    }


def test_a_file_goes_by_boto3s_own_call() -> None:
    file = Attachment("a.txt", "text/plain", b"hello\x00")
    with ScriptedServer(answering(200, b'{"MessageId":"m9"}')) as server:
        report = adapter(server.url).send(Batch(content(attachments=(file,)), people(2)))
        assert report.outcomes == [Accepted("m9")] * 2
        # Both are on the road together: in whatever order.
        sent = orjson.loads(min(seen.body for seen in server.seen))
    assert server.seen[0].path == "/v2/email/outbound-emails"
    simple = sent["Content"]["Simple"]
    assert simple["Body"]["Text"]["Data"] == "Hi Ann0, you are number 0"
    assert simple["Attachments"][0]["RawContent"] == base64.b64encode(b"hello\x00").decode()
    assert {"Name": "send_id", "Value": "abcd2345-0"} in sent["EmailTags"]


def test_after_a_slow_answer_at_most_four_requests_are_on_the_road() -> None:
    began: list[float] = []

    def slow(peer: Peer) -> None:
        peer.note()
        began.append(time.monotonic())
        time.sleep(0.3)
        peer.answer(200, results(5))

    with ScriptedServer(slow) as server:
        report = adapter(server.url, batch_size=5).send(Batch(content(), people(30)))
    assert set(kinds(report)) == {Accepted}
    assert began[1] - began[0] >= 0.25
    assert began[4] - began[1] < 0.2
    assert began[5] - began[1] >= 0.25


@pytest.mark.parametrize(
    "status, expected",
    [
        ("MESSAGE_REJECTED", Refused), ("MAIL_FROM_DOMAIN_NOT_VERIFIED", Refused),
        ("CONFIGURATION_SET_NOT_FOUND", Misconfigured), ("TEMPLATE_DOES_NOT_EXIST", Misconfigured),
        ("ACCOUNT_SUSPENDED", Suspended), ("ACCOUNT_SENDING_PAUSED", Suspended),
        ("ACCOUNT_THROTTLED", Throttled), ("ACCOUNT_DAILY_QUOTA_EXCEEDED", Throttled),
        ("INVALID_PARAMETER", Rejected), ("TRANSIENT_FAILURE", Unavailable),
        ("FAILED", Unavailable), ("BRAND_NEW", InDoubt),
    ],
)  # fmt: skip
def test_an_entrys_status(status: str, expected: type) -> None:
    entries = [{"Status": "SUCCESS", "MessageId": "m"}, {"Status": status, "Error": "why"}]
    body = orjson.dumps({"BulkEmailEntryResults": entries})
    with ScriptedServer(answering(200, body)) as server:
        assert kinds(adapter(server.url).send(Batch(content(), people(2)))) == [Accepted, expected]


@pytest.mark.parametrize(
    "status, code, words, expected",
    [
        (429, "TooManyRequestsException", "Maximum sending rate exceeded.", Throttled),
        (400, "ThrottlingException", "Daily message quota exceeded.", Throttled),
        (400, "LimitExceededException", "limit", Throttled),
        (400, "AccountSuspendedException", "", Suspended),
        (400, "SendingPausedException", "", Suspended),
        (400, "MessageRejected", "Email address is not verified: person0@example.org", Refused),
        (400, "MailFromDomainNotVerifiedException", "", Refused),
        (404, "NotFoundException", "Configuration set", Misconfigured),
        (400, "BadRequestException", "Illegal address", Rejected),
        (400, "BadRequestException", "Bad thing: <person0@example.org>", Rejected),
        (400, "BadRequestException", "something else", Refused),
        (403, "SignatureDoesNotMatch", "", Misconfigured),
        (403, "AccessDeniedException", "", Misconfigured),
        (500, "InternalFailure", "", InDoubt),
        (503, "ServiceUnavailable", "", Unavailable),
    ],
)
@pytest.mark.parametrize("place", ["header", "body"])
def test_an_errors_name(status: int, code: str, words: str, expected: type, place: str) -> None:
    def refuse(peer: Peer) -> None:
        peer.note()
        if place == "header":
            peer.answer(
                status, orjson.dumps({"message": words}), x_amzn_errortype=f"{code}:http://x"
            )
        else:
            peer.answer(status, orjson.dumps({"__type": f"com.aws#{code}", "Message": words}))

    with ScriptedServer(refuse) as server:
        report = adapter(server.url).send(Batch(content(), people(1)))
        assert kinds(report) == [expected]
        assert len(server.seen) == 1
    error = report.outcomes[0]
    assert not isinstance(error, Throttled) or error.quota_spent == ("rate" not in words)


def event(name: str, **detail: Any) -> Json:
    key = {"Rendering Failure": "failure", "DeliveryDelay": "deliveryDelay"}.get(name, name.lower())
    return {"eventType": name, "mail": {"destination": ["a@x.example"]}, key: detail}


def bounce(kind: str, sub: str, **person: Any) -> Json:
    people = [{"emailAddress": "a@x.example", **person}]
    return event("Bounce", bounceType=kind, bounceSubType=sub, bouncedRecipients=people)


BOUNCE, UNKNOWN = EventKind.BOUNCE, EventKind.UNKNOWN


@pytest.mark.parametrize(
    "told, kind, whose, final",
    [
        (event("Send"), EventKind.ACCEPTED, None, True),
        (bounce("Permanent", "OnAccountSuppressionList"), BOUNCE, BounceKind.HARD, True),
        (bounce("Transient", "MailboxFull", action="failed"), BOUNCE, BounceKind.SOFT, True),
        (bounce("Transient", "General"), BOUNCE, BounceKind.SOFT, False),
        (bounce("Transient", "ContentRejected"), BOUNCE, BounceKind.BLOCK, True),
        (bounce("Undetermined", "Undetermined"), BOUNCE, BounceKind.SOFT, False),
        (event("Reject", reason="Bad content"), BOUNCE, BounceKind.BLOCK, True),
        (event("Rendering Failure", errorMessage="x"), EventKind.FAILED, None, True),
        (event("DeliveryDelay"), EventKind.DEFERRED, None, True),
        (event("Complaint", complaintFeedbackType="abuse"), EventKind.COMPLAINT, None, True),
        (event("Complaint", complaintFeedbackType="not-spam"), UNKNOWN, None, True),
        (event("Click", link="https://x.example"), EventKind.CLICK, None, True),
        (
            event("Subscription", newTopicPreferences={"unsubscribeAll": True}),
            EventKind.UNSUBSCRIBE, None, True,
        ),
        (
            {"notificationType": "Delivery", "mail": {}, "delivery": {}},
            EventKind.DELIVERED, None, True,
        ),
    ],
)  # fmt: skip
def test_events_in_our_words(
    told: Json, kind: EventKind, whose: BounceKind | None, final: bool
) -> None:
    [one] = ses_events._events(told, "k")
    assert (one.key, one.kind, one.bounce, one.final) == ("k", kind, whose, final)


def test_several_recipients_of_one_event_are_several_events() -> None:
    told = event("Bounce", bounceType="Permanent", bouncedRecipients=[
        {"emailAddress": "a@x.example"}, {"emailAddress": "b@x.example"}])  # fmt: skip
    assert [(e.key, e.address) for e in ses_events._events(told, "k")] == [
        ("k:0", "a@x.example"), ("k:1", "b@x.example"),
    ]  # fmt: skip


def test_a_certificate_that_is_none_is_said() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signature = key.sign(b"x", padding.PKCS1v15(), hashes.SHA256())
    call = {
        "Type": "Notification", "TopicArn": "arn", "SignatureVersion": "2", "Message": "{}",
        "MessageId": "m", "Timestamp": "t", "Signature": base64.b64encode(signature).decode(),
    }  # fmt: skip
    esp = adapter("http://127.0.0.1:9", topics=Topics(("arn",), pem.decode()))
    with pytest.raises(Exception, match="not a certificate"):
        esp.read_webhook(WebhookRequest({}, orjson.dumps(call)))


def test_with_keys_of_ours_no_profile_of_the_host_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile broken\n")
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    client = SesClient(KEYS, "us-east-1", "http://127.0.0.1:9", 1)
    assert client._endpoint == "http://127.0.0.1:9"
    with pytest.raises(Exception, match=r"not-there|parse"):
        SesClient(AwsKeys(), "us-east-1", "http://127.0.0.1:9", 1)
