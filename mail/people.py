"""What a template may know of one person, and how a value becomes safe text for a place."""

import re
from typing import Any, NamedTuple

from liquid.stringify import to_liquid_string

#: Variables that every campaign message has, whoever the person is.
OWN_URLS = frozenset({"unsubscribe_url", "preferences_url", "view_url"})
NEVER_MISSING = OWN_URLS | {"email", "campaign"}


class RenderError(Exception):
    """This one person's message cannot be made; `reason` is kept with the send."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Person(NamedTuple):
    """A person as a template sees them."""

    email: str
    name: str = ""
    attributes: dict[str, Any] | None = None


class Recipient(NamedTuple):
    """A person with the send that is theirs; a plain tuple in this order does as well."""

    send_id: int
    to: str  #: deliverable address
    name: str
    email: str  #: the address as the person gave it
    attributes: dict[str, Any] | str | None  #: or their JSON, as a database keeps it


def values_of(name: str, email: str, attributes: dict[str, Any] | None) -> dict[str, Any]:
    """All variables of a person by name. Our own names win over attributes; an empty column for
    the name means that it is not known, since that column is never null."""
    values = {**attributes} if attributes else {}
    values["email"] = email
    if name:
        values["name"] = name
    if not values.get("first_name"):
        words = str(values.get("name") or "").split(None, 1)
        if words:
            values["first_name"] = words[0]
    return values


def look_up(values: dict[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a dotted path, or None."""
    value: Any = values
    for segment in path:
        value = value.get(segment) if isinstance(value, dict) else None
    return value


#: NUL is refused by databases and MIME; lone surrogates (legal in JSON escapes) cannot be encoded.
_UNSENDABLE = re.compile("[\0\ud800-\udfff]")
#: What some program may take for the end of a line, and every other control character.
_BREAKS = re.compile("[\x01-\x1f\x7f-\x9f\u2028\u2029]+")


def sendable(text: str) -> str:
    """Text without what no message can carry."""
    return _UNSENDABLE.sub("", text)


def one_line(text: str) -> str:
    """Text for a header: no line breaks or control characters."""
    return _BREAKS.sub(" ", sendable(text))


def escape_html(text: str) -> str:
    """As the engine escapes (markupsafe), for an element's text or a quoted attribute."""
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        .replace('"', "&#34;").replace("'", "&#39;")
    )  # fmt: skip


def text_of(value: Any, place: str) -> str:
    """Any value as the engine would print it in this place (html, text or subject)."""
    text = str(to_liquid_string(value, autoescape=place == "html"))
    return one_line(text) if place == "subject" else sendable(text)
