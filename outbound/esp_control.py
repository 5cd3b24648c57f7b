"""What an operator does with an ESP, and how every ESP stands. Holds in all processes and over
restarts, because it is written where the next claim reads it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from database import events
from database.engine import Database
from database.models import Lane
from outbound import esp_states
from outbound.overview import read_records
from services import account as accounts
from services import learning, quota
from services.esp_manager import EspManager, Policy, Record, Standing, is_paused
from services.esp_state import EspState
from services.policies import breakers, memory, scores, stalls
from utils.errors import NotFound


class ShutCell(NamedTuple):
    """One mailbox provider that blocked most of the ESP's mail."""

    mailbox_provider: str
    state: str
    why: str
    until: float  #: Unix seconds


@dataclass(frozen=True, slots=True)
class Status:
    """One ESP at this moment. Without a policy it is not configured."""

    name: str
    record: Record
    policy: Policy | None
    standing: Standing | None  #: for campaigns
    reputation: float | None
    band: str | None  #: what the reputation means for routing
    state: str  #: the tightest breaker's
    next_probe_at: float | None
    resets_at: float  #: when the quota day ends
    paused_by: str | None  #: while an operator's pause holds
    heard: events.Heard  #: what its webhooks told lately
    shut: Sequence[ShutCell]
    judging: bool  #: whether silence after accepted mail counts against it

    limits: quota.Limits | None  #: in force, with what the ESP told of its own
    its_quota: int | None  #: the ESP's own, while it is known
    its_room: int | None  #: what is left of that

    @property
    def daily_limit(self) -> int | None:
        """Of all mail, the smaller of ours and the ESP's; None = unlimited or not configured."""
        ours = self.limits.daily if self.limits else None
        return min((one for one in (ours, self.its_quota) if one is not None), default=None)

    @property
    def limit_source(self) -> str | None:
        """Whose limit that is."""
        if self.daily_limit is None:
            return None
        ours = self.limits.daily if self.limits else None
        return "settings" if ours == self.daily_limit else "esp"

    @property
    def remaining_today(self) -> int | None:
        """What is left of it."""
        rooms = [self.its_room]
        if self.limits is not None and self.limits.daily is not None:
            rooms.append(max(0, self.limits.daily - self.record.used_today))
        return min((room for room in rooms if room is not None), default=None)


class EspControl:
    """Takes an ESP out or in, and says how each stands."""

    def __init__(
        self, database: Database, manager: EspManager, names: Sequence[str],
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """`names` are the ESPs of this product, configured or not."""
        self._db = database
        self._manager = manager
        self._names = tuple(names)
        self._clock = clock

    def statuses(self) -> list[Status]:
        """Every ESP of the product."""
        now = self._clock()
        with self._db.read() as connection:
            records = read_records(connection, self._names, now)
            heard = {name: events.heard(connection, name, now) for name in self._names}
        return [self._status(name, records[name], heard[name], now) for name in self._names]

    def status(self, name: str) -> Status:
        """One ESP; NotFound when the product has none of that name."""
        self._must_know(name)
        return next(status for status in self.statuses() if status.name == name)

    def log_of(self, name: str) -> list[dict[str, Any]]:
        """The last decisions about an ESP, newest first."""
        return list(reversed(self.status(name).record.state.log))

    def pause(
        self, name: str, *, by: str, reason: str, until: float | None = None,
        lane: Lane | None = None,
    ) -> None:  # fmt: skip
        """Give an ESP no more mail, or none of one lane, until a moment or until `resume`."""

        def paused(state: EspState, now: float) -> EspState:
            state = replace(
                state, paused=reason, paused_until=until, paused_by=by, paused_lane=lane or ""
            )
            of_lane = f" for {lane} mail" if lane else ""
            return state.noted(now, "paused", f"by {by}{of_lane}: {reason}")

        self._change(name, paused)

    def resume(self, name: str, *, by: str, reason: str = "") -> None:
        """Let an ESP take mail again, whether an operator, the ESP itself or a breaker had stopped
        it; what was open is probed at once. A spent quota that was raised counts at once, too."""

        def resumed(state: EspState, now: float) -> EspState:
            lifted = _what_stops(state, now)
            if not lifted:
                return state
            state = replace(
                state, paused="", paused_until=None, paused_by="", paused_lane="", suspended="",
                memory=memory.hurried(state.memory, now), back_off_until=0.0, throttled_until=0.0,
                cells=learning.hurried_cells(state, now),
            )  # fmt: skip
            why = f"{lifted} lifted by {by}" + (f": {reason}" if reason else "")
            return state.noted(now, "resumed", why)

        self._change(name, resumed)

    def override(self, name: str, changes: Mapping[str, Any], *, by: str) -> None:
        """Set fields of `Overrides` while everything runs; None = as the settings say."""

        def overridden(state: EspState, now: float) -> EspState:
            after = replace(state.overrides, **changes)
            if after == state.overrides:
                return state
            words = ", ".join(
                f"{field} {'as set' if value is None else value}"
                for field, value in sorted(changes.items())
            )
            return replace(state, overrides=after).noted(now, "changed", f"by {by}: {words}")

        self._change(name, overridden)

    def _change(self, name: str, change: Callable[[EspState, float], EspState]) -> None:
        self._must_know(name)

        def work(connection: sa.Connection) -> None:
            now = self._clock()
            esp_states.change(connection, name, lambda state: change(state, now), now)

        self._db.transact(work)

    def _must_know(self, name: str) -> None:
        if name not in self._names:
            raise NotFound(f"there is no ESP {name}; there are {', '.join(self._names)}")

    def _status(self, name: str, record: Record, heard: events.Heard, now: float) -> Status:
        configured = name in self._manager.policies
        policy = self._manager.policy(name, record.state) if configured else None
        standing = self._manager.standing(name, record, Lane.CAMPAIGN, now) if policy else None
        state, known = record.state, memory.at(record.state.memory, now)
        tightest, next_probe_at = memory.tightest(known)
        held = any(is_paused(state, lane, now) for lane in Lane)
        its = state.account
        return Status(
            name, record, policy, standing,
            reputation=round(scores.score(known.evidence, now), 1) if policy else None,
            band=scores.band(known.evidence, now).name if policy else None,
            state=tightest, next_probe_at=next_probe_at, resets_at=quota.day_ends_at(now),
            paused_by=state.paused_by if held else None, heard=heard,
            shut=_shut_cells(state, now), judging=stalls.armed(known.watch),
            limits=quota.in_force(policy.limits, state, now) if policy else None,
            its_quota=its.quota if accounts.holds(its, now) else None,
            its_room=accounts.room(its, now),
        )  # fmt: skip


def _what_stops(state: EspState, now: float) -> str:
    if state.suspended:
        return "suspension"
    if state.paused:
        return "pause"
    away = memory.tightest(state.memory)[0] in (breakers.OPEN, breakers.HALF_OPEN)
    shut = any(cell.breaker.state == breakers.OPEN for cell in state.cells.values())
    if away or shut:
        return "cool-down"
    return "pause after 429" if state.throttled_at <= now < state.throttled_until else ""


def _shut_cells(state: EspState, now: float) -> list[ShutCell]:
    """The mailbox providers where the ESP gets no mail now, or little of it."""
    cells = learning.cells_at(state, now)
    return [
        ShutCell(name, one.state, one.cause, one.until)
        for name, cell in sorted(cells.items())
        if (one := cell.breaker).state != breakers.CLOSED
    ]
