"""One running simulator's parts in one place: log, keys, meters, faults and webhook settings."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from simulator import keys, weather
from simulator.faults import Faults
from simulator.limits import Meters
from simulator.log import ESPS, Log
from simulator.wire import Accepted, Json


@dataclass
class Webhooks:
    """How events are posted and mail is read.

    `latency` is a range of seconds between one event and the next, `reading_seconds` one between
    delivery and a click.
    """

    target: str | None = None
    paused: bool = False
    held: tuple[str, ...] = ()  # ESPs whose events are held back
    delay: float = 0.0
    shuffle: bool = False
    repeat: int = 1
    engagement: float = 0.0
    latency: tuple[float, float] = (0.0, 0.0)
    reading_seconds: tuple[float, float] = (2.5, 4.0)
    retry_seconds: float = 1.0
    signature_version: str = "2"

    def change(self, wanted: Json) -> list[str]:
        """Apply settings by name; what is wrong with them, if anything (nothing applied)."""
        if not isinstance(wanted, dict):
            return ["an object is expected"]
        known = {field.name for field in fields(self)}
        wrong = [name for name in wanted if name not in known]
        wrong += [
            name for name, good in _CHECKS.items() if name in wanted and not good(wanted[name])
        ]
        if not wrong:
            for name, value in wanted.items():
                setattr(self, name, tuple(value) if isinstance(value, list) else value)
        return wrong


def _number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _range(value: Json) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_number, value))


def _on_loopback(target: Json) -> bool:
    """Events are rehearsals: they never leave the machine."""
    if not isinstance(target, str):
        return False
    address = urlsplit(target)
    return address.scheme == "http" and (address.hostname or "") in LOOPBACK


LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CHECKS: dict[str, Callable[[Json], bool]] = {
    "target": lambda v: v is None or _on_loopback(v),
    "paused": lambda v: isinstance(v, bool),
    "held": lambda v: isinstance(v, list | tuple) and all(esp in ESPS for esp in v),
    "shuffle": lambda v: isinstance(v, bool),
    "delay": _number,
    "retry_seconds": _number,
    "engagement": lambda v: _number(v) and v <= 1,
    "repeat": lambda v: isinstance(v, int) and not isinstance(v, bool) and 1 <= v <= 100,
    "latency": _range,
    "reading_seconds": _range,
    "signature_version": lambda v: v in ("1", "2"),
}


class State:
    """Everything that the routes and the couriers share."""

    def __init__(self, db: str | Path) -> None:
        self.log = Log(db)
        stored = self.log.get("keys")
        if stored is None:
            stored = self.log.put("keys", keys.make().dump())
        self.keys = keys.load(stored)
        self.meters = Meters()
        self.meters.change(orjson.loads(self.log.get("limits") or b"{}"))
        self.meters.remember(self.log.minutes())
        self.webhooks = Webhooks()
        self.webhooks.change(orjson.loads(self.log.get("webhooks") or b"{}"))
        self.faults = Faults()
        self.url = ""
        self.smtp = ("", 0)  # host and port of SES' SMTP interface
        self.apply()

    def take(self, esp: str, content: bytes, rows: Sequence[Accepted]) -> tuple[int, int]:
        """Take messages for an ESP, whose faults may have a hand in what becomes of them; the first
        one's id and the time in ms."""
        return self.log.accept(esp, content, weather.over(self.faults, esp, rows))

    def apply(self) -> None:
        """Settings that the log uses while it takes mail."""
        schedule, settings = self.log.schedule, self.webhooks
        schedule.latency, schedule.reading_seconds = settings.latency, settings.reading_seconds
        schedule.engagement = settings.engagement

    def save(self) -> None:
        self.log.put("webhooks", orjson.dumps(asdict(self.webhooks)))
        self.log.put("limits", orjson.dumps(self.meters.dump()))
        self.apply()

    def digest(self, number: int, purpose: str, size: int = 16) -> bytes:
        """Bytes that belong to one row for ever: ids need no column, and a reset renews them."""
        return blake2b(
            number.to_bytes(8), digest_size=size, key=self.log.salt, person=purpose.encode()
        ).digest()
