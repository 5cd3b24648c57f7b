"""Keeps the faults that were ordered and says which one strikes a request; breaks nothing."""

import itertools
import random
import threading
import time
from dataclasses import asdict, dataclass, field

from simulator.log import ESPS
from simulator.wire import Json

# When a fault strikes: at the door (the body stays unread), as the answer instead of the ESP's,
# on the wire after the ESP has answered, or only as delay or as failing entries. Or later than any
# answer: as what becomes of mail that was taken.
DOOR, ANSWER, WIRE, EXTRA, FATE = "door", "answer", "wire", "extra", "fate"


@dataclass(frozen=True)
class Kind:
    """When a kind of fault strikes and whether the ESP has taken the mail nevertheless."""

    when: str
    accepted: bool = False


KINDS: dict[str, Kind] = {
    "refuse": Kind(DOOR),
    "reset_early": Kind(DOOR),
    "error_500": Kind(ANSWER),
    "accepted_500": Kind(ANSWER, accepted=True),
    "error_502": Kind(ANSWER),
    "error_503": Kind(ANSWER),
    "error_504": Kind(ANSWER),
    "throttle": Kind(ANSWER),
    "bad_key": Kind(ANSWER),
    "suspended": Kind(ANSWER),
    "unverified_sender": Kind(ANSWER),
    "payload_too_large": Kind(ANSWER),
    "quota": Kind(ANSWER),
    "hang": Kind(WIRE),
    "accepted_hang": Kind(WIRE, accepted=True),
    "reset": Kind(WIRE),
    "accepted_reset": Kind(WIRE, accepted=True),
    "slow": Kind(WIRE, accepted=True),
    "malformed": Kind(WIRE, accepted=True),
    "truncated": Kind(WIRE, accepted=True),
    "empty_200": Kind(WIRE, accepted=True),
    "partial": Kind(EXTRA, accepted=True),
    "latency": Kind(EXTRA, accepted=True),
    "lost": Kind(FATE, accepted=True),
    "blocked": Kind(FATE, accepted=True),
}
ROUTES = ("send", "read", "all")


@dataclass
class Fault:
    """One ordered fault: for whom, how often or how long, and how it shows."""

    kind: str
    esp: str | None = None
    routes: str = "send"
    count: int | None = None
    seconds: float | None = None
    after: int = 0
    probability: float = 1.0
    seed: int = 0
    retry_after: int | None = None
    hold_seconds: float = 30.0
    milliseconds: float = 50.0
    every: int = 2
    accepted: bool | None = None
    domain: str | None = None
    id: int = 0
    hits: int = 0
    seen: int = 0
    until: float | None = None
    dice: random.Random = field(default_factory=random.Random, repr=False)

    @property
    def when(self) -> str:
        return KINDS[self.kind].when

    @property
    def takes_mail(self) -> bool:
        return KINDS[self.kind].accepted if self.accepted is None else self.accepted

    def spent(self, now: float) -> bool:
        used_up = self.count is not None and self.hits >= self.count
        return used_up or (self.until is not None and now >= self.until)

    def concerns(self, esp: str, sends: bool) -> bool:
        """Whether it is about requests of this sort."""
        return (
            self.when != FATE
            and self.esp in (None, esp)
            and (self.routes == "all" or (self.routes == "send") == sends)
        )

    def awaits(self, esp: str, domain: str) -> bool:
        """Whether it is about mail to this domain that the ESP has taken."""
        return self.when == FATE and self.esp in (None, esp) and self.domain in (None, domain)

    def strikes(self) -> bool:
        self.seen += 1
        if self.seen <= self.after or self.dice.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def show(self) -> Json:
        shown = {k: v for k, v in asdict(self).items() if k not in ("dice", "until")}
        shown["accepted"] = self.takes_mail
        return shown


ORDERABLE = tuple(
    name for name in Fault.__dataclass_fields__
    if name not in ("id", "hits", "seen", "until", "dice")
)  # fmt: skip


class Faults:
    """The faults that are on, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def order(self, wanted: Json) -> tuple[Fault | None, list[str]]:
        """A fault from its JSON, switched on; or what is wrong with the JSON."""
        wrong = _problems(wanted)
        if wrong:
            return None, wrong
        fault = Fault(**wanted)
        fault.dice.seed(fault.seed)
        if fault.seconds is not None:
            fault.until = time.monotonic() + fault.seconds
        with self._lock:
            fault.id = next(self._ids)
            self._faults.append(fault)
        return fault, []

    def clear(self, number: int | None = None) -> int:
        """Switch off one fault or all; how many there were."""
        with self._lock:
            kept = [f for f in self._faults if number is not None and f.id != number]
            gone = len(self._faults) - len(kept)
            self._faults = kept
        return gone

    def show(self) -> list[Json]:
        now = time.monotonic()
        with self._lock:
            return [f.show() | {"active": not f.spent(now)} for f in self._faults]

    def strike(self, esp: str, sends: bool) -> list[Fault]:
        """The faults that hit this request: any number of delays, and the first of the others."""
        if not self._faults:
            return []
        now = time.monotonic()
        struck: list[Fault] = []
        done = False
        with self._lock:
            for fault in self._faults:
                if fault.spent(now) or not fault.concerns(esp, sends):
                    continue
                if fault.kind == "latency":
                    struck += [fault] if fault.strikes() else []
                elif not done and fault.strikes():
                    struck.append(fault)
                    done = True
        return struck

    def fate(self, esp: str, domain: str) -> str | None:
        """The kind of the first fault that hits a message to this domain; None: no fault does."""
        now = time.monotonic()
        with self._lock:
            for fault in self._faults:
                if fault.awaits(esp, domain) and not fault.spent(now) and fault.strikes():
                    return fault.kind
        return None

    def touch_fates(self) -> bool:
        """Whether any fault is about mail that was taken."""
        return any(fault.when == FATE for fault in self._faults)

    def refuses_all(self) -> bool:
        """Whether every ESP is down at the door, so that a connection need not even be read."""
        if not self._faults:
            return False
        now = time.monotonic()
        with self._lock:
            for fault in self._faults:
                total = fault.kind == "refuse" and fault.esp is None and fault.routes == "all"
                if total and not fault.spent(now) and fault.strikes():
                    return True
        return False


def _problems(wanted: Json) -> list[str]:
    if not isinstance(wanted, dict):
        return ["an object is expected"]
    wrong = [f"{name}: unknown" for name in wanted if name not in ORDERABLE]
    if wanted.get("kind") not in KINDS:
        wrong.append(f"kind: one of {', '.join(KINDS)}")
    if wanted.get("esp") not in (None, *ESPS):
        wrong.append(f"esp: one of {', '.join(ESPS)}")
    if wanted.get("routes", "send") not in ROUTES:
        wrong.append(f"routes: one of {', '.join(ROUTES)}")
    for name in (
        "count",
        "seconds",
        "after",
        "probability",
        "retry_after",
        "hold_seconds",
        "milliseconds",
        "every",
    ):
        value = wanted.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or value < 0
        ):
            wrong.append(f"{name}: a number of at least 0")
    if wanted.get("every") == 0:
        wrong.append("every: at least 1")
    return [*wrong, *_problems_of_fate(wanted)]


def _problems_of_fate(wanted: Json) -> list[str]:
    """What goes only with faults of mail that was taken, or never with them."""
    fates = [name for name, kind in KINDS.items() if kind.when == FATE]
    domain = wanted.get("domain")
    if wanted.get("kind") not in fates:
        return [] if domain is None else [f"domain: only with {', '.join(fates)}"]
    wrong = [] if domain is None or _is_domain(domain) else ["domain: as it stands behind the @"]
    if wanted.get("routes", "send") != "send":
        wrong.append(f"routes: {wanted['kind']} strikes mail that was taken, leave it out")
    if wanted.get("accepted") is not None:
        wrong.append(f"accepted: {wanted['kind']} strikes mail that was taken, leave it out")
    return wrong


def _is_domain(value: Json) -> bool:
    """Lower case, as the simulator keeps addresses."""
    return isinstance(value, str) and "." in value and "@" not in value and value == value.lower()
