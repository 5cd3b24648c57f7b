"""GET /sandbox/messages: what each simulated ESP got and what became of it. Absent in live mode."""

import http.client
from typing import Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit

import orjson
from flask_openapi.blueprint import APIBlueprint
from pydantic import Field
from werkzeug.exceptions import ServiceUnavailable

from utils.errors import NotFound
from web.context import house
from web.shapes import Answer, PageQuery, next_cursor, read_position

TIMEOUT_SECONDS = 10

blueprint = APIBlueprint("sandbox", __name__, abp_tags=[{"name": "sandbox"}])


class MessagesQuery(PageQuery):
    """Whose mail, at which ESP."""

    to: Annotated[str, Field(max_length=320)] | None = None
    esp: Literal["sendgrid", "ses", "postmark"] | None = None


class MessagesOut(Answer):
    """Newest first."""

    items: list[dict[str, Any]]
    next_cursor: str | None


@blueprint.get("/sandbox/messages", responses={200: MessagesOut})
def messages(query: MessagesQuery) -> dict[str, Any]:
    """The sandbox's mailbox."""
    facts = house().settings
    if not facts.is_sandbox or facts.simulator_url is None:
        raise NotFound("Only in sandbox is there a mailbox.")
    given = {"to": query.to, "esp": query.esp, "limit": query.limit,
             "cursor": read_position("sandbox", query.cursor)}  # fmt: skip
    wanted = {name: value for name, value in given.items() if value is not None}
    status, body = _ask(facts.simulator_url, f"/_messages?{urlencode(wanted)}")
    if status != 200:
        raise ServiceUnavailable("The simulator cannot show its mailbox.")
    found = orjson.loads(body)
    more = next_cursor("sandbox", _number(found["next_cursor"]))
    return {"items": found["items"], "next_cursor": more}


def _ask(url: str, path: str) -> tuple[int, bytes]:
    """Straight to the simulator: no proxy of the host may see it, or stand in the way."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        raise ServiceUnavailable("The simulator does not answer.") from None
    finally:
        connection.close()


def _number(cursor: str | None) -> int | None:
    return None if cursor is None else int(cursor)
