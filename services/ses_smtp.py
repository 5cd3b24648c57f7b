"""Amazon SES over SMTP: how a message is written for it, and what its replies mean.

One message a request, several requests at once. Everything but sending is the API's matter:
`services.amazon_ses`.
"""

import base64
import functools
import hashlib
import hmac
import re
import ssl
from collections.abc import Callable
from email.utils import formatdate

from mail.message import Content, Message
from services.account import Account
from services.amazon_ses import QUOTA_SPENT, AmazonSes, bad_request
from services.calls import Delivery, TooLarge, Verdict
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
from services.mime import Letters, mailbox
from services.parcels import Cut, Envelope, Parcel, Writing, parcels
from services.ses_client import AwsKeys
from services.smtp_line import AUTH, CONNECT, DATA, END, MAIL, PHASE, RCPT, Letter
from services.smtp_wire import Server, SmtpWire
from services.wire import Answer, Exchange, tls_context
from services.words import QuotaSpent, Redacted, look_up, rule

#: Messages of one batch that may be on the road together; other batches have connections, too.
AT_ONCE = 8

#: docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html ("SMTP response codes returned by SES").
#: What is certain wherever it is said.
RULES = (
    rule("454", QUOTA_SPENT, QuotaSpent),
    rule("454", r"throttling", Throttled),
    rule("454", None, Unavailable),  # "temporary … failure. As a result, the message wasn't sent"
    rule("421", r"too many concurrent", Throttled),
    rule("451", r"timeout waiting for data", Unavailable),  # it never had all of the message
    rule("530 535", None, Misconfigured),
    rule("554", r"access denied|not authori[sz]ed", Misconfigured),
    rule("554", r"(sending|account)\b.{0,40}\b(paused|suspended|disabled)|account.{0,20}shut ?down",
         Suspended),
    rule("554", r"configuration.set\b.*(not exist|not found)", Misconfigured),
    # Also of a To address: the account is in SES' own sandbox, and nobody else is verified either.
    rule("554", r"message rejected|not verified", Refused),
)  # fmt: skip
#: Whom a phase refuses for good (RFC 5321 §4.2.1: 5yz); for now (4yz) it is always the ESP's fault.
PERMANENT: dict[str, type[EspError]] = {
    CONNECT: Unavailable,
    AUTH: Misconfigured,
    MAIL: Refused,  # "501 Invalid MAIL FROM address provided"
    RCPT: Rejected,  # "501 Invalid RCPT TO address provided"
    DATA: Refused,
}
_TOO_LONG = 552
_BARE = Envelope(b"", b"")
#: No envelope can hold these: they would end the address or the command.
_NOT_IN_ADDRESSES = re.compile(r"[\x00-\x1f\x7f<>]")
#: "250 Ok 0100018f…-000000": whatever stands there alone and could be an id.
_MESSAGE_ID = re.compile(r"ok\s+([\w.@-]{10,200})", re.IGNORECASE)


class SesSmtp:
    """One SES account in one region, spoken to by SMTP."""

    name = "ses"

    def __init__(
        self,
        capabilities: Capabilities,
        server: Server,
        api: AmazonSes,
        *,
        timeout_seconds: float = 30.0,
        configuration_set: str | None = None,
        tls: Callable[[], ssl.SSLContext] = tls_context,
    ) -> None:
        """`api` reads the events and tells of the account; `tls`: whose certificates are good."""
        self.capabilities = capabilities
        self._words = Redacted([server.password, server.username])
        self._wire = SmtpWire(server, timeout_seconds, context=tls)
        self._configuration_set = configuration_set
        self._writing = functools.lru_cache(maxsize=8)(self._write)
        self._api = api

    def send(self, batch: Batch) -> Report:
        """Hand the batch over. One outcome for each message, whatever happens."""
        shared = not batch.content.attachments
        try:
            writing = (self._writing if shared else self._write)(batch.content)
        except ValueError as odd:
            return Report([Refused(str(odd), code="text")] * len(batch.messages))
        work = parcels(batch, writing, Cut(1, self.capabilities.max_bytes))
        start = functools.partial(self._begin, batch)
        judge = functools.partial(self._judge, batch)
        return Delivery(batch, work, start, judge, at_once=AT_ONCE).run()

    def read_webhook(self, request: WebhookRequest) -> list[EspEvent]:
        """Verify, then translate. Raises WebhookRefused or WebhookNotConfigured."""
        return self._api.read_webhook(request)

    def account(self) -> Account:
        """Rate and rolling quota, which only the API tells. Raises EspError."""
        return self._api.account()

    def _write(self, content: Content) -> Writing:
        headers = [("From", mailbox(content.from_name, content.from_email))]
        if self._configuration_set:
            headers.append(("X-SES-CONFIGURATION-SET", self._configuration_set))
        letters = Letters(content, headers)

        def write(message: Message) -> bytes:
            to = deliverable(message.to)
            return letters.write(message._replace(to=to), _own_headers(content, message))

        return Writing(
            _BARE, lambda messages: [write(message) for message in messages],
            lambda message: (_BARE, write(message)),
        )  # fmt: skip

    def _begin(self, batch: Batch, parcel: Parcel) -> Exchange:
        to = deliverable(batch.messages[parcel.places[0]].to)
        letter = Letter(deliverable(batch.content.from_email), to, parcel.entries[0])
        return self._wire.begin(letter, batch.deadline)

    def _judge(self, batch: Batch, answer: Answer, parcel: Parcel) -> Verdict:
        code, words = str(answer.status), self._words(answer.body.decode())
        phase = answer.headers[PHASE]
        if phase == END and answer.status == 250:
            return _taken(words)
        if answer.status == _TOO_LONG:
            return TooLarge(words, code)
        known = look_up(RULES, code, words)
        if known is not None:
            return known
        if phase != END:
            kind = PERMANENT[phase] if answer.status >= 500 else Unavailable
            return kind(words, code=code)
        if answer.status >= 500:
            return bad_request(words, code, [batch.messages[place].to for place in parcel.places])
        # RFC 5321 §4.2.5 says that it was not taken; servers are known that take it nevertheless.
        return InDoubt(words or "a reply that SES does not document", code=code)


def endpoint(
    keys: AwsKeys, region: str, host: str | None = None, port: int = 587, *,
    starttls: bool = True, hello: str | None = None,
) -> Server:  # fmt: skip
    """Where SES takes mail by SMTP. `keys` are a user's own: SMTP knows no temporary ones."""
    return Server(
        host or f"email-smtp.{region}.amazonaws.com", port, keys.access_key_id or "",
        password(keys.secret_access_key or "", region), starttls, hello,
    )  # fmt: skip


def password(secret_access_key: str, region: str) -> str:
    """The SMTP password of an IAM user ("Obtaining SES SMTP credentials by converting existing AWS
    credentials", docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html)."""
    key = f"AWS4{secret_access_key}".encode()
    for step in ("11111111", region, "ses", "aws4_request", "SendRawEmail"):
        key = hmac.digest(key, step.encode(), hashlib.sha256)
    return base64.b64encode(b"\x04" + key).decode()


def deliverable(address: str) -> str:
    """An address as SMTP takes it: a domain of another script as A-labels. ValueError: none."""
    if _NOT_IN_ADDRESSES.search(address):
        raise ValueError("the address holds a character that no address may hold")
    if address.isascii():
        return address
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{domain.encode('idna').decode()}"


def _own_headers(content: Content, message: Message) -> list[tuple[str, str]]:
    """What comes back with every event, and the time; SES puts its own in place of it
    (docs.aws.amazon.com/ses/latest/dg/event-publishing-send-email.html and header-fields.html)."""
    tags = f"send_id={message.send_id}, campaign={content.tag}"
    return [("X-SES-MESSAGE-TAGS", tags), ("Date", formatdate())]


def _taken(words: str) -> Verdict:
    """A 250 counts when it names the message: any other could be the answer to something else."""
    found = _MESSAGE_ID.fullmatch(words)
    if found is None:
        return InDoubt(f"the answer does not name the message: {words}", code="250")
    return [Accepted(found[1])]
