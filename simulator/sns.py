"""Amazon SNS as far as SES events need it: envelopes, signatures, the handshake; knows no event.

Pages: "Parsing message formats", "Verifying the signatures of Amazon SNS messages" (SNS developer
guide), "ConfirmSubscription" (SNS API reference).
"""

import base64
import secrets
import time
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from simulator.state import State
from simulator.wire import Answer, Request, iso, uuid_of

NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


def _link(state: State, **query: str) -> str:
    return f"https://sns.{state.keys.ses_region}.amazonaws.com/?{urlencode(query, safe=':')}"


def notification(state: State, identity: bytes, text: str, at: int) -> tuple[dict[str, str], bytes]:
    """Headers and body of a notification; the identity stays the same when it is sent again."""
    envelope = {
        "Type": "Notification",
        "MessageId": uuid_of(identity),
        "TopicArn": state.keys.topic_arn,
        "Subject": "Amazon SES Email Event Notification",
        "Message": text,
        "Timestamp": iso(at),
    }
    leave = _link(state, Action="Unsubscribe", SubscriptionArn=subscription_arn(state))
    return _wrap(state, envelope, _NOTIFICATION, {"UnsubscribeURL": leave})


def confirmation(state: State) -> tuple[dict[str, str], bytes]:
    """The SubscriptionConfirmation with which SNS greets a new endpoint, with a fresh token."""
    token = secrets.token_hex(128)
    state.log.put("sns_token", token.encode())
    arn = state.keys.topic_arn
    envelope = {
        "Type": "SubscriptionConfirmation",
        "MessageId": uuid_of(secrets.token_bytes(16)),
        "Token": token,
        "TopicArn": arn,
        "Message": f"You have chosen to subscribe to the topic {arn}.\n"
        "To confirm the subscription, visit the SubscribeURL included in this message.",
        "SubscribeURL": _link(state, Action="ConfirmSubscription", TopicArn=arn, Token=token),
        "Timestamp": iso(int(time.time() * 1000)),
    }
    return _wrap(state, envelope, _CONFIRMATION, {})


def subscription_arn(state: State) -> str:
    return f"{state.keys.topic_arn}:{uuid_of(state.digest(0, 'subscription'))}"


def _wrap(
    state: State, envelope: dict[str, str], signed: tuple[str, ...], unsigned: dict[str, str]
) -> tuple[dict[str, str], bytes]:
    version = state.webhooks.signature_version
    canonical = "".join(f"{name}\n{envelope[name]}\n" for name in signed)
    # Version 1 is SHA-1, still SNS's default; version 2 is SHA-256.
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303
    key = _key(state.keys.ses_private_pem)
    signature = key.sign(canonical.encode(), padding.PKCS1v15(), algorithm)
    host = f"https://sns.{state.keys.ses_region}.amazonaws.com"
    proof = {
        "SignatureVersion": version,
        "Signature": base64.b64encode(signature).decode(),
        "SigningCertURL": f"{host}/{state.keys.ses_certificate_name}",
    }
    return {
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
        "x-amz-sns-message-type": envelope["Type"],
        "x-amz-sns-message-id": envelope["MessageId"],
        "x-amz-sns-topic-arn": envelope["TopicArn"],
        "x-amz-sns-subscription-arn": subscription_arn(state),
    }, orjson.dumps(envelope | unsigned | proof)


@lru_cache(maxsize=4)
def _key(pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("SNS signs with an RSA key")
    return key


def certificate(state: State, request: Request) -> Answer:
    """The certificate that notifications name as SigningCertURL."""
    if request.path.lstrip("/") != state.keys.ses_certificate_name:
        return _error(404, "NotFound", "there is no such certificate")
    pem = state.keys.ses_certificate_pem.encode()
    return Answer(200, pem, content_type="application/x-pem-file")


def confirm(state: State, request: Request) -> Answer:
    """ConfirmSubscription, by link (GET) or by an SDK (POST); other actions are unknown."""
    asked = request.query | dict(parse_qsl(request.body.decode("utf-8", "replace")))
    if asked.get("Action") != "ConfirmSubscription":
        return _error(400, "InvalidAction", "only ConfirmSubscription is known here")
    token = (state.log.get("sns_token") or b"").decode()
    if asked.get("TopicArn") != state.keys.topic_arn:
        return _error(404, "NotFound", "Topic does not exist")
    if not token or asked.get("Token") != token:
        return _error(400, "InvalidParameter", "Invalid parameter: Token")
    state.log.put("sns_confirmed", b"1")
    return _xml(
        200,
        f'<ConfirmSubscriptionResponse xmlns="{NAMESPACE}"><ConfirmSubscriptionResult>'
        f"<SubscriptionArn>{subscription_arn(state)}</SubscriptionArn></ConfirmSubscriptionResult>"
        f"<ResponseMetadata><RequestId>{uuid_of(secrets.token_bytes(16))}</RequestId>"
        "</ResponseMetadata></ConfirmSubscriptionResponse>",
    )


def _error(status: int, code: str, message: str) -> Answer:
    return _xml(
        status,
        f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{message}</Message></Error></ErrorResponse>",
    )


def _xml(status: int, text: str) -> Answer:
    return Answer(status, text.encode(), content_type="text/xml")
