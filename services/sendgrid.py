"""SendGrid: how a batch is written for its Web API v3, and what its answers mean.

One request carries up to 1,000 personalizations with substitutions and is taken or refused whole.
Not here: events (`services.sendgrid_events`).
"""

import base64
import functools
import re
import secrets
from collections.abc import Callable, Sequence
from email.utils import parseaddr
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from mail.message import Content, Message, Pieces, fill
from services import sendgrid_account, sendgrid_events
from services.account import Account
from services.calls import Blame, Delivery, Suspect, TooLarge, Verdict
from services.esp import (
    Accepted,
    Batch,
    Capabilities,
    EspError,
    EspEvent,
    InDoubt,
    Misconfigured,
    Refused,
    Rejected,
    Report,
    Suspended,
    Throttled,
    Unavailable,
    WebhookRequest,
)
from services.parcels import Cut, Envelope, Parcel, Writing, parcels
from services.sdk import Lazily
from services.stencil import (
    SEND_ID,
    TO,
    Stencil,
    encoded,
    hole,
    personal_headers,
    slot_hole,
    values,
)
from services.wire import Answer, Exchange, Wire, begin
from services.words import QuotaSpent, Redacted, look_up, read_json, retry_after, rule

BASE_URL = "https://api.sendgrid.com"
#: docs.sendgrid.com/api-reference/mail-send/limitations; 10,000 bytes are in the capabilities.
MAX_SUBSTITUTIONS = 100
#: A body may have this share of the maximum: ESPs count in ways of their own.
MARGIN = 0.98

#: docs.sendgrid.com/api-reference/mail-send/errors and /how-to-use-the-sendgrid-v3-api/errors
RULES = (
    # The plan is used up; the key is fine, whatever the status suggests.
    rule("401 403", r"maximum credits exceeded", QuotaSpent),
    rule("401 403", r"under review|suspend|deactivat|disabled|banned|frozen", Suspended),
    rule("401 403", r"verified sender identity|\bfrom address\b", Refused),
    rule("401 403", None, Misconfigured),
    rule("404 405 415", None, Misconfigured),  # wrong address or method: nothing will get through
)
#: Fields of a 400 that are the same for everybody.
_SHARED_FIELD = re.compile(
    r"^(from|reply_to|reply_to_list|subject|content|attachments|headers|categories|template_id|"
    r"asm|mail_settings|tracking_settings|send_at|ip_pool_name|batch_id)\b"
)
_PERSON = re.compile(r"^personalizations[.\[](\d+)\b\]?\.?(to|cc|bcc)?")

#: Whatever the account has switched on: links, pixel and unsubscribing are ours.
SETTINGS = {
    "tracking_settings": {
        "click_tracking": {"enable": False, "enable_text": False},
        "open_tracking": {"enable": False},
        "subscription_tracking": {"enable": False},
        "ganalytics": {"enable": False},
    },
    "mail_settings": {"footer": {"enable": False}, "sandbox_mode": {"enable": False}},
}


class SendGrid:
    """One SendGrid account."""

    name = "sendgrid"

    def __init__(
        self,
        api_key: str,
        capabilities: Capabilities,
        *,
        base_url: str | None = None,
        timeout_seconds: float = 30.0,
        batch_size: int | None = None,
        webhook_public_keys: Sequence[str] = (),
    ) -> None:
        self.capabilities = capabilities
        self._seconds = timeout_seconds
        self._cut = Cut(
            min(capabilities.max_messages, batch_size or capabilities.default_batch_size),
            int(capabilities.max_bytes * MARGIN),
        )
        self._words = Redacted([api_key])
        self._client = Lazily(
            lambda: _client(api_key, (base_url or BASE_URL).rstrip("/"), timeout_seconds)
        )
        self._writing = functools.lru_cache(maxsize=8)(self._write)
        self._webhook = sendgrid_events.Webhook(webhook_public_keys)

    def send(self, batch: Batch) -> Report:
        """Hand the batch over. One outcome for each message, whatever happens."""
        shared = not batch.content.attachments  # a large file is not worth keeping
        writing = (self._writing if shared else self._write)(batch.content)
        work = parcels(batch, writing, self._cut)
        return Delivery(batch, work, self._begin, self._judge).run()

    def account(self) -> Account:
        """The plan's credits. Raises EspError."""
        client = self._client()
        answer = begin(lambda: client.get(sendgrid_account.PATH), self._seconds).answer()
        return sendgrid_account.read(answer, self._words)

    def read_webhook(self, request: WebhookRequest) -> list[EspEvent]:
        """Verify, then translate. Raises WebhookRefused or WebhookNotConfigured."""
        return self._webhook.read(request)

    def _write(self, content: Content) -> Writing:
        limit = self.capabilities.max_slot_bytes or 0
        if content.slot_count > MAX_SUBSTITUTIONS:
            limit = 0
        return _writing(content, limit)

    def _begin(self, parcel: Parcel) -> Exchange:
        body = parcel.body()
        client = self._client()  # not on the request's time
        return begin(lambda: client.post(body), self._seconds)

    def _judge(self, answer: Answer, parcel: Parcel) -> Verdict:
        code = str(answer.status)
        if answer.status == 202:
            return [Accepted(answer.headers.get("x-message-id"))] * len(parcel.places)
        errors = _errors(answer.body)
        words = self._words("; ".join(str(error.get("message")) for error in errors or ()))
        if answer.status == 429:
            return Throttled(words, code=code, retry_after=retry_after(answer.headers))
        if answer.status == 503:
            return Unavailable(words, code=code)
        if answer.status == 413:
            return TooLarge(words or "payload too large", code)
        if not 400 <= answer.status < 500 or errors is None:
            return InDoubt(words or "an answer that SendGrid does not give", code=code)
        if answer.status == 400:
            return self._bad_request(errors, words, parcel)
        return look_up(RULES, code, words) or Suspect(words, code=code)

    def _bad_request(self, errors: list[dict[str, Any]], words: str, parcel: Parcel) -> Verdict:
        """400: nothing of the request was sent; `field` says whose fault it is, if anybody's."""
        fields = [str(error.get("field") or "") for error in errors]
        if any(_SHARED_FIELD.match(field) for field in fields):
            return Refused(words, code="400")
        found = [_PERSON.match(field) for field in fields]
        if not found or None in found:
            return Suspect(words, code="400")
        guilty: dict[int, EspError] = {}
        for match, error in zip(found, errors, strict=True):
            if match and int(match[1]) < len(parcel.places):
                kind = Rejected if match[2] else Suspect
                guilty[int(match[1])] = kind(self._words(error.get("message")), code="400")
        return Blame(guilty) if guilty else Suspect(words, code="400")


def _errors(body: bytes) -> list[dict[str, Any]] | None:
    """The `errors` of an answer, or None when it is not one of SendGrid's."""
    answer = read_json(body)
    errors = answer.get("errors") if isinstance(answer, dict) else None
    if not isinstance(errors, list):
        return None
    return [error for error in errors if isinstance(error, dict)]


def _shared(content: Content, part: Callable[[Pieces], str]) -> bytes:
    """All of a request but its personalizations, up to where they go."""
    kinds = (("text/plain", content.text), ("text/html", content.html))
    bodies = [(kind, part(pieces)) for kind, pieces in kinds if pieces]
    sender = {"email": content.from_email}
    shared: dict[str, Any] = {
        "from": sender | ({"name": content.from_name} if content.from_name else {}),
        "subject": part(content.subject),
        # An empty value is refused.
        "content": [{"type": kind, "value": value} for kind, value in bodies if value],
        "categories": [content.tag],
        **SETTINGS,
    }
    if content.reply_to:
        shared["reply_to"] = {"email": parseaddr(content.reply_to)[1] or content.reply_to}
    if content.headers:
        shared["headers"] = dict(content.headers)
    if content.attachments:
        shared["attachments"] = [
            {
                "content": base64.b64encode(file.content).decode(),
                "type": file.content_type,
                "filename": file.filename,
                "disposition": "attachment",
            }
            for file in content.attachments
        ]
    return orjson.dumps(shared)[:-1] + b',"personalizations":['


def _writing(content: Content, limit: int) -> Writing:
    """`limit`: bytes of substitutions that one person may have."""
    # Random and made here, so that nobody could write a key into their own data beforehand.
    prefix = f"-{secrets.token_hex(4)}"
    keys = [f"{prefix}{n}-" for n in range(content.slot_count)]
    person: dict[str, Any] = {
        "to": [{"email": hole(TO)}],
        "custom_args": {"send_id": hole(SEND_ID)},
    }
    if content.personal_headers:
        person["headers"] = dict(personal_headers(content))
    plain = Stencil(person)
    substitutions = {key: slot_hole(content, n) for n, key in enumerate(keys)}
    stencil = Stencil(person | ({"substitutions": substitutions} if keys else {}))
    mark, count, keys_bytes = prefix.encode(), len(keys), sum(map(len, keys))

    def with_keys(pieces: Pieces) -> str:
        return "".join([piece if isinstance(piece, str) else keys[piece] for piece in pieces])

    def entries(messages: Sequence[Message]) -> Sequence[bytes | None]:
        rows, whole = encoded(values(messages))
        written = stencil.fill(rows)
        if mark not in whole and (not count or len(max(written, key=len)) <= limit):
            return written  # nearly always
        pairs = zip(messages, written, strict=True)
        return [entry if fits(message, entry) else None for message, entry in pairs]

    def fits(message: Message, entry: bytes) -> bool:
        if count and len(entry) > limit:
            size = keys_bytes + sum(len(slot.encode()) for slot in message.slots)
            if size > limit:
                return False
        # A value that holds a key would be replaced in its turn.
        return entry.count(mark) == count

    def alone(message: Message) -> tuple[Envelope, bytes]:
        head = _shared(content, lambda pieces: fill(pieces, message.slots))
        [entry] = plain.fill(encoded(values([message])).rows)
        return Envelope(head, b"]}"), entry

    return Writing(Envelope(_shared(content, with_keys), b"]}"), entries, alone)


class _Client(NamedTuple):
    """The SDK's client as two calls over our wire."""

    post: Callable[[bytes], Answer]  #: of a mail
    get: Callable[[str], Answer]  #: of a path


def _client(api_key: str, base_url: str, seconds: float) -> _Client:
    """The SDK's own client gives address, version and credentials; the bytes go over our wire."""
    import sendgrid

    client = sendgrid.SendGridAPIClient(api_key, host=base_url).client
    headers = {**client.request_headers, "Content-Type": "application/json; charset=utf-8"}
    url = client.mail.send._build_url(None)  # noqa: SLF001 -- its public way is to make a request
    wire, path = Wire(base_url, seconds), urlsplit(url).path
    prefix = path.removesuffix("/v3/mail/send")
    return _Client(
        post=lambda body: wire.request("POST", path, headers, body),
        get=lambda wanted: wire.request("GET", prefix + wanted, client.request_headers, None),
    )
