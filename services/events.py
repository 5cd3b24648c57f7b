"""What the readers of webhooks have in common: times, keys, unknown words. Knows no ESP."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from database.models import EventKind
from services.esp import EspEvent

logger = logging.getLogger(__name__)

#: Years 1970 to 2999: anything else is not a time that an ESP sends.
_LAST_SECOND = 32_503_680_000


def seconds_of(value: Any) -> float | None:
    """Unix seconds from a number or RFC 3339 text, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if 0 <= value < _LAST_SECOND else None
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)  # since 3.11 with Z and any number of digits
    except ValueError:
        return None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return seconds if 0 <= seconds < _LAST_SECOND else None


#: `EspEvent.at` of an event whose ESP tells no time. Events are kept under their time and key: the
#: moment at which we hear of one differs each time that it is told, and would count it anew.
NO_TIME = 0.0
#: These are kept under their key alone, and people are judged by when they were.
_KEPT_BY_KEY = frozenset({EventKind.BOUNCE, EventKind.COMPLAINT})


def told_at(kind: EventKind, *told: float | None) -> float:
    """The first time that was told; the same for the same event, however often it is told."""
    otherwise = time.time() if kind in _KEPT_BY_KEY else NO_TIME
    return next((at for at in told if at is not None), otherwise)


def text(value: Any) -> str:
    """The value if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def digest(*parts: Any) -> str:
    """A key for an event that has none of its own: the same for the same parts."""
    written = orjson.dumps(parts, default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(written).hexdigest()[:40]


def unknown(esp: str, entry: Any, key: str, at: float | None = None) -> EspEvent:
    """An event in words that we do not know, kept as it came."""
    raw = entry if isinstance(entry, dict) else {"value": entry}
    return EspEvent(esp, key, EventKind.UNKNOWN, told_at(EventKind.UNKNOWN, at), raw=raw)


def read_each(
    esp: str, entries: Sequence[Any], read: Callable[[Any], Iterable[EspEvent]]
) -> list[EspEvent]:
    """All events of the entries; an odd one is kept raw and never loses the others."""
    events: list[EspEvent] = []
    for entry in entries:
        try:
            events.extend(read(entry))
        except (TypeError, ValueError, KeyError, AttributeError, LookupError):
            logger.warning("an event of %s cannot be read; kept raw", esp)
            events.append(unknown(esp, entry, digest(entry)))
    return events
