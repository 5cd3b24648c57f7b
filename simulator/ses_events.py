"""SES event publishing: how what became of a message is written; signs and posts nothing.

Page: "Examples of event data that Amazon SES publishes to Amazon SNS" (SES developer guide).
"""

from collections.abc import Callable

import orjson

from simulator import outcomes as o
from simulator import people, ses_mail, sns
from simulator.addresses import domain_of, split
from simulator.keys import ACCOUNT_ID
from simulator.state import State
from simulator.wire import Event, Json, Stored, iso

PATH = "/webhooks/ses"
BATCH = 1
LANES = 6
# A custom delivery policy may ask for up to 100 retries ("Message delivery retries").
MAX_TRIES = 100
DELAY_GIVES_UP_MS = 14 * 3600 * 1000
NOT_SENT = (
    "Amazon SES did not send the message to this address because it is on the suppression list "
    "for your account."
)

_BOUNCES = {
    o.HARD: ("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown"),
    o.SOFT: ("Transient", "MailboxFull", "4.2.2", "smtp; 452 4.2.2 mailbox full"),
    o.BLOCK: ("Transient", "ContentRejected", "5.7.1", "smtp; 550 5.7.1 content rejected"),
    o.DROPPED: ("Permanent", "OnAccountSuppressionList", "5.1.1", NOT_SENT),
}


def _mail(state: State, message: Stored) -> Json:
    call, extra = message.content, message.extra
    sender, subject = call.get("FromEmailAddress", ""), ses_mail.subject_of(state, message)
    domain, to = domain_of(split(sender)[1]), extra["to"]
    message_id = ses_mail.message_id(state, message)
    identity = f"arn:aws:ses:{state.keys.ses_region}:{ACCOUNT_ID}:identity/{domain}"
    tags = {
        "ses:configuration-set": [call.get("ConfigurationSetName") or "default"],
        "ses:source-ip": ["127.0.0.1"],
        "ses:from-domain": [domain],
        "ses:caller-identity": ["simulator"],
    }
    headers = {"From": sender, "To": ", ".join(to), "Subject": subject}
    return {
        "timestamp": iso(message.at),
        "source": sender,
        "sourceArn": identity,
        "sendingAccountId": ACCOUNT_ID,
        "messageId": message_id,
        "destination": to,
        "headersTruncated": False,
        "headers": [{"name": name, "value": value} for name, value in headers.items()],
        "commonHeaders": {"from": [sender], "to": to, "messageId": message_id, "subject": subject},
        "tags": tags | {name: [value] for name, value in extra["tags"].items()},
    }


def _address(event: Event) -> str:
    return split(event.message.extra["to"][0])[1]


def _feedback_id(state: State, event: Event) -> str:
    return f"0100{event.at:012x}-{people.event_digest(state, event).hex()}-000000"


def _mta(state: State) -> str:
    return f"e1.smtp-out.{state.keys.ses_region}.amazonses.com"


def _send(_state: State, _event: Event) -> Json:
    return {"send": {}}


def _delivery(state: State, event: Event) -> Json:
    return {
        "delivery": {
            "timestamp": iso(event.at),
            "processingTimeMillis": event.at - event.message.at,
            "recipients": [_address(event)],
            "smtpResponse": "250 2.0.0 OK",
            "reportingMTA": _mta(state),
        }
    }


def _delay(_state: State, event: Event) -> Json:
    status = {"status": "4.4.1", "diagnosticCode": "smtp; 421 4.4.1 busy"}
    return {
        "deliveryDelay": {
            "timestamp": iso(event.at),
            "delayType": "TransientCommunicationFailure",
            "expirationTime": iso(event.at + DELAY_GIVES_UP_MS),
            "delayedRecipients": [{"emailAddress": _address(event)} | status],
        }
    }


def _bounce(state: State, event: Event) -> Json:
    kind, sub_type, status, diagnostic = _BOUNCES[event.kind]
    bounced = {"emailAddress": _address(event), "action": "failed", "status": status}
    return {
        "bounce": {
            "bounceType": kind,
            "bounceSubType": sub_type,
            "bouncedRecipients": [bounced | {"diagnosticCode": diagnostic}],
            "timestamp": iso(event.at),
            "feedbackId": _feedback_id(state, event),
            "reportingMTA": f"dsn; {_mta(state)}",
        }
    }


def _complaint(state: State, event: Event) -> Json:
    return {
        "complaint": {
            "complainedRecipients": [{"emailAddress": _address(event)}],
            "timestamp": iso(event.at),
            "feedbackId": _feedback_id(state, event),
            "complaintSubType": None,
            "complaintFeedbackType": "abuse",
            "userAgent": "Amazon SES Mailbox Simulator",
            "arrivalDate": iso(event.at),
        }
    }


def _seen(event: Event) -> Json:
    reader = people.reader(event)
    return {"ipAddress": reader.ip, "timestamp": iso(event.at), "userAgent": reader.agent}


def _open(_state: State, event: Event) -> Json:
    return {"open": _seen(event)}


def _click(state: State, event: Event) -> Json:
    link = people.link_in(ses_mail.mail_of(state, event.message), event.message)
    return {"click": _seen(event) | {"link": link, "linkTags": None}}


def _subscription(_state: State, event: Event) -> Json:
    return {
        "subscription": {
            "contactList": "default",
            "timestamp": iso(event.at),
            "source": "UnsubscribeHeader",
            "newTopicPreferences": {"unsubscribeAll": True, "topicSubscriptionStatus": []},
        }
    }


def _reject(_state: State, _event: Event) -> Json:
    return {"reject": {"reason": "Bad content"}}


def _failure(_state: State, event: Event) -> Json:
    text = event.message.extra.get("failure", "")
    return {"failure": {"errorMessage": text, "templateName": "inline"}}


_NAMES: dict[str, tuple[str, Callable[[State, Event], Json]]] = {
    o.PROCESSED: ("Send", _send),
    o.DELIVERED: ("Delivery", _delivery),
    o.DEFERRED: ("DeliveryDelay", _delay),
    o.HARD: ("Bounce", _bounce),
    o.SOFT: ("Bounce", _bounce),
    o.BLOCK: ("Bounce", _bounce),
    o.DROPPED: ("Bounce", _bounce),
    o.COMPLAINT: ("Complaint", _complaint),
    o.OPEN: ("Open", _open),
    o.MACHINE_OPEN: ("Open", _open),
    o.CLICK: ("Click", _click),
    o.UNSUBSCRIBE: ("Subscription", _subscription),
    o.CONTENT: ("Reject", _reject),
    o.RENDER_FAILURE: ("Rendering Failure", _failure),
}


def write(state: State, event: Event) -> Json:
    """One event as SES words it: the mail, and an object under the event's own key."""
    name, detail = _NAMES[event.kind]
    return {"eventType": name, "mail": _mail(state, event.message)} | detail(state, event)


def post(state: State, events: list[Event]) -> tuple[dict[str, str], bytes]:
    """Headers and body of one SNS notification, which carries one event."""
    event = events[0]
    text = orjson.dumps(write(state, event)).decode() + "\n"
    return sns.notification(state, people.event_digest(state, event), text, event.at)


def finished(status: int) -> bool:
    """Every answer from 200 to 499 ends delivery, so that a 4xx loses the event; 5xx is retried."""
    return 200 <= status < 500
