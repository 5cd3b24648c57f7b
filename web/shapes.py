"""The base of every request and answer model, and the words of lists: limit and cursor."""

import base64
import binascii
from functools import cache
from typing import Annotated, Any

import orjson
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, Strict

from utils.errors import Invalid
from utils.times import rfc3339

MAX_PAGE = 100
_MAX_ID = 2**63 - 1


class _Cached(BaseModel):
    """flask-openapi asks for the schema on every request; it never changes."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema, made once for each way of asking."""
        if args:
            return super().model_json_schema(*args, **kwargs)
        return _schema(cls, tuple(sorted(kwargs.items())))


@cache
def _schema(model: type[_Cached], kwargs: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    return super(_Cached, model).model_json_schema(**dict(kwargs))


class Body(_Cached):
    """A request's JSON: unknown fields are refused, text is not turned into numbers."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Query(_Cached):
    """A request's query: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Path(_Cached):
    """The variables in a request's path."""

    model_config = ConfigDict(hide_input_in_errors=True)


class Answer(_Cached):
    """A response."""


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457, with the fields that are wrong."""

    type: str = Field("about:blank", description="`about:blank`, or the name of the problem.")
    title: str
    status: int
    detail: str = ""
    errors: list[FieldProblem] | None = None


def _text_only(value: object) -> object:
    """pydantic would take a number for a moment, also one in a text."""
    if isinstance(value, str) and "-" in value[1:]:
        return value
    raise ValueError("must be a time like 2026-11-24T09:00:00Z")


#: A moment: RFC 3339 with its offset. Strict models take no text for a time, so this one is not.
Moment = Annotated[AwareDatetime, Strict(False), BeforeValidator(_text_only)]


def moment(at: float | None) -> str | None:
    """RFC 3339, or null."""
    return None if at is None else rfc3339(at)


class PageQuery(Query):
    """Which slice of a list."""

    limit: int = Field(50, ge=1, le=MAX_PAGE, description="How many items.")
    cursor: str | None = Field(
        None, max_length=400, description="`next_cursor` of the slice before."
    )


def next_cursor(kind: str, position: Any | None) -> str | None:
    """Names the place in a list of this kind after which the next slice begins."""
    if position is None:
        return None
    return base64.urlsafe_b64encode(orjson.dumps([kind, position])).decode().rstrip("=")


def read_cursor(kind: str, cursor: str | None) -> Any | None:
    """The place that a cursor names; Invalid when it is none of ours, or another list's."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, list) or len(found) != 2 or found[0] != kind:
        raise Invalid.of("cursor", "is not a next_cursor of this list")
    return found[1]


def read_position(kind: str, cursor: str | None) -> int | None:
    """The row number that a cursor names."""
    position = read_cursor(kind, cursor)
    if position is None:
        return None
    if type(position) is not int or not 0 <= position <= _MAX_ID:
        raise Invalid.of("cursor", "is not a next_cursor of this list")
    return position


def read_name(kind: str, cursor: str | None) -> str | None:
    """The name that a cursor names."""
    name = read_cursor(kind, cursor)
    if name is None:
        return None
    if not isinstance(name, str) or "\0" in name:
        raise Invalid.of("cursor", "is not a next_cursor of this list")
    return name
