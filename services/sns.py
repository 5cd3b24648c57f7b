"""Amazon SNS: whether a call is one of our topics', and the confirmation of a subscription.

docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html. Knows nothing of SES.
"""

import base64
import binascii
import logging
import re
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services.esp import EspError, WebhookNotConfigured, WebhookRefused
from services.wire import Answer, Wire, begin
from services.words import read_json

logger = logging.getLogger(__name__)

#: Any status from 200 to 499 ends SNS' attempts, so what may succeed later is answered with 503.
FORGED, LATER = 403, 503
MAX_CERTIFICATE_BYTES = 65_536
FETCH_SECONDS = 5.0
#: So many certificates are kept; SNS changes its own about once a year.
KEPT_CERTIFICATES = 8
#: After a failed fetch none is tried for so long: a forger must not make us knock on AWS' door.
FETCH_PAUSE_SECONDS = 10.0

_HOST = re.compile(r"sns\.[a-z0-9-]{3,}\.amazonaws\.com(\.cn)?", re.I)
_PATH = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]+\.pem")
_ARN = re.compile(r"arn:(aws[a-z-]*):sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_.-]+")

NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SIGNED = {
    "Notification": NOTIFICATION,
    "SubscriptionConfirmation": CONFIRMATION,
    "UnsubscribeConfirmation": CONFIRMATION,
}
HASHES = {"1": hashes.SHA1, "2": hashes.SHA256}


class Notice(NamedTuple):
    """An authentic notification."""

    id: str
    message: str
    timestamp: str  #: when it was published; repeated with every attempt


class Topics(NamedTuple):
    """Whose calls are believed."""

    arns: tuple[str, ...] = ()
    #: Believed for every call instead of the certificate that the call names.
    certificate_pem: str | None = None
    #: Where subscriptions are confirmed instead of the topic's region.
    endpoint_url: str | None = None


class Sns:
    """The calls of the topics that we believe."""

    def __init__(self, topics: Topics, timeout_seconds: float) -> None:
        self._topics = frozenset(topics.arns)
        self._pem = topics.certificate_pem.encode() if topics.certificate_pem else None
        self._endpoint_url = topics.endpoint_url
        self._seconds = timeout_seconds
        self._certificates = Certificates()

    def read(self, body: bytes) -> Notice | None:
        """The notification in a call; None when the call asked for something else."""
        if not self._topics:
            raise WebhookNotConfigured("SES_SNS_TOPIC_ARNS is not set")
        call = read_json(body)
        if not isinstance(call, dict):
            # Broken on its way, perhaps: SNS may try again.
            raise WebhookRefused("not a JSON object", status=LATER)
        self._verify(call)
        if call["Type"] == "Notification":
            return Notice(call["MessageId"], call["Message"], call["Timestamp"])
        if call["Type"] == "SubscriptionConfirmation":
            self._confirm(call["TopicArn"], call["Token"])
        else:
            logger.warning("SNS ended the subscription to %s", call["TopicArn"])
        return None

    def _verify(self, call: Mapping[str, Any]) -> None:
        names = SIGNED.get(str(call.get("Type")))
        if names is None:
            raise WebhookRefused("a type that SNS does not have", status=FORGED)
        # Before anything else: everybody can make a topic whose signature is valid.
        if str(call.get("TopicArn")) not in self._topics:
            raise WebhookRefused("a topic that is not ours", status=FORGED)
        algorithm = HASHES.get(str(call.get("SignatureVersion")))
        fields = [name for name in names if not (name == "Subject" and call.get(name) is None)]
        if algorithm is None or not all(isinstance(call.get(name), str) for name in fields):
            raise WebhookRefused("a signature that SNS does not make", status=FORGED)
        try:
            signature = base64.b64decode(str(call.get("Signature")), validate=True)
        except (binascii.Error, ValueError):
            raise WebhookRefused("the signature is not base64", status=FORGED) from None
        signed = "".join([f"{name}\n{call[name]}\n" for name in fields]).encode()
        try:
            key = self._key(call)
            key.verify(signature, signed, padding.PKCS1v15(), algorithm())
        except InvalidSignature:
            raise WebhookRefused("the signature does not match", status=FORGED) from None

    def _key(self, call: Mapping[str, Any]) -> rsa.RSAPublicKey:
        url = str(call.get("SigningCertURL") or call.get("SigningCertUrl"))
        return self._certificates.given(self._pem) if self._pem else self._certificates.at(url)

    def _confirm(self, arn: str, token: str) -> None:
        """Ask for the subscription by topic and token; the URL in the call is never followed."""
        named = _ARN.fullmatch(arn)
        if named is None:
            raise WebhookRefused("the topic is not an ARN of SNS", status=FORGED)
        suffix = ".cn" if named[1] == "aws-cn" else ""
        base = self._endpoint_url or f"https://sns.{named[2]}.amazonaws.com{suffix}"
        query = urlencode({
            "Action": "ConfirmSubscription", "TopicArn": arn, "Token": token,
            "Version": "2010-03-31",
        })  # fmt: skip
        path = f"{urlsplit(base).path.rstrip('/')}/?{query}"
        answer = _get(base, path, self._seconds)
        if isinstance(answer, EspError) or answer.status != 200:
            raise WebhookRefused("the subscription could not be confirmed", status=LATER)
        logger.info("confirmed the subscription to %s", arn)


class Certificates:
    """SNS' signing certificates, each fetched once."""

    def __init__(self) -> None:
        self._keys: dict[str | bytes, rsa.RSAPublicKey] = {}
        self._lock = threading.Lock()
        self._not_before = 0.0

    def given(self, pem: bytes) -> rsa.RSAPublicKey:
        """The key of a certificate that an operator has put there."""
        if pem not in self._keys:
            self._keys[pem] = _public_key(pem)
        return self._keys[pem]

    def at(self, url: str) -> rsa.RSAPublicKey:
        """The key of the certificate at a URL of AWS."""
        key = self._keys.get(url)
        if key is not None:
            return key
        parts = urlsplit(url)
        if (
            parts.scheme != "https"
            or not _HOST.fullmatch(parts.netloc)
            or not _PATH.fullmatch(parts.path)
            or parts.query
            or parts.fragment
        ):
            raise WebhookRefused("the certificate is not at an address of SNS", status=FORGED)
        with self._lock:
            return self._keys.get(url) or self._fetched(url)

    def _fetched(self, url: str) -> rsa.RSAPublicKey:
        if time.monotonic() < self._not_before:
            raise WebhookRefused("the certificate could not be fetched just now", status=LATER)
        parts = urlsplit(url)
        answer = _get(f"https://{parts.netloc}", parts.path, FETCH_SECONDS)
        try:
            if isinstance(answer, EspError) or answer.status != 200:
                raise ValueError("no certificate came")
            key = _public_key(answer.body[:MAX_CERTIFICATE_BYTES])
        except (ValueError, WebhookNotConfigured):
            self._not_before = time.monotonic() + FETCH_PAUSE_SECONDS
            words = "the certificate could not be fetched"
            raise WebhookRefused(words, status=LATER) from None
        while len(self._keys) >= KEPT_CERTIFICATES:
            self._keys.pop(next(iter(self._keys)))
        self._keys[url] = key
        return key


def _public_key(pem: bytes) -> rsa.RSAPublicKey:
    try:
        key = x509.load_pem_x509_certificate(pem).public_key()
    except ValueError as odd:
        raise WebhookNotConfigured("SES_SNS_CERT_FILE is not a certificate") from odd
    if not isinstance(key, rsa.RSAPublicKey):
        raise WebhookNotConfigured("SES_SNS_CERT_FILE does not hold an RSA key")
    return key


def _get(base: str, path: str, seconds: float) -> Answer | EspError:
    wire = Wire(base, seconds)
    return begin(lambda: wire.request("GET", path, {"Connection": "close"}, None), seconds).answer()
