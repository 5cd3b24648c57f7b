"""Moments and durations as people write them, to and from seconds; knows no clock."""

import re
from datetime import UTC, datetime

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_START = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_END = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def rfc3339(at: float) -> str:
    """`at` (Unix seconds) as the API writes it, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> float:
    """Unix seconds of an ISO 8601 date or time, UTC unless it says otherwise; or ValueError."""
    at = datetime.fromisoformat(text.strip())
    try:
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except OverflowError:
        raise ValueError("out of range") from None
    return in_range(seconds)


def in_range(seconds: float) -> float:
    """`seconds` if it is a moment of the years 1 to 9999; or ValueError."""
    if not _START <= seconds < _END:
        raise ValueError("out of range")
    return seconds


def duration(text: str) -> int:
    """Seconds of a text like `90d` or `12h`; or ValueError."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError("a whole number and one of s, m, h, d, w, like 90d or 12h")
    return int(found[1]) * _UNITS[found[2]]
