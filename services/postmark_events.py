"""Postmark's webhooks: are they authentic, and what do they mean in our words.

postmarkapp.com/developer/webhooks/webhooks-overview; bounce types: …/developer/api/bounce-api
"""

import base64
import hmac
from collections.abc import Iterable, Sequence
from typing import Any

from database.models import BounceKind, EventKind
from services.esp import EspEvent, WebhookNotConfigured, WebhookRefused, WebhookRequest
from services.events import digest, read_each, seconds_of, text, told_at, unknown
from services.words import read_json

ESP = "postmark"
#: Postmark ends its attempts at 403, so a failed log-in must never be answered with that.
FORGED, UNREADABLE = 401, 400

KINDS = {
    "Delivery": EventKind.DELIVERED,
    "Open": EventKind.OPEN,
    "Click": EventKind.CLICK,
    "SpamComplaint": EventKind.COMPLAINT,
}
#: `Type` of a bounce. What is not here is kept as unknown.
BOUNCES: dict[str, tuple[EventKind, BounceKind | None]] = {
    "HardBounce": (EventKind.BOUNCE, BounceKind.HARD),
    "BadEmailAddress": (EventKind.BOUNCE, BounceKind.HARD),
    "ManuallyDeactivated": (EventKind.BOUNCE, BounceKind.HARD),
    "SoftBounce": (EventKind.BOUNCE, BounceKind.SOFT),
    "Unknown": (EventKind.BOUNCE, BounceKind.SOFT),
    "Transient": (EventKind.DEFERRED, None),  # Postmark goes on trying
    "DnsError": (EventKind.DEFERRED, None),
    "Blocked": (EventKind.BOUNCE, BounceKind.BLOCK),
    "SpamNotification": (EventKind.BOUNCE, BounceKind.BLOCK),
    "DMARCPolicy": (EventKind.BOUNCE, BounceKind.BLOCK),
    "VirusNotification": (EventKind.BOUNCE, BounceKind.BLOCK),
    "ChallengeVerification": (EventKind.BOUNCE, BounceKind.BLOCK),
    "SpamComplaint": (EventKind.COMPLAINT, None),
    "Unsubscribe": (EventKind.UNSUBSCRIBE, None),
    "Subscribe": (EventKind.RESUBSCRIBE, None),
    "SMTPApiError": (EventKind.FAILED, None),
    "TemplateRenderingFailed": (EventKind.FAILED, None),
    "Unconfirmed": (EventKind.FAILED, None),
}
TIMES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")


class Webhook:
    """Reads the calls of one server."""

    def __init__(self, logins: Sequence[tuple[str, str]]) -> None:
        """`logins`: (name, password) of everyone who is believed."""
        self._logins = [f"{name}:{password}".encode() for name, password in logins]

    def read(self, request: WebhookRequest) -> list[EspEvent]:
        """Verify, then translate."""
        if not self._logins:
            raise WebhookNotConfigured("POSTMARK_WEBHOOK_USERNAME and _PASSWORD are not set")
        given = _login(request.headers.get("authorization", ""))
        # All are compared, so that the time says nothing.
        matches = [hmac.compare_digest(given, login) for login in self._logins]
        if not any(matches):
            raise WebhookRefused("name or password is wrong", status=FORGED)
        told = read_json(request.body)
        if not isinstance(told, dict):
            raise WebhookRefused("not a JSON object", status=UNREADABLE)
        return read_each(ESP, [told], _events)


def _login(header: str) -> bytes:
    scheme, _, coded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(coded.strip(), validate=True)
    except ValueError:
        return b""


def _events(told: dict[str, Any]) -> Iterable[EspEvent]:
    record = text(told.get("RecordType"))
    bounce: BounceKind | None = None
    if record in ("Bounce", "SpamComplaint"):
        # IDs are larger than a float holds exactly; they are kept as text.
        key = f"{record}-{told['ID']}" if "ID" in told else _key(told)
    else:
        key = _key(told)
    if record == "Bounce":
        kind, bounce = BOUNCES.get(text(told.get("Type")), (EventKind.UNKNOWN, None))
    elif record == "SubscriptionChange":
        kind = _subscription(told)
    else:
        kind = KINDS.get(record, EventKind.UNKNOWN)
    if kind is EventKind.UNKNOWN:
        return [unknown(ESP, told, key, _at(told, kind))]
    return [_event(told, key, kind, bounce)]


def _subscription(told: dict[str, Any]) -> EventKind:
    """It also follows a hard bounce or complaint, which are told by events of their own."""
    if told.get("SuppressSending") is False:
        return EventKind.RESUBSCRIBE
    by_person = told.get("Origin") == "Recipient"
    manual = told.get("SuppressionReason") == "ManualSuppression"
    return EventKind.UNSUBSCRIBE if by_person and manual else EventKind.UNKNOWN


def _key(told: dict[str, Any]) -> str:
    names = ("RecordType", "MessageID", "Recipient", "OriginalLink", *TIMES)
    parts = [told.get(name) for name in names]
    return digest(*parts) if any(parts[1:]) else digest(told)


def _at(told: dict[str, Any], kind: EventKind) -> float:
    return told_at(kind, *(seconds_of(told.get(name)) for name in TIMES))


def _event(
    told: dict[str, Any], key: str, kind: EventKind, bounce: BounceKind | None
) -> EspEvent:  # fmt: skip
    metadata, place = told.get("Metadata"), told.get("Geo")
    return EspEvent(
        esp=ESP,
        key=key,
        kind=kind,
        at=_at(told, kind),
        send_id=text(metadata.get("send_id")) or None if isinstance(metadata, dict) else None,
        address=text(told.get("Email")) or text(told.get("Recipient")) or None,
        message_id=text(told.get("MessageID")) or None,
        bounce=bounce,
        code=text(told.get("Type")) or text(told.get("SuppressionReason")),
        reason=text(told.get("Details")) or text(told.get("Description")),
        url=text(told.get("OriginalLink")) or None,
        user_agent=text(told.get("UserAgent")),
        ip=text(place.get("IP")) if isinstance(place, dict) else "",
        raw=told,
    )
