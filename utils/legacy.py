"""Lists that the older version kept as JSON, in each of their shapes, as rows of an import.

Whatever a flag beside the address says against mailing somebody, counts.
"""

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from utils.person import STATUSES, column
from utils.rows import BadFile, Row

#: Flags in words, and the status of whom they are true for, or false for.
_IF_TRUE = {
    "unsubscribed": "unsubscribed", "is_unsubscribed": "unsubscribed", "opted_out": "unsubscribed",
    "blocked": "unsubscribed", "blacklisted": "unsubscribed", "suppressed": "unsubscribed",
    "bounced": "bounced", "is_bounced": "bounced", "complained": "complained",
    "unsubscribed_at": "unsubscribed", "bounced_at": "bounced", "complained_at": "complained",
}  # fmt: skip
_IF_FALSE = {
    "subscribed": "unsubscribed", "is_subscribed": "unsubscribed", "active": "unsubscribed",
    "is_active": "unsubscribed", "enabled": "unsubscribed",
    "confirmed": "pending", "verified": "pending",
}  # fmt: skip
_FLAGS = _IF_TRUE.keys() | _IF_FALSE.keys()
#: Of several statuses about one person, the one that counts (database.lifecycle.further).
Further = Callable[..., str | None]


def legacy_rows(data: bytes, further: Further) -> Iterator[Row]:
    """A list of addresses, a list of objects, an object keyed by address, or any of them under
    `subscribers`. A row's number is its place. Raises BadFile."""
    try:
        found = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise BadFile(f"the file is not JSON in UTF-8: {error}") from None
    return _rows(_people(found), further)


def _people(found: Any) -> list[Any]:
    if isinstance(found, dict) and isinstance(found.get("subscribers"), list | dict):
        found = found["subscribers"]
    if isinstance(found, list):
        return found
    if isinstance(found, dict):
        return [_keyed(key, value) for key, value in found.items()]
    raise BadFile("the file holds neither a list nor an object of people")


def _keyed(key: str, value: Any) -> Any:
    """The key is the address, or only a number while the address is inside."""
    inside = value if isinstance(value, dict) else {}
    if "@" not in key and any(column(name) == "email" for name in inside):
        return inside
    cells = {name: cell for name, cell in inside.items() if column(name) != "email"}
    if isinstance(value, str):
        cells["name"] = value
    if value is False:
        cells["subscribed"] = False
    return {**cells, "email": key}


def _rows(people: list[Any], further: Further) -> Iterator[Row]:
    for number, found in enumerate(people, start=1):
        if isinstance(found, str):
            yield Row(number, {"email": found})
        elif isinstance(found, dict):
            yield Row(number, _plain(found, further))
        else:
            yield Row(number, {}, "is neither an address nor an object")


def _plain(found: dict[str, Any], further: Further) -> dict[str, Any]:
    """The same person with their flags in the status."""
    said = [_IF_TRUE[name.casefold()] for name, value in found.items()
            if value and name.casefold() in _IF_TRUE]  # fmt: skip
    said += [_IF_FALSE[name.casefold()] for name, value in found.items()
             if value is not None and not value and name.casefold() in _IF_FALSE]  # fmt: skip
    if not said:
        return found
    # A flag has said what it had to say; as an attribute it would only grow old.
    kept = {
        name: value
        for name, value in found.items()
        if column(name) != "status" and not (name.casefold() in _FLAGS and isinstance(value, bool))
    }
    own = [value for name, value in found.items() if column(name) == "status"]
    word = own[0] if own and isinstance(own[0], str) else ""
    if word.strip() and word.strip().casefold() not in STATUSES:
        return found  # the row is refused for its status
    return {**kept, "status": further(*said, STATUSES.get(word.strip().casefold()))}
