"""What may be kept about a person: texts, tags and attributes that both databases can hold.

Knows sizes and characters; what a value means is the sender's business.
"""

import math
from functools import lru_cache
from typing import Any

import orjson

#: Excel's longest cell is 32,767 characters; nothing longer is a person's attribute.
LONGEST_TEXT = 32_767
LONGEST_KEY = 100
LONGEST_NAME = 500
MOST_KEYS = 200
MOST_TAGS = 200
DEEPEST = 5
#: All attributes of one person together, as JSON.
LARGEST = 65_536
#: Bytes that one letter has in JSON at most.
_LONGEST_ESCAPE = 6
_TOO_LARGE = 2.0**64


class BadValue(ValueError):
    """This value cannot be kept; the text says why, without repeating the value."""


def text(value: str, longest: int = LONGEST_TEXT) -> str:
    """`value`, if a database can store it."""
    if len(value) > longest:
        raise BadValue(f"is longer than {longest:,} characters")
    if "\0" in value:
        raise BadValue("contains a NUL character")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadValue("contains bytes that are not valid in the text's encoding")
    return value


def key(value: str) -> str:
    """A tag's or an attribute's name, blanks around it removed."""
    value = text(value.strip(), LONGEST_KEY)
    if not value or not value.isprintable():
        raise BadValue("is empty or has control characters")
    return value


def tags(values: list[str]) -> tuple[str, ...]:
    """Tags in the order given, each once."""
    if len(values) > MOST_TAGS:
        raise BadValue(f"has more than {MOST_TAGS} tags")
    try:
        return tuple(dict.fromkeys(map(key, values)))
    except BadValue as error:
        raise BadValue(f"a tag {error}") from None


def attributes(values: dict[str, Any]) -> dict[str, Any]:
    """Attributes by name; a null stays, because it clears."""
    if len(values) > MOST_KEYS:
        raise BadValue(f"has more than {MOST_KEYS} attributes")
    kept: dict[str, Any] = {}
    letters = 0
    for name, value in values.items():
        # Nearly every row of a file has short texts only: they are settled here.
        if isinstance(value, str) and len(value) <= LONGEST_NAME and value.isprintable():
            letters += len(value) + len(name)
            kept[_named(name)] = value
        else:
            letters += LARGEST
            kept[_named(name)] = _value(value, DEEPEST)
    if letters > LARGEST // (2 * _LONGEST_ESCAPE):
        _must_fit(kept)
    return kept


def _must_fit(values: dict[str, Any]) -> None:
    try:
        size = len(orjson.dumps(values))
    except TypeError:  # an integer beyond 64 bits
        raise BadValue("has a number that is too large") from None
    if size > LARGEST:
        raise BadValue(f"is larger than {LARGEST:,} bytes")


def _named(name: str) -> str:
    if len(name) > LONGEST_KEY:
        raise BadValue(f"an attribute's name is longer than {LONGEST_KEY} characters")
    return _checked_name(name)


@lru_cache(maxsize=4096)
def _checked_name(name: str) -> str:
    try:
        return key(name)
    except BadValue as error:
        raise BadValue(f"an attribute's name {error}") from None


def _value(value: Any, depth: int) -> Any:
    """A JSON value without what one of the databases refuses."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValue("has a number that is not finite")
    if isinstance(value, float) and abs(value) >= _TOO_LARGE:
        # A JSON reader makes a float of an integer of so many digits: some are lost already.
        raise BadValue("has a number of more than 64 bits; send it as text")
    if isinstance(value, dict | list) and depth == 0:
        raise BadValue(f"is nested more than {DEEPEST} deep")
    if isinstance(value, dict):
        return {_named(name): _value(item, depth - 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_value(item, depth - 1) for item in value]
    return value
