"""Postmark: how a batch is written for its email API, and what its answers mean.

/email/batch takes 500 finished messages and answers for each. Not here: events
(`services.postmark_events`), and what it knows afterwards (`services.postmark_search`).
"""

import base64
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from database.models import Lane
from mail.message import Content, Message
from services import postmark_events
from services.calls import Blame, Delivery, Suspect, TooLarge, Verdict
from services.esp import (
    Accepted,
    Batch,
    Capabilities,
    EspError,
    EspEvent,
    InDoubt,
    Known,
    Misconfigured,
    Outcome,
    Refused,
    Rejected,
    Report,
    Suspended,
    Throttled,
    Unavailable,
    WebhookRequest,
)
from services.parcels import Cut, Envelope, Parcel, Writing, parcels
from services.postmark_search import KEPT_DAYS, Search
from services.sdk import Lazily
from services.stencil import (
    SEND_ID,
    TO,
    Stencil,
    encoded,
    hole,
    personal_headers,
    values,
    with_holes,
)
from services.wire import Answer, Exchange, Wire, begin
from services.words import QuotaSpent, Redacted, look_up, named_in, read_json, retry_after, rule

BASE_URL = "https://api.postmarkapp.com"
PATH = "/email/batch"
#: A body may have this share of the maximum.
MARGIN = 0.98

#: postmarkapp.com/developer/api/overview#error-codes; an entry of a batch has the same codes.
RULES = (
    rule("10", None, Misconfigured),
    rule("100", None, Unavailable),  # maintenance
    # postmarkapp.com/support/article/1225: only these patterns are about a recipient.
    rule("300", r"^(invalid|error parsing) '(to|cc|bcc)'", Rejected),
    rule("300", r"'(from|reply-?to)'|sender signature", Refused),
    rule("300", None, Suspect),  # a header, metadata, no body: whose, the others of the batch tell
    rule("400 401", None, Refused),  # sender signature not found, not confirmed
    rule("402 403", None, Suspect),  # the JSON or a type in it
    rule("405", None, QuotaSpent),  # out of credits
    rule("406", None, Rejected),  # inactive: bounced or complained before
    rule("409", None, Misconfigured),
    rule("411", None, Refused),  # attachment type
    rule("412 413", None, Suspended),  # account not approved, or may not send
    rule("429", None, Throttled),
    rule("1221 1225 1226 1228 1229 1235", None, Misconfigured),  # the message stream
)
TOO_MANY = "410"


class Postmark:
    """One Postmark server."""

    name = "postmark"
    search_days = KEPT_DAYS

    def __init__(
        self,
        server_token: str,
        capabilities: Capabilities,
        *,
        base_url: str | None = None,
        timeout_seconds: float = 30.0,
        batch_size: int | None = None,
        broadcast_stream: str = "broadcast",
        transactional_stream: str = "outbound",
        webhook_logins: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`webhook_logins`: (name, password), the present and the previous ones."""
        self.capabilities = capabilities
        self._seconds = timeout_seconds
        self._cut = Cut(
            min(capabilities.max_messages, batch_size or capabilities.default_batch_size),
            int(capabilities.max_bytes * MARGIN),
        )
        self._streams = {Lane.CAMPAIGN: broadcast_stream, Lane.TRANSACTIONAL: transactional_stream}
        self._words = Redacted([server_token])
        url = (base_url or BASE_URL).rstrip("/")
        self._post = Lazily(lambda: _client(server_token, url, timeout_seconds))
        self._search = Search(server_token, url, timeout_seconds, self._words)
        self._writing = functools.lru_cache(maxsize=8)(_writing)
        self._webhook = postmark_events.Webhook(webhook_logins)

    def send(self, batch: Batch) -> Report:
        """Hand the batch over. One outcome for each message, whatever happens."""
        shared = not batch.content.attachments
        writing = (self._writing if shared else _writing)(batch.content, self._streams[batch.lane])
        work = parcels(batch, writing, self._cut)
        judge = functools.partial(self._judge, batch)
        return Delivery(batch, work, self._begin, judge).run()

    def read_webhook(self, request: WebhookRequest) -> list[EspEvent]:
        """Verify, then translate. Raises WebhookRefused or WebhookNotConfigured."""
        return self._webhook.read(request)

    def look_up(self, send_id: str, lane: Lane) -> Known | None:
        """The message with our send id; None = Postmark has none. Raises EspError when it does not
        say."""
        return self._search.look_up(send_id, self._streams[lane])

    def _begin(self, parcel: Parcel) -> Exchange:
        body = parcel.body()
        post = self._post()  # not on the request's time
        return begin(lambda: post(body), self._seconds)

    def _judge(self, batch: Batch, answer: Answer, parcel: Parcel) -> Verdict:
        status, told = str(answer.status), read_json(answer.body)
        if answer.status == 200:
            return self._taken(told, parcel)
        error = told if isinstance(told, dict) else None
        words = self._words((error or {}).get("Message"))
        if answer.status == 429:
            return Throttled(words, code=status, retry_after=retry_after(answer.headers))
        if answer.status == 503:
            return Unavailable(words, code=status)
        code = str((error or {}).get("ErrorCode", status))
        if answer.status == 413 or (answer.status == 422 and code == TOO_MANY):
            return TooLarge(words or "payload too large", code)
        if not 400 <= answer.status < 500 or error is None:
            return InDoubt(words or "an answer that Postmark does not give", code=status)
        if answer.status != 422 or "ErrorCode" not in error:
            # Not about the messages: a wrong token (401) or a wrong address (404, 415).
            return Misconfigured(words, code=code)
        return _refused(code, words, [batch.messages[place].to for place in parcel.places])

    def _taken(self, told: Any, parcel: Parcel) -> Verdict:
        if not isinstance(told, list) or len(told) != len(parcel.places):
            return InDoubt("the answer does not name the messages", code="200")
        return [self._outcome(result) for result in told]

    def _outcome(self, result: Mapping[str, Any]) -> Outcome:
        # "Message accepted, but delivery may be delayed" has no ErrorCode.
        message_id = result.get("MessageID")
        if message_id and not result.get("ErrorCode"):
            return Accepted(message_id)
        code, words = result.get("ErrorCode"), self._words(result.get("Message"))
        if not code or message_id:
            return InDoubt(words or "neither an id nor an error", code=str(code))
        return look_up(RULES, str(code), words) or Suspect(words, code=str(code))


def _refused(code: str, words: str, addresses: Sequence[str]) -> Verdict:
    """A call refused whole: which recipients it names, else what the table says."""
    error = look_up(RULES, code, words) or Suspect(words, code=code)
    if not isinstance(error, Rejected | Suspect):
        return error
    guilty = named_in(words, addresses)
    if guilty:
        named: dict[int, EspError] = {n: Rejected(words, code=code) for n in guilty}
        return Blame(named)
    return error if len(addresses) == 1 else Suspect(words, code=code)


_PLAIN_NAME = re.compile(r"[\w !#$%&'*+/=?^`{|}~-]+")


def address(name: str, email: str) -> str:
    """An address as Postmark takes it: Unicode, quoted where RFC 5322 wants it."""
    if not name:
        return email
    if _PLAIN_NAME.fullmatch(name):
        return f"{name} <{email}>"
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{email}>'


def _writing(content: Content, stream: str) -> Writing:
    headers = [*content.headers, *personal_headers(content)]
    shape: dict[str, Any] = {
        "From": address(content.from_name, content.from_email),
        "To": hole(TO),
        "Subject": with_holes(content, content.subject),
        "Tag": content.tag,
        "MessageStream": stream,
        # Links and pixel are ours.
        "TrackOpens": False,
        "TrackLinks": "None",
        "Metadata": {"send_id": hole(SEND_ID)},
        "Headers": [{"Name": name, "Value": value} for name, value in headers],
    }
    if content.reply_to:
        shape["ReplyTo"] = content.reply_to
    for name, pieces in (("TextBody", content.text), ("HtmlBody", content.html)):
        if pieces:
            shape[name] = with_holes(content, pieces)
    if content.attachments:
        shape["Attachments"] = [
            {
                "Name": file.filename,
                "Content": base64.b64encode(file.content).decode(),
                "ContentType": file.content_type,
            }
            for file in content.attachments
        ]
    stencil, envelope = Stencil(shape), Envelope(b"[", b"]")

    def entries(messages: Sequence[Message]) -> list[bytes]:
        return stencil.fill(encoded(values(messages)).rows)

    return Writing(envelope, entries, lambda message: (envelope, entries([message])[0]))


def _client(server_token: str, base_url: str, seconds: float) -> Callable[[bytes], Answer]:
    """The SDK's own session gives headers and token; the bytes go over our wire."""
    import requests
    from postmarker.core import PostmarkClient

    session = PostmarkClient(server_token=server_token, root_api_url=base_url).session
    session.trust_env = False  # no .netrc
    own = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "X-Postmark-Server-Token": server_token,
    }
    request = session.prepare_request(requests.Request("POST", base_url + PATH, own))
    wire, path = Wire(base_url, seconds), request.path_url
    headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}

    def post(body: bytes) -> Answer:
        return wire.request("POST", path, headers, body)

    return post
