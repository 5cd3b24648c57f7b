"""SendGrid's rules for a mail-send request; stores nothing.

Pages: "Mail Send" (API reference), "Mail Send: Limitations", "Mail Send: Errors".
"""

import time
from typing import NamedTuple

from simulator import sendgrid_words as words
from simulator.addresses import canonical, plain
from simulator.outcomes import REJECT, outcome_of
from simulator.sendgrid_words import Errors
from simulator.wire import Json

# "Mail Send: Limitations" and the field descriptions of the API reference.
MAX_BYTES = 30_000_000
MAX_PERSONALIZATIONS = 1000
MAX_RECIPIENTS = 1000
MAX_SUBSTITUTION_BYTES = 10_000
MAX_CUSTOM_ARG_BYTES = 10_000
MAX_CATEGORIES = 10
MAX_CATEGORY_LENGTH = 255
MAX_AHEAD_SECONDS = 72 * 3600

FORBIDDEN_HEADERS = frozenset(
    [
        "x-sg-id",
        "x-sg-eid",
        "received",
        "dkim-signature",
        "content-type",
        "content-transfer-encoding",
        "to",
        "from",
        "subject",
        "reply-to",
        "cc",
        "bcc",
    ]
)
TOP_FIELDS = frozenset(
    [
        "personalizations",
        "from",
        "reply_to",
        "reply_to_list",
        "subject",
        "content",
        "attachments",
        "template_id",
        "sections",
        "headers",
        "categories",
        "custom_args",
        "send_at",
        "batch_id",
        "asm",
        "ip_pool_name",
        "mail_settings",
        "tracking_settings",
    ]
)
PERSONALIZATION_FIELDS = frozenset(
    [
        "to",
        "cc",
        "bcc",
        "from",
        "subject",
        "headers",
        "substitutions",
        "dynamic_template_data",
        "custom_args",
        "send_at",
    ]
)
ROLES = ("to", "cc", "bcc")
OBJECTS = ("headers", "custom_args", "mail_settings", "tracking_settings", "asm", "sections")


class Recipient(NamedTuple):
    """One address of a personalization with the outcome its prefix asks for."""

    personalization: int
    address: str
    outcome: str


def check(mail: Json, fail_every: int = 0) -> tuple[Errors, list[Recipient]]:
    """What SendGrid objects to in a request, and the recipients if it objects to nothing."""
    errors = Errors()
    if not isinstance(mail, dict):
        errors.say(words.BAD_TYPE, None)
        return errors, []
    for name in mail.keys() - TOP_FIELDS:
        errors.say(f"Additional property {name} is not allowed", name)
    wrong_types = [name for name in OBJECTS if type(mail.get(name, {})) is not dict]
    wrong_types += ["subject"] if type(mail.get("subject", "")) is not str else []
    for name in wrong_types:
        expected = "string" if name == "subject" else "object"
        errors.say(words.wrong_type(expected, mail[name]), name)
    if wrong_types:
        return errors, []
    _check_from(mail, errors)
    _check_content(mail, errors)
    _check_shared(mail, errors)
    return errors, _check_personalizations(mail.get("personalizations"), errors, fail_every)


def _check_from(mail: Json, errors: Errors) -> None:
    sender = mail.get("from")
    if sender is None:
        errors.say(words.FROM_REQUIRED, "from")
    elif not isinstance(sender, dict):
        errors.say(words.wrong_type("object", sender), "from")
    elif not isinstance(sender.get("email"), str) or not plain(sender["email"]):
        errors.say(words.FROM_BAD, "from.email")
    if "reply_to" in mail and "reply_to_list" in mail:
        errors.say(words.REPLY_TO_TWICE, "reply_to")
    for field, entry in _reply_to(mail):
        if not isinstance(entry, dict) or not plain(str(entry.get("email"))):
            errors.say(words.REPLY_TO_BAD, field)


def _reply_to(mail: Json) -> list[tuple[str, Json]]:
    found = [("reply_to.email", mail["reply_to"])] if "reply_to" in mail else []
    many = mail.get("reply_to_list")
    if isinstance(many, list):
        found += [(f"reply_to_list.{n}.email", entry) for n, entry in enumerate(many)]
    return found


def _check_content(mail: Json, errors: Errors) -> None:
    if mail.get("template_id") is not None:
        # No templates are kept here, so any id is one that the account does not have.
        errors.say(f"The template_id {mail['template_id']} does not exist.", "template_id")
        return
    content = mail.get("content")
    if not isinstance(content, list) or not content:
        errors.say(words.CONTENT_REQUIRED, "content")
        return
    types = []
    for n, part in enumerate(content):
        kind, value = (part.get(k) if isinstance(part, dict) else None for k in ("type", "value"))
        if not isinstance(kind, str) or not kind:
            errors.say(words.CONTENT_TYPE, f"content.{n}.type")
        if not isinstance(value, str) or not value:
            errors.say(words.CONTENT_VALUE, f"content.{n}.value")
        types.append(kind)
    if types != sorted(types, key=_place):
        errors.say(words.CONTENT_ORDER, "content")
    if not _has_subject(mail):
        errors.say(words.SUBJECT_REQUIRED, "subject")


def _place(kind: Json) -> int:
    # Wrong types are told already; here they only must not break the order.
    return {"text/plain": 0, "text/html": 1}.get(str(kind), 2)


def _has_subject(mail: Json) -> bool:
    if mail.get("subject"):
        return True
    people = mail.get("personalizations")
    return (
        isinstance(people, list)
        and bool(people)
        and all(isinstance(person, dict) and person.get("subject") for person in people)
    )


def _check_shared(mail: Json, errors: Errors) -> None:
    categories = mail.get("categories", [])
    if not isinstance(categories, list) or len(categories) > MAX_CATEGORIES:
        errors.say(f"Maximum of {MAX_CATEGORIES} categories allowed per email.", "categories")
    elif any(type(name) is not str or len(name) > MAX_CATEGORY_LENGTH for name in categories):
        errors.say(f"Categories are limited to {MAX_CATEGORY_LENGTH} characters.", "categories")
    _check_headers(mail.get("headers", {}), "headers", errors)
    _check_args(mail.get("custom_args", {}), "custom_args", errors)
    send_at = mail.get("send_at")
    if send_at is None:
        return
    if not isinstance(send_at, int) or send_at > time.time() + MAX_AHEAD_SECONDS:
        errors.say(words.TOO_FAR_AHEAD, "send_at")


def _check_headers(headers: Json, field: str, errors: Errors) -> None:
    if not isinstance(headers, dict) or any(type(v) is not str for v in headers.values()):
        errors.say(words.BAD_TYPE, None)
    elif not FORBIDDEN_HEADERS.isdisjoint(map(str.lower, headers)):
        errors.say(words.RESERVED_HEADER, field, "headers")
    elif any("\n" in value or "\r" in value for value in headers.values()):
        errors.say(words.HEADER_LINES, field, "headers")


def _size(pairs: Json, errors: Errors) -> int:
    """Bytes of names and values together; a value that is no string spoils the whole body."""
    try:
        return len("".join((*pairs, *pairs.values())).encode())
    except (TypeError, AttributeError, ValueError):
        errors.say(words.BAD_TYPE, None)
        return 0


def _check_args(args: Json, field: str, errors: Errors) -> None:
    if _size(args, errors) >= MAX_CUSTOM_ARG_BYTES:
        errors.say(words.ARGS_TOO_LONG, field, "custom_args")


def _check_personalizations(people: Json, errors: Errors, fail_every: int) -> list[Recipient]:
    if not isinstance(people, list) or not people:
        errors.say(words.PERSONALIZATIONS_REQUIRED, "personalizations")
        return []
    if len(people) > MAX_PERSONALIZATIONS:
        errors.say(words.TOO_MANY_PERSONALIZATIONS.format(len(people)), "personalizations")
        return []
    found: list[Recipient] = []
    for n, person in enumerate(people):
        if type(person) is not dict:
            errors.say("Invalid type. Expected: object.", f"personalizations.{n}")
            continue
        _check_person(n, person, errors, found)
        if fail_every and (n + 1) % fail_every == 0:
            field = f"personalizations.{n}.to.0.email"
            errors.say(words.BAD_ADDRESS, field, "personalizations.to")
    if len(found) > MAX_RECIPIENTS:
        errors.say(words.TOO_MANY_RECIPIENTS, "personalizations")
    _check_unique(found, errors)
    return found


def _check_person(n: int, person: Json, errors: Errors, found: list[Recipient]) -> None:
    here = f"personalizations.{n}"
    for name in person.keys() - PERSONALIZATION_FIELDS:
        errors.say(f"Additional property {name} is not allowed", f"{here}.{name}")
    if "subject" in person and type(person["subject"]) is not str:
        errors.say("Invalid type. Expected: string.", f"{here}.subject", "personalizations.subject")
    first = len(found)
    to = person.get("to")
    if type(to) is not list or not to:
        errors.say(words.TO_REQUIRED, f"{here}.to", "personalizations.to")
    for role in ROLES:
        if role in person:
            _check_role(n, role, person[role], errors, found)
    if len(found) - first > 1:
        _check_unique_within(n, found[first:], errors)
    substitutions = person.get("substitutions")
    if substitutions is not None and _size(substitutions, errors) > MAX_SUBSTITUTION_BYTES:
        errors.say(words.SUBSTITUTIONS_TOO_LONG, f"{here}.substitutions")
    if "custom_args" in person:
        _check_args(person["custom_args"], f"{here}.custom_args", errors)
    if "headers" in person:
        _check_headers(person["headers"], f"{here}.headers", errors)


def _check_role(n: int, role: str, entries: Json, errors: Errors, found: list[Recipient]) -> None:
    for m, entry in enumerate(entries if type(entries) is list else ()):
        email = entry.get("email") if type(entry) is dict else None
        if type(email) is not str:
            problem = f"The {role} email parameter is required."
        else:
            address = canonical(email)
            outcome = outcome_of(address)
            if outcome != REJECT and plain(email) and _good_name(entry.get("name")):
                found.append(Recipient(n, address, outcome))
                continue
            problem = words.BAD_ADDRESS
        field = f"personalizations.{n}.{role}.{m}.email"
        if type(email) is str and not _good_name(entry.get("name")):
            problem = f"The {role}.name parameter cannot include either the ; or , characters."
            field = f"personalizations.{n}.{role}.{m}.name"
        errors.say(problem, field, f"personalizations.{role}")


def _good_name(name: Json) -> bool:
    return name is None or (type(name) is str and "," not in name and ";" not in name)


def _check_unique_within(n: int, people: list[Recipient], errors: Errors) -> None:
    seen: set[str] = set()
    for person in people:
        if person.address in seen:
            text = words.TWICE_WITHIN.format(person.address, n)
            errors.say(text, f"personalizations.{n}", "personalizations")
            return
        seen.add(person.address)


def _check_unique(found: list[Recipient], errors: Errors) -> None:
    if errors or len({person.address for person in found}) == len(found):
        return
    seen: set[str] = set()
    for person in found:
        if person.address in seen:
            errors.say(words.TWICE.format(person.address), "personalizations")
        seen.add(person.address)
