"""A house for tests: real database, real core, ESPs whose answers a test scripts.

Only what cannot be caused otherwise is scripted here; journeys over HTTP use the simulator.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from database import campaigns, migrate, send_acts
from database.engine import Database
from database.models import LEDGER, subscribers
from database.segments import SavedSegments
from email_sender import EmailSender, Options
from list_manager import ListManager
from mail.renderer import Urls
from outbound.checks import Examiner
from outbound.composer import Composer
from outbound.control import CampaignControl
from outbound.draft import Draft, Identity
from outbound.drafts import Drafts
from outbound.lane import TransactionalLane
from outbound.launch import Launcher
from outbound.schedule import Scheduler
from outbound.transactional import Mail, Mailer
from outbound.trial import Tester
from services.esp import (
    Accepted,
    Batch,
    Call,
    Capabilities,
    Esp,
    EspError,
    EspEvent,
    InDoubt,
    Outcome,
    Report,
    WebhookRequest,
)
from services.esp_manager import EspManager, Policy
from services.quota import Limits
from utils.signing import Signer

NAMES = ("sendgrid", "ses", "postmark")
PLENTY = Capabilities(
    max_messages=1000, max_bytes=10**7, max_slot_bytes=None, default_batch_size=500,
    default_rate=None, default_priority=1, default_daily_limit=10**9,
)  # fmt: skip
Answer = Callable[[Batch], Sequence[Outcome]]


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: float | None = None) -> None:
        self.offset = 0.0 if now is None else now - time.time()

    def __call__(self) -> float:
        return time.time() + self.offset

    def forward(self, seconds: float) -> None:
        self.offset += seconds


class ScriptedEsp:
    """An ESP that takes everything unless told otherwise, and remembers what it took."""

    capabilities = PLENTY

    def __init__(self, name: str) -> None:
        self.name = name
        self.taken: list[str] = []  #: addresses, in order
        self.batches: list[int] = []
        self.answers: list[Answer] = []  #: one for each coming batch, then `always`
        self.always: Answer | None = None
        self._lock = threading.Lock()

    def send(self, batch: Batch) -> Report:
        with self._lock:
            answer = self.answers.pop(0) if self.answers else self.always
            self.batches.append(len(batch.messages))
        outcomes = list(answer(batch)) if answer else [Accepted("id")] * len(batch.messages)
        with self._lock:
            self.taken += [
                message.to
                for message, outcome in zip(batch.messages, outcomes, strict=True)
                if isinstance(outcome, Accepted)
            ]
        whole = outcomes[0] if all(isinstance(o, EspError) for o in outcomes) else None
        error = whole if isinstance(whole, EspError) else None
        return Report(outcomes, [Call(len(outcomes), error, 0.01)])

    def takes_but_hides_it(self, batch: Batch) -> Sequence[Outcome]:
        """Accepts everything; the answer is lost."""
        with self._lock:
            self.taken += [message.to for message in batch.messages]
        return [InDoubt("the answer was lost")] * len(batch.messages)

    def read_webhook(self, _request: WebhookRequest) -> list[EspEvent]:
        return []


def all_get(error: EspError) -> Answer:
    """An answer that is the same error for every message."""
    return lambda batch: [error] * len(batch.messages)


@dataclass
class House:
    """The core on one database."""

    db: Database
    esps: dict[str, Any]  #: ScriptedEsp, or real adapters
    manager: EspManager
    sender: EmailSender
    launcher: Launcher
    control: CampaignControl
    clock: Clock
    mailer: Mailer
    lane: TransactionalLane
    drafts: Drafts
    scheduler: Scheduler
    tester: Tester
    woken: list[int] = field(default_factory=list)

    def add_people(
        self, count: int, *, first: int = 0, domain: str = "example.com", **columns: object
    ) -> None:
        """`person0@example.com` … with a name and a `plan`."""
        now = self.clock()
        rows = [
            {
                "address": f"person{n}@{domain}", "email": f"Person{n}@{domain}",
                "name": f"Person {n}", "status": "active", "status_at": now, "created_at": now,
                "updated_at": now, "attributes": {"plan": "pro"}, "tags": {}, **columns,
            }
            for n in range(first, first + count)
        ]  # fmt: skip
        with self.db.write() as connection:
            connection.execute(subscribers.insert(), rows)

    def launch(self, **fields: Any) -> int:
        """Launch a small campaign to everybody and make its rows."""
        draft = Draft(**{"subject": "Hello {{ name }}", "html": "<p>Hi {{ name }}</p>", **fields})
        launched = self.launcher.launch(draft)
        assert self.launcher.build(launched.campaign_id)
        return launched.campaign_id

    def post(self, **fields: Any) -> int:
        """Store a transactional mail; returns the id of its campaign."""
        mail = Mail(**{"to": "ann@example.net", "subject": "Hi", "text": "Hello", **fields})
        send_id = self.mailer.post(mail).send_id
        with self.db.read() as connection:
            row = send_acts.get(connection, int(send_id.rpartition("-")[2]))
        assert row is not None
        return int(row["campaign_id"])

    def drain(self, campaign_id: int, seconds: float = 20) -> float | None:
        return self.sender.drain(campaign_id, seconds=seconds)

    def campaign(self, campaign_id: int) -> dict[str, Any]:
        with self.db.read() as connection:
            row = campaigns.get(connection, campaign_id)
        assert row is not None
        return dict(row)

    def ledger(self, campaign_id: int) -> dict[str, int]:
        """The states that are not empty; checks that nobody is missing or counted twice."""
        row = self.campaign(campaign_id)
        assert row["audience"] == sum(row[name] for name in LEDGER), row
        return {name.removeprefix("n_"): row[name] for name in LEDGER if row[name]}

    def nobody_twice(self) -> bool:
        counts = Counter(address for esp in self.esps.values() for address in esp.taken)
        return not counts or max(counts.values()) == 1


def enter(
    database: Database, *, clock: Clock | None = None, limits: dict[str, Limits] | None = None,
    priorities: dict[str, int] | None = None, options: Options | None = None, batch_size: int = 500,
    esps: Mapping[str, Esp] | None = None,
) -> House:  # fmt: skip
    """A house on a database with tables; a second one is like another process."""
    clock = clock or Clock()
    esps = dict(esps or {name: ScriptedEsp(name) for name in NAMES})
    policies = {
        name: Policy(
            (priorities or {}).get(name, number + 1), 1.0,
            (limits or {}).get(name, Limits(None, None)), batch_size,
        )
        for number, name in enumerate(NAMES)
    }  # fmt: skip
    manager = EspManager(esps, policies)
    urls = Urls("https://a.example", Signer(("k",), "tracking"), Signer(("k",), "consent"))
    composer = Composer(urls, postal_address="1 Main Street, Springfield")
    identity = Identity(
        "sandbox", "news@example.com", from_domains=frozenset({"example.com"}),
        esps=frozenset(NAMES),
    )  # fmt: skip
    woken: list[int] = []
    examiner = Examiner(database, composer, identity, SavedSegments(), clock)
    launcher = Launcher(database, examiner, wake=woken.append, clock=clock)
    drafts = Drafts(database, examiner, clock)
    sender = EmailSender(database, manager, composer, options, clock)
    scheduler = Scheduler(database, examiner, grace_seconds=3600, wake=woken.append, clock=clock)
    control = CampaignControl(
        database, wake=woken.append, clock=clock, resume_unlaunched=scheduler.resume
    )
    lane = TransactionalLane(database, partial(sender.drain, seconds=10.0, patience=0.0), clock)
    lists = ListManager(database, erasure_key="k" * 32, clock=clock)
    mailer = Mailer(database, composer, identity, lists.alias, wake=lane.wake, clock=clock)
    tester = Tester(database, composer, examiner, lists.alias, wake=lane.wake, clock=clock)
    return House(
        database,
        esps,
        manager,
        sender,
        launcher,
        control,
        clock,
        mailer,
        lane,
        drafts,
        scheduler,
        tester,
        woken,
    )


@contextmanager
def on(url: str) -> Iterator[Callable[..., House]]:
    """Makes houses on one fresh database and closes what they opened."""
    database = Database(url)
    migrate.upgrade(database)
    yield lambda **how: enter(database, **how)
    database.dispose()
