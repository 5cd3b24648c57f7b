"""Counts what each account takes and says when rate or quota is used up; words nothing."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from simulator.addresses import domain_of
from simulator.log import ESPS
from simulator.wire import Json

MINUTES_KEPT = 24 * 60


@dataclass
class Limits:
    """What an operator may limit at one ESP; null means unlimited or switched off."""

    rate_per_second: int | None = None
    daily_quota: int | None = None
    verified_senders: list[str] | None = None
    # Remembers hard bounces and complaints and refuses or drops the next message to them.
    suppression: bool = False
    # SES: whether a bad address fails its entry or the whole call; Amazon documents neither.
    bad_address: str = "entry"
    clock_skew_seconds: int = 300
    # Postmark: streams of the server, and how long the search index lags behind.
    streams: list[str] | None = None
    search_lag_seconds: float = 0.0

    def sender_allowed(self, address: str) -> bool:
        allowed = self.verified_senders
        if allowed is None:
            return True
        address = address.lower()
        return address in allowed or domain_of(address) in allowed


class Meters:
    """The limits of the three accounts and the counts they are held against."""

    def __init__(self) -> None:
        self.limits = {esp: Limits() for esp in ESPS}
        self.requests: Counter[tuple[str, int]] = Counter()
        self.peak = dict.fromkeys(ESPS, 0)
        self._lock = threading.Lock()
        self._second = dict.fromkeys(ESPS, (0, 0))
        self._minutes: dict[str, Counter[int]] = {esp: Counter() for esp in ESPS}

    def remember(self, minutes: Iterable[tuple[str, int, int]]) -> None:
        """What was taken before a restart, as (esp, minute, messages)."""
        for esp, minute, count in minutes:
            self._minutes[esp][minute] += count

    def answered(self, esp: str, status: int) -> None:
        with self._lock:
            self.requests[esp, status] += 1

    def room(self, esp: str) -> int | None:
        """How many messages the rate still allows in this second; None without a rate."""
        rate = self.limits[esp].rate_per_second
        if rate is None:
            return None
        second, count = self._second[esp]
        return rate - count if second == int(time.time()) else rate

    def quota_left(self, esp: str) -> int | None:
        quota = self.limits[esp].daily_quota
        return None if quota is None else quota - self.last_24_hours(esp)

    def last_24_hours(self, esp: str) -> int:
        """Messages of the last 24 hours, by the minute (SES counts a rolling day)."""
        since = int(time.time() // 60) - MINUTES_KEPT
        with self._lock:
            return sum(n for minute, n in self._minutes[esp].items() if minute > since)

    def took(self, esp: str, count: int) -> None:
        now = time.time()
        with self._lock:
            second, so_far = self._second[esp]
            so_far = so_far + count if second == int(now) else count
            self._second[esp] = (int(now), so_far)
            self.peak[esp] = max(self.peak[esp], so_far)
            minutes = self._minutes[esp]
            minutes[int(now // 60)] += count
            if len(minutes) > 2 * MINUTES_KEPT:
                for minute in sorted(minutes)[:MINUTES_KEPT]:
                    del minutes[minute]

    def reset(self) -> None:
        with self._lock:
            self.requests.clear()
            for esp in ESPS:
                self._second[esp] = (0, 0)
                self._minutes[esp].clear()
                self.peak[esp] = 0

    def dump(self) -> Json:
        return {esp: asdict(limits) for esp, limits in self.limits.items()}

    def change(self, wanted: Json) -> list[str]:
        """Apply `{esp: {limit: value}}`, or apply nothing and return what is unknown in it."""
        known = {field.name for field in fields(Limits)}
        if not isinstance(wanted, dict):
            return ["an object is expected"]
        unknown = [esp for esp in wanted if esp not in ESPS]
        for esp, changes in wanted.items():
            if not isinstance(changes, dict):
                unknown.append(esp)
                continue
            unknown += [f"{esp}.{name}" for name in changes if name not in known]
        if not unknown:
            for esp, changes in wanted.items():
                for name, value in changes.items():
                    setattr(self.limits[esp], name, value)
        return unknown
