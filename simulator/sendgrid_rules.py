"""SendGrid's rules for a mail-send request, each with the message its API gives; stores nothing.

Pages: "Mail Send: Errors", "Mail Send: Limitations", "Mail Send" (API reference), and the support
article "Validation Error(s) when Sending Emails Using the Mail Send API".
"""

import time
from typing import NamedTuple

from simulator.addresses import canonical, plain
from simulator.outcomes import REJECT, outcome_of
from simulator.wire import Json

HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message."
# "Mail Send: Limitations" and the field descriptions of the API reference.
MAX_BYTES = 30_000_000
MAX_PERSONALIZATIONS = 1000
MAX_RECIPIENTS = 1000
MAX_SUBSTITUTION_BYTES = 10_000
MAX_CUSTOM_ARG_BYTES = 10_000
MAX_CATEGORIES = 10
MAX_CATEGORY_LENGTH = 255
MAX_AHEAD_SECONDS = 72 * 3600
MAX_ERRORS = 1000

FORBIDDEN_HEADERS = frozenset(
    (
        "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type",
        "content-transfer-encoding", "to", "from", "subject", "reply-to", "cc", "bcc",
    )
)  # fmt: skip
TOP_FIELDS = frozenset(
    (
        "personalizations", "from", "reply_to", "reply_to_list", "subject", "content", "attachments",
        "template_id", "sections", "headers", "categories", "custom_args", "send_at", "batch_id",
        "asm", "ip_pool_name", "mail_settings", "tracking_settings",
    )
)  # fmt: skip
PERSONALIZATION_FIELDS = frozenset(
    (
        "to", "cc", "bcc", "from", "subject", "headers", "substitutions", "dynamic_template_data",
        "custom_args", "send_at",
    )
)  # fmt: skip

TO_REQUIRED = (
    "The to array is required for all personalization objects, and must have at least one email "
    "object with a valid email address."
)
BAD_ADDRESS = "Does not contain a valid address."


class Recipient(NamedTuple):
    """One address of a personalization with the outcome its prefix asks for."""

    personalization: int
    address: str
    outcome: str


class Errors(list[Json]):
    """SendGrid's `errors` array."""

    def say(self, message: str, field: str | None, anchor: str = "") -> None:
        if len(self) < MAX_ERRORS:
            topic = anchor or (field or "").split(".")[0]
            self.append(
                {"message": message, "field": field, "help": HELP + topic if topic else None}
            )


def check(mail: Json, fail_every: int = 0) -> tuple[Errors, list[Recipient]]:
    """What SendGrid objects to in a request, and the recipients if it objects to nothing."""
    errors = Errors()
    if not isinstance(mail, dict):
        errors.say("Bad Request", None)
        return errors, []
    for name in mail.keys() - TOP_FIELDS:
        errors.say(f"Additional property {name} is not allowed", name)
    _check_from(mail, errors)
    _check_content(mail, errors)
    _check_shared(mail, errors)
    people = _check_personalizations(mail, errors, fail_every)
    return errors, people


def _check_from(mail: Json, errors: Errors) -> None:
    sender = mail.get("from")
    if not isinstance(sender, dict):
        given = "null" if sender is None else type(sender).__name__
        text = f"Invalid type. Expected: object, given: {given}."
        errors.say(
            text
            if sender is not None
            else "The from object must be provided for every email send. It is an object that requires the email parameter, but may also contain a name parameter.",
            "from",
        )
        return
    email = sender.get("email")
    if not isinstance(email, str) or not plain(email):
        errors.say("The from email does not contain a valid address.", "from.email", "from")
    if "reply_to" in mail and "reply_to_list" in mail:
        errors.say("The reply_to and reply_to_list parameters are mutually exclusive.", "reply_to")
    for field, entry in _reply_to(mail):
        if not isinstance(entry, dict) or not plain(str(entry.get("email"))):
            errors.say("The reply_to email does not contain a valid address.", field, "reply_to")


def _reply_to(mail: Json) -> list[tuple[str, Json]]:
    found = [("reply_to.email", mail["reply_to"])] if "reply_to" in mail else []
    many = mail.get("reply_to_list")
    if isinstance(many, list):
        found += [(f"reply_to_list.{n}.email", entry) for n, entry in enumerate(many)]
    return found


def _check_content(mail: Json, errors: Errors) -> None:
    content = mail.get("content")
    if mail.get("template_id") is not None:
        # No templates are kept here, so any id is one that the account does not have.
        errors.say(
            "The template_id must be a valid GUID, you provided " + repr(mail["template_id"]),
            "template_id",
        )
        return
    if not isinstance(content, list) or not content:
        errors.say(
            "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined content block. We typically suggest both text/plain and text/html blocks are included, but only one block is required.",
            "content",
        )
        return
    types = []
    for n, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            errors.say(
                "The content type must be a string at least one character in length.",
                f"content.{n}.type",
            )
            continue
        types.append(part["type"])
        if not isinstance(part.get("value"), str) or not part["value"]:
            errors.say(
                "The content value must be a string at least one character in length.",
                f"content.{n}.value",
            )
    if "text/plain" in types and types.index("text/plain") != 0:
        errors.say(
            "If present, text/plain must be first, followed by text/html, followed by any other content.",
            "content",
        )
    if not isinstance(mail.get("subject"), str) or not mail["subject"]:
        people = mail.get("personalizations")
        if not isinstance(people, list) or not all(
            isinstance(p, dict) and p.get("subject") for p in people
        ):
            errors.say(
                "The subject is required. You can get around this requirement if you use a template with a subject defined or if every personalization has a subject defined.",
                "subject",
            )


def _check_shared(mail: Json, errors: Errors) -> None:
    categories = mail.get("categories", [])
    if not isinstance(categories, list) or len(categories) > MAX_CATEGORIES:
        errors.say(
            f"You cannot have more than {MAX_CATEGORIES} categories per request.", "categories"
        )
    elif any(not isinstance(c, str) or len(c) > MAX_CATEGORY_LENGTH for c in categories):
        errors.say(
            f"Categories may only contain strings of up to {MAX_CATEGORY_LENGTH} characters.",
            "categories",
        )
    _check_headers(mail.get("headers", {}), "headers", errors)
    _check_args(mail.get("custom_args", {}), "custom_args", errors)
    send_at = mail.get("send_at")
    if send_at is not None and (
        not isinstance(send_at, int) or send_at > time.time() + MAX_AHEAD_SECONDS
    ):
        errors.say("Scheduling more than 72 hours in advance is forbidden.", "send_at")


def _check_headers(headers: Json, field: str, errors: Errors) -> None:
    if not isinstance(headers, dict) or any(type(v) is not str for v in headers.values()):
        errors.say("Bad Request", None)
    elif not FORBIDDEN_HEADERS.isdisjoint(map(str.lower, headers)):
        errors.say("You cannot use a reserved header in the headers parameter.", field, "headers")
    elif any("\n" in v or "\r" in v for v in headers.values()):
        errors.say("Header values may not contain line breaks.", field, "headers")


def _check_args(args: Json, field: str, errors: Errors) -> None:
    try:
        size = len("".join((*args, *args.values())).encode())
    except (TypeError, AttributeError, ValueError):
        errors.say("Bad Request", None)
        return
    if size >= MAX_CUSTOM_ARG_BYTES:
        errors.say(
            "The total length of custom arguments must be less than 10000 bytes.",
            field,
            "custom_args",
        )


def _check_substitutions(values: Json, field: str, errors: Errors) -> None:
    try:
        size = len("".join((*values, *values.values())).encode())
    except (TypeError, AttributeError, ValueError):
        # A number where a string belongs is a type error for the whole body, without a field.
        errors.say("Bad Request", None)
        return
    if size > MAX_SUBSTITUTION_BYTES:
        errors.say(
            "The total collective size of your substitutions may not exceed 10,000 bytes per personalization object.",
            field,
            "personalizations.substitutions",
        )


def _check_personalizations(mail: Json, errors: Errors, fail_every: int) -> list[Recipient]:
    people = mail.get("personalizations")
    if not isinstance(people, list) or not people:
        errors.say(
            "The personalizations field is required and must have at least one personalization.",
            "personalizations",
        )
        return []
    if len(people) > MAX_PERSONALIZATIONS:
        errors.say(
            f"The personalization block is limited to {MAX_PERSONALIZATIONS} personalizations per API request. You have provided {len(people)} personalizations. Please consider splitting this into multiple requests and resending your request.",
            "personalizations",
        )
        return []
    found: list[Recipient] = []
    for n, person in enumerate(people):
        if type(person) is not dict:
            errors.say(
                "Invalid type. Expected: object.", f"personalizations.{n}", "personalizations"
            )
            continue
        _check_person(n, person, errors, found)
        if fail_every and (n + 1) % fail_every == 0:
            errors.say(BAD_ADDRESS, f"personalizations.{n}.to.0.email", "personalizations.to")
    if len(found) > MAX_RECIPIENTS:
        errors.say(
            "There is a limit of 1000 total recipients (to + cc + bcc) per request.",
            "personalizations",
        )
    _check_unique(found, errors)
    return found


def _check_person(n: int, person: Json, errors: Errors, found: list[Recipient]) -> None:
    if not person.keys() <= PERSONALIZATION_FIELDS:
        for name in person.keys() - PERSONALIZATION_FIELDS:
            errors.say(
                f"Additional property {name} is not allowed",
                f"personalizations.{n}.{name}",
                "personalizations",
            )
    first = len(found)
    to = person.get("to")
    if type(to) is not list or not to:
        errors.say(TO_REQUIRED, f"personalizations.{n}.to", "personalizations.to")
    for role in ("to", "cc", "bcc"):
        if role in person:
            _check_role(n, role, person[role], errors, found)
    if len(found) - first > 1:
        _check_unique_within(n, found[first:], errors)
    if "substitutions" in person:
        _check_substitutions(person["substitutions"], f"personalizations.{n}.substitutions", errors)
    if "custom_args" in person:
        _check_args(person["custom_args"], f"personalizations.{n}.custom_args", errors)
    if "headers" in person:
        _check_headers(person["headers"], f"personalizations.{n}.headers", errors)


def _check_role(n: int, role: str, entries: Json, errors: Errors, found: list[Recipient]) -> None:
    for m, entry in enumerate(entries if type(entries) is list else ()):
        field = f"personalizations.{n}.{role}.{m}"
        email = entry.get("email") if type(entry) is dict else None
        if type(email) is not str:
            errors.say(
                f"The {role} email parameter is required.",
                f"{field}.email",
                f"personalizations.{role}",
            )
            continue
        address = canonical(email)
        outcome = outcome_of(address)
        if outcome == REJECT or not plain(email):
            errors.say(BAD_ADDRESS, f"{field}.email", f"personalizations.{role}")
            continue
        name = entry.get("name")
        if name is not None and (type(name) is not str or "," in name or ";" in name):
            errors.say(
                f"The {role}.name parameter cannot include either the ; or , characters.",
                f"{field}.name",
                f"personalizations.{role}",
            )
        found.append(Recipient(n, address, outcome))


def _check_unique_within(n: int, people: list[Recipient], errors: Errors) -> None:
    seen: set[str] = set()
    for person in people:
        if person.address in seen:
            errors.say(
                f"Each email address in the personalization block should be unique between to, cc, and bcc. We found the first duplicate instance of [{person.address}] in the personalizations.{n} field.",
                f"personalizations.{n}",
                "personalizations",
            )
            return
        seen.add(person.address)


def _check_unique(found: list[Recipient], errors: Errors) -> None:
    if errors or len({person.address for person in found}) == len(found):
        return
    seen: set[str] = set()
    for person in found:
        if person.address in seen:
            errors.say(
                f"Each unique email address in the personalizations array should only be included once. You have included [{person.address}] more than once.",
                "personalizations",
            )
        seen.add(person.address)
