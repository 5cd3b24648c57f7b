"""What SES says of an account (GetAccount), read. Sends nothing.

docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html; needs the right ses:GetAccount.
"""

from typing import Any

from services.account import Account
from services.esp import EspError, Misconfigured
from services.wire import Answer
from services.words import Redacted, read_json


def read(answer: Answer | EspError, words: Redacted) -> Account:
    """The figures in SES' answer. Raises EspError when it gives none."""
    if isinstance(answer, EspError):
        raise answer
    told = read_json(answer.body)
    told = told if isinstance(told, dict) else {}
    quota = told.get("SendQuota")
    if answer.status != 200 or not isinstance(quota, dict):
        raise Misconfigured(words(told.get("message")), code=str(answer.status))
    most = _number(quota.get("Max24HourSend"))
    return Account(
        rate=_number(quota.get("MaxSendRate")) or None,
        quota=None if most is None or most < 0 else int(most),  # -1: no limit
        used=int(_number(quota.get("SentLast24Hours")) or 0),
        closed=_closed(told),
    )


def _closed(told: dict[str, Any]) -> str:
    if told.get("EnforcementStatus") == "SHUTDOWN":
        return "SES shut the account down (EnforcementStatus SHUTDOWN)"
    if told.get("SendingEnabled") is False:
        return "sending is paused for the account (SendingEnabled false)"
    return ""


def _number(value: Any) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain else None
