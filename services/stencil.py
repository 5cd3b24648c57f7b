"""JSON with holes: encoded once for a content, filled for each person. Knows no ESP.

The shared text of a message is escaped once instead of once per recipient.
"""

import re
import secrets
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import orjson

from mail.message import Content, Message, Pieces

#: Random, so that no text can hold it by chance or by design.
_MARK = secrets.token_hex(8)
_HOLE = re.compile(rf"{_MARK}\.(\d+)\.".encode())

_DEL, _DEL_BYTE = "\x7f", b"\x7f"

#: The order of `encoded_values`.
TO, SEND_ID, FIRST_HEADER = 0, 1, 2


def hole(number: int) -> str:
    """A string, or a part of one, that each person fills with their value of this number."""
    return f"{_MARK}.{number}."


def encoded_values(message: Message) -> list[bytes]:
    """What differs from person to person: address, send id, headers, slots."""
    to, send_id, slots, headers = message.to, message.send_id, message.slots, message.headers
    return encoded((to, send_id, *headers, *slots))


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

    def fill(self, values: Sequence[bytes]) -> bytes:
        """The JSON for these values, as `encoded` gives them."""
        filled: bytes = self._form % self._pick(values)
        return filled


def encoded(values: Sequence[str]) -> list[bytes]:
    """The values as they stand inside JSON strings; text that is not Unicode raises TypeError."""
    # One call for all values is twice as fast as one each. JSON leaves DEL as it is; a value that
    # has one shows by the count.
    parts = orjson.dumps(_DEL.join(values))[1:-1].split(_DEL_BYTE)
    return parts if len(parts) == len(values) else [orjson.dumps(v)[1:-1] for v in values]


def encoded_twice(values: Sequence[str]) -> list[bytes]:
    """The values as they stand in JSON that is itself a JSON string."""
    if not values:
        return []
    once = orjson.dumps(_DEL.join(values))[1:-1].decode()
    parts = orjson.dumps(once)[1:-1].split(_DEL_BYTE)
    if len(parts) == len(values):
        return parts
    return [orjson.dumps(orjson.dumps(v)[1:-1].decode())[1:-1] for v in values]
