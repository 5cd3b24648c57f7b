"""What an HTTP request and an answer are inside the simulator; knows no ESP and no socket."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from re import Match, Pattern
from typing import Any, NamedTuple, Protocol

import orjson

Json = Any

JSON_TYPE = "application/json"


class Headers(Protocol):
    """Header fields by name, in any case."""

    def get(self, name: str, failobj: str, /) -> str: ...


@dataclass(slots=True)
class Request:
    """One request as it came off the wire; header names are matched in any case."""

    method: str
    path: str
    raw_query: str
    query: dict[str, str]
    headers: Headers
    body: bytes = b""
    # Set by the fault `partial`: every n-th entry of the batch is to fail.
    fail_every: int = 0
    # What the route's pattern caught in the path.
    matched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers to be written; an empty content type sends no such header."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = JSON_TYPE


def answer(status: int, payload: Json, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status, orjson.dumps(payload), headers)


def dig(value: Json, *names: str) -> Json:
    """What lies under these names, one below the other; None where there is no such object."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


Handler = Callable[[Any, Request], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of an ESP's routing table; `sends` marks the calls that take mail."""

    method: str
    path: Pattern[str]
    serve: Handler
    sends: bool = False


class Accepted(NamedTuple):
    """One message that an ESP takes: whose, under which names, and what becomes of it."""

    address: str
    send_id: str
    campaign: str
    outcome: str
    extra: bytes
    body: bytes = b""


@dataclass(slots=True)
class Stored:
    """One accepted message as read back from the log, with its request's shared content."""

    id: int
    at: int
    esp: str
    address: str
    send_id: str
    campaign: str
    outcome: str
    content: Json
    extra: Json
    body: bytes = b""


class Event(NamedTuple):
    """One thing that happened to a message and has not been told yet; times in milliseconds."""

    due: int
    kind: str
    attempts: int
    at: int
    message: Stored


# An event with the HTTP status of its last post, or with the time of the next; and the attempts.
Settled = tuple[Event, int, int]


@dataclass(slots=True)
class Mail:
    """A message as its recipient would see it."""

    sender: str
    to: str
    subject: str
    html: str
    text: str
    headers: dict[str, str]
    tags: dict[str, str] = field(default_factory=dict)


def iso(at: int) -> str:
    """A time in milliseconds as AWS writes it."""
    seconds = datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{at % 1000:03}Z"


def uuid_of(raw: bytes) -> str:
    """Sixteen bytes written as a UUID."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def match_route(
    routes: tuple[Route, ...], method: str, path: str
) -> tuple[Route | None, Match[str] | None, bool]:
    """The route for a request, its match, and whether the path exists under another method."""
    known = False
    for route in routes:
        found = route.path.fullmatch(path)
        if found is None:
            continue
        if route.method == method:
            return route, found, True
        known = True
    return None, None, known
