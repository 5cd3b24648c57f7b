"""Amazon SES's rules for content, tags, headers, addresses and template data; stores nothing.

Pages: SES API v2 reference ("SendBulkEmail", "SendEmail", "MessageTag", "MessageHeader",
"Template"), developer guide "Using templates to send personalized email with the Amazon SES API",
"Service quotas in Amazon SES".
"""

import base64
import binascii
import re
from email.utils import parseaddr
from typing import NamedTuple

import orjson

from simulator.addresses import plain, split
from simulator.wire import Json

# "Service quotas": destinations per bulk call and recipients per message; "Template": data length;
# "Using templates ...": input of a call with an inline template.
MAX_ENTRIES = 50
MAX_RECIPIENTS = 50
MAX_INLINE_INPUT = 1_000_000
MAX_TEMPLATE_DATA = 262_144
MAX_MESSAGE = 40_000_000
# "MessageHeader" and "MessageTag".
MAX_HEADERS = 15
MAX_HEADER_NAME = 126
MAX_HEADER_VALUE = 995
MAX_TAG = 256

_TAG = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_TAG}}}")
_HEADER_NAME = re.compile(rf"[!-9;-@\[-~A-Z]{{1,{MAX_HEADER_NAME}}}")
_HEADER_VALUE = re.compile(rf"[ -~]{{1,{MAX_HEADER_VALUE}}}")
# Inline templates know plain variables only; whatever else stands in double braces cannot render.
_BRACES = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_VARIABLE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*")


class CallRefusedError(Exception):
    """SES answers the whole call with this error."""

    status, code = 400, "BadRequestException"


class BadRequestError(CallRefusedError):
    """400 BadRequestException: the input is invalid."""


class NotFoundError(CallRefusedError):
    """404 NotFoundException: a resource that the call names does not exist."""

    status, code = 404, "NotFoundException"


class Template(NamedTuple):
    """An inline template's parts, the variables it names, and what in it cannot be rendered."""

    subject: str
    text: str
    html: str
    names: frozenset[str]
    broken: str


def address_problem(value: Json) -> str | None:
    """What is wrong with an address, in the words SES uses, else None."""
    if not isinstance(value, str) or not value.strip():
        return "Missing final '@domain'"
    address = split(value)[1]
    if "@" not in address:
        return "Missing final '@domain'"
    local, _, domain = address.rpartition("@")
    if not domain:
        return "Missing domain"
    if re.search(r"[\s\x00-\x1f]", domain):
        return "Domain contains control or whitespace"
    if re.search(r"[\s\x00-\x1f]", local) and not local.startswith('"'):
        return "Local address contains control or whitespace"
    return None if plain(address) else "Illegal address"


def check_sender(call: Json) -> str:
    """The From address of a call; SES takes only ASCII in it ("SendEmail", FromEmailAddress)."""
    sender = call.get("FromEmailAddress")
    if not isinstance(sender, str) or not sender.isascii() or address_problem(sender):
        raise BadRequestError(f"Invalid FromEmailAddress: {address_problem(sender) or 'not ASCII'}")
    for reply_to in call.get("ReplyToAddresses") or ():
        if address_problem(reply_to):
            raise BadRequestError(f"Invalid ReplyToAddresses: {address_problem(reply_to)}")
    return parseaddr(sender)[1]


def check_tags(tags: Json) -> dict[str, str]:
    """Message tags as a dict; one bad character refuses the call."""
    found: dict[str, str] = {}
    for tag in tags or ():
        name, value = tag.get("Name"), tag.get("Value")
        if type(name) is not str or type(value) is not str:
            raise BadRequestError("Tag name and value are required.")
        if _TAG.fullmatch(name) is None or _TAG.fullmatch(value) is None:
            raise BadRequestError(
                f"Invalid tag <{name}={value}>: only alphanumeric ASCII characters, '_', and '-' "
                f"are allowed, and at most {MAX_TAG} of them."
            )
        found[name] = value
    return found


def check_headers(headers: Json) -> str | None:
    """What is wrong with a list of message headers, else None."""
    if not headers:
        return None
    if len(headers) > MAX_HEADERS:
        return f"Number of headers exceeds the limit of {MAX_HEADERS}."
    for header in headers:
        name, value = header.get("Name"), header.get("Value")
        if type(name) is not str or _HEADER_NAME.fullmatch(name) is None:
            return f"Invalid header name: {name!r}"
        if type(value) is not str or _HEADER_VALUE.fullmatch(value) is None:
            return f"Header {name} needs 1 to {MAX_HEADER_VALUE} printable ASCII characters."
    return None


def read_template(template: Json) -> Template:
    """An inline template; a stored one is never found, because none are kept here."""
    if not isinstance(template, dict):
        raise BadRequestError("Content must contain exactly one of Simple, Raw, Template.")
    if template.get("TemplateName") or template.get("TemplateArn"):
        named = template.get("TemplateName") or template.get("TemplateArn")
        raise NotFoundError(f"Template {named} does not exist.")
    content = template.get("TemplateContent")
    if not isinstance(content, dict):
        raise BadRequestError("Template content is required.")
    wrong = check_headers(template.get("Headers"))
    if wrong:
        raise BadRequestError(wrong)
    subject, text, html = (content.get(part) or "" for part in ("Subject", "Text", "Html"))
    if not subject or not (text or html):
        raise BadRequestError("Template must have a subject and at least one of text and html.")
    names: set[str] = set()
    broken = ""
    for inner in _BRACES.findall(f"{subject}\n{text}\n{html}"):
        variable = _VARIABLE.fullmatch(inner)
        if variable is None:
            broken = (
                broken or f"Template contains an expression that cannot be rendered: {inner[:80]}"
            )
        else:
            names.add(variable[1])
    return Template(subject, text, html, frozenset(names), broken)


def read_data(data: Json) -> dict[str, Json]:
    """Template data: a JSON object in a string of limited length."""
    if data is None or data == "":
        return {}
    if not isinstance(data, str) or len(data) > MAX_TEMPLATE_DATA:
        raise BadRequestError(f"Template data must have at most {MAX_TEMPLATE_DATA} characters.")
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise BadRequestError("Template data is not valid JSON.") from None
    if not isinstance(values, dict):
        raise BadRequestError("Template data must be a JSON object.")
    return values


def missing(template: Template, defaults: Json, values: Json) -> str:
    """Why this message cannot be rendered ("Rendering Failure"), or nothing."""
    if template.broken:
        return template.broken
    for name in template.names:
        value = values.get(name, defaults.get(name))
        if value is None:
            return f"Attribute '{name}' is not present in the rendering data."
    return ""


def fill(text: str, defaults: Json, values: Json) -> str:
    """Plain substitution in one pass: a value is neither escaped nor searched again."""

    def value_of(found: re.Match[str]) -> str:
        name = found[1].strip()
        value = values.get(name, defaults.get(name))
        return value if isinstance(value, str) else orjson.dumps(value).decode()

    return _BRACES.sub(value_of, text)


def check_simple(simple: Json) -> None:
    """A Simple message: subject, a body, headers ("Message")."""
    subject = (simple.get("Subject") or {}).get("Data")
    body = simple.get("Body") or {}
    parts = [(body.get(kind) or {}).get("Data") for kind in ("Text", "Html")]
    if not isinstance(subject, str) or not any(isinstance(part, str) for part in parts):
        raise BadRequestError("Subject and at least one body part are required.")
    wrong = check_headers(simple.get("Headers"))
    if wrong:
        raise BadRequestError(wrong)


def read_raw(raw: Json) -> bytes:
    """A Raw message, which travels as base64."""
    try:
        return base64.b64decode(raw.get("Data", ""), validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise BadRequestError("Raw message data must be base64.") from None
