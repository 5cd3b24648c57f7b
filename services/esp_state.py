"""What all processes know of one ESP right now, as frozen values. Stored in `esp_performance`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self, TypeVar

from services.account import Figures

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether an ESP gets mail; `services.breaker` says how it changes."""

    state: str = "closed"  #: closed, open or half_open
    failures: int = 0  #: failed requests in a row
    successes: int = 0  #: probes in a row that were answered
    trips: int = 0  #: openings in a row, doubles the cool-down
    changed_at: float = 0.0
    next_probe_at: float = 0.0
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What an operator set for one ESP while it runs; None = as the settings say."""

    priority: int | None = None
    weight: float | None = None
    daily_limit: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class EspState:
    """The live row of one ESP."""

    breaker: Breaker = field(default_factory=Breaker)
    careful: bool = False  #: one message per request until an answer is clean (contract §3)
    #: Theoretical arrival times of the rate limiter (GCRA), Unix seconds.
    tat: float = 0.0
    tat_campaign: float = 0.0
    throttled_until: float = 0.0
    throttled_why: str = ""
    suspended: str = ""  #: the ESP's own words; lifted by an operator (contract promise 7)
    paused: str = ""  #: an operator's reason
    paused_until: float | None = None
    paused_by: str = ""  #: the operator's label
    paused_lane: str = ""  #: the only lane that is paused; empty = both
    overrides: Overrides = field(default_factory=Overrides)
    account: Figures = field(default_factory=Figures)
    credit: float = 0.0  #: of the weighted round robin
    last_error: str = ""
    last_error_at: float | None = None
    log: tuple[dict[str, Any], ...] = ()  #: the last decisions, newest last

    def noted(self, at: float, what: str, why: str) -> Self:
        """This state with a line of its log added: every switch can be explained later."""
        return replace(self, log=(*self.log, {"at": at, "what": what, "why": why})[-LOG_LENGTH:])

    def to_json(self) -> dict[str, Any]:
        """A JSON object for the database."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The state in a database row; fields that a newer or older version knows are dropped."""
        known = {name: value[name] for name in cls.__slots__ if name in value}
        known["breaker"] = _read(Breaker, value.get("breaker", {}))
        account = dict(value.get("account", {}))
        if "reserved" in account:
            account["reserved"] = tuple((minute, count) for minute, count in account["reserved"])
        known["account"] = _read(Figures, account)
        known["overrides"] = _read(Overrides, value.get("overrides", {}))
        known["log"] = tuple(value.get("log", ()))
        return cls(**known)


def _read(kind: type[Part], value: Mapping[str, Any]) -> Part:
    slots: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
    return kind(**{name: value[name] for name in slots if name in value})


LOG_LENGTH = 50
