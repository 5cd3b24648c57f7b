"""Postmark's webhooks: one JSON object per event, guarded by Basic authentication; posts nothing.

Pages: "Bounce webhook", "Delivery webhook", "Open tracking webhook", "Click webhook",
"Spam complaint webhook", "Subscription change webhook", "Webhooks overview" (retries).
"""

import base64

import orjson

from simulator import outcomes as o
from simulator import people, postmark
from simulator.postmark_rules import STREAMS
from simulator.state import State
from simulator.wire import Event, Json

PATH = "/webhooks/postmark"
BATCH = 1
LANES = 4
# "Webhooks overview": bounces are tried ten times.
MAX_TRIES = 10

# Type, code, name and details of the bounce types ("Bounce API: bounce types").
_BOUNCES = {
    o.HARD: ("HardBounce", 1, "Hard bounce", "The server was unable to deliver your message (ex: unknown user, mailbox not found).", "smtp;550 5.1.1 The email account does not exist."),
    o.SOFT: ("SoftBounce", 4096, "Soft bounce", "Unable to temporarily deliver message (i.e. mailbox full, account disabled, exceeds quota, out of disk space).", "smtp;452 4.2.2 Mailbox full"),
    o.BLOCK: ("Blocked", 100006, "ISP block", "Blocked from this ISP due to content or blacklisting.", "smtp;550 5.7.1 Blocked"),
    o.DEFERRED: ("Transient", 2, "Message delayed", "The server could not temporarily deliver your message (ex: Message is delayed due to network troubles).", "smtp;421 4.4.1 busy"),
    o.CONTENT: ("SpamNotification", 512, "Spam notification", "The message was delivered, but was either blocked by the user, or classified as spam, bulk mail, or had rejected content.", "smtp;550 spam"),
}  # fmt: skip


def write(state: State, event: Event) -> Json:
    """One event as Postmark words it."""
    extra, at = event.message.extra, postmark.stamp(event.at)
    address = extra["_people"]["To"][0]["Email"]
    shown: Json = {
        "MessageID": postmark.message_id(state, event.message),
        "ServerID": postmark.SERVER_ID,
        "MessageStream": extra.get("MessageStream") or STREAMS[0],
        "Tag": extra.get("Tag") or "",
        "Metadata": extra.get("Metadata") or {},
    }
    if event.kind in _BOUNCES or event.kind == o.COMPLAINT:
        return shown | _bounce(state, event, address, at)
    if event.kind == o.DELIVERED:
        return shown | {
            "RecordType": "Delivery",
            "Recipient": address,
            "DeliveredAt": at,
            "Details": "smtp;250 2.0.0 OK",
        }
    if event.kind == o.UNSUBSCRIBE:
        return shown | {
            "RecordType": "SubscriptionChange",
            "Recipient": address,
            "ChangedAt": at,
            "Origin": "Recipient",
            "SuppressSending": True,
            "SuppressionReason": "ManualSuppression",
        }
    return shown | _read(state, event, address, at)


def _bounce(state: State, event: Event, address: str, at: str) -> Json:
    # Ids exceed 2^53: a reader that takes them for floats loses digits.
    number = int.from_bytes(people.event_digest(state, event)[:8]) >> 1
    shown = {
        "ID": number, "Email": address, "From": event.message.extra["From"], "BouncedAt": at,
        "DumpAvailable": False, "Subject": event.message.extra.get("Subject") or "", "Content": "",
    }  # fmt: skip
    if event.kind == o.COMPLAINT:
        return shown | {
            "RecordType": "SpamComplaint", "Type": "SpamComplaint", "TypeCode": 100001,
            "Name": "Spam complaint", "Description": "The subscriber explicitly marked this message as spam.",
            "Details": "", "Inactive": True, "CanActivate": False,
        }  # fmt: skip
    kind, code, name, description, details = _BOUNCES[event.kind]
    return shown | {
        "RecordType": "Bounce", "Type": kind, "TypeCode": code, "Name": name,
        "Description": description, "Details": details, "Inactive": event.kind == o.HARD,
        "CanActivate": True,
    }  # fmt: skip


def _read(state: State, event: Event, address: str, at: str) -> Json:
    reader = people.reader(event)
    proxy = reader is people.PRIVACY_PROXY
    client = (
        {"Name": "Apple Mail Privacy Protection", "Company": "Apple Inc.", "Family": "Apple Mail"}
        if proxy
        else {"Name": "Chrome 126", "Company": "Google", "Family": "Chrome"}
    )
    shown = {
        "Recipient": address, "ReceivedAt": at, "UserAgent": reader.agent, "Client": client,
        "OS": {} if proxy else {"Name": "Windows 10", "Company": "Microsoft Corporation", "Family": "Windows"},
        "Platform": "Unknown" if proxy else "Desktop", "Geo": {"IP": reader.ip},
    }  # fmt: skip
    if event.kind == o.CLICK:
        link = people.link_in(postmark.mail_of(state, event.message), event.message)
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
