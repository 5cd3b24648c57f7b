"""Postmark's webhooks: one JSON object per event, guarded by Basic authentication; posts nothing.

Pages: "Bounce webhook", "Delivery webhook", "Open tracking webhook", "Click webhook",
"Spam complaint webhook", "Subscription change webhook", "Webhooks overview" (retries).
"""

import base64

import orjson

from simulator import outcomes as o
from simulator import people, postmark_mail
from simulator.postmark_rules import STREAMS
from simulator.postmark_search import SERVER_ID
from simulator.state import State
from simulator.wire import Event, Json

PATH = "/webhooks/postmark"
BATCH = 1
LANES = 4
# "Webhooks overview": bounces are tried ten times.
MAX_TRIES = 10

# "Bounce API: bounce types", with a line that a receiving server might give.
_BOUNCES: dict[str, Json] = {
    o.HARD: {
        "Type": "HardBounce",
        "TypeCode": 1,
        "Name": "Hard bounce",
        "Description": "The server was unable to deliver your message (ex: unknown user, mailbox "
        "not found).",
        "Details": "smtp;550 5.1.1 The email account does not exist.",
        "Inactive": True,
    },
    o.SOFT: {
        "Type": "SoftBounce",
        "TypeCode": 4096,
        "Name": "Soft bounce",
        "Description": "Unable to temporarily deliver message (i.e. mailbox full, account "
        "disabled, exceeds quota, out of disk space).",
        "Details": "smtp;452 4.2.2 Mailbox full",
        "Inactive": False,
    },
    o.BLOCK: {
        "Type": "Blocked",
        "TypeCode": 100006,
        "Name": "ISP block",
        "Description": "Blocked from this ISP due to content or blacklisting.",
        "Details": "smtp;550 5.7.1 Blocked",
        "Inactive": False,
    },
    o.DEFERRED: {
        "Type": "Transient",
        "TypeCode": 2,
        "Name": "Message delayed",
        "Description": "The server could not temporarily deliver your message (ex: Message is "
        "delayed due to network troubles).",
        "Details": "smtp;421 4.4.1 busy",
        "Inactive": False,
    },
    o.CONTENT: {
        "Type": "SpamNotification",
        "TypeCode": 512,
        "Name": "Spam notification",
        "Description": "The message was delivered, but was either blocked by the user, or "
        "classified as spam, bulk mail, or had rejected content.",
        "Details": "smtp;550 5.7.1 Message classified as spam",
        "Inactive": False,
    },
}
_COMPLAINT: Json = {
    "Type": "SpamComplaint",
    "TypeCode": 100001,
    "Name": "Spam complaint",
    "Description": "The subscriber explicitly marked this message as spam.",
    "Details": "",
    "Inactive": True,
}
_PROXY: Json = {
    "Client": {"Name": "Apple Mail Privacy Protection", "Company": "Apple", "Family": "Apple Mail"},
    "OS": {},
    "Platform": "Unknown",
}
_DESKTOP: Json = {
    "Client": {"Name": "Chrome 126", "Company": "Google", "Family": "Chrome"},
    "OS": {"Name": "Windows 10", "Company": "Microsoft Corporation", "Family": "Windows"},
    "Platform": "Desktop",
}


def write(state: State, event: Event) -> Json:
    """One event as Postmark words it."""
    extra, at = event.message.extra, postmark_mail.stamp(event.at)
    address = extra["_people"]["To"][0]["Email"]
    shown: Json = {
        "MessageID": postmark_mail.message_id(state, event.message),
        "ServerID": SERVER_ID,
        "MessageStream": extra.get("MessageStream") or STREAMS[0],
        "Tag": extra.get("Tag") or "",
        "Metadata": extra.get("Metadata") or {},
    }
    if event.kind in _BOUNCES or event.kind == o.COMPLAINT:
        return shown | _bounce(state, event, address, at)
    if event.kind == o.DELIVERED:
        own: Json = {"RecordType": "Delivery", "DeliveredAt": at, "Details": "smtp;250 2.0.0 OK"}
    elif event.kind == o.UNSUBSCRIBE:
        own = {
            "RecordType": "SubscriptionChange",
            "ChangedAt": at,
            "Origin": "Recipient",
            "SuppressSending": True,
            "SuppressionReason": "ManualSuppression",
        }
    else:
        own = _read(state, event, at)
    return shown | {"Recipient": address} | own


def _bounce(state: State, event: Event, address: str, at: str) -> Json:
    complaint = event.kind == o.COMPLAINT
    return {
        "RecordType": "SpamComplaint" if complaint else "Bounce",
        # Ids exceed 2^53: a reader that takes them for floats loses digits.
        "ID": int.from_bytes(people.event_digest(state, event)[:8]) >> 1,
        "Email": address,
        "From": event.message.extra["From"],
        "BouncedAt": at,
        "DumpAvailable": False,
        "CanActivate": not complaint,
        "Subject": event.message.extra.get("Subject") or "",
        "Content": "",
    } | (_COMPLAINT if complaint else _BOUNCES[event.kind])


def _read(state: State, event: Event, at: str) -> Json:
    reader = people.reader(event)
    proxy = reader is people.PRIVACY_PROXY
    shown = {"ReceivedAt": at, "UserAgent": reader.agent, "Geo": {"IP": reader.ip}}
    shown |= _PROXY if proxy else _DESKTOP
    if event.kind == o.CLICK:
        link = people.link_in(postmark_mail.mail_of(state, event.message), event.message)
        return shown | {"RecordType": "Click", "ClickLocation": "HTML", "OriginalLink": link}
    return shown | {"RecordType": "Open", "FirstOpen": True, "ReadSeconds": 0 if proxy else 5}


def post(state: State, events: list[Event]) -> tuple[dict[str, str], bytes]:
    keys = state.keys
    secret = f"{keys.postmark_webhook_username}:{keys.postmark_webhook_password}".encode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "Postmark",
        "Authorization": "Basic " + base64.b64encode(secret).decode(),
    }, orjson.dumps(write(state, events[0]))


def finished(status: int) -> bool:
    """Only 200 counts as taken; 403 stops the retries and loses the event."""
    return status in (200, 403)
