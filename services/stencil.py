"""JSON with holes: encoded once for a content, filled for each person. Knows no ESP.

The shared text of a message is escaped once instead of once per recipient.
"""

import re
import secrets
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import orjson

from mail.message import Content, Message, Pieces

#: Random, so that no text can hold it by chance or by design.
_MARK = secrets.token_hex(8)
_HOLE = re.compile(rf"{_MARK}\.(\d+)\.".encode())

#: The order of `values_of`.
TO, SEND_ID, FIRST_HEADER = 0, 1, 2


def hole(number: int) -> str:
    """A string, or a part of one, that each person fills with their value of this number."""
    return f"{_MARK}.{number}."


def values_of(message: Message) -> tuple[str, ...]:
    """What differs from person to person: address, send id, headers, slots."""
    return (message.to, message.send_id, *message.headers, *message.slots)


def slot_hole(content: Content, number: int) -> str:
    """The hole of a slot of the content."""
    return hole(FIRST_HEADER + len(content.personal_headers) + number)


def with_holes(content: Content, pieces: Pieces) -> str:
    """One part of a message with a hole for each slot."""
    return "".join([p if isinstance(p, str) else slot_hole(content, p) for p in pieces])


def personal_headers(content: Content) -> list[tuple[str, str]]:
    """Names of the personal headers with their holes."""
    return [(name, hole(FIRST_HEADER + n)) for n, name in enumerate(content.personal_headers)]


class Stencil:
    """A JSON value some of whose strings have holes."""

    def __init__(self, shape: Any) -> None:
        """`shape` is plain JSON data with `hole(n)` in its strings; at least two holes."""
        pieces = _HOLE.split(orjson.dumps(shape))
        static = [piece.replace(b"%", b"%%") for piece in pieces[::2]]
        self._form = b"%b".join(static)
        self._pick = itemgetter(*map(int, pieces[1::2]))

    def fill(self, values: Iterable[str]) -> bytes:
        """The JSON for these values; text that is not Unicode raises TypeError."""
        dumps = orjson.dumps
        filled: bytes = self._form % self._pick([dumps(value)[1:-1] for value in values])
        return filled
