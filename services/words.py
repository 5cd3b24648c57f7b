"""What an ESP says: made safe to keep, and looked up in an adapter's table. Knows no ESP."""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NamedTuple

import orjson

from services.esp import EspError, Throttled

#: Enough for a sentence with addresses; a page of HTML helps nobody.
MAX_WORDS = 500
#: An ESP that asks for more than a day means "tomorrow".
MAX_RETRY_SECONDS = 86_400.0

#: The account's day or plan is used up: not a matter of speed.
QuotaSpent = partial(Throttled, quota_spent=True)


class Rule(NamedTuple):
    """One row of a table of errors; the first row that fits decides."""

    codes: tuple[str, ...]  #: statuses or error codes; none = any
    words: re.Pattern[str] | None  #: must occur in the words; None = any
    error: Callable[..., EspError]  #: called with the words and `code=`


def rule(codes: str, words: str | None, error: Callable[..., EspError]) -> Rule:
    """A row from "401 403" and a pattern."""
    return Rule(tuple(codes.split()), re.compile(words, re.I) if words else None, error)


def look_up(rules: Iterable[Rule], code: str, words: str) -> EspError | None:
    """What the table says, or None when no row fits."""
    for row in rules:
        if row.codes and code not in row.codes:
            continue
        if row.words is None or row.words.search(words):
            return row.error(words, code=code)
    return None


class Redacted:
    """Cleans an ESP's words: no secret of ours, no control characters, no endless text."""

    def __init__(self, secrets: Sequence[str | None]) -> None:
        self._secrets = [secret for secret in secrets if secret]

    def __call__(self, words: Any) -> str:
        text = words if isinstance(words, str) else ""
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return " ".join(text.split())[:MAX_WORDS]


def read_json(body: bytes) -> Any:
    """The JSON of an answer, or None when it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def named_in(words: str, addresses: Sequence[str]) -> list[int]:
    """The places of the addresses that these words name, whole."""
    low = words.lower()
    spans = [
        (n, *found.span())
        for n, address in enumerate(map(str.lower, addresses))
        if address in low
        for found in re.finditer(rf"(?<![\w.+%-]){re.escape(address)}(?![\w@-]|\.\w)", low)
    ]
    whole = {
        n
        for n, start, end in spans
        # ann@x.example inside o'ann@x.example is not ann.
        if not any(a <= start and end <= b and b - a > end - start for _, a, b in spans)
    }
    return sorted(whole)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After (RFC 9110 §10.2.3) or X-RateLimit-Reset (Unix seconds)."""
    wait = _wait(headers.get("retry-after"))
    if wait is None:
        reset = _number(headers.get("x-ratelimit-reset"))
        wait = None if reset is None else reset - time.time()
    return None if wait is None else min(max(wait, 0.0), MAX_RETRY_SECONDS)


def _wait(text: str | None) -> float | None:
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,12}(\.\d+)?", text.strip()) else None
