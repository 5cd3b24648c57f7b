"""The work engine: huey carries hints ("campaign 7 has something to do"), the ledger is the truth.

A hint may be lost, doubled or late without effect: whoever runs it claims what is really there, and
a sweep every two seconds gives new hints for whatever is still due (docs/adr/0003).
"""

import gc
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from huey import Huey, PostgresHuey
from huey.consumer import Consumer
from huey.registry import Message
from huey.serializer import Serializer
from huey.storage import SqliteStorage

from email_sender import EmailSender
from outbound.control import CampaignControl
from outbound.lane import TransactionalLane
from outbound.launch import Launcher
from outbound.schedule import Scheduler

log = logging.getLogger(__name__)

WORKERS = 4
SWEEP_SECONDS = 2.0
#: A drain gives its thread back after this long, so that campaigns take turns.
TURN_SECONDS = 10.0
#: In-flight requests end within the longest request's deadline; then the process may go.
DRAIN_SECONDS = 25
HEARTBEAT = "heartbeat"
#: So many more objects than before make the garbage collector look at the young ones; Python's own
#: number is 700. A batch's rows and messages end by themselves, so it would look for nothing, many
#: times a batch: 1.5 % of a campaign's CPU (docs/performance.md).
COLLECT_AFTER = 20_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What the tasks call."""

    launcher: Launcher
    sender: EmailSender
    control: CampaignControl
    lane: TransactionalLane
    scheduler: Scheduler
    #: What is looked after again and again and may wait for an ESP's answer: none of it keeps the
    #: sweep, the heart or a campaign waiting. Each decides itself whether something is due.
    chores: tuple[Callable[[], None], ...] = ()


class JsonSerializer(Serializer):  # type: ignore[misc]
    """Messages as JSON: with huey's default, pickle, whoever can write the queue can run code."""

    def _serialize(self, data: Any) -> bytes:
        if not isinstance(data, Message):
            return json.dumps({"value": data}).encode()
        fields = data._asdict()
        for name in _TIMES:
            fields[name] = fields[name].isoformat() if fields[name] else None
        return json.dumps({"message": fields}).encode()

    def _deserialize(self, data: Any) -> Any:
        loaded = json.loads(bytes(data))
        fields = loaded.get("message")
        if fields is None:
            return loaded["value"]
        for name in _TIMES:
            fields[name] = datetime.fromisoformat(fields[name]) if fields[name] else None
        return Message(**fields | {"args": tuple(fields["args"])})


_TIMES = ("eta", "expires_resolved")


class HintFile(SqliteStorage):  # type: ignore[misc]
    """huey's SQLite file. There is nothing in it but hints, so one that was lost, emptied or spoilt
    is begun anew."""

    _opened: int | None = None

    def mend(self) -> None:
        """Open what is there now; another process may have mended it already."""
        self.close()
        self.initialize_schema()

    def is_gone(self) -> bool:
        """Whether what we have open is no longer the file of that name."""
        return self._opened is not None and self._opened != self._number()

    def initialize_schema(self) -> None:
        try:
            super().initialize_schema()
        except sqlite3.OperationalError:  # locked, or no room: that passes
            raise
        except sqlite3.DatabaseError:
            aside = f"{self.filename}.spoilt"  # it may be a file of yours, by a slip in QUEUE_URL
            log.warning("the queue %s is no database: kept as %s, begun anew", self.filename, aside)
            self.close()
            for end in ("-wal", "-shm"):
                Path(f"{self.filename}{end}").unlink(missing_ok=True)
            Path(self.filename).replace(aside)
            super().initialize_schema()

    def _create_connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._create_connection()
        self._opened = self._number()
        return connection

    def _number(self) -> int | None:
        path = Path(self.filename)
        return path.stat().st_ino if path.exists() else None


class _Embedded(Consumer):  # type: ignore[misc]
    """huey's consumer inside a process whose signals belong to somebody else."""

    def _set_signal_handlers(self) -> None:
        pass


class Work:
    """The engine of one process: gives hints always, runs them once `start` was called."""

    def __init__(self, queue_url: str, *, workers: int = WORKERS) -> None:
        """`queue_url` is a SQLite file (one machine) or a PostgreSQL database (many)."""
        self.huey = _huey(queue_url)
        self._workers = workers
        self._stopping = threading.Event()
        self._consumer: _Embedded | None = None
        self._others: list[threading.Thread] = []
        self._lane: threading.Thread | None = None
        self._parts: Parts | None = None
        self._run = self.huey.task(name="run")(self._run_campaign)

    def wake(self, campaign_id: int) -> None:
        """Hint that a campaign has something to do, once for every worker. Never fails: what is
        lost here is found by the sweep."""
        try:
            for _ in range(self._workers):
                self._run(campaign_id)
        except Exception:
            log.warning("the hint for campaign %s was lost", campaign_id, exc_info=True)

    def start(self, parts: Parts) -> None:
        """Run hints and sweep until `stop`."""
        gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
        self._parts = parts
        self._consumer = _Embedded(
            self.huey, workers=self._workers, periodic=False, initial_delay=0.05, max_delay=0.25,
            shutdown_timeout=DRAIN_SECONDS, check_worker_health=True,
        )  # fmt: skip
        self._consumer.start()
        for name, turn in (
            ("sweep", lambda: self._sweep(parts)), ("chores", lambda: _each(parts.chores)),
        ):  # fmt: skip
            other = threading.Thread(target=self._forever, args=(turn,), name=name, daemon=True)
            other.start()
            self._others.append(other)
        lane = threading.Thread(target=parts.lane.serve, args=(self._stopping,), name="lane")
        lane.daemon = True
        lane.start()
        self._lane = lane

    def stop(self) -> None:
        """Claim and begin no more; requests in flight end and are recorded, and the heart beats
        until then."""
        if self._consumer is None or self._parts is None:
            return
        self._stopping.set()
        self._parts.sender.halt()
        self._parts.lane.wake()
        self._consumer.stop(graceful=True)
        if self._lane is not None:
            self._lane.join(timeout=DRAIN_SECONDS)
        self._parts.sender.close()
        for other in self._others:
            other.join(timeout=SWEEP_SECONDS)

    def heartbeat_age(self) -> float | None:
        """Seconds since any worker swept; None = never."""
        beat = self.huey.get(HEARTBEAT, peek=True)
        return None if beat is None else max(0.0, time.time() - float(beat["at"]))

    def _run_campaign(self, campaign_id: int) -> None:
        """What a hint does: launch the campaign if its time has come, make its rows if that is not
        done, then send for a turn."""
        parts = self._parts
        if parts is None or self._stopping.is_set():
            return
        stopping = self._stopping.is_set
        parts.scheduler.launch_if_due(campaign_id)
        if not parts.launcher.build(campaign_id, stopping=stopping):
            return
        come_back = parts.sender.drain(campaign_id, seconds=TURN_SECONDS, stopping=stopping)
        if come_back is not None and come_back <= time.time() and not stopping():
            self._run(campaign_id)

    def _forever(self, turn: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            turn()
            self._stopping.wait(SWEEP_SECONDS)

    def _sweep(self, parts: Parts) -> None:
        """Heals whatever else is broken, be it the queue: it must outlive every fault."""
        for step in (self._beat, parts.control.heal, lambda: self._give_hints(parts)):
            try:
                step()
            except Exception as error:
                log.exception("the sweep failed; it runs again")
                if isinstance(error, sqlite3.DatabaseError):
                    self._mend_queue()

    def _mend_queue(self) -> None:
        try:
            self.huey.storage.mend()
        except Exception:
            log.exception("the queue cannot be opened; it is tried again")

    def _beat(self) -> None:
        if isinstance(self.huey.storage, HintFile) and self.huey.storage.is_gone():
            self._mend_queue()
        self.huey.put(HEARTBEAT, {"at": time.time(), "pid": os.getpid()})

    def _give_hints(self, parts: Parts) -> None:
        """A hint for each campaign that has something to do and none waiting. That others have
        hints waiting says nothing about it: they may go on for hours."""
        to_launch = parts.scheduler.due()
        to_build, to_drain = parts.control.due()
        waiting = {task.args[0] for task in self.huey.pending() if task.args}
        for campaign_id in dict.fromkeys([*to_launch, *to_build, *to_drain]):
            if campaign_id not in waiting:
                self._run(campaign_id)


def _each(chores: Iterable[Callable[[], None]]) -> None:
    """One that fails keeps no other from its turn."""
    for chore in chores:
        try:
            chore()
        except Exception:
            log.exception("%s failed; it is done again", getattr(chore, "__qualname__", chore))


def _huey(queue_url: str) -> Huey:
    options: dict[str, Any] = {"results": False, "serializer": JsonSerializer(), "utc": True}
    if queue_url.startswith("postgresql"):
        dsn = sa.make_url(queue_url).set(drivername="postgresql").render_as_string(False)
        return PostgresHuey("mail", dsn=dsn, **options)
    path = Path(queue_url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    return Huey("mail", storage_class=HintFile, filename=str(path), timeout=30, **options)
