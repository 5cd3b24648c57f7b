"""Requests that are safe to repeat: what a key was answered first, for campaigns and single mails.

One key names one request, whichever route it came by.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from database import campaigns
from database.engine import Database
from utils.errors import Conflict

#: Contract §4: an Idempotency-Key is kept for 7 days.
KEY_KEPT_SECONDS = 7 * 86400


def fingerprint(fields: Mapping[str, Any]) -> str:
    """Equal for requests that ask for the same."""
    return hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()


def first_answer(database: Database, key: str, body: str, now: float) -> dict[str, Any] | None:
    """What the first request with this key was answered; None when there was none, or it is too
    long ago. `body` is its fingerprint: Conflict when that request asked for something else."""
    with database.read() as connection:
        row = campaigns.by_idempotency_key(connection, key)
    if row is None or row["created_at"] < now - KEY_KEPT_SECONDS:
        return None
    if row["idempotency_hash"] != body:
        raise Conflict("this Idempotency-Key was used with another body")
    return dict(row["idempotency_answer"])
