"""JSON with holes: encoded once for a content, filled for each person. Knows no ESP.

The shared text of a message is escaped once instead of once per recipient.
"""

import itertools
import re
import secrets
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from mail.message import Content, Message, Pieces

#: Random, so that no text can hold it by chance or by design.
_MARK = secrets.token_hex(8)
_HOLE = re.compile(rf"{_MARK}\.(\d+)\.".encode())

_DEL, _DEL_BYTE = "\x7f", b"\x7f"

#: The order of `values`.
TO, SEND_ID, FIRST_HEADER = 0, 1, 2


def hole(number: int) -> str:
    """A string, or a part of one, that each person fills with their value of this number."""
    return f"{_MARK}.{number}."


def values(messages: Sequence[Message]) -> list[tuple[str, ...]]:
    """What differs from person to person: address, send id, headers, slots."""
    return [(to, send_id, *headers, *slots) for send_id, to, slots, headers in messages]


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
        wanted = [int(number) for number in pieces[1::2]]
        self._pick = itemgetter(*wanted)
        self._in_order = len(wanted) if wanted == list(range(len(wanted))) else None

    def fill(self, rows: Sequence[tuple[bytes, ...]]) -> list[bytes]:
        """The JSON for each row of values."""
        form, pick = self._form, self._pick
        if rows and len(rows[0]) == self._in_order:  # each is wanted once: nothing to pick
            return [form % row for row in rows]
        return [form % pick(row) for row in rows]


class Encoded(NamedTuple):
    """Rows of values as they stand inside JSON strings."""

    rows: list[tuple[bytes, ...]]
    whole: bytes  #: all of them in one, to look for something in all at once


def encoded(rows: Sequence[tuple[str, ...]], *, twice: bool = False) -> Encoded:
    """`rows` are equally long; `twice`: for JSON that is itself a JSON string. Text that is not
    Unicode raises TypeError."""
    width = len(rows[0])
    if set(map(len, rows)) != {width}:  # a value would land at somebody else
        raise ValueError("messages of one content have equally many values")
    if not width:
        return Encoded([()] * len(rows), b"")
    # One call for all values of many people costs half of one for each person.
    whole = _inside(_DEL.join(itertools.chain.from_iterable(rows)), twice=twice)
    parts = whole.split(_DEL_BYTE)
    # JSON leaves DEL as it is; a value that has one shows by the count.
    if len(parts) != width * len(rows):
        parts = [_inside(value, twice=twice) for row in rows for value in row]
    return Encoded(list(zip(*[iter(parts)] * width, strict=True)), whole)


def _inside(text: str, *, twice: bool) -> bytes:
    """What stands between the quotes of a JSON string."""
    once = orjson.dumps(text)[1:-1]
    return orjson.dumps(once.decode())[1:-1] if twice else once
