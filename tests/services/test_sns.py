"""SNS' certificates: fetched once, only from SNS, and never at a forger's pace."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from services import sns
from services.esp import EspError, Unavailable, WebhookNotConfigured, WebhookRefused
from services.sns import NOTIFICATION, Notice, Sns, Topics
from services.wire import Answer

ARN = "arn:aws:sns:eu-west-1:123456789012:ses-events"
URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def certificate(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def call(key: rsa.RSAPrivateKey, version: str = "2", **changes: Any) -> bytes:
    told = {
        "Type": "Notification", "MessageId": "m1", "TopicArn": ARN, "Message": '{"a":"ü"}\n',
        "Timestamp": "2026-01-01T00:00:05.123Z", "SignatureVersion": version,
        "SigningCertURL": URL,
    } | changes  # fmt: skip
    signed = "".join(f"{name}\n{told[name]}\n" for name in NOTIFICATION if name in told)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = key.sign(signed.encode(), padding.PKCS1v15(), algorithm)
    return orjson.dumps(told | {"Signature": base64.b64encode(signature).decode()})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, certificate: bytes) -> list[str]:
    """The addresses that were fetched; AWS answers with the certificate."""
    addresses: list[str] = []

    def get(base: str, path: str, _seconds: float) -> Answer | EspError:
        addresses.append(base + path)
        return Answer(200, {}, certificate)

    monkeypatch.setattr(sns, "_get", get)
    return addresses


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [{}, {"Subject": "Hi"}])
def test_a_certificate_is_fetched_once(
    key: rsa.RSAPrivateKey, asked: list[str], version: str, subject: dict[str, str]
) -> None:
    ours = Sns(Topics((ARN,)), 5)
    notice = Notice("m1", '{"a":"ü"}\n', "2026-01-01T00:00:05.123Z")
    for _ in range(3):
        assert ours.read(call(key, version, **subject)) == notice
    assert asked == [URL]


def test_another_topic_fetches_nothing(key: rsa.RSAPrivateKey, asked: list[str]) -> None:
    with pytest.raises(WebhookRefused):
        Sns(Topics((f"{ARN}-2",)), 5).read(call(key))
    assert not asked


@pytest.mark.parametrize("topic", [None, 7, [], {}, [ARN]])
def test_a_topic_that_is_no_text_is_refused(
    key: rsa.RSAPrivateKey, asked: list[str], topic: Any
) -> None:
    with pytest.raises(WebhookRefused, match="not ours"):
        Sns(Topics((ARN,)), 5).read(call(key, TopicArn=topic))
    assert not asked


def test_a_failed_fetch_is_tried_later_and_not_at_a_forgers_pace(
    key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def down(base: str, path: str, _seconds: float) -> Answer | EspError:
        asked.append(base + path)
        return Unavailable("down")

    monkeypatch.setattr(sns, "_get", down)
    ours = Sns(Topics((ARN,)), 5)
    for n in range(5):
        body = call(key, SigningCertURL=URL.replace("0a", f"0{n}"))
        with pytest.raises(WebhookRefused) as refused:
            ours.read(body)
        assert refused.value.status == 503
    assert len(asked) == 1


def test_the_end_of_a_subscription_is_not_undone(
    key: rsa.RSAPrivateKey, asked: list[str], certificate: bytes
) -> None:
    told = {
        "Type": "UnsubscribeConfirmation", "MessageId": "m", "TopicArn": ARN, "Message": "bye",
        "Timestamp": "t", "Token": "k", "SubscribeURL": "https://sns.example/",
        "SignatureVersion": "2",
    }  # fmt: skip
    signed = "".join(f"{name}\n{told[name]}\n" for name in sns.CONFIRMATION).encode()
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    body = orjson.dumps(told | {"Signature": base64.b64encode(signature).decode()})
    assert Sns(Topics((ARN,), certificate.decode()), 5).read(body) is None
    assert not asked


def test_without_topics_nothing_is_believed(key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(WebhookNotConfigured):
        Sns(Topics(), 5).read(call(key))
