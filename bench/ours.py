"""Our side: the product's core with its real adapters, from launch to the last recorded answer."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bench import letter
from config.esp_config import ESP_FACTS
from database import campaigns
from database.engine import Database
from database.models import LEDGER
from database.segments import SavedSegments
from email_sender import EmailSender
from mail.renderer import Urls
from outbound.batches import Claim, Parcel
from outbound.checks import Examiner
from outbound.composer import Composer, Render
from outbound.draft import Draft, Identity
from outbound.launch import Launcher
from services.amazon_ses import AmazonSes
from services.esp import Capabilities, Esp, Report
from services.esp_manager import EspManager, Policy
from services.postmark import Postmark
from services.quota import Limits
from services.sendgrid import SendGrid
from services.ses_client import AwsKeys
from utils.signing import Signer
from work import COLLECT_AFTER

Result = TypeVar("Result")

#: The issue's batch sizes: as many as each ESP takes in a request.
BATCH_SIZES = {"sendgrid": 1000, "ses": 50, "postmark": 500}
ESPS = tuple(BATCH_SIZES)
LONGEST_SECONDS = 3600.0
MICRO = 1e6


class Miscount(Exception):
    """The ESP, the ledger and the list do not agree on how many were mailed."""


class Sent(NamedTuple):
    """A campaign that left."""

    campaign_id: int
    audience: int
    ledger: dict[str, int]  #: states that are not empty


def adapters(url: str) -> dict[str, Esp]:
    """The three real ones, pointed at a sink."""
    can = {name: Capabilities(**facts.fields()) for name, facts in ESP_FACTS.items()}
    sizes = BATCH_SIZES
    return {
        "sendgrid": SendGrid(
            "SG.key", can["sendgrid"], base_url=url, batch_size=sizes["sendgrid"]
        ),
        "ses": AmazonSes(
            can["ses"], keys=AwsKeys("AKIDEXAMPLE", "secret"), endpoint_url=url,
            batch_size=sizes["ses"],
        ),
        "postmark": Postmark("token", can["postmark"], base_url=url, batch_size=sizes["postmark"]),
    }  # fmt: skip


class Product:
    """The core on one SQLite file, with one ESP or several of equal rank."""

    def __init__(self, path: Path, url: str, esps: Sequence[str], steps: "Steps | None" = None):
        self.database = Database(f"sqlite:///{path}")
        urls = Urls(
            letter.PUBLIC_URL, Signer(("a key",), "tracking"), Signer(("a key",), "consent")
        )
        composer = Composer(urls, postal_address=letter.POSTAL_ADDRESS)
        known = adapters(url)
        manager = EspManager(
            {name: known[name] for name in esps},
            {name: Policy(1, 1.0, Limits(None, None), BATCH_SIZES[name]) for name in esps},
        )
        identity = Identity("sandbox", letter.FROM, from_domains=frozenset({"example.com"}))
        examiner = Examiner(self.database, composer, identity, SavedSegments())
        self._launcher = Launcher(self.database, examiner, wake=lambda _: None)
        self._steps = steps or Steps()
        self._sender = Measured(self.database, manager, composer)
        self._sender.steps = self._steps

    def send(self) -> Sent:
        """Launch, build, and drain until nothing is left."""
        draft = Draft(subject=letter.SUBJECT, html=letter.HTML, text=letter.TEXT)
        launched = self._steps.of("launch", lambda: self._launcher.launch(draft))
        self._steps.of("build", lambda: self._launcher.build(launched.campaign_id))
        self._sender.drain(launched.campaign_id, seconds=LONGEST_SECONDS)
        with self.database.read() as connection:
            row: Any = campaigns.get(connection, launched.campaign_id)
        ledger = {name.removeprefix("n_"): row[name] for name in LEDGER if row[name]}
        return Sent(launched.campaign_id, row["audience"], ledger)

    def close(self) -> None:
        self._sender.close()
        self.database.dispose()


@contextmanager
def collecting_as_a_worker_does() -> Iterator[None]:
    """The garbage collector's threshold as `work.py` sets it, for whatever runs meanwhile."""
    usual = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class Steps:
    """CPU seconds of each step of the journey, all threads counted."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def of(self, name: str, work: Callable[[], Result]) -> Result:
        began = time.process_time()
        try:
            return work()
        finally:
            self.seconds[name] += time.process_time() - began  # type: ignore[assignment]  # a Counter of floats


class Measured(EmailSender):
    """A sender that knows what each step takes; three looks at the clock for each batch."""

    steps: Steps

    def _claim(self, campaign_id: int) -> tuple[list[Claim], Render, float | None]:
        return self.steps.of("claim", lambda: super(Measured, self)._claim(campaign_id))

    def _rendered(self, claim: Claim, render: Render) -> Parcel:
        return self.steps.of("render", lambda: super(Measured, self)._rendered(claim, render))

    def _hand_over(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        return self.steps.of("hand over", lambda: super(Measured, self)._hand_over(parcels))

    def _send_and_record(self, parcel: Parcel) -> None:
        self.steps.of("send", lambda: super(Measured, self)._send_and_record(parcel))

    def _record_patiently(self, parcel: Parcel, report: Report) -> None:
        before = self.steps.seconds["record"]
        self.steps.of("record", lambda: super(Measured, self)._record_patiently(parcel, report))
        # It runs inside `send`.
        self.steps.seconds["send"] -= self.steps.seconds["record"] - before
