"""What SendGrid says of a plan's credits, read. Sends nothing.

docs.sendgrid.com/api-reference/users-api/retrieve-your-credit-balance; needs the scope
user.credits.read.
"""

from datetime import UTC, datetime
from typing import Any

from services.account import Account
from services.esp import EspError, Misconfigured
from services.wire import Answer
from services.words import Redacted, read_json

PATH = "/v3/user/credits"


def read(answer: Answer | EspError, words: Redacted) -> Account:
    """The figures in SendGrid's answer. Raises EspError when it gives none."""
    if isinstance(answer, EspError):
        raise answer
    told = read_json(answer.body)
    if answer.status != 200 or not isinstance(told, dict):
        raise Misconfigured(words("the credits cannot be read"), code=str(answer.status))
    total, remain = _whole(told.get("total")), _whole(told.get("remain"))
    # A plan that bills what goes beyond has no limit, though nothing remains.
    billed = remain == 0 and (_whole(told.get("overage")) or 0) > 0
    if not total or remain is None or billed:
        return Account()
    return Account(
        quota=total, used=max(0, total - remain), resets_at=_midnight(told.get("next_reset"))
    )


def _whole(value: Any) -> int | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if plain else None


def _midnight(day: Any) -> float | None:
    try:
        return datetime.strptime(str(day), "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
