"""What an ESP says of our account there, and what of it is still true. Pure.

An ESP's figure is asked for every few minutes; what is reserved meanwhile is counted here. A figure
that is old or was never told binds nobody: a key may lack the right to ask for it.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from services.policies import clocks
from services.policies.stored import Stored

#: Between two questions. GetAccount may be called once a second (AWS, "Quotas of the API").
ASK_EVERY_SECONDS = 300.0
#: A figure counts for so long; two questions in a row may fail.
GOOD_SECONDS = 900.0
#: What was reserved so shortly before a question may have reached the ESP after its answer.
ON_THE_ROAD_SECONDS = 60.0
#: Minutes of reservations kept: more than lie within `GOOD_SECONDS`.
_MINUTES = 20


@dataclass(frozen=True, slots=True)
class Account:
    """An ESP's own figures."""

    rate: float | None = None  #: messages a second; None = it does not say
    quota: int | None = None  #: messages in its window; None = no limit, or it does not say
    used: int = 0  #: of these, by its own count
    resets_at: float | None = None  #: when `used` starts again; None = the window rolls
    closed: str = ""  #: why it takes no mail at all


@runtime_checkable
class Accountable(Protocol):
    """An adapter whose ESP tells such figures."""

    def account(self) -> Account:
        """Ask the ESP. Raises EspError."""


@dataclass(frozen=True, slots=True)
class Figures(Stored):
    """What all processes know of the account, in the ESP's live row."""

    asked_at: float = 0.0
    told_at: float = 0.0
    rate: float | None = None
    quota: int | None = None
    used: int = 0
    resets_at: float | None = None
    closed: str = ""
    error: str = ""  #: why the last question had no answer
    reserved: tuple[tuple[int, int], ...] = ()  #: (minute, messages) since about the last answer


def due(known: Figures, now: float) -> bool:
    """Whether to ask. A question of the far future was asked before the clock was set back; of the
    near one, by another process a moment ago."""
    return not -clocks.DIFFER_SECONDS <= now - known.asked_at < ASK_EVERY_SECONDS


def told(known: Figures, account: Account, asked_at: float, now: float) -> Figures:
    """After an answer to the question of `asked_at`."""
    first = int((asked_at - ON_THE_ROAD_SECONDS) // 60)
    return Figures(
        asked_at=asked_at, told_at=now, rate=account.rate, quota=account.quota, used=account.used,
        resets_at=account.resets_at, closed=account.closed,
        reserved=tuple(part for part in known.reserved if part[0] >= first),
    )  # fmt: skip


def reserved(known: Figures, count: int, now: float) -> Figures:
    """After `count` messages were reserved."""
    minute, parts = int(now // 60), known.reserved
    if parts and parts[-1][0] == minute:
        parts = (*parts[:-1], (minute, parts[-1][1] + count))
    else:
        parts = (*parts, (minute, count))[-_MINUTES:]
    return replace(known, reserved=parts)


def holds(known: Figures, now: float) -> bool:
    """Whether the figures still count."""
    return known.told_at > 0 and 0 <= now - known.told_at < GOOD_SECONDS


def room(known: Figures, now: float, keep_percent: float = 0.0) -> int | None:
    """Messages that the ESP's own quota still lets through; None = no limit is known. What it
    refused in the end counts as used until the next answer. `keep_percent` of it is not given."""
    if not holds(known, now) or known.quota is None:
        return None
    if known.resets_at is not None and known.resets_at <= now:
        return None  # a new window began; the next answer tells
    kept = known.quota * keep_percent / 100
    left = known.quota - kept - known.used - sum(count for _, count in known.reserved)
    return max(0, int(left))


def rate(known: Figures, now: float) -> float | None:
    """Messages a second that the ESP allows; None = not known."""
    return known.rate if holds(known, now) else None
