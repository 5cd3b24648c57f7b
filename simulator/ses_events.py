"""SES event publishing over SNS: how an event is written, wrapped and signed; posts nothing.

Pages: "Examples of event data that Amazon SES publishes to Amazon SNS" (SES developer guide),
"Parsing message formats", "Verifying the signatures of Amazon SNS messages" (SNS developer guide).
"""

import base64
import secrets
import time
from datetime import UTC, datetime
from functools import lru_cache

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from simulator import outcomes as o
from simulator import people, ses
from simulator.addresses import domain_of, split
from simulator.keys import ACCOUNT_ID
from simulator.state import State
from simulator.wire import Event, Json, Stored

PATH = "/webhooks/ses"
BATCH = 1
LANES = 6
# A custom delivery policy may ask for up to 100 retries ("Message delivery retries").
MAX_TRIES = 100

_NAMES = {
    o.PROCESSED: "Send", o.DELIVERED: "Delivery", o.DEFERRED: "DeliveryDelay", o.HARD: "Bounce",
    o.SOFT: "Bounce", o.BLOCK: "Bounce", o.DROPPED: "Bounce", o.COMPLAINT: "Complaint",
    o.OPEN: "Open", o.MACHINE_OPEN: "Open", o.CLICK: "Click", o.UNSUBSCRIBE: "Subscription",
    o.CONTENT: "Reject", o.RENDER_FAILURE: "Rendering Failure",
}  # fmt: skip
_BOUNCES = {
    o.HARD: ("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown"),
    o.SOFT: ("Transient", "MailboxFull", "4.2.2", "smtp; 452 4.2.2 mailbox full"),
    o.BLOCK: ("Transient", "ContentRejected", "5.7.1", "smtp; 550 5.7.1 message content rejected"),
    o.DROPPED: ("Permanent", "OnAccountSuppressionList", "5.1.1", "Amazon SES did not send the message to this address because it is on the suppression list for your account."),
}  # fmt: skip
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


def _stamp(at: int) -> str:
    return (
        datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03}Z"
    )


def _mail(state: State, message: Stored) -> Json:
    call, extra = message.content, message.extra
    sender, subject = call.get("FromEmailAddress", ""), ses.subject_of(state, message)
    to = extra["to"]
    address = split(sender)[1]
    tags = {
        "ses:configuration-set": [call.get("ConfigurationSetName") or "default"],
        "ses:source-ip": ["127.0.0.1"], "ses:from-domain": [domain_of(address)],
        "ses:caller-identity": ["simulator"],
    }  # fmt: skip
    return {
        "timestamp": _stamp(message.at), "source": sender, "sendingAccountId": ACCOUNT_ID,
        "sourceArn": f"arn:aws:ses:{state.keys.ses_region}:{ACCOUNT_ID}:identity/{domain_of(address)}",
        "messageId": ses.message_id(state, message), "destination": to, "headersTruncated": False,
        "headers": [{"name": "From", "value": sender}, {"name": "To", "value": ", ".join(to)}, {"name": "Subject", "value": subject}],
        "commonHeaders": {"from": [sender], "to": to, "messageId": ses.message_id(state, message), "subject": subject},
        "tags": tags | {name: [value] for name, value in extra["tags"].items()},
    }  # fmt: skip


def write(state: State, event: Event) -> Json:
    """One event as SES words it: the mail, and an object under the event's own key."""
    name, message = _NAMES[event.kind], event.message
    shown = {"eventType": name, "mail": _mail(state, message)}
    return shown | _detail(state, event, name, message, _stamp(event.at))


def _detail(state: State, event: Event, name: str, message: Stored, at: str) -> Json:
    address = split(message.extra["to"][0])[1]
    feedback = f"0100{event.at:012x}-{people.event_digest(state, event).hex()}-000000"
    mta = f"e1.smtp-out.{state.keys.ses_region}.amazonses.com"
    if name == "Bounce":
        kind, sub, status, diagnostic = _BOUNCES[event.kind]
        bounced = {
            "emailAddress": address,
            "action": "failed",
            "status": status,
            "diagnosticCode": diagnostic,
        }
        return {
            "bounce": {
                "bounceType": kind,
                "bounceSubType": sub,
                "bouncedRecipients": [bounced],
                "timestamp": at,
                "feedbackId": feedback,
                "reportingMTA": f"dsn; {mta}",
            }
        }
    if name == "Delivery":
        return {
            "delivery": {
                "timestamp": at,
                "processingTimeMillis": event.at - message.at,
                "recipients": [address],
                "smtpResponse": "250 2.0.0 OK",
                "reportingMTA": mta,
            }
        }
    if name == "DeliveryDelay":
        expires = _stamp(event.at + 14 * 3600 * 1000)
        delayed = {
            "emailAddress": address,
            "status": "4.4.1",
            "diagnosticCode": "smtp; 421 4.4.1 busy",
        }
        return {
            "deliveryDelay": {
                "timestamp": at,
                "delayType": "TransientCommunicationFailure",
                "expirationTime": expires,
                "delayedRecipients": [delayed],
            }
        }
    if name == "Complaint":
        return {
            "complaint": {
                "complainedRecipients": [{"emailAddress": address}],
                "timestamp": at,
                "feedbackId": feedback,
                "complaintSubType": None,
                "complaintFeedbackType": "abuse",
                "userAgent": "Amazon SES Mailbox Simulator",
                "arrivalDate": at,
            }
        }
    if name in ("Open", "Click"):
        reader = people.reader(event)
        seen = {"ipAddress": reader.ip, "timestamp": at, "userAgent": reader.agent}
        if name == "Open":
            return {"open": seen}
        return {
            "click": seen
            | {"link": people.link_in(ses.mail_of(state, message), message), "linkTags": None}
        }
    if name == "Subscription":
        topics = {"unsubscribeAll": True, "topicSubscriptionStatus": []}
        return {
            "subscription": {
                "contactList": "default",
                "timestamp": at,
                "source": "UnsubscribeHeader",
                "newTopicPreferences": topics,
            }
        }
    if name == "Rendering Failure":
        return {
            "failure": {"errorMessage": message.extra.get("failure", ""), "templateName": "inline"}
        }
    return {"send": {}} if name == "Send" else {"reject": {"reason": "Bad content"}}


def post(state: State, events: list[Event]) -> tuple[dict[str, str], bytes]:
    """Headers and body of one SNS notification, which carries one event."""
    event = events[0]
    envelope = {
        "Type": "Notification",
        "MessageId": ses.uuid_of(people.event_digest(state, event)),
        "TopicArn": state.keys.topic_arn,
        "Subject": "Amazon SES Email Event Notification",
        "Message": orjson.dumps(write(state, event)).decode() + "\n",
        "Timestamp": _stamp(event.at),
    }
    arn = subscription_arn(state)
    link = f"https://sns.{state.keys.ses_region}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={arn}"
    return _wrap(state, envelope, _NOTIFICATION, {"UnsubscribeURL": link})


def confirmation(state: State) -> tuple[dict[str, str], bytes]:
    """The SubscriptionConfirmation with which SNS greets a new endpoint, with a fresh token."""
    token = secrets.token_hex(128)
    state.log.put("sns_token", token.encode())
    region, arn = state.keys.ses_region, state.keys.topic_arn
    envelope = {
        "Type": "SubscriptionConfirmation",
        "MessageId": ses.uuid_of(secrets.token_bytes(16)),
        "Token": token,
        "TopicArn": arn,
        "Message": f"You have chosen to subscribe to the topic {arn}.\nTo confirm the subscription, visit the SubscribeURL included in this message.",
        "SubscribeURL": f"https://sns.{region}.amazonaws.com/?Action=ConfirmSubscription&TopicArn={arn}&Token={token}",
        "Timestamp": _stamp(int(time.time() * 1000)),
    }
    return _wrap(state, envelope, _CONFIRMATION, {})


def subscription_arn(state: State) -> str:
    return f"{state.keys.topic_arn}:{ses.uuid_of(state.digest(0, 'subscription'))}"


def _wrap(
    state: State, envelope: dict[str, str], signed: tuple[str, ...], unsigned: dict[str, str]
) -> tuple[dict[str, str], bytes]:
    version = state.webhooks.signature_version
    canonical = "".join(f"{name}\n{envelope[name]}\n" for name in signed)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 - SNS's version 1
    signature = _key(state.keys.ses_private_pem).sign(
        canonical.encode(), padding.PKCS1v15(), algorithm
    )
    host = f"https://sns.{state.keys.ses_region}.amazonaws.com"
    whole = envelope | unsigned | {
        "SignatureVersion": version,
        "Signature": base64.b64encode(signature).decode(),
        "SigningCertURL": f"{host}/{state.keys.ses_certificate_name}",
    }  # fmt: skip
    return {
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
        "x-amz-sns-message-type": envelope["Type"],
        "x-amz-sns-message-id": envelope["MessageId"],
        "x-amz-sns-topic-arn": envelope["TopicArn"],
        "x-amz-sns-subscription-arn": subscription_arn(state),
    }, orjson.dumps(whole)


@lru_cache(maxsize=4)
def _key(pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("SNS signs with an RSA key")
    return key


def finished(status: int) -> bool:
    """Every answer from 200 to 499 ends delivery, so that a 4xx loses the event; 5xx is retried."""
    return 200 <= status < 500
