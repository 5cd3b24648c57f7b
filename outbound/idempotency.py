"""Requests that are safe to repeat: what a key was answered first, for campaigns and single mails.

One key names one request, whichever route it came by.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import orjson
import sqlalchemy as sa

from database import campaigns
from database.engine import Database
from utils.errors import Conflict

Answer = TypeVar("Answer")

#: Contract §4: an Idempotency-Key is kept for 7 days.
KEY_KEPT_SECONDS = 7 * 86400


#: Fields of requests that were not always there.
_LATER = frozenset({"scheduled_at", "preheader", "headers"})


def fingerprint(fields: Mapping[str, Any]) -> str:
    """Equal for requests that ask for the same. What was not always there and is not named is no
    part of it: a request that is repeated across an upgrade is the same."""
    named = {name: value for name, value in fields.items() if value or name not in _LATER}
    return hashlib.sha256(orjson.dumps(named, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Request(NamedTuple):
    """A request that may come again; without a key it is always the first."""

    key: str | None
    body: str | None  #: its fingerprint

    @classmethod
    def of(cls, key: str | None, body: Callable[[], str]) -> "Request":
        """`body` is asked only for a key: it may hold megabytes."""
        return cls(key, body()) if key else cls(None, None)

    def columns(self) -> dict[str, str | None]:
        """What a campaign's row keeps of it."""
        return {"idempotency_key": self.key, "idempotency_hash": self.body}


def free(connection: sa.Connection, key: str | None, now: float) -> None:
    """Let a key be used anew whose request was made too long ago to be repeated."""
    if key is not None:
        campaigns.forget_idempotency_key(connection, key, now - KEY_KEPT_SECONDS)


def once(store: Callable[[], Answer], known: Callable[[], Answer | None]) -> Answer:
    """What `store` answers; or what is `known` when another request with the key was stored
    meanwhile, which the unique column tells."""
    try:
        return store()
    except sa.exc.IntegrityError:
        answer = known()
        if answer is None:
            raise
        return answer


def first_answer(database: Database, request: Request, now: float) -> dict[str, Any] | None:
    """What the first request with this key was answered; None when there was none, or it is too
    long ago. Conflict when that request asked for something else."""
    if request.key is None:
        return None
    with database.read() as connection:
        row = campaigns.by_idempotency_key(connection, request.key)
    if row is None or row["created_at"] < now - KEY_KEPT_SECONDS:
        return None
    if row["idempotency_hash"] != request.body:
        raise Conflict("this Idempotency-Key was used with another body")
    return dict(row["idempotency_answer"])
