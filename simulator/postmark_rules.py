"""Postmark's rules for one message, each with its ErrorCode and text; stores nothing.

Pages: "API overview: error codes", "Email API", "What does Error Code 300 mean?" (support: the
two address patterns), "Batch emails", "Custom metadata".
"""

import re
from typing import NamedTuple

from simulator.addresses import canonical, split_list
from simulator.outcomes import REJECT, outcome_of
from simulator.wire import Json

# "Email API" and "Batch emails".
MAX_BATCH = 500
MAX_BATCH_BYTES = 50_000_000
MAX_MESSAGE_BYTES = 10_000_000
MAX_BODY_BYTES = 5_000_000
MAX_RECIPIENTS = 50
MAX_TAG = 1000
# "Custom metadata".
MAX_METADATA_FIELDS = 10
MAX_METADATA_KEY = 20
MAX_METADATA_VALUE = 80

STREAMS = ("outbound", "broadcast")
TRACK_LINKS = (None, "", "None", "HtmlAndText", "HtmlOnly", "TextOnly")

# Postmark publishes the patterns that it checks addresses with; both are ASCII.
_DOMAIN = re.compile(r"(?:\.?[a-zA-Z0-9-])+")
_MAILBOX = re.compile(r"[a-z0-9.!#$%&'`*+\-/=^_{}|~]+", re.IGNORECASE)

BAD_FIELDS = "Invalid request field(s)."
BAD_METADATA = "Invalid metadata content."
INVALID, NO_SENDER, BAD_JSON, BAD_TYPE = 300, 400, 402, 403
NOT_ALLOWED, INACTIVE, TOO_MANY, NO_STREAM = 405, 406, 410, 1235


class Problem(NamedTuple):
    """One of Postmark's errors: the same pair stands in a 422 or in an entry of a batch."""

    code: int
    message: str

    def json(self) -> Json:
        return {"ErrorCode": self.code, "Message": self.message}


class Checked(NamedTuple):
    """A message that Postmark would take: its recipients by field and the first one's address."""

    people: dict[str, list[Json]]
    address: str
    outcome: str
    sender: str


def check(message: Json, streams: list[str] | None) -> Checked | Problem:
    """A message judged by Postmark's rules in the order in which its API reports them."""
    if type(message) is not dict:
        return Problem(BAD_TYPE, BAD_FIELDS)
    sender = message.get("From")
    if type(sender) is not str or not sender:
        return Problem(INVALID, "Invalid 'From' address: ''.")
    wrong = (
        _address_problem("From", sender)
        or _texts(message)
        or _shape(message)
        or _stream(message, streams)
    )
    if wrong:
        return wrong
    people: dict[str, list[Json]] = {}
    for field in ("To", "Cc", "Bcc"):
        value = message.get(field)
        if value:
            wrong = _address_problem(field, value)
            if wrong:
                return wrong
            people[field] = [{"Email": a, "Name": n or None} for n, a in split_list(value)]
    everyone = [person["Email"] for entries in people.values() for person in entries]
    if not message.get("To"):
        return Problem(INVALID, "Zero recipients specified")
    if len(everyone) > MAX_RECIPIENTS:
        return Problem(
            INVALID,
            f"Maximum of {MAX_RECIPIENTS} recipients allowed per email message.",
        )
    address = canonical(everyone[0])
    outcome = outcome_of(address)
    if outcome == REJECT:
        return Problem(INVALID, f"Invalid 'To' address: '{everyone[0]}'.")
    return Checked(people, address, outcome, split_list(sender)[0][1])


def _address_problem(field: str, value: Json) -> Problem | None:
    if type(value) is not str:
        return Problem(BAD_TYPE, BAD_FIELDS)
    for _, address in split_list(value) or [("", value)]:
        mailbox, at, domain = address.rpartition("@")
        if not at:
            text = f"Illegal email address '{address}'. It must contain the '@' symbol."
        elif _DOMAIN.fullmatch(domain) is None or "." not in domain:
            text = f"Illegal email domain '{domain}' in address '{address}'."
        elif _MAILBOX.fullmatch(mailbox) is None:
            text = f"Illegal email mailbox '{mailbox}' in address '{address}'."
        else:
            continue
        return Problem(INVALID, f"Error parsing '{field}': {text}")
    return None


def _texts(message: Json) -> Problem | None:
    for name in ("Subject", "ReplyTo"):
        if type(message.get(name) or "") is not str:
            return Problem(BAD_TYPE, BAD_FIELDS)
    reply_to = message.get("ReplyTo")
    return _address_problem("ReplyTo", reply_to) if reply_to else None


def _shape(message: Json) -> Problem | None:
    html, text = message.get("HtmlBody"), message.get("TextBody")
    if not html and not text:
        return Problem(INVALID, "Provide either email TextBody or HtmlBody or both.")
    for body in (html, text):
        if body is not None and type(body) is not str:
            return Problem(BAD_TYPE, BAD_FIELDS)
        if body and len(body) > MAX_BODY_BYTES // 4 and len(body.encode()) > MAX_BODY_BYTES:
            return Problem(INVALID, "TextBody and HtmlBody are limited to 5 MB each.")
    tag = message.get("Tag")
    if tag is not None and (type(tag) is not str or len(tag) > MAX_TAG):
        return Problem(INVALID, f"Tag is limited to {MAX_TAG} characters.")
    if message.get("TrackLinks") not in TRACK_LINKS:
        return Problem(INVALID, "Invalid value for 'TrackLinks'.")
    return _metadata(message.get("Metadata")) or _headers(message.get("Headers"))


def _metadata(metadata: Json) -> Problem | None:
    if not metadata:
        return None
    if type(metadata) is not dict or any(type(v) is not str for v in metadata.values()):
        return Problem(BAD_TYPE, BAD_FIELDS)
    if len(metadata) > MAX_METADATA_FIELDS:
        return Problem(INVALID, f"{BAD_METADATA} Maximum of {MAX_METADATA_FIELDS} fields allowed.")
    for key, value in metadata.items():
        if len(key) > MAX_METADATA_KEY:
            limit = f"Field names are limited to {MAX_METADATA_KEY} characters: '{key}'."
            return Problem(INVALID, f"{BAD_METADATA} {limit}")
        if len(value) > MAX_METADATA_VALUE:
            limit = f"Values are limited to {MAX_METADATA_VALUE} characters: '{key}'."
            return Problem(INVALID, f"{BAD_METADATA} {limit}")
    return None


def _headers(headers: Json) -> Problem | None:
    if not headers:
        return None
    if type(headers) is not list:
        return Problem(BAD_TYPE, BAD_FIELDS)
    for header in headers:
        if type(header) is not dict or type(header.get("Value")) is not str:
            return Problem(BAD_TYPE, BAD_FIELDS)
        name, value = header.get("Name"), header["Value"]
        if type(name) is not str or not name or "\n" in value or "\r" in value:
            return Problem(INVALID, f"Invalid header: '{name}'.")
    return None


def _stream(message: Json, streams: list[str] | None) -> Problem | None:
    stream = message.get("MessageStream") or STREAMS[0]
    if stream in (STREAMS if streams is None else streams):
        return None
    return Problem(NO_STREAM, f"The stream provided: '{stream}' does not exist on this server.")
