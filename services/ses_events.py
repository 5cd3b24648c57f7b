"""SES' events, which SNS brings: what they mean in our words.

docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from collections.abc import Iterable
from typing import Any

from database.models import BounceKind, EventKind
from services.esp import EspEvent, WebhookRequest
from services.events import read_each, seconds_of, text, told_at, unknown
from services.sns import Sns, Topics
from services.words import read_json

ESP = "ses"

#: eventType without case and spaces -> our word, and the object that holds the details.
KINDS = {
    "send": (EventKind.ACCEPTED, "send"),
    "delivery": (EventKind.DELIVERED, "delivery"),
    "deliverydelay": (EventKind.DEFERRED, "deliveryDelay"),
    "bounce": (EventKind.BOUNCE, "bounce"),
    "reject": (EventKind.BOUNCE, "reject"),  # SES found a virus
    "complaint": (EventKind.COMPLAINT, "complaint"),
    "open": (EventKind.OPEN, "open"),
    "click": (EventKind.CLICK, "click"),
    "renderingfailure": (EventKind.FAILED, "failure"),
    "subscription": (EventKind.UNSUBSCRIBE, "subscription"),
}
#: Transient bounces that are about the content.
CONTENT = {"ContentRejected", "AttachmentRejected"}
PEOPLE = ("bouncedRecipients", "complainedRecipients", "delayedRecipients")


class Webhook:
    """Reads the calls of the SNS topics of one account."""

    def __init__(self, topics: Topics, timeout_seconds: float) -> None:
        self._sns = Sns(topics, timeout_seconds)

    def read(self, request: WebhookRequest) -> list[EspEvent]:
        """Verify, then translate."""
        notice = self._sns.read(request.body)
        if notice is None:
            return []
        told = read_json(notice.message.encode())
        if told is None:
            # "Successfully validated SNS topic for Amazon SES event publishing." comes first.
            return []
        published = seconds_of(notice.timestamp)
        return read_each(ESP, [told], lambda entry: _events(entry, notice.id, published))


def _events(told: Any, key: str, published: float | None = None) -> Iterable[EspEvent]:
    if not isinstance(told, dict):
        return [unknown(ESP, told, key, published)]
    word = text(told.get("eventType")) or text(told.get("notificationType"))
    kind, name = KINDS.get(word.replace(" ", "").lower(), (EventKind.UNKNOWN, ""))
    mail, detail = _object(told, "mail"), _object(told, name)
    times = (seconds_of(place.get("timestamp")) for place in (detail, mail))
    at = told_at(kind, *times, published)
    if kind is EventKind.COMPLAINT and detail.get("complaintFeedbackType") == "not-spam":
        kind = EventKind.UNKNOWN
    if kind is EventKind.UNSUBSCRIBE:
        kind = _subscription(detail)
    if kind is EventKind.UNKNOWN:
        return [unknown(ESP, told, key, at)]
    people = _people(detail) or [{"emailAddress": one} for one in _list(mail, "destination")[:1]]
    people = people or [{}]
    keys = [key] if len(people) == 1 else [f"{key}:{n}" for n in range(len(people))]
    return [
        _event(told, mail, detail, person, (one, kind, at))
        for one, person in zip(keys, people, strict=True)
    ]


def _event(
    told: dict[str, Any], mail: dict[str, Any], detail: dict[str, Any], person: dict[str, Any],
    named: tuple[str, EventKind, float],
) -> EspEvent:  # fmt: skip
    key, kind, at = named
    bounce, final = _bounce(detail, person) if kind is EventKind.BOUNCE else (None, True)
    send_ids = _list(_object(mail, "tags"), "send_id")
    return EspEvent(
        esp=ESP,
        key=key,
        kind=kind,
        at=at,
        send_id=text(send_ids[0]) or None if send_ids else None,
        address=text(person.get("emailAddress")) or None,
        message_id=text(mail.get("messageId")) or None,
        bounce=bounce,
        final=final,
        code=_first(
            person.get("status"), detail.get("bounceSubType"), detail.get("delayType"),
            detail.get("complaintFeedbackType"),
        ),
        reason=_first(
            person.get("diagnosticCode"), detail.get("reason"), detail.get("errorMessage"),
            detail.get("smtpResponse"), detail.get("bounceSubType"),
        ),
        url=text(detail.get("link")) or None,
        user_agent=text(detail.get("userAgent")),
        ip=text(detail.get("ipAddress")),
        raw=told,
    )  # fmt: skip


def _bounce(detail: dict[str, Any], person: dict[str, Any]) -> tuple[BounceKind, bool]:
    """Whose fault, and whether SES has given up. A transient one without `action` is often an
    out-of-office answer to a message that did arrive."""
    kind, sub = detail.get("bounceType"), detail.get("bounceSubType")
    if kind == "Permanent":
        return BounceKind.HARD, True
    if kind is None or sub in CONTENT:  # Reject has no type
        return BounceKind.BLOCK, True
    return BounceKind.SOFT, person.get("action") == "failed"


def _subscription(detail: dict[str, Any]) -> EventKind:
    preferences = _object(detail, "newTopicPreferences")
    out = preferences.get("unsubscribeAll")
    if not isinstance(out, bool):
        return EventKind.UNKNOWN
    return EventKind.UNSUBSCRIBE if out else EventKind.RESUBSCRIBE


def _people(detail: dict[str, Any]) -> list[dict[str, Any]]:
    people = next((_list(detail, name) for name in PEOPLE if name in detail), [])
    return [person for person in people if isinstance(person, dict)]


def _object(told: dict[str, Any], name: str) -> dict[str, Any]:
    value = told.get(name)
    return value if isinstance(value, dict) else {}


def _list(told: dict[str, Any], name: str) -> list[Any]:
    value = told.get(name)
    return value if isinstance(value, list) else []


def _first(*values: Any) -> str:
    return next((value for value in values if isinstance(value, str) and value), "")
