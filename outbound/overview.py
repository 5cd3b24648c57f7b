"""What a campaign looks like from outside: its ledger, what it waits for, how fast it leaves.

Reads only. Says nothing that it does not know: an unknown rate or end is None.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from database import campaigns, progress
from database import esp_performance as performance
from database.engine import Database
from database.models import CampaignStatus, Lane, Phase
from outbound import canary, guard
from outbound.batches import records_of
from services.esp_manager import EspManager, Record, Standing
from services.policies import guard as policy
from services.policies.guard import Guard

#: Shorter waits than this are the rhythm of a rate, not something to report.
WORTH_TELLING_SECONDS = 1.0
#: Beside the phases of the database: `draining`, but slowly.
CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An ESP that takes nothing now, and how many recipients nobody else can take today."""

    esp: str
    why: str
    until: float | None  #: None = when an operator acts
    recipients: int


@dataclass(frozen=True, slots=True)
class Overview:
    """One campaign at this moment."""

    row: Mapping[Any, Any]  #: its row in `campaigns`
    by_esp: Mapping[str, Mapping[str, int]]
    waiting: Sequence[Waiting]
    rate_per_second: float | None
    eta: float | None
    guard: Guard | None = None  #: None = nothing came back yet
    in_canary: bool = False  #: its first messages leave slowly

    @property
    def phase(self) -> str | None:
        """What it is busy with."""
        phase: str | None = CANARY if self.in_canary else self.row["phase"]
        return phase

    @property
    def balanced(self) -> bool:
        """Whether every send is in exactly one state."""
        return campaigns.balanced(self.row)


class CampaignReader:
    """Reads campaigns with everything that is known about their progress."""

    def __init__(self, database: Database, manager: EspManager, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds."""
        self._db = database
        self._manager = manager
        self._clock = clock

    def get(self, campaign_id: int) -> Overview:
        """One campaign; NotFound when there is none to see (`campaigns.shown`)."""
        with self._db.read() as connection:
            return self._overviews(connection, [campaigns.shown(connection, campaign_id)])[0]

    def page(
        self, limit: int, before: int | None = None, status: str | None = None
    ) -> list[Overview]:
        """Campaigns, newest first."""
        with self._db.read() as connection:
            rows = campaigns.page(connection, limit, before, status)
            return self._overviews(connection, rows)

    def _overviews(
        self, connection: sa.Connection, rows: Sequence[Mapping[Any, Any]]
    ) -> list[Overview]:
        now = self._clock()
        records = read_records(connection, self._manager.names, now)
        return [self._overview(connection, row, records, now) for row in rows]

    def _overview(
        self, connection: sa.Connection, row: Mapping[Any, Any], records: Mapping[str, Record],
        now: float,
    ) -> Overview:  # fmt: skip
        by_esp = performance.by_esp(connection, row["id"])
        watched = guard.of(connection, row["id"])
        if row["status"] != CampaignStatus.SENDING:
            return Overview(row, by_esp, (), None, None, watched)
        standings = standings_for(self._manager, records, row["options"].get("esp"), now)
        room = room_today(self._manager, records, standings, now)
        rate = rate_of(progress.recent(connection, row["id"], row["n_queued"], now), now)
        waiting = waiting_for(standings, row["n_queued"], room, now)
        slow = row["phase"] == Phase.DRAINING and canary.is_on(
            row["audience"], row["n_queued"], self._used_by(row, records)
        )
        eta = eta_of(row, rate, room, now, in_canary=slow)
        return Overview(row, by_esp, waiting, rate, eta, watched, slow)

    @staticmethod
    def _used_by(row: Mapping[Any, Any], records: Mapping[str, Record]) -> list[Record]:
        only = row["options"].get("esp")
        return [record for name, record in records.items() if only in (None, name)]


def read_records(
    connection: sa.Connection, names: Collection[str], now: float
) -> dict[str, Record]:
    """What the database knows of each of these ESPs."""
    return records_of(performance.read(connection, names, now))


def standings_for(
    manager: EspManager, records: Mapping[str, Record], only: str | None, now: float
) -> list[Standing]:
    """How each ESP that the campaign may use stands."""
    if only is not None and only not in records:
        return [Standing(only, 0, "not configured")]
    return list(manager.offer(records, Lane.CAMPAIGN, now, only).standings)


def room_today(
    manager: EspManager, records: Mapping[str, Record], standings: Sequence[Standing], now: float
) -> float:
    """How many messages the ESPs that take mail may still take today; infinity = any number."""
    room = 0.0
    for standing in standings:
        if _is_stuck(standing, now):
            continue
        daily = manager.policies[standing.name].limits.daily_for(Lane.CAMPAIGN)
        used = records[standing.name].used_today
        room += float("inf") if daily is None else max(0, daily - used)
    return room


def waiting_for(
    standings: Sequence[Standing], queued: int, room: float, now: float
) -> list[Waiting]:
    """The ESPs without room while sends are queued."""
    if not queued:
        return []
    left = int(max(0.0, queued - room))
    return [
        Waiting(standing.name, standing.why_not, standing.until, left)
        for standing in standings
        if _is_stuck(standing, now)
    ]


def _is_stuck(standing: Standing, now: float) -> bool:
    later = standing.until is None or standing.until > now + WORTH_TELLING_SECONDS
    return standing.room == 0 and later


def rate_of(recent: progress.Recent, now: float) -> float | None:
    """Messages a second, from what was handed over lately up to now: it sinks while nothing
    leaves. Unknown until it was watched for a second."""
    if recent.since is None or now - recent.since < 1.0:
        return None
    return round(recent.number / (now - recent.since), 2)


def eta_of(
    row: Mapping[Any, Any], rate: float | None, room: float, now: float, *, in_canary: bool = False
) -> float | None:
    """When the last send will have left at this rate; unknown while rows are made, and when
    today's limits end it before. After a careful start the rest leaves faster."""
    left = row["n_queued"] + row["n_sending"]
    if not rate or row["phase"] != Phase.DRAINING or row["n_queued"] > room:
        return None
    if not in_canary:
        return float(now + left / rate)
    slow = min(left, policy.CANARY_MESSAGES - (row["audience"] - row["n_queued"]))
    return float(now + slow / rate + (left - slow) * policy.CANARY_SHARE / rate)
