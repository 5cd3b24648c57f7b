"""SendGrid's event webhook: is it authentic, and what do its events mean in our words.

docs.sendgrid.com/for-developers/tracking-events/event and, beside it,
getting-started-event-webhook-security-features.
"""

import base64
import binascii
import time
from collections.abc import Iterable, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from database.models import BounceKind, EventKind
from services.esp import EspEvent, WebhookNotConfigured, WebhookRefused, WebhookRequest
from services.events import digest, read_each, seconds_of, text, told_at, unknown
from services.words import read_json

ESP = "sendgrid"
SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"
#: SendGrid repeats a webhook for up to 24 hours; whether it signs it anew is not documented.
MAX_AGE_SECONDS = 24 * 3600
MAX_AHEAD_SECONDS = 3600
FORGED, UNREADABLE = 403, 400

KINDS = {
    "processed": EventKind.ACCEPTED,
    "delivered": EventKind.DELIVERED,
    "deferred": EventKind.DEFERRED,
    "bounce": EventKind.BOUNCE,
    "open": EventKind.OPEN,
    "click": EventKind.CLICK,
    "spamreport": EventKind.COMPLAINT,
    "unsubscribe": EventKind.UNSUBSCRIBE,
    "group_unsubscribe": EventKind.UNSUBSCRIBE,
    "group_resubscribe": EventKind.RESUBSCRIBE,
}
#: `dropped` by reason: SendGrid took the message and then did not send it.
DROPPED: dict[str, tuple[EventKind, BounceKind | None]] = {
    "bounced address": (EventKind.BOUNCE, BounceKind.HARD),
    "invalid": (EventKind.BOUNCE, BounceKind.HARD),
    "spam content": (EventKind.BOUNCE, BounceKind.BLOCK),
    "spam reporting address": (EventKind.COMPLAINT, None),
    "unsubscribed address": (EventKind.UNSUBSCRIBE, None),
    "invalid smtpapi header": (EventKind.FAILED, None),
    "recipient list over package quota": (EventKind.FAILED, None),
}
#: Classifications of a bounce that do not condemn the address.
PASSING = {"mailbox unavailable", "technical", "technical failure", "frequency or volume"}


class Webhook:
    """Reads the calls of one account."""

    def __init__(self, public_keys: Sequence[str]) -> None:
        """`public_keys`: base64 as SendGrid shows them; several, so that one can be replaced."""
        self._texts = tuple(public_keys)
        self._keys: list[ec.EllipticCurvePublicKey] | None = None

    def read(self, request: WebhookRequest) -> list[EspEvent]:
        """Verify, then translate."""
        if not self._texts:
            raise WebhookNotConfigured("SENDGRID_WEBHOOK_PUBLIC_KEY is not set")
        self._verify(request)
        entries = read_json(request.body)
        if not isinstance(entries, list):
            raise WebhookRefused("not a JSON array of events", status=UNREADABLE)
        return read_each(ESP, entries, _events)

    def _verify(self, request: WebhookRequest) -> None:
        stamp, signed = request.headers.get(TIMESTAMP, ""), request.headers.get(SIGNATURE, "")
        if not stamp or not signed:
            raise WebhookRefused("the signature is missing", status=FORGED)
        try:
            signature = base64.b64decode(signed, validate=True)
        except (binascii.Error, ValueError):
            raise WebhookRefused("the signature is not base64", status=FORGED) from None
        if not self._signed(signature, stamp.encode("utf-8", "replace") + request.body):
            raise WebhookRefused("the signature does not match", status=FORGED)
        age = time.time() - int(stamp) if stamp.isascii() and stamp.isdigit() else None
        if age is None or not -MAX_AHEAD_SECONDS <= age <= MAX_AGE_SECONDS:
            raise WebhookRefused("the timestamp is too old", status=FORGED)

    def _signed(self, signature: bytes, signed: bytes) -> bool:
        for key in self._public_keys():
            try:
                key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
            except InvalidSignature:
                continue
            return True
        return False

    def _public_keys(self) -> list[ec.EllipticCurvePublicKey]:
        if self._keys is None:
            try:
                keys = [load_der_public_key(base64.b64decode(key)) for key in self._texts]
            except ValueError as odd:
                raise WebhookNotConfigured(f"SENDGRID_WEBHOOK_PUBLIC_KEY: {odd}") from odd
            self._keys = [key for key in keys if isinstance(key, ec.EllipticCurvePublicKey)]
        return self._keys


def _events(entry: Any) -> Iterable[EspEvent]:
    if not isinstance(entry, dict):
        return [unknown(ESP, entry, digest(entry))]
    word = text(entry.get("event"))
    kind, bounce = KINDS.get(word, EventKind.UNKNOWN), None
    if word == "bounce":
        bounce = _bounce(entry)
    elif word == "dropped":
        reason = text(entry.get("reason")).strip().lower()
        kind, bounce = DROPPED.get(reason, (EventKind.FAILED, None))
    event = _event(entry, kind, bounce)
    if word == "dropped" and kind is EventKind.UNSUBSCRIBE:
        # Two things in one: the person has opted out, and this message was not sent.
        return [event, _event(entry, EventKind.FAILED, None, suffix=":dropped")]
    return [event]


def _event(
    entry: dict[str, Any], kind: EventKind, bounce: BounceKind | None, *, suffix: str = ""
) -> EspEvent:
    machine = entry.get("sg_machine_open")
    return EspEvent(
        esp=ESP,
        key=(text(entry.get("sg_event_id")) or digest(entry)) + suffix,
        kind=kind,
        at=told_at(kind, seconds_of(entry.get("timestamp"))),
        send_id=text(entry.get("send_id")) or None,
        address=text(entry.get("email")) or None,
        # Events carry the request's X-Message-Id and a suffix for the recipient.
        message_id=text(entry.get("sg_message_id")).partition(".")[0] or None,
        bounce=bounce,
        code=text(entry.get("status")) or text(entry.get("type")),
        reason=text(entry.get("reason")) or text(entry.get("response")),
        url=text(entry.get("url")) or None,
        user_agent=text(entry.get("useragent")),
        ip=text(entry.get("ip")),
        machine=machine if isinstance(machine, bool) else None,
        raw=entry,
    )


def _bounce(entry: dict[str, Any]) -> BounceKind:
    """`type` is `bounce` (an answer about the address) or `blocked` (about sender or content)."""
    kind, status = text(entry.get("type")), text(entry.get("status"))
    if kind == "blocked":
        passing = status.startswith(("4", "5.2."))
        return BounceKind.SOFT if passing else BounceKind.BLOCK
    passing = text(entry.get("bounce_classification")).lower() in PASSING
    if kind == "expired" or status.startswith("4") or passing:
        return BounceKind.SOFT
    return BounceKind.HARD
