"""Amazon SES' SMTP interface: what it checks, takes and says; knows no socket.

Pages: SES developer guide "Using the Amazon SES SMTP interface", "Obtaining Amazon SES SMTP
credentials", "Amazon SES SMTP issues" (response codes), "Send email using event publishing"
(X-SES headers), "Email format and header fields"; RFC 5321.
"""

import base64
import binascii
import hashlib
import hmac
import re
from email import message_from_bytes
from email.message import Message
from typing import NamedTuple

from simulator import ses, ses_calls, ses_rules
from simulator.addresses import split
from simulator.outcomes import REJECT
from simulator.state import State
from simulator.wire import Accepted, Json

HOST = "email-smtp.amazonaws.com"
LONGEST_LINE = 998
#: Of the header that holds the tags: "send_id=s1, campaign=c1".
TAGS, CONFIGURATION_SET = "X-SES-MESSAGE-TAGS", "X-SES-CONFIGURATION-SET"
_ONCE = (
    "From", "To", "Subject", "Reply-To", "Message-ID", "Date", "MIME-Version", "Content-Type",
    "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", TAGS, CONFIGURATION_SET,
)  # fmt: skip
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_FOLD = re.compile(r"\r?\n(?=[ \t])")
#: A message says nothing of tracking; the configuration sets of this account track nothing.
_NO_TRACKING = {"Tracking": {"OpenTrackingEnabled": "DISABLED", "ClickTrackingEnabled": "DISABLED"}}


class Reply(NamedTuple):
    """A code and its words; several lines of words make a multi-line reply."""

    code: int
    words: str

    @property
    def raw(self) -> bytes:
        """As it stands on the wire."""
        *first, last = self.words.split("\n")
        lines = [f"{self.code}-{line}" for line in first] + [f"{self.code} {last}"]
        return "".join(f"{line}\r\n" for line in lines).encode()


class Envelope(NamedTuple):
    """Who sends to whom, as named in MAIL and RCPT."""

    sender: str
    people: list[str]


GREETING = Reply(220, f"{HOST} ESMTP SimpleEmailService-simulator")
OK = Reply(250, "Ok")
GO_AHEAD = Reply(354, "End data with <CR><LF>.<CR><LF>")
READY_FOR_TLS = Reply(220, "Ready to start TLS")
LOGGED_IN = Reply(235, "Authentication successful.")
BYE = Reply(221, "Bye")
NO_LOGIN = Reply(530, "Authentication required")
NO_TLS = Reply(530, "Must issue a STARTTLS command first")
BAD_LOGIN = Reply(535, "Authentication Credentials Invalid")
BAD_SENDER = Reply(501, "Invalid MAIL FROM address provided")
BAD_RECIPIENT = Reply(501, "Invalid RCPT TO address provided")
TOO_MANY = Reply(452, "Too many recipients")
OUT_OF_ORDER = Reply(503, "Error: bad sequence of commands")
UNKNOWN = Reply(500, "Error: command not implemented")
TOO_LONG = Reply(552, "Message is too long.")
TIMED_OUT = Reply(451, "4.4.2 Timeout waiting for data from client.")
NOT_NOW = Reply(454, "Temporary service failure")
BROKEN = Reply(451, "Temporary service failure")
#: What each fault says in place of the answer; the gateway's words are no SMTP at all.
REFUSALS = {
    "error_500": BROKEN,
    "accepted_500": BROKEN,
    "error_503": NOT_NOW,
    "throttle": Reply(454, f"Throttling failure: {ses.RATE}"),
    "quota": Reply(454, f"Throttling failure: {ses.QUOTA}"),
    "bad_key": BAD_LOGIN,
    "suspended": Reply(554, "Message rejected: Sending paused for this account. For more "
                       "information, please check the inbox of the email address associated with "
                       "your AWS account."),
    "payload_too_large": TOO_LONG,
}  # fmt: skip


def offers(*, starttls: bool) -> Reply:
    """The answer to EHLO, as SES gives it: no PIPELINING, no SMTPUTF8."""
    lines = [HOST, "8BITMIME", *(["STARTTLS"] if starttls else []), "AUTH PLAIN LOGIN", "Ok"]
    return Reply(250, "\n".join(lines))


def password_of(secret_key: str, region: str) -> str:
    """The SMTP password ("Obtaining ... by converting existing AWS credentials")."""
    key = f"AWS4{secret_key}".encode()
    for part in ("11111111", region, "ses", "aws4_request", "SendRawEmail"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return base64.b64encode(b"\x04" + key).decode()


def knows(state: State, user: str, secret: str) -> bool:
    """Whether these are the account's SMTP credentials."""
    expected = password_of(state.keys.ses_secret_access_key, state.keys.ses_region)
    right = hmac.compare_digest(secret.encode(), expected.encode())
    return user == state.keys.ses_access_key_id and right


def plain(text: str) -> str:
    """A word of AUTH, which travels as base64."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def path(rest: str, word: str) -> str | None:
    """The address of `MAIL FROM:<…>` or `RCPT TO:<…>`, or None when it is none."""
    found = re.fullmatch(rf"{word}:\s*<([^<>]*)>(\s.*)?", rest, re.IGNORECASE)
    return found[1] if found and ses_rules.address_problem(found[1]) is None else None


def unverified(state: State, sender: str) -> Reply:
    return Reply(554, f"Message rejected: {ses.unverified(state, sender)}")


def failed(words: str) -> Reply:
    return Reply(554, f"Transaction failed: {words}")


def take(state: State, envelope: Envelope, data: bytes) -> Reply:
    """The answer to a whole message: its id, or why it is not taken."""
    if len(data) > ses_rules.MAX_MESSAGE:
        return TOO_LONG
    if _BARE.search(data) or max(map(len, data.split(b"\r\n"))) > LONGEST_LINE:
        return failed("the message has lines that are not lines of SMTP.")
    mime = message_from_bytes(data)
    wrong = _problem(mime)
    if wrong:
        return failed(wrong)
    try:
        row = ses_calls.row(envelope.people, _tags(mime))
    except ses_rules.CallRefusedError as problem:
        return failed(str(problem))
    sender = _text(mime, "From")
    for address in (envelope.sender, split(sender)[1]):
        if not state.meters.limits[ses.NAME].sender_allowed(address):
            return unverified(state, address)
    if row.outcome == REJECT:
        return failed("Illegal address")
    shared = {
        "FromEmailAddress": sender,
        "ConfigurationSetName": _text(mime, CONFIGURATION_SET),
        "ConfigurationOverrides": _NO_TRACKING,
        "Content": {"Raw": {}},
    }
    return _accept(state, shared, row._replace(body=data))


def _accept(state: State, shared: Json, row: Accepted) -> Reply:
    with state.log.lock:
        room, quota = state.meters.room(ses.NAME), state.meters.quota_left(ses.NAME)
        if quota is not None and quota <= 0:
            return REFUSALS["quota"]
        if room is not None and room <= 0:
            return REFUSALS["throttle"]
        return Reply(250, f"Ok {ses.accept(state, shared, [row])[0]}")


def _problem(mime: Message) -> str:
    for name in _ONCE:
        if len(mime.get_all(name, [])) > 1:
            return f"Duplicate header '{name}'."
    wrong = ses_rules.address_problem(split(_text(mime, "From"))[1])
    return f"{wrong}" if wrong else ""


def _text(mime: Message, name: str) -> str:
    return _FOLD.sub("", str(mime.get(name, "")))


def _tags(mime: Message) -> dict[str, str]:
    pairs = (pair.strip().partition("=") for pair in _text(mime, TAGS).split(",") if pair.strip())
    return ses_rules.check_tags([{"Name": name, "Value": value} for name, _, value in pairs])


def words_of(fault: str, state: State, sender: str) -> Reply | None:
    """What a fault says in place of the answer; None: nothing of SMTP."""
    return unverified(state, sender) if fault == "unverified_sender" else REFUSALS.get(fault)
