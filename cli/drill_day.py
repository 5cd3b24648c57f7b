"""The scripted day of a drill: what breaks when, and what becomes of a message then.

Times are seconds of the day, on the house's clock. Knows no process and no HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

MINUTE = 60.0
ESPS = ("sendgrid", "ses", "postmark")
#: Who reads the mail: a usual list of consumers, by domain.
DOMAINS = {
    "gmail.com": 0.40, "outlook.com": 0.15, "hotmail.com": 0.05, "yahoo.com": 0.15,
    "icloud.com": 0.05, "example.net": 0.20,
}  # fmt: skip
#: As the house's log calls the mailbox provider that slumps, and its domains among those.
SLUMPING, SLUMPING_DOMAINS = "microsoft", ("outlook.com", "hotmail.com")

HARD, SILENT, SLUMP, BROWNOUT, LAG = "hard", "silent", "slump", "brownout", "lag"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that breaks, between two moments."""

    kind: str
    title: str
    esp: str
    start: float
    end: float
    refused: float = 0.0  #: share of requests that fail
    vanished: float = 0.0  #: share of accepted messages of which nothing is ever heard
    blocked: float = 0.0  #: share of accepted messages that the mailbox provider blocks
    domains: tuple[str, ...] = ()  #: empty = all

    def at(self, now: float) -> bool:
        """Whether it is broken then."""
        return self.start <= now < self.end

    def orders(self, seed: int) -> list[dict[str, Any]]:
        """What to tell the simulator (`POST /_faults`), one order for each domain."""
        kinds = {"error_503": self.refused, "lost": self.vanished, "blocked": self.blocked}
        return [
            {"esp": self.esp, "kind": kind, "probability": share, "seed": seed}
            | ({"domain": domain} if domain else {})
            for kind, share in kinds.items() if share
            for domain in (self.domains or ("",))
        ]  # fmt: skip


class Fate(NamedTuple):
    """What is expected of one message: three probabilities."""

    delivered: float
    vanished: float
    blocked: float


@dataclass(frozen=True, slots=True)
class Day:
    """Faults, one after another, and length."""

    faults: Sequence[Fault]
    seconds: float
    hasty: bool = False  #: a fault ends as soon as the house took the ESP out because of it

    def _of(self, esp: str, now: float) -> Fault | None:
        return next((one for one in self.faults if one.esp == esp and one.at(now)), None)

    def refused(self, esp: str, now: float) -> float:
        """The share of requests that an ESP refuses then."""
        fault = self._of(esp, now)
        return fault.refused if fault else 0.0

    def fate(self, esp: str, domain: str, now: float) -> Fate:
        """What becomes of a message that an ESP accepts then."""
        fault = self._of(esp, now)
        if fault is None or (fault.domains and domain not in fault.domains):
            return Fate(1.0, 0.0, 0.0)
        return Fate(1.0 - fault.vanished - fault.blocked, fault.vanished, fault.blocked)


@dataclass(frozen=True, slots=True)
class Script:
    """How long everything takes, in minutes."""

    calm: float = 6.0  #: before the first fault: the house gets to know its ESPs
    hard: float = 8.0
    silent: float = 20.0
    slump: float = 15.0
    brownout: float = 8.0
    lag: float = 12.0
    #: From the end of one fault to the next; long enough for most of the way back.
    pause: float = 6.0
    after: float = 10.0  #: the last fault
    failing: float = 0.4  #: share of requests in the brown-out
    blocked: float = 0.7  #: share of the messages in the slump
    hasty: bool = False

    def day(self) -> Day:
        """The day by this script. The silent outage strikes the ESP that a priority list usually
        asks first; each fault strikes another ESP than the last one."""
        what = (
            Fault(HARD, "hard outage: every request is answered with 503", "ses",
                  0, self.hard, refused=1.0),
            Fault(SILENT, "silent outage: mail is accepted and vanishes", "sendgrid",
                  0, self.silent, vanished=1.0),
            Fault(SLUMP, "slump at Microsoft: most mail to it is blocked", "postmark",
                  0, self.slump, blocked=self.blocked, domains=SLUMPING_DOMAINS),
            Fault(BROWNOUT, "brown-out: many requests are answered with 503", "ses",
                  0, self.brownout, refused=self.failing),
            Fault(LAG, "webhook delay: mail is fine, events are held back", "postmark",
                  0, self.lag),
        )  # fmt: skip
        faults, now = [], self.calm * MINUTE
        for fault in what:
            faults.append(replace(fault, start=now, end=now + fault.end * MINUTE))
            now = faults[-1].end + self.pause * MINUTE
        return Day(faults, faults[-1].end + self.after * MINUTE, self.hasty)


FULL = Script()
#: Does everything work? Made for 60 times real speed; the longest times are for a slow machine.
SHORT = Script(
    calm=4, hard=20, silent=60, slump=7, brownout=40, lag=60, pause=0.5, after=3, failing=0.6,
    blocked=0.9, hasty=True,
)  # fmt: skip
