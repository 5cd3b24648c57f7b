"""What one row of a file, or one request, says about a person, and how it is read from cells.

Knows the import's columns and words (docs/import.md); what is stored already, it does not ask.
"""

import csv
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from utils import addresses, attributes, times
from utils.addresses import Address

#: What other systems' exports call our statuses. Who never subscribed is pending: a campaign
#: reaches them only once they confirm.
STATUSES = {
    "pending": "pending", "unconfirmed": "pending", "nonsubscribed": "pending",
    "non-subscribed": "pending", "non subscribed": "pending", "transactional": "pending",
    "active": "active", "subscribed": "active", "enabled": "active", "confirmed": "active",
    "unsubscribed": "unsubscribed", "opted out": "unsubscribed", "opted-out": "unsubscribed",
    "opted_out": "unsubscribed", "blocklisted": "unsubscribed", "blacklisted": "unsubscribed",
    "disabled": "unsubscribed", "archived": "unsubscribed", "suppressed": "unsubscribed",
    "bounced": "bounced", "cleaned": "bounced", "hard bounced": "bounced",
    "complained": "complained", "spam": "complained",
    "inactive": "inactive",
}  # fmt: skip
#: Our columns by the names that lists give them, in lower case with `_` for blanks.
COLUMNS = {
    "email": "email", "e_mail": "email", "email_address": "email", "e_mail_address": "email",
    "name": "name", "full_name": "name",
    "first_name": "first_name", "firstname": "first_name", "fname": "first_name",
    "last_name": "last_name", "lastname": "last_name", "lname": "last_name",
    "status": "status", "tags": "tags", "topic_opt_outs": "topic_opt_outs",
    "attributes": "attributes", "attribs": "attributes",
    "created_at": "created_at",
    "opt_in_at": "opt_in_at", "optin_time": "opt_in_at",
    "opt_in_ip": "opt_in_ip", "optin_ip": "opt_in_ip",
}  # fmt: skip
_BETWEEN_TAGS = re.compile(r"[,;|]")
#: Go's own writing of a time, which listmonk's export has: `2024-01-02 15:04:05.9 +0530 IST`.
_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d\d)(\d\d) [A-Z+-]\S*")


@dataclass(slots=True)
class Change:
    """None keeps what is stored; an attribute that is None is removed."""

    address: Address
    row: int = 0
    name: str | None = None  #: "" clears
    spare_name: str = ""  #: first and last name: taken by a person who has no name
    status: str | None = None
    tags: Sequence[str] = ()
    drop_tags: bool = False  #: those not in `tags`
    topic_opt_outs: Sequence[str] = ()  #: added; nothing here takes one back
    attributes: Mapping[str, Any] = field(default_factory=dict)
    drop_attributes: bool = False  #: those not in `attributes`
    created_at: float | None = None
    opt_in_at: float | None = None
    opt_in_ip: str | None = None


class BadField(ValueError):
    """One field of a row cannot be used."""

    def __init__(self, name: str, message: str) -> None:
        """`name` as the file's header spells it."""
        super().__init__(message)
        self.field = name


@lru_cache(maxsize=4096)
def column(name: str) -> str | None:
    """Our column that a header means, or None for an attribute."""
    return COLUMNS.get(re.sub(r"[\s\-]+", "_", name.strip()).casefold())


def read(row: int, cells: Mapping[str, Any]) -> Change:
    """The change that a row of named cells asks for. None clears; empty cells are not given."""
    change: Change | None = None
    extra: dict[str, Any] = {}
    own: list[tuple[str, Any, Callable[[Change, Any], None]]] = []
    for name, value in cells.items():
        known = column(name) if len(name) <= attributes.LONGEST_KEY else None
        if known == "email":
            change = Change(_address(name, value), row)
        elif known is None:
            extra[name] = value
        elif value != "" or known == "name":
            own.append((name, value, _SETTERS[known]))
    if change is None:
        raise BadField("email", "is missing")
    _set(change, own)
    if extra:
        extra = _checked(extra)
        change.attributes = {**change.attributes, **extra} if change.attributes else extra
    return change


def _address(name: str, value: Any) -> Address:
    if not isinstance(value, str):
        raise BadField(name, "is missing" if value is None else "must be a text")
    try:
        return addresses.parse(value)
    except addresses.BadAddress as error:
        raise BadField(name, str(error)) from None


def _set(change: Change, own: list[tuple[str, Any, Callable[[Change, Any], None]]]) -> None:
    for name, value, setter in own:
        try:
            setter(change, value)
        except ValueError as error:
            raise BadField(name, str(error)) from None


def _checked(extra: dict[str, Any]) -> dict[str, Any]:
    """Attributes; the one that is at fault is named."""
    try:
        return attributes.attributes(extra)
    except attributes.BadValue as error:
        for name, value in extra.items():
            try:
                attributes.attributes({name: value})
            except attributes.BadValue as cause:
                raise BadField(name[: attributes.LONGEST_KEY], str(cause)) from None
        raise BadField("attributes", str(error)) from None


def _text(value: Any, longest: int = attributes.LONGEST_NAME) -> str:
    if not isinstance(value, str):
        raise attributes.BadValue("must be a text")
    return attributes.text(value.strip(), longest)


def _name(change: Change, value: Any) -> None:
    change.name = "" if value is None else _text(value)


def _part_of_name(key: str) -> Callable[[Change, Any], None]:
    def setter(change: Change, value: Any) -> None:
        part = None if value is None else _text(value)
        change.attributes = {**change.attributes, key: part}
        named = (change.attributes.get("first_name"), change.attributes.get("last_name"))
        change.spare_name = " ".join(filter(None, named))

    return setter


def _status(change: Change, value: Any) -> None:
    if value is None:
        return
    known = STATUSES.get(_text(value).casefold())
    if known is None:
        raise attributes.BadValue(f"must be one of {', '.join(sorted(set(STATUSES.values())))}")
    change.status = known


def _tags(change: Change, value: Any) -> None:
    if value is None:
        change.drop_tags = True
        return
    if isinstance(value, str):
        change.tags = _listed(attributes.text(value))
    elif isinstance(value, list):
        change.tags = _tags_of(value)
    else:
        raise attributes.BadValue(_NO_TAGS)


def _topic_opt_outs(change: Change, value: Any) -> None:
    """Like tags, only that null clears nothing: an opt-out is the person's own."""
    said = Change(change.address)
    _tags(said, value)
    change.topic_opt_outs = said.tags


_NO_TAGS = "must be a list of texts"


@lru_cache(maxsize=1024)
def _listed(value: str) -> tuple[str, ...]:
    """Tags in one cell: a JSON list, or texts between commas, semicolons or bars; Mailchimp puts
    each into quotes."""
    if value.lstrip().startswith("["):
        return _tags_of(_json(value))
    if value.lstrip().startswith('"'):
        quoted = next(csv.reader([value.replace("\n", " ")], skipinitialspace=True))
        return attributes.tags([tag for tag in quoted if tag.strip()])
    return attributes.tags([tag for tag in _BETWEEN_TAGS.split(value) if tag.strip()])


def _tags_of(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise attributes.BadValue(_NO_TAGS)
    # Mailchimp's API has objects: [{"id": 5, "name": "VIP"}]
    found = (tag.get("name") if isinstance(tag, dict) else tag for tag in values)
    names = [name for name in found if isinstance(name, str)]
    if len(names) < len(values):
        raise attributes.BadValue(_NO_TAGS)
    return attributes.tags(names)


def _attributes(change: Change, value: Any) -> None:
    if value is None:
        change.drop_attributes = True
        return
    values = _json(value) if isinstance(value, str) else value
    if not isinstance(values, dict):
        raise attributes.BadValue("must be a JSON object")
    change.attributes = {**change.attributes, **attributes.attributes(values)}


def _json(value: str) -> Any:
    try:
        return orjson.loads(attributes.text(value, attributes.LARGEST))
    except orjson.JSONDecodeError:
        raise attributes.BadValue("is not valid JSON") from None


def _time(value: Any) -> float | None:
    if value is None:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return times.in_range(float(value))
        return times.moment(_GO_TIME.sub(r"\1\2:\3", _text(value)))
    except (ValueError, OverflowError):
        raise attributes.BadValue("is not a date and time like 2026-01-31T12:00:00Z") from None


def _created_at(change: Change, value: Any) -> None:
    change.created_at = _time(value)


def _opt_in_at(change: Change, value: Any) -> None:
    change.opt_in_at = _time(value)


def _opt_in_ip(change: Change, value: Any) -> None:
    if value is None:
        return
    try:
        change.opt_in_ip = str(ipaddress.ip_address(_text(value)))
    except ValueError:
        raise attributes.BadValue("is not an IP address") from None


_SETTERS: dict[str, Callable[[Change, Any], None]] = {
    "name": _name,
    "first_name": _part_of_name("first_name"),
    "last_name": _part_of_name("last_name"),
    "status": _status,
    "tags": _tags,
    "topic_opt_outs": _topic_opt_outs,
    "attributes": _attributes,
    "created_at": _created_at,
    "opt_in_at": _opt_in_at,
    "opt_in_ip": _opt_in_ip,
}
