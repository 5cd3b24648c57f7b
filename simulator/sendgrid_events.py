"""SendGrid's Event Webhook: how an event is written and signed; posts nothing.

Pages: "Event Webhook Reference", "Getting Started with the Event Webhook Security Features".
"""

import base64
import time
from functools import lru_cache

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from simulator import outcomes as o
from simulator import people, sendgrid_mail
from simulator.state import State
from simulator.wire import Event, Json

PATH = "/webhooks/sendgrid"
# Real batches are flushed each 30 s or at 768 KB; a thousand events are well below that.
BATCH = 1000
LANES = 1
# "retried with growing intervals up to 24 hours": in doubling waits of at most a minute.
MAX_TRIES = 1440

_WORDS: dict[str, Json] = {
    o.PROCESSED: {"event": "processed"},
    o.DELIVERED: {"event": "delivered", "response": "250 2.0.0 OK", "tls": 1},
    o.DEFERRED: {"event": "deferred", "response": "451 4.3.0 Try again later", "attempt": "1"},
    o.HARD: {
        "event": "bounce", "type": "bounce", "status": "5.1.1", "tls": 1,
        "reason": "550 5.1.1 The email account that you tried to reach does not exist",
        "bounce_classification": "Invalid Address",
    },
    o.SOFT: {
        "event": "bounce", "type": "bounce", "status": "4.2.2", "tls": 1,
        "reason": "452 4.2.2 The email account that you tried to reach is over quota",
        "bounce_classification": "Mailbox Unavailable",
    },
    o.BLOCK: {
        "event": "bounce", "type": "blocked", "status": "5.7.1", "tls": 1,
        "reason": "550 5.7.1 Message blocked due to the reputation of the sending IP",
        "bounce_classification": "Reputation",
    },
    o.COMPLAINT: {"event": "spamreport"},
    o.UNSUBSCRIBE: {"event": "unsubscribe"},
    o.DROPPED: {"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"},
    o.CONTENT: {"event": "dropped", "reason": "Spam Content", "status": "5.0.0"},
    o.RENDER_FAILURE: {"event": "dropped", "reason": "Invalid SMTPAPI header", "status": "5.0.0"},
    o.OPEN: {"event": "open", "sg_machine_open": False, "sg_content_type": "html"},
    o.MACHINE_OPEN: {"event": "open", "sg_machine_open": True, "sg_content_type": "html"},
    o.CLICK: {"event": "click", "url_offset": {"index": 0, "type": "html"}},
}  # fmt: skip


def write(state: State, event: Event) -> Json:
    """One event; custom arguments lie flat in it and lose against SendGrid's own names."""
    message = event.message
    message_id = sendgrid_mail.message_id(state, message)
    shown: Json = sendgrid_mail.args_of(message) | {
        "email": sendgrid_mail.address_of(message),
        "timestamp": event.at // 1000,
        "sg_event_id": people.event_id(state, event),
        "sg_message_id": message_id,
    }
    if message.content.get("categories"):
        shown["category"] = message.content["categories"]
    if event.kind == o.PROCESSED:
        shown["smtp-id"] = f"<{message_id.partition('.')[0]}@geopod-ismtpd-1>"
    if event.kind in (o.DELIVERED, o.HARD, o.SOFT, o.BLOCK):
        shown["ip"] = people.SENDING_IP
    if event.kind in (o.OPEN, o.MACHINE_OPEN, o.CLICK):
        reader = people.reader(event)
        shown |= {"useragent": reader.agent, "ip": reader.ip}
    if event.kind == o.CLICK:
        shown["url"] = people.link_in(sendgrid_mail.mail_of(state, message), message)
    return shown | _WORDS[event.kind]


def post(state: State, events: list[Event]) -> tuple[dict[str, str], bytes]:
    """Headers and body of one POST: a JSON array that ends in CR LF, signed with its time stamp."""
    body = b"[" + b",\r\n".join(orjson.dumps(write(state, event)) for event in events) + b"]\r\n"
    stamp = str(int(time.time()))
    signature = _key(state.keys.sendgrid_private_pem).sign(
        stamp.encode() + body, ec.ECDSA(hashes.SHA256())
    )
    return {
        "Content-Type": "application/json",
        "User-Agent": "SendGrid Event API",
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }, body


@lru_cache(maxsize=4)
def _key(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the event webhook signs with an elliptic curve key")
    return key


def finished(status: int) -> bool:
    """Any 2xx ends delivery, everything else is retried."""
    return 200 <= status < 300
