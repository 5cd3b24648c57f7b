"""Reads SendEmail and SendBulkEmail calls into messages to be stored; stores and limits nothing.

Pages: SES API v2 reference "SendBulkEmail", "SendEmail", "BulkEmailEntry", "BulkEmailEntryResult".
"""

from email import message_from_bytes, policy
from typing import NamedTuple

import orjson

from simulator import ses_rules as rules
from simulator.addresses import canonical, split
from simulator.outcomes import REJECT, outcome_of
from simulator.ses_rules import BadRequestError
from simulator.wire import Accepted, Json

NO_RECIPIENT = f"Recipient count must be between 1 and {rules.MAX_RECIPIENTS}."
ONE_CONTENT = "Content must contain exactly one of Simple, Raw, Template."


class Entry(NamedTuple):
    """One bulk entry after checking: what its result says, or the message that is to be stored."""

    status: str
    error: str = ""
    row: Accepted | None = None


class Call(NamedTuple):
    """A bulk call: who sends, and its entries in order."""

    sender: str
    entries: list[Entry]


class Single(NamedTuple):
    """A SendEmail call: who sends, the message, and the MIME source of a raw one."""

    sender: str
    row: Accepted
    raw: bytes


def read_bulk(call: Json, size: int) -> Call:
    """A bulk call; what is wrong with one entry is that entry's result."""
    sender = rules.check_sender(call)
    entries = call.get("BulkEmailEntries")
    if not isinstance(entries, list) or not entries:
        raise BadRequestError("BulkEmailEntries must have at least one entry.")
    if len(entries) > rules.MAX_ENTRIES:
        raise BadRequestError(f"Number of destinations exceeds the limit of {rules.MAX_ENTRIES}.")
    content: Json = (call.get("DefaultContent") or {}).get("Template")
    template = rules.read_template(content)
    if size > rules.MAX_INLINE_INPUT:
        raise BadRequestError("The input of a call with an inline template is limited to 1 MB.")
    tags = rules.check_tags(call.get("DefaultEmailTags"))
    defaults = rules.read_data(content.get("TemplateData"))
    return Call(sender, [_entry(entry, tags, template, defaults) for entry in entries])


def _entry(entry: Json, tags: dict[str, str], template: rules.Template, defaults: Json) -> Entry:
    own_tags = rules.check_tags(entry.get("ReplacementTags"))
    people = _people(entry.get("Destination") or {})
    wrong = _recipients_problem(people) or rules.check_headers(entry.get("ReplacementHeaders"))
    if wrong:
        return Entry("INVALID_PARAMETER", wrong)
    replacement = (entry.get("ReplacementEmailContent") or {}).get("ReplacementTemplate") or {}
    try:
        values = rules.read_data(replacement.get("ReplacementTemplateData"))
    except BadRequestError as problem:
        return Entry("INVALID_PARAMETER", str(problem))
    failure = rules.missing(template, defaults, values)
    headers = entry.get("ReplacementHeaders")
    return Entry("SUCCESS", row=row(people, tags | own_tags, failure, values, headers))


def read_single(call: Json) -> Single:
    """A SendEmail call; takes out of it what belongs to the message alone."""
    content = call.get("Content") or {}
    kinds = [kind for kind in ("Simple", "Raw", "Template") if content.get(kind) is not None]
    if len(kinds) != 1:
        raise BadRequestError(ONE_CONTENT)
    tags = rules.check_tags(call.pop("EmailTags", None))
    failure, values, raw = "", {}, b""
    if kinds[0] == "Raw":
        raw = rules.read_raw(content["Raw"])
        call["Content"] = {"Raw": {}}
        call.setdefault("FromEmailAddress", str(_mime(raw).get("From", "")))
    elif kinds[0] == "Simple":
        rules.check_simple(content["Simple"])
    else:
        template = rules.read_template(content["Template"])
        values = rules.read_data(content["Template"].pop("TemplateData", None))
        failure = rules.missing(template, {}, values)
    sender = rules.check_sender(call)
    people = _people(call.pop("Destination", None) or {})
    if not people and raw:
        people = _people_in(raw)
    wrong = _recipients_problem(people)
    if wrong:
        raise BadRequestError(wrong)
    return Single(sender, row(people, tags, failure, values, None), raw)


def _mime(raw: bytes) -> Json:
    return message_from_bytes(raw, policy=policy.default)


def _people_in(raw: bytes) -> list[str]:
    to = _mime(raw)["To"]
    return [address.addr_spec for address in to.addresses] if to else []


def _people(destination: Json) -> list[str]:
    return [a for kind in ("To", "Cc", "Bcc") for a in destination.get(f"{kind}Addresses") or ()]


def _recipients_problem(people: list[str]) -> str | None:
    if not people or len(people) > rules.MAX_RECIPIENTS:
        return NO_RECIPIENT
    for person in people:
        problem = rules.address_problem(person)
        if problem or outcome_of(canonical(split(person)[1])) == REJECT:
            return f"{problem or 'Illegal address'}: {person}"
    return None


def row(
    people: list[str], tags: dict[str, str], failure: str = "", values: Json = None,
    headers: Json = None,
) -> Accepted:  # fmt: skip
    """One message; SES reports on all its recipients together, the log keeps the first."""
    address = canonical(split(people[0])[1])
    extra: Json = {"to": people, "tags": tags}
    for name, value in (("headers", headers), ("values", values), ("failure", failure)):
        if value:
            extra[name] = value
    outcome = "render_failure" if failure else outcome_of(address)
    campaign = tags.get("campaign_id") or tags.get("campaign") or ""
    return Accepted(address, tags.get("send_id", ""), campaign, outcome, orjson.dumps(extra))
